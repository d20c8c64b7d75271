package socketio_test

import (
	"strings"
	"testing"
)

// earnest is how our server is set for clients that show a key: all may come,
// and heartbeats are quick enough to see who is dead.
const earnest = `
socketio_ping_interval = "1s"
socketio_ping_timeout = "3s"
socketio_allow_eio3 = true
socketio_jsonp = true
[namespace."/custom"]
`

// patient is the same for clients that are too busy to answer at once.
var patient = strings.Replace(earnest, `"3s"`, `"60s"`, 1)

// echoing is the same for clients that talk back.
const echoing = `
socketio_ping_interval = "300ms"
socketio_ping_timeout = "10s"
socketio_recovery_time = "0s"
socketio_conformance = true
socketio_allow_eio3 = true
socketio_jsonp = true
[namespace."/"]
open = true
[namespace."/custom"]
open = true
`

func stockEarnest() map[string]any {
	return map[string]any{
		"eio3": true, "cors": true, "recovery": 120_000,
		"engine": map[string]any{"pingInterval": 1000, "pingTimeout": 3000},
	}
}

func stockEchoing() map[string]any {
	return map[string]any{
		"conformance": true, "eio3": true, "cors": true,
		"engine": map[string]any{"pingInterval": 300, "pingTimeout": 10_000},
	}
}

// combinations is how many there are of versions and transports, and cases how
// many each plays.
const (
	combinations   = 4 * 3
	casesOfClients = 11
)

// TestClients has the stock clients of four versions, each by polls, by WebSocket,
// and by going over from one to the other, do all that pages do.
func TestClients(t *testing.T) {
	t.Parallel()
	t.Run("ours", func(t *testing.T) {
		srv, open := ours(t, earnest), ours(t, echoing)
		play(t, combinations*(casesOfClients+1), map[string]func(){"restart": srv.Restart}, "clients.mjs",
			map[string]any{"base": srv.Base, "admin": srv.Admin, "open": open.Base, "restart": true})
	})
	t.Run("stock", func(t *testing.T) {
		if !long() {
			t.Skip("it shows that the cases are right: SHAVEET_LONG=1 plays them")
		}
		srv, open := stock(t, stockEarnest()), stock(t, stockEchoing())
		play(t, combinations*casesOfClients, nil, "clients.mjs",
			map[string]any{"base": srv.Base, "admin": srv.Admin, "open": open.Base, "stock": true})
	})
}

// TestUpgrades has clients go over from polls to a WebSocket, a hundred at once,
// while they are told numbers.
func TestUpgrades(t *testing.T) {
	t.Parallel()
	upgrades, versions := 200, []string{"4.8", "2"}
	if long() {
		upgrades, versions = 2000, []string{"4.8", "4.0", "2", "1"}
	}
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			srv := ours(t, patient)
			play(t, 1, nil, "upgrades.mjs",
				map[string]any{"base": srv.Base, "admin": srv.Admin, "version": version, "upgrades": upgrades})
		})
	}
}

// TestPages has pages with the stock clients in Chromium hear, ask, be cut off and
// come back. The newest client is the one that the server serves.
func TestPages(t *testing.T) {
	t.Parallel()
	cases, only := 29, []string{""}
	if !long() {
		cases, only = 9, []string{"the scripts", "4.8, ", "2, JSONP"}
	}
	for name, start := range map[string]func() (srv, open *server){
		"ours":  func() (srv, open *server) { return ours(t, earnest), ours(t, echoing) },
		"stock": func() (srv, open *server) { return stock(t, stockEarnest()), stock(t, stockEchoing()) },
	} {
		t.Run(name, func(t *testing.T) {
			if name == "stock" && !long() {
				t.Skip("it shows that the cases are right: SHAVEET_LONG=1 plays them")
			}
			srv, open := start()
			play(t, cases, nil, "page.mjs", map[string]any{
				"base": srv.Base, "admin": srv.Admin, "open": open.Base, "only": only, "stock": name == "stock"})
		})
	}
}
