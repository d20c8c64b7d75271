package server

import (
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/zmtp"
)

// socketAt returns the configuration of a socket of this type, in a file of the
// test's own.
func socketAt(t *testing.T, kind string) SocketConfig {
	c := DefaultSocketConfig()
	c.Name, c.Type = kind, kind
	c.Bind = "ipc://" + filepath.Join(t.TempDir(), kind)
	switch kind {
	case "sub", "pull":
		c.Channel = "room"
	case "pub":
		c.Channels = []string{"*"}
	}
	return c
}

// meet connects to a socket as a peer of this type.
func meet(t *testing.T, c SocketConfig, kind zmtp.SocketType) *zmtp.Conn {
	t.Helper()
	conn, err := net.Dial("unix", strings.TrimPrefix(c.Bind, "ipc://"))
	if err != nil {
		t.Fatal(err)
	}
	z, err := zmtp.NewConn(conn, zmtp.Options{Type: kind, HandshakeTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { z.Close() })
	return z
}

func ask(t *testing.T, z *zmtp.Conn, frames ...string) string {
	t.Helper()
	message := [][]byte{nil}
	for _, f := range frames {
		message = append(message, []byte(f))
	}
	if err := z.Send(message...); err != nil {
		t.Fatal(err)
	}
	answer, err := z.Receive()
	if err != nil || len(answer) != 2 || len(answer[0]) > 0 {
		t.Fatalf("%q is answered %q, %v", frames, answer, err)
	}
	return string(answer[1])
}

// Who comes by ZeroMQ shows the admin token as who comes by HTTP does, also
// when it changes, and is told nothing else without it.
func TestSocketsAskForTheToken(t *testing.T) {
	t.Parallel()
	rep := socketAt(t, "rep")
	r := start(t, func(c *Config) { c.AdminToken, c.ZeroMQ = rightToken, []SocketConfig{rep} })
	z := meet(t, rep, zmtp.REQ)
	call := rpcBody("create_client", "alice")
	for _, frames := range [][]string{{call}, {"", call}, {wrongToken, call}, {rightToken + " ", call}, {rightToken}, {wrongToken, "{"}} {
		if answer := ask(t, z, frames...); answer != noToken {
			t.Errorf("%q is answered %s", frames, answer)
		}
	}
	if answer := ask(t, z, rightToken, call); !strings.Contains(answer, `"result"`) {
		t.Errorf("with the token: %s", answer)
	}
	next := r.srv.Config()
	next.AdminToken = "another-token-of-many-letters"
	r.reload = func() (Config, error) { return next, nil }
	if _, err := r.srv.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if answer := ask(t, z, rightToken, call); answer != noToken {
		t.Errorf("with the former token: %s", answer)
	}
	if answer := ask(t, z, next.AdminToken, call); !strings.Contains(answer, `"result"`) {
		t.Errorf("with the new token: %s", answer)
	}
	for _, secret := range []string{rightToken, wrongToken, next.AdminToken} {
		if strings.Contains(r.log.String(), secret) {
			t.Error("the log has a token")
		}
	}
}

// Calls by ZeroMQ are those of the admin API, with its metrics.
func TestSocketsAnswerCalls(t *testing.T) {
	t.Parallel()
	rep := socketAt(t, "rep")
	r := start(t, func(c *Config) { c.ZeroMQ = []SocketConfig{rep} })
	z := meet(t, rep, zmtp.REQ)
	for body, want := range map[string]string{
		rpcBody("create_client", "alice"): `"result"`,
		rpcBody("nothing"):                `-32601`,
		`{`:                               `-32700`,
		`[` + rpcBody("info") + `,` + rpcBody("create_client") + `]`: `[{"`,
	} {
		if answer := ask(t, z, body); !strings.Contains(answer, want) {
			t.Errorf("%s is answered %.200s", body, answer)
		}
	}
	if answer := ask(t, z, `{"jsonrpc":"2.0","method":"create_client","params":["bob"]}`); answer != "" {
		t.Errorf("a notification is answered %q", answer)
	}
	if answer := ask(t, z, strings.Repeat(" ", int(r.srv.cfg.MaxBodyBytes)+1)); !strings.Contains(answer, "-32006") {
		t.Errorf("a request over max_body_bytes is answered %.200s", answer)
	}
	for _, want := range []string{
		`shaveet_zeromq_sent_total{socket="rep"} 6`, // which is counted when it is sent, so it may be a moment late
		`shaveet_admin_calls_total{method="create_client"} 3`, `shaveet_zeromq_peers{socket="rep"} 1`,
		`shaveet_zeromq_received_total{socket="rep"} 6`,
		`shaveet_zeromq_refused_total{socket="rep"} 0`, `shaveet_zeromq_dropped_total{reason="limit",socket="rep"} 0`,
		`shaveet_zeromq_received_bytes_total{socket="rep"} `,
	} {
		for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
			if _, text := get(t, "http://"+r.main+"/metrics"); strings.Contains(text, want) {
				break
			} else if time.Since(began) > patience {
				t.Fatalf("the metrics do not have %s", want)
			}
		}
	}
}

