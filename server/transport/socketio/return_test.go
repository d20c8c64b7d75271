package socketio_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/socketio"
)

// A script is a handler for tests that is made of functions, which may be nil.
type script struct {
	connect    func(ctx context.Context, s *socketio.Socket, h *socketio.Handshake) error
	event      func(ctx context.Context, s *socketio.Socket, e *socketio.Event)
	disconnect func(s *socketio.Socket, why string)
}

func (f *script) Connect(ctx context.Context, s *socketio.Socket, h *socketio.Handshake) error {
	if f.connect == nil {
		return nil
	}
	return f.connect(ctx, s, h)
}

func (f *script) Event(ctx context.Context, s *socketio.Socket, e *socketio.Event) {
	if f.event != nil {
		f.event(ctx, s, e)
	}
}

func (f *script) Disconnect(_ context.Context, s *socketio.Socket, why string) {
	if f.disconnect != nil {
		f.disconnect(s, why)
	}
}

// world has a server whose open namespace it answers.
func (f *script) world(t *testing.T, o socketio.Options) *world {
	o.RecoveryTime = patience
	o.Namespaces = []socketio.Namespace{{Name: "/open", Open: true, Handler: f, Relay: map[string]string{"bye": "hall"}}}
	return newWorld(t, o, hub.Limits{})
}

// at emits an event and returns where p has heard it.
func (w *world) at(t *testing.T, p *peer) string {
	t.Helper()
	w.emit(hub.Emission{Namespace: "/open", Event: "x"})
	return offset(t, p.expect(`42/open,["x",*`))
}

// As long as nobody can decide, who was here may still come back.
func TestUndecidedReturn(t *testing.T) {
	var down atomic.Bool
	f := &script{connect: func(context.Context, *socketio.Socket, *socketio.Handshake) error {
		if down.Load() {
			return socketio.ErrUnavailable
		}
		return nil
	}}
	w := f.world(t, socketio.Options{})
	p := w.dial("")
	g := p.join("/open", "")
	at := w.at(t, p)
	p.conn.CloseNow()
	w.until("it waits", func() bool { return w.server.Stats().Waiting == 1 })
	down.Store(true)
	p = w.dial("")
	p.send("40/open,{" + back(g, at) + "}")
	p.expect("closed")
	down.Store(false)
	if again := w.dial("").join("/open", "{"+back(g, at)+"}"); again.SID != g.SID {
		t.Errorf("it is %+v, and was %+v", again, g)
	}
}

// Who comes back, from wherever and however often at once, is told of in order:
// that it has left before that it is here again.
func TestReturnsInOrder(t *testing.T) {
	var mu sync.Mutex
	var told []string
	tell := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, fmt.Sprintf(format, args...))
	}
	hold := make(chan struct{}, 100)
	f := &script{
		connect: func(ctx context.Context, _ *socketio.Socket, h *socketio.Handshake) error {
			tell("connect %v", h.Recovered)
			if h.Recovered {
				select {
				case <-hold:
				case <-ctx.Done():
				}
			}
			return nil
		},
		event:      func(_ context.Context, _ *socketio.Socket, e *socketio.Event) { tell("event") },
		disconnect: func(*socketio.Socket, string) { tell("disconnect") },
	}
	w := f.world(t, socketio.Options{})
	// The first one polls, and has no poll held: it does not notice anything.
	p := w.poller("")
	p.post("40/open,")
	var g greeting
	if err := json.Unmarshal([]byte(strings.TrimPrefix(p.get(), "40/open,")), &g); err != nil {
		t.Fatal(err)
	}
	w.emit(hub.Emission{Namespace: "/open", Event: "x"})
	at := offset(t, p.get())
	var peers []*peer
	for range 3 {
		q := w.dial("")
		q.send("40/open,{" + back(g, at) + "}")
		peers = append(peers, q)
	}
	for range peers {
		hold <- struct{}{}
	}
	w.until("all have been here", func() bool { return w.server.Stats().Recovered == 3 })
	w.until("only one is", func() bool { return w.server.Stats().Sockets == 1 })
	w.until("all is told", func() bool { mu.Lock(); defer mu.Unlock(); return len(told) == 7 })
	want := []string{"connect false", "disconnect", "connect true", "disconnect", "connect true", "disconnect", "connect true"}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// What belongs to a socket that leaves for good is there until its handler has
