package socketio_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/socketio"
)

// A handler for tests: what it is told, in order, and what it does about it.
type recorder struct {
	told    chan string
	connect func(s *socketio.Socket, h *socketio.Handshake) error
	event   func(s *socketio.Socket, e *socketio.Event)
}

func newRecorder() *recorder { return &recorder{told: make(chan string, 1000)} }

func (r *recorder) Connect(_ context.Context, s *socketio.Socket, h *socketio.Handshake) error {
	r.told <- fmt.Sprintf("connected %q %s", s.Client(), h.Auth)
	if r.connect != nil {
		return r.connect(s, h)
	}
	return nil
}

func (r *recorder) Event(_ context.Context, s *socketio.Socket, e *socketio.Event) {
	r.told <- fmt.Sprintf("%s %s", e.Name, e.Args)
	if r.event != nil {
		r.event(s, e)
	}
}

func (r *recorder) Disconnect(_ context.Context, _ *socketio.Socket, why string) {
	r.told <- "disconnected: " + why
}

func (r *recorder) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, one := range want {
		select {
		case got := <-r.told:
			if got != one {
				t.Errorf("told %s, want %s", got, one)
			}
		case <-time.After(patience):
			t.Fatalf("never told %s", one)
		}
	}
}

func TestHandler(t *testing.T) {
	r := newRecorder()
	w := newWorld(t, socketio.Options{Namespaces: []socketio.Namespace{{Name: "/open", Open: true, Handler: r}}}, hub.Limits{})
	asked := make(chan string, 1)
	r.event = func(s *socketio.Socket, e *socketio.Event) {
		switch e.Name {
		case "echo":
			if err := errors.Join(e.Ack(e.Args), e.Ack(json.RawMessage(`["twice"]`))); err != nil {
				t.Error(err)
			}
		case "ask":
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			if string(e.Args) == `["late"]` {
				cancel()
			}
			defer cancel()
			answer, err := s.Ask(ctx, "question", json.RawMessage(`[{"$binary":"AQID"}]`))
			asked <- fmt.Sprintf("%s %v", answer, err)
		case "kick":
			s.Disconnect()
		case "panic":
			panic("on purpose")
		}
	}
	p := w.dial("")
	p.join("/open", `{"a":1}`)
	r.expect(t, `connected "" {"a":1}`)
	p.send(`42/open,["plain",1,"é"]`, `42/open,17["echo",1,[2]]`, `451-/open,18["echo",{"_placeholder":true,"num":0}]`, "binary:\x01\x02\x03")
	p.expect(`43/open,17[1,[2]]`, `461-/open,18[{"_placeholder":true,"num":0}]`, "binary:\x01\x02\x03")
	r.expect(t, `plain [1,"é"]`, `echo [1,[2]]`, `echo [{"$binary":"AQID"}]`)

	p.send(`42/open,["ask"]`)
	p.expect(`451-/open,0["question",{"_placeholder":true,"num":0}]`, "binary:\x01\x02\x03")
	p.send(`43/open,99["to nothing"]`, `43/open,0["yes",2]`)
	if got := <-asked; got != `["yes",2] <nil>` {
		t.Error(got)
	}
	p.send(`42/open,["ask","late"]`)
	if got := <-asked; got != fmt.Sprintf(" %v", socketio.ErrNoAnswer) {
		t.Error(got)
	}
	p.expect(`451-/open,1["question",*`, "binary:\x01\x02\x03")
	p.send(`42/open,["ask"]`)
	p.expect(`451-/open,2["question",*`)
	r.expect(t, "ask []", `ask ["late"]`, "ask []")
	p.conn.CloseNow()
	if got := <-asked; got != fmt.Sprintf(" %v", socketio.ErrLeft) {
		t.Error(got)
	}
	r.expect(t, "disconnected: transport close")

	p = w.dial("")
	p.join("/open", "")
	p.send(`42/open,["kick"]`)
	p.expect("41/open,")
	r.expect(t, `connected "" `, "kick []", "disconnected: server namespace disconnect")
	p.join("/open", "")
	p.send(`42/open,["panic"]`)
	p.expect("closed")
	r.expect(t, `connected "" `, "panic []", "disconnected: forced server close")
}