// What comes by one socket leaves by another, as readers of streams have it.
func TestSocketsAndChannels(t *testing.T) {
	t.Parallel()
	pull, pub := socketAt(t, "pull"), socketAt(t, "pub")
	r := start(t, func(c *Config) { c.ZeroMQ = []SocketConfig{pull, pub} })
	push, sub := meet(t, pull, zmtp.PUSH), meet(t, pub, zmtp.SUB)
	if err := sub.Subscribe([]byte("room")); err != nil {
		t.Fatal(err)
	}
	heard := make(chan []string, 100)
	go func() {
		defer close(heard)
		for {
			frames, err := sub.Receive()
			if err != nil {
				return
			}
			heard <- []string{string(frames[0]), string(frames[1])}
		}
	}()
	tick := time.NewTicker(20 * time.Millisecond) // until the subscription is heard of
	defer tick.Stop()
	late := time.After(patience)
	for {
		if err := push.Send([]byte("{\n\"n\":1}")); err != nil {
			t.Fatal(err)
		}
		select {
		case m := <-heard:
			if m[0] != "room" || !strings.Contains(m[1], `"sender":"zeromq","data":{"n":1},`) || !strings.HasPrefix(m[1], `{"channel":"room","id":`) {
				t.Errorf("heard %q", m)
			}
		case <-tick.C:
			continue
		case <-late:
			t.Fatal("nothing is heard")
		}
		break
	}
	r.stop()
	<-r.done
	for range heard { // ends with the server
	}
	if r.err != nil {
		t.Error(r.err)
	}
}

// A reload changes no sockets: it says that they wait for a restart, for as
// long as they do.
func TestReloadLeavesSocketsAlone(t *testing.T) {
	t.Parallel()
	pull := socketAt(t, "pull")
	r := start(t, func(c *Config) { c.ZeroMQ = []SocketConfig{pull} })
	running := r.srv.Config()
	for name, change := range map[string]func(*Config){
		"another":  func(c *Config) { c.ZeroMQ = []SocketConfig{pull, socketAt(t, "pub")} },
		"none":     func(c *Config) { c.ZeroMQ = nil },
		"a change": func(c *Config) { c.ZeroMQ = []SocketConfig{pull}; c.ZeroMQ[0].MaxPeers = 1 },
		"the same": func(c *Config) { c.ZeroMQ = slices.Clone(c.ZeroMQ) },
	} {
		next := running
		change(&next)
		r.reload = func() (Config, error) { return next, nil }
		for range 2 {
			done, err := r.srv.Reload(t.Context())
			if waits := slices.Contains(done.Restart, "zeromq"); err != nil || waits != (name != "the same") {
				t.Errorf("%s: %+v, %v", name, done, err)
			}
		}
	}
	bad := running
	bad.ZeroMQ = []SocketConfig{{Type: "nothing"}}
	if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), "zeromq 1: type: ") {
		t.Errorf("%v", err)
	}
	if err := meet(t, pull, zmtp.PUSH).Send([]byte("1")); err != nil {
		t.Error(err)
	}
}

// A server that cannot bind a socket does not begin, and keeps no door.
func TestSocketsThatCannotBeBound(t *testing.T) {
	t.Parallel()
	free, taken := socketAt(t, "pull"), socketAt(t, "pub")
	l, err := net.Listen("unix", strings.TrimPrefix(taken.Bind, "ipc://"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := DefaultConfig()
	cfg.ZeroMQ = []SocketConfig{free, taken}
	r := prepare(t, cfg)
	doors := Doors{Main: listen(t), Public: listen(t)}
	if err := r.srv.Serve(t.Context(), doors); err == nil || !strings.Contains(err.Error(), "zeromq pub: ") {
		t.Errorf("%v", err)
	}
	for name, door := range map[string]net.Listener{"main": doors.Main, "public": doors.Public} {
		if _, err := door.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the door %s: %v", name, err)
		}
	}
	if c, err := net.Dial("unix", strings.TrimPrefix(free.Bind, "ipc://")); err == nil {
		c.Close()
		t.Error("the other socket is bound")
	}
}

// Peers that stay do not hold up the end.
func TestSocketsEndWithTheDoors(t *testing.T) {
	t.Parallel()
	var all []SocketConfig
	partner := map[string]zmtp.SocketType{"sub": zmtp.PUB, "pull": zmtp.PUSH, "pub": zmtp.SUB, "rep": zmtp.REQ}
	for kind := range partner {
		all = append(all, socketAt(t, kind))
	}
	r := start(t, func(c *Config) { c.ZeroMQ = all })
	var peers []*zmtp.Conn
	for _, c := range all {
		peers = append(peers, meet(t, c, partner[c.Type]))
	}
	r.stop()
	select {
	case <-r.done:
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
	if r.err != nil {
		t.Error(r.err)
	}
	for _, z := range peers {
		for {
			if _, err := z.Receive(); err != nil {
				break
			}
		}
	}
}
