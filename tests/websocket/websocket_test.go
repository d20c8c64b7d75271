// Package websocket_test has WebSocket clients of others read from the running
// program: of Go, Node, Python, and a browser. Each says who it is in both
// ways that pages have, and must be told everything, be kept alive, and be let
// go as the protocol wants it.
package websocket_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

func TestMain(m *testing.M) { live.Main(m) }

// A connection is what a client is to open.
type connection struct {
	Name      string   `json:"name"`
	URL       string   `json:"url"`
	Protocols []string `json:"protocols"`
	Hello     string   `json:"hello"` // to be sent first; "" for none
}

// An event is what a client tells of a connection.
type event struct {
	Name, Event                string
	Protocol, Extensions, Data string
	Code                       int
	Clean                      bool
}

// A library opens connections; what it returns tells all that has happened so
// far.
type library func(t *testing.T, connections []connection, compression bool) (events func() []event)

var libraries = map[string]library{
	"coder/websocket":    coder,
	"ws of npm":          program("node", "clients/node.mjs"),
	"Python, websockets": program("/usr/bin/python3", "clients/client.py"), // Debian's library is for Debian's Python
	"Chromium":           program("node", "clients/browser.mjs", "../../client-js/test/browser/browser.mjs"),
}

// patience is what may take long on a busy machine.
const patience = time.Minute

func TestClientsOfOthers(t *testing.T) {
	for name, library := range libraries {
		for _, compression := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, compression: %t", name, compression), func(t *testing.T) {
				t.Parallel()
				srv := live.Start(t, "--public-listen", "127.0.0.1:0", "--drain-delay", "0s",
					fmt.Sprintf("--websocket-compression=%t", compression))
				clientsOfOthers(t, srv, library, compression)
			})
		}
	}
}

// The names of the connections say how they say who they are, and how they end.
var names = []string{"message, killed", "message, drained", "protocol, killed", "protocol, drained"}

func clientsOfOthers(t *testing.T, srv *live.Server, open library, compression bool) {
	var all []connection
	for _, name := range names {
		all = append(all, connect(t, srv, name))
	}
	events := open(t, all, compression)
	for _, name := range names {
		await(t, events, name, "it is told that it stands", func(s story) bool { return len(s.batches) > 0 })
		check(t, name, read(events(), name).opened, compression)
	}
	var said []string
	for i := range 200 {
		said = append(said, fmt.Sprintf("%d é 😀 %s", i, strings.Repeat("long ", i%50)))
		call(t, srv, "new_message", "bob", said[i], "room", false)
	}
	before := map[string]int{}
	for _, name := range names {
		await(t, events, name, "it is told everything", func(s story) bool { return len(s.texts) >= len(said) })
		s := read(events(), name)
		if !slices.Equal(s.texts, said) {
			t.Errorf("%s: it hears %.1000q", name, s.texts)
		}
		before[name] = s.empty
	}
	for _, name := range names {
		// Who does not answer a ping is dropped with the next one.
		await(t, events, name, "it stays", func(s story) bool { return s.empty >= before[name]+2 })
	}
	for _, name := range names {
		if strings.HasSuffix(name, "killed") {
			call(t, srv, "kill_client", name)
			ends(t, events, name, "gone", 4404)
		}
	}
	srv.Stop()
	for _, name := range names {
		if strings.HasSuffix(name, "drained") {
			ends(t, events, name, "drain", 1012)
		}
	}
}

// connect makes a client of this name, and says how to connect for it.
func connect(t *testing.T, srv *live.Server, name string) connection {
	key := call(t, srv, "create_client", name)
	call(t, srv, "subscribe", name, "room")
	c := connection{Name: name, URL: strings.Replace(srv.Public, "http:", "ws:", 1) + "/websocket", Protocols: []string{}}
	if strings.HasPrefix(name, "message") {
		hello, err := json.Marshal(map[string]any{"wait": 1000, "clients": []any{map[string]string{"id": name, "key": key}}})
		if err != nil {
			t.Fatal(err)
		}
		c.Hello = string(hello)
		return c
	}
	token := url.PathEscape(name) + "_!!_" + key
	c.URL += "?wait=1000"
	c.Protocols = []string{"shaveet.v1", "shaveet.auth." + base64.RawURLEncoding.EncodeToString([]byte(token))}
	return c
}

// check wants a connection to have been agreed on as it should.
func check(t *testing.T, name string, opened []event, compression bool) {
	t.Helper()
	protocol := ""
	if strings.HasPrefix(name, "protocol") {
		protocol = "shaveet.v1"
	}
	if len(opened) != 1 || opened[0].Protocol != protocol || strings.Contains(opened[0].Extensions, "permessage-deflate") != compression {
		t.Errorf("%s: it was opened so: %+v", name, opened)
	}
}

// ends wants a connection to be told the signal, and then to be closed.
func ends(t *testing.T, events func() []event, name, signal string, code int) {
	t.Helper()
	await(t, events, name, "it is closed", func(s story) bool { return len(s.closed) > 0 })
	s := read(events(), name)
	last := s.batches[len(s.batches)-1]
	if len(last.Signals) != 1 || last.Signals[0].Type != signal {
		t.Errorf("%s: its last words are %+v", name, last)
	}
	if len(s.closed) != 1 || s.closed[0].Code != code || !s.closed[0].Clean || len(s.strange) > 0 {
		t.Errorf("%s: it was closed so: %+v, and was told %+v", name, s.closed, s.strange)
	}
}

// A batch is what matters of one.
type batch struct {
	Signals  []struct{ Type string }
	Messages []struct{ Data string }
}

// A story is what has happened to one connection.
type story struct {
	opened, closed, strange []event
	batches                 []batch
	texts                   []string
	empty                   int // batches that tell nothing
}

func read(events []event, name string) (s story) {
	for _, e := range events {
		var b batch
		switch {
		case e.Name != name || e.Event == "ping":
		case e.Event == "open":
			s.opened = append(s.opened, e)
		case e.Event == "close":
			s.closed = append(s.closed, e)
		case e.Event != "message" || json.Unmarshal([]byte(e.Data), &b) != nil:
			s.strange = append(s.strange, e)
		default:
			s.batches = append(s.batches, b)
			for _, m := range b.Messages {
				s.texts = append(s.texts, m.Data)
			}
			if len(b.Messages) == 0 && len(b.Signals) == 0 {
				s.empty++
			}
		}
	}
	return s
}

// await waits until it is so with a connection.
func await(t *testing.T, events func() []event, name, what string, so func(story) bool) {
	t.Helper()
	live.Until(t, name+": "+what, patience, func() bool {
		s := read(events(), name)
		if len(s.strange) > 0 {
			t.Fatalf("%s: something strange has happened: %+v", name, s.strange)
		}
		return so(s)
	})
}

// call calls a method of the admin API.
func call(t *testing.T, srv *live.Server, method string, params ...any) (result string) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(srv.Main, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Result any
		Error  any
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Error != nil {
		t.Fatalf("%s: %v, %v", method, answer.Error, err)
	}
	result, _ = answer.Result.(string)
	return result
}
