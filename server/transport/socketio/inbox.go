package socketio

import (
	"context"
	"encoding/json"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/shaveet/shaveet/server/transport/socketio/engine"
	"github.com/shaveet/shaveet/server/transport/socketio/packet"
)

// A call is one of the calls of a handler.
type call struct {
	kind  callKind
	name  string // of an event; why the socket has left
	args  json.RawMessage
	id    uint64 // of the answer that is wanted
	asked bool   // one is

	wait time.Duration // of who has left: how long it may come back; 0: it has left for good
}

type callKind uint8

const (
	hasSaid callKind = iota
	hasLeft
	hasJoined // for greeters alone
)

// A greeter is a Handler that wants to be told also when the client has been told
// that it has joined.
type greeter interface {
	Joined(ctx context.Context, s *Socket, auth json.RawMessage)
}

// An inbox has what a socket's handler is to be told. It is guarded by the
// connection's lock.
type inbox struct{ calls []call }

// callCost is what a call counts beside its bytes, and workCost the goroutine that
// makes calls.
const (
	callCost = 128
	workCost = 4 << 10
)

func (c *call) cost() int { return len(c.name) + len(c.args) + callCost }

// event takes an event.
func (s *Socket) event(p *packet.Packet) {
	c := s.conn
	c.server.counts.events.Add(1)
	if s.leaving {
		return // it has been sent away, and will see that
	}
	one := call{kind: hasSaid, name: string(p.Name), id: p.ID, asked: p.HasID}
	if kind, why := s.namespace.refuses(one.name); kind != "" {
		c.server.counts.dropped.Add(1)
		if one.asked {
			c.refuseEvent(s, &one, kind, why)
		}
		return
	}
	switch {
	case c.heard > c.settings.MaxWaiting: // the last one may have been large
		c.session.Fail(engine.TooMuch)
		return
	case c.server.unheard.full(s.namespace, c.settings.MaxUnheard): // by others who have gone, for instance
		c.server.counts.dropped.Add(1)
		if one.asked {
			c.refuseEvent(s, &one, "handler_busy", "too much is waiting for those who answer")
		}
		return
	}
	one.args = p.AppendArgs(nil)
	s.push(one)
}

// refuseEvent answers an event that nobody is told of.
func (c *conn) refuseEvent(s *Socket, one *call, kind, why string) {
	all, err := s.packets(packet.Ack, faultArgs(kind, why), one.id)
	if err == nil && !c.say(all...) {
		c.full = true // the client would wait for ever
	}
}

// push has the handler be told.
func (s *Socket) push(one call) {
	if !s.namespace.answers() {
		return
	}
	sv := s.conn.server
	s.conn.heard += one.cost()
	sv.unheard.add(s.namespace, one.cost())
	if s.inbox == nil {
		s.inbox = new(inbox)
		sv.unheard.add(s.namespace, workCost)
		sv.working.run(s.work)
	}
	s.inbox.calls = append(s.inbox.calls, one)
}

// work tells the handler until there is nothing more.
func (s *Socket) work() {
	c := s.conn
	for {
		c.mu.Lock()
		if len(s.inbox.calls) == 0 {
			s.inbox = nil
			c.server.unheard.add(s.namespace, -workCost)
			c.mu.Unlock()
			return
		}
		one := s.inbox.calls[0]
		s.inbox.calls[0] = call{}
		s.inbox.calls = s.inbox.calls[1:]
		c.mu.Unlock()
		s.tell(&one)
		c.mu.Lock()
		c.heard -= one.cost()
		c.server.unheard.add(s.namespace, -one.cost())
		c.mu.Unlock()
	}
}

// tell tells the handler.
func (s *Socket) tell(one *call) {
	defer s.rescue()
	ctx, ns := s.conn.server.base, s.namespace
	switch one.kind {
	case hasLeft:
		defer s.departed(one.wait)
		if ns.Handler != nil {
			ns.Handler.Disconnect(ctx, s, one.name)
		}
		return
	case hasJoined:
		ns.Handler.(greeter).Joined(ctx, s, one.args)
		return
	}
	e := &Event{Name: one.name, Args: one.args}
	if one.asked {
		e.Ack = s.acker(one.id)
	}
	switch room, ok := ns.Relay[e.Name]; {
	case ok:
		s.relay(ctx, e, room)
	case ns.Handler != nil:
		ns.Handler.Event(ctx, s, e)
	}
}

// rescue makes a panic of a handler's the end of the connection.
func (s *Socket) rescue() {
	if v := recover(); v != nil {
		s.conn.settings.Logger.Error("a handler panicked", "namespace", s.namespace.Name, "panic", v,
			slog.String("stack", string(debug.Stack())))
		s.conn.session.Close(engine.Forced)
	}
}

// packets returns a packet with an id as messages. array is JSON.
func (s *Socket) packets(t packet.Type, array json.RawMessage, id uint64) ([]message, error) {
	split, attached, err := packet.AppendSplit(nil, array, limitsFor(array))
	if err != nil {
		return nil, err
	}
	p := packet.Packet{Type: t, Namespace: s.namespace.Name, JSON: split, ID: id, HasID: true, Attachments: len(attached)}
	if len(attached) > 0 {
		p.Type = map[packet.Type]packet.Type{packet.Ack: packet.BinaryAck, packet.Event: packet.BinaryEvent}[t]
	}
	return packetOf(&p, attached), nil
}
