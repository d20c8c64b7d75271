package socketio_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/socketio"
)

// A page that joins several namespaces at once, about none of which anybody can
// decide, loses its connection: so it comes again for all of them.
func TestNobodyDecidesAnything(t *testing.T) {
	asked, slow := make(chan bool, 2), make(chan struct{})
	quick := &script{connect: func(context.Context, *socketio.Socket, *socketio.Handshake) error {
		asked <- true
		return socketio.ErrUnavailable
	}}
	var comes atomic.Bool
	late := &script{connect: func(context.Context, *socketio.Socket, *socketio.Handshake) error {
		asked <- true
		<-slow
		if comes.Load() {
			return nil
		}
		return socketio.ErrUnavailable
	}}
	o := socketio.Options{MaxNamespaces: 3, Namespaces: []socketio.Namespace{
		{Name: "/quick", Open: true, Handler: quick}, {Name: "/late", Open: true, Handler: late}, {Name: "/plain", Open: true}}}
	w := newWorld(t, o, hub.Limits{})
	begin := func() *peer {
		p := w.dial("")
		p.send("40/late,", "40/quick,")
		<-asked
		<-asked
		w.until("one is known", func() bool { return w.server.Working() == 2 })
		return p
	}
	const refused = `44/quick,{"message":"nobody can decide about that now","data":{"code":503,"type":"handler_unavailable"}}`
	p := begin()
	slow <- struct{}{}
	p.expect("closed")
	w.until("all is over", func() bool { return w.server.Working() == 0 })

	p = begin() // that it waits does not make room for more
	p.send("40/quick,")
	p.expect("closed")
	slow <- struct{}{}
	w.until("all is over", func() bool { return w.server.Working() == 0 })

	p = begin() // who is here after all is not cut off
	comes.Store(true)
	slow <- struct{}{}
	p.expect("40/late,*", refused)
	p.conn.CloseNow()
	w.until("all is over", func() bool { return w.server.Working() == 0 })

	p = begin()
	p.send("40/plain,")
	p.expectBoth("40/plain,*", refused)
	slow <- struct{}{}
	p.expect("40/late,*")
}

// A handler that is hung leaves room for the others.
func TestRoomForOtherHandlers(t *testing.T) {
	asked, hold := make(chan bool), make(chan struct{})
	hung := &script{event: func(context.Context, *socketio.Socket, *socketio.Event) { asked <- true; <-hold }}
	well := &script{event: func(_ context.Context, _ *socketio.Socket, e *socketio.Event) { e.Ack(json.RawMessage(`["fine"]`)) }}
	o := socketio.Options{MaxUnheard: 100_000, Namespaces: []socketio.Namespace{
		{Name: "/hung", Open: true, Handler: hung}, {Name: "/hung/*", Open: true, Handler: hung}, {Name: "/well", Open: true, Handler: well}}}
	w := newWorld(t, o, hub.Limits{})
	defer close(hold)
	for _, name := range []string{"/hung", "/hung/1"} {
		p := w.dial("")
		p.join(name, "")
		p.send(`42` + name + `,["e","` + strings.Repeat("x", 30_000) + `"]`)
		<-asked
	}
	p := w.dial("")
	p.join("/hung/2", "")
	p.send(`42/hung/2,1["e"]`)
	p.expect(`43/hung/2,1[{"error":{"type":"handler_busy",*`)
	p = w.dial("")
	p.join("/well", "")
	p.send(`42/well,1["e","` + strings.Repeat("x", 30_000) + `"]`)
	p.expect(`43/well,1["fine"]`)
}

// Handlers of a kind that cannot be compared are counted, too.
func TestHandlerThatIsNoKey(t *testing.T) {
	f := &script{event: func(_ context.Context, _ *socketio.Socket, e *socketio.Event) { e.Ack(json.RawMessage(`["fine"]`)) }}
	w := newWorld(t, socketio.Options{Namespaces: []socketio.Namespace{{Name: "/open", Open: true, Handler: several{f}}}}, hub.Limits{})
	p := w.dial("")
	p.join("/open", "")
	p.send(`42/open,1["e"]`)
	p.expect(`43/open,1["fine"]`)
}

// several is a handler that is a slice.
type several []*script

func (all several) Connect(ctx context.Context, s *socketio.Socket, h *socketio.Handshake) error {
	return all[0].Connect(ctx, s, h)
}
func (all several) Event(ctx context.Context, s *socketio.Socket, e *socketio.Event) {
	all[0].Event(ctx, s, e)
}
func (all several) Disconnect(ctx context.Context, s *socketio.Socket, why string) {
	all[0].Disconnect(ctx, s, why)
}

// What a socket has shown stays in memory as long as it does, so it is bounded.
func TestTooLargeAuth(t *testing.T) {
	w := newWorld(t, socketio.Options{MaxAuth: 1000, Namespaces: openChat}, hub.Limits{})
	p := w.dial("")
	p.send(`40/open,{"x":"` + strings.Repeat("x", 993) + `"}`)
	p.expect(`44/open,{"message":"auth: too large","data":{"code":413,"type":"too_large"}}`)
	p.join("/open", `{"x":"`+strings.Repeat("x", 992)+`"}`)
}