// been told.
func TestDataUntilTheEnd(t *testing.T) {
	seen, hold := make(chan string, 10), make(chan struct{})
	f := &script{
		connect: func(ctx context.Context, s *socketio.Socket, _ *socketio.Handshake) error {
			if err := s.Join(ctx, "hall"); err != nil {
				return err
			}
			return s.SetData(ctx, json.RawMessage(`1`))
		},
		event:      func(context.Context, *socketio.Socket, *socketio.Event) { <-hold },
		disconnect: func(s *socketio.Socket, why string) { seen <- fmt.Sprint(why, " ", string(s.Data()), s.Rooms()) },
	}
	w := f.world(t, socketio.Options{})
	listener := w.dial("")
	listener.join("/open", "")
	p := w.dial("")
	g := p.join("/open", "")
	at := w.at(t, p)
	listener.expect(`42/open,["x",*`)
	p.send(`42/open,["e"]`, `42/open,["bye"]`, "41/open,")
	w.until("it has left", func() bool { return w.server.Stats().Sockets == 1 })
	if again := w.dial("").join("/open", "{"+back(g, at)+"}"); again.SID == g.SID {
		t.Error("it has come back, although it has left for good")
	}
	close(hold)
	if got := <-seen; got != "client namespace disconnect 1[hall]" {
		t.Errorf("it had %s", got)
	}
	listener.expect(`42/open,["bye",*`)
	w.until("it is forgotten", func() bool { return w.hub.Stats().Sockets == 2 })
}

// A moment is how long something that must not happen is waited for.
const moment = 100 * time.Millisecond

// Nor is it gone before that if it may come back, and its time is over.
func TestDataOfWhoMayReturn(t *testing.T) {
	seen, hold, busy := make(chan string, 1), make(chan struct{}), make(chan struct{})
	f := &script{
		connect: func(ctx context.Context, s *socketio.Socket, _ *socketio.Handshake) error {
			return errors.Join(s.Join(ctx, "hall"), s.SetData(ctx, json.RawMessage(`1`)))
		},
		event:      func(context.Context, *socketio.Socket, *socketio.Event) { close(busy); <-hold },
		disconnect: func(s *socketio.Socket, why string) { seen <- fmt.Sprint(why, " ", string(s.Data()), s.Rooms()) },
	}
	o := socketio.Options{RecoveryTime: time.Millisecond, Namespaces: []socketio.Namespace{{Name: "/open", Open: true, Handler: f}}}
	w := newWorld(t, o, hub.Limits{})
	p := w.dial("")
	p.join("/open", "")
	p.send(`42/open,["e"]`)
	<-busy
	p.conn.CloseNow()
	w.until("it has left", func() bool { return w.server.Stats().Sockets == 0 })
	for end := time.Now().Add(moment); time.Now().Before(end) && w.hub.Stats().Sockets == 1; time.Sleep(time.Millisecond) {
	}
	close(hold)
	if got := <-seen; got != "transport close 1[hall]" {
		t.Errorf("it had %s", got)
	}
	w.until("it is forgotten", func() bool { return w.hub.Stats().Sockets == 0 })
}

// Who comes back while it is still leaving is not told of before it has left.
func TestReturnsWhileItLeaves(t *testing.T) {
	told, sockets := make(chan string, 10), make(chan *socketio.Socket, 10)
	f := &script{
		connect: func(_ context.Context, s *socketio.Socket, h *socketio.Handshake) error {
			told <- fmt.Sprint("connect ", h.Recovered)
			sockets <- s
			return nil
		},
		disconnect: func(*socketio.Socket, string) { told <- "disconnect" },
	}
	w := f.world(t, socketio.Options{})
	p := w.dial("")
	g := p.join("/open", "")
	at := w.at(t, p)
	// Whoever waits for an answer of its own has its connection leave slowly.
	leaving := make(chan struct{})
	if err := (<-sockets).AskBy("question", func() { close(leaving); time.Sleep(moment) }); err != nil {
		t.Fatal(err)
	}
	q := w.dial("")
	p.send("1")
	<-leaving
	q.send("40/open,{" + back(g, at) + "}")
	if text := q.expect("40/open,{*"); !strings.Contains(text, g.SID) {
		t.Errorf("it is another one: %s", text)
	}
	for _, want := range []string{"connect false", "disconnect", "connect true"} {
		if got := <-told; got != want {
			t.Fatalf("told %s, want %s", got, want)
		}
	}
}