// Whoever says more than is answered does not fill our memory.
func TestTooMuchWaiting(t *testing.T) {
	r := newRecorder()
	hold := make(chan struct{})
	r.event = func(*socketio.Socket, *socketio.Event) { <-hold }
	w := newWorld(t, socketio.Options{MaxWaiting: 10_000,
		Namespaces: []socketio.Namespace{{Name: "/open", Open: true, Handler: r}}}, hub.Limits{})
	defer close(hold)
	p := w.dial("")
	p.join("/open", "")
	p.send(`42/open,["first"]`)
	r.expect(t, `connected "" `, "first []")
	for range 4 {
		p.send(`42/open,["x","` + strings.Repeat("x", 6000) + `"]`)
	}
	p.expect("closed")
}

// Nor does whoever joins and leaves again and again while nobody listens.
func TestTooManyJoins(t *testing.T) {
	hold := make(chan struct{})
	w := newWorld(t, socketio.Options{MaxWaiting: 10_000,
		Namespaces: []socketio.Namespace{{Name: "/open", Open: true, Handler: stubborn(hold)}}}, hub.Limits{})
	defer close(hold)
	p := w.dial("")
	for range 500 {
		p.send("40/open,")
		if p.read() == "closed" {
			return
		}
		p.send("41/open,")
	}
	t.Error("it may go on for ever")
}

// stubborn is a handler that takes its time.
type stubborn chan struct{}

func (s stubborn) Connect(context.Context, *socketio.Socket, *socketio.Handshake) error { return nil }
func (s stubborn) Event(context.Context, *socketio.Socket, *socketio.Event)             {}
func (s stubborn) Disconnect(context.Context, *socketio.Socket, string)                 { <-s }

// What waits for its attachments is bounded for all together.
func TestTooMuchPending(t *testing.T) {
	r := newRecorder()
	w := newWorld(t, socketio.Options{MaxPending: 150_000, Namespaces: []socketio.Namespace{{Name: "/open", Open: true, Handler: r}}}, hub.Limits{})
	begin := func() *peer {
		p := w.dial("")
		p.join("/open", "")
		r.expect(t, `connected "" `)
		p.send(`452-/open,["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`, "binary:"+strings.Repeat("x", 100_000))
		return p
	}
	first := begin()
	first.send("binary:x") // it is whole
	if got := <-r.told; !strings.HasPrefix(got, "x [") {
		t.Errorf("told %s", got)
	}
	second := begin()
	second.conn.CloseNow()
	r.expect(t, "disconnected: transport close")
	begin()
	begin().expect("closed")
}

func TestOrderPerSocketConcurrent(t *testing.T) {
	r := newRecorder()
	o := socketio.Options{Namespaces: []socketio.Namespace{{Name: "/open", Open: true, Handler: r}}}
	o.MaxPackets = 100_000
	w := newWorld(t, o, hub.Limits{})
	p := w.dial("")
	p.join("/open", "")
	r.expect(t, `connected "" `)
	for i := range 500 {
		p.send(fmt.Sprintf(`42/open,["n",%d]`, i))
		r.expect(t, fmt.Sprintf(`n [%d]`, i))
	}
	for i := range 200 {
		p.send(fmt.Sprintf(`42/open,["n",%d]`, i))
	}
	for i := range 200 {
		r.expect(t, fmt.Sprintf(`n [%d]`, i))
	}
}

func TestOldClients(t *testing.T) {
	o := recovering()
	o.AllowEIO3, o.Namespaces = true, openChat
	w := newWorld(t, o, hub.Limits{})
	alice := w.client("alice", "lobby", "/chat#lobby")
	show := "client_id=alice&key=" + alice.Key
	p := w.dial("EIO=3&" + show)
	p.expect("40")
	p.send("40/chat?" + show + ",")
	p.expect("40/chat,")
	p.send("41/chat,", "40/chat") // by what its first request has shown
	p.expect("40/chat,")
	w.emit(hub.Emission{Rooms: []string{"lobby"}, Event: "e", Args: json.RawMessage(`[{"$binary":"AQID"}]`)})
	p.expect(`451-["e",{"_placeholder":true,"num":0}]`, "binary:\x04\x01\x02\x03")
	w.emit(hub.Emission{Namespace: "/chat", Rooms: []string{"lobby"}, Event: "e"})
	p.expect(`42/chat,["e"]`)
	p.send("40/other")
	p.expect(`44/other,"Invalid namespace"`)
	w.dial("EIO=3").expect(`44{"code":401,"type":"unauthorized"}`)
}