// Whose handler does not return when it is told that somebody has left shuts
// nobody out for ever: who comes back is a new socket. The former one is not
// forgotten as long as its handler may want its data.
func TestHandlerThatNeverHears(t *testing.T) {
	for _, tt := range []struct {
		name string
		gone bool // its connection has ended before it comes back
	}{{"it has left", true}, {"it has not been missed yet", false}} {
		t.Run(tt.name, func(t *testing.T) {
			hold := make(chan struct{})
			f := &script{
				connect: func(_ context.Context, _ *socketio.Socket, h *socketio.Handshake) error {
					if h.Recovered {
						t.Error("it has come back before its handler was told that it had left")
					}
					return nil
				},
				disconnect: func(*socketio.Socket, string) { <-hold },
			}
			w := f.world(t, socketio.Options{ConnectTimeout: 3 * time.Second})
			p := w.dial("")
			g := p.join("/open", "")
			at := w.at(t, p)
			if tt.gone {
				p.conn.CloseNow()
				w.until("it has left", func() bool { return w.server.Stats().Sockets == 0 })
			}
			if again := w.dial("").join("/open", "{"+back(g, at)+"}"); again.SID == g.SID {
				t.Error("it is the one that it was")
			}
			if n := w.hub.Stats().Sockets; n != 2 {
				t.Errorf("there are %d sockets, want both", n)
			}
			close(hold)
			w.until("it may be forgotten", func() bool { return w.server.Stats().Waiting == 1 })
		})
	}
}

// Who comes back by another connection, while what it has said by the first one is
// not answered, is not told of before that has come to its end.
func TestReturnsAfterWhatItSaid(t *testing.T) {
	told, answer := make(chan string, 10), make(chan struct{})
	f := &script{
		connect: func(_ context.Context, _ *socketio.Socket, h *socketio.Handshake) error {
			told <- fmt.Sprint("connect ", h.Recovered)
			return nil
		},
		event: func(_ context.Context, _ *socketio.Socket, e *socketio.Event) {
			told <- e.Name
			<-answer
			told <- e.Name + " is answered"
		},
		disconnect: func(*socketio.Socket, string) { told <- "disconnect" },
	}
	w := f.world(t, socketio.Options{})
	p := w.dial("")
	g := p.join("/open", "")
	at := w.at(t, p)
	p.send(`42/open,["one"]`, `42/open,["two"]`)
	w.until("it has said both", func() bool { return w.server.Stats().Events == 2 })
	q := w.dial("")
	q.send("40/open,{" + back(g, at) + "}")
	p.expect("closed") // its former self has left
	close(answer)
	if text := q.expect("40/open,{*"); !strings.Contains(text, g.SID) {
		t.Errorf("it is another one: %s", text)
	}
	for _, want := range []string{"connect false", "one", "one is answered", "two", "two is answered", "disconnect", "connect true"} {
		if got := <-told; got != want {
			t.Fatalf("told %s, want %s", got, want)
		}
	}
}

// Who loses the connection again while it waits for its handler to be told is not
// lost.
func TestReturnsInVain(t *testing.T) {
	hold := make(chan struct{})
	f := &script{disconnect: func(*socketio.Socket, string) { <-hold }}
	w := f.world(t, socketio.Options{})
	p := w.dial("")
	g := p.join("/open", "")
	at := w.at(t, p)
	p.conn.CloseNow()
	w.until("it has left", func() bool { return w.server.Stats().Sockets == 0 })
	q := w.dial("")
	q.send("40/open,{" + back(g, at) + "}")
	w.until("it comes back", func() bool { return w.server.Working() == 3 }) // it, its connection, its handler
	q.conn.CloseNow()
	w.until("it has left again", func() bool { return w.server.Working() == 1 })
	close(hold)
	if again := w.dial("").join("/open", "{"+back(g, at)+"}"); again.SID != g.SID {
		t.Errorf("it is %+v, and was %+v", again, g)
	}
}

// Where nobody but relay rules answers, who comes back stays.
func TestReturnsToRelays(t *testing.T) {
	o := socketio.Options{RecoveryTime: 50 * time.Millisecond,
		Namespaces: []socketio.Namespace{{Name: "/open", Open: true, Relay: map[string]string{"bye": "hall"}}}}
	w := newWorld(t, o, hub.Limits{})
	p := w.dial("")
	g := p.join("/open", "")
	at := w.at(t, p)
	q := w.dial("")
	if again := q.join("/open", "{"+back(g, at)+"}"); again.SID != g.SID { // it has not been missed yet
		t.Fatalf("it is %+v, and was %+v", again, g)
	}
	p.expect("closed")
	last := w.dial("")
	last.join("/open", "")
	last.conn.CloseNow()
	w.until("one that has left later is forgotten", func() bool { return w.hub.Stats().Sockets == 1 })
	w.at(t, q)
}

// What handlers have not been told is bounded for all together, also for those
// that have gone.
func TestTooMuchUnheard(t *testing.T) {
	hold := make(chan struct{})
	f := &script{event: func(context.Context, *socketio.Socket, *socketio.Event) { <-hold }}
	w := f.world(t, socketio.Options{MaxUnheard: 100_000})
	defer close(hold)
	large := `42/open,["e","` + strings.Repeat("x", 30_000) + `"]`
	for range 3 {
		p := w.dial("")
		p.join("/open", "")
		p.send(large, "1")
		p.expect("closed")
	}
	p := w.dial("")
	p.join("/open", "")
	p.send(`42/open,1["e"]`)
	p.expect(`43/open,1[{"error":{"type":"handler_busy",*`)
}

// A handler does not see what lets clients in.
func TestKeysStayHere(t *testing.T) {
	shown := make(chan string, 1)
	f := &script{connect: func(_ context.Context, s *socketio.Socket, h *socketio.Handshake) error {
		shown <- s.Client() + " " + string(h.Auth)
		return nil
	}}
	w := f.world(t, socketio.Options{})
	cr := w.client("ada")
	for auth, want := range map[string]string{
		fmt.Sprintf(`{"client_id":%q,"x":1}`, cr.ID+hub.Delimiter+cr.Key):      `ada {"x":1}`,
		fmt.Sprintf(`{"token":%q}`, cr.ID+hub.Delimiter+cr.Key):                `ada {}`,
		fmt.Sprintf(`{"client_id":%q,"key":%q,"pid":"secret"}`, cr.ID, cr.Key): `ada {"client_id":"ada"}`,
		`{"token":"abc","key":"def"}`:                                          ` {"key":"def","token":"abc"}`,
	} {
		w.dial("").join("/open", auth)
		if got := <-shown; got != want {
			t.Errorf("with %s it is shown %s, want %s", auth, got, want)
		}
	}
}

// Whoever is sent away with its connection cannot keep it by joining more.
func TestAwayIsAway(t *testing.T) {
	decide := make(chan struct{})
	var slow atomic.Bool
	f := &script{connect: func(ctx context.Context, s *socketio.Socket, _ *socketio.Handshake) error {
		if slow.Load() {
			<-decide
		}
		return nil
	}}
	o := socketio.Options{Namespaces: []socketio.Namespace{{Name: "/open", Open: true, Handler: f}, {Name: "/more", Open: true, Handler: f}}}
	w := newWorld(t, o, hub.Limits{})
	p := w.dial("")
	p.join("/open", "")
	slow.Store(true)
	p.send("40/more,")
	w.until("it is joining", func() bool { return w.hub.Stats().Sockets == 2 })
	if n, err := w.server.Disconnect(t.Context(), hub.Audience{Namespace: "/open"}, true); n != 1 || err != nil {
		t.Error(n, err)
	}
	p.expect("41/open,")
	p.send("40/open,")
	close(decide)
	p.expect("40/more,*", "41/more,", "closed")
}
