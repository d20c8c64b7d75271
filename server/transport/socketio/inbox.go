package socketio

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"runtime/debug"

	"github.com/shaveet/shaveet/server/transport/socketio/engine"
	"github.com/shaveet/shaveet/server/transport/socketio/packet"
)

// A Handler answers what the sockets of a namespace say. For one socket its
// methods are called one after the other, in the order in which things happened,
// on a goroutine that is the socket's own for as long as there is something to
// do; for several sockets they are called at once.
type Handler interface {
	// Connected: the socket has joined. auth is what its client has shown, a
	// JSON object, or nil.
	Connected(s *Socket, auth json.RawMessage)
	// Event: the client has said something.
	Event(s *Socket, e *Event)
	// Disconnected: the socket has left; it comes last. why is in the words of
	// Socket.IO.
	Disconnected(s *Socket, why string)
}

// An Event is what a client has said.
type Event struct {
	Name string
	// Args is a JSON array, in which what was binary is an object
	// {"$binary":"<base64>"}.
	Args json.RawMessage
	// Ack answers the client, if it wants an answer; otherwise it is nil. args is
	// a JSON array of the same form. Only the first call counts. If there is no
	// room for the answer, that is the end of the connection.
	Ack func(args json.RawMessage) error
}

// ErrLeft is the error of what a socket was to be told that has left.
var ErrLeft = errors.New("socketio: the socket has left")

// ErrNoAnswer is the error of a question that was not answered in time.
var ErrNoAnswer = errors.New("socketio: the socket has not answered in time")

// ErrBusy is the error of what finds no room because too much is waiting.
var ErrBusy = errors.New("socketio: too much is waiting for the socket")

// A call is one of the calls of a handler.
type call struct {
	kind  callKind
	name  string // of an event; why the socket has left
	args  json.RawMessage
	id    uint64 // of the answer that is wanted
	asked bool   // one is
}

type callKind uint8

const (
	hasConnected callKind = iota
	hasSaid
	hasLeft
)

// An inbox has what a socket's handler is to be told. It is guarded by the
// connection's lock.
type inbox struct{ calls []call }

// callCost is what a call counts beside its bytes.
const callCost = 128

func (c *call) cost() int { return len(c.name) + len(c.args) + callCost }

// event takes an event.
func (s *Socket) event(p *packet.Packet) {
	c := s.conn
	c.server.counts.events.Add(1)
	if s.namespace.Handler == nil {
		c.server.counts.dropped.Add(1)
		return
	}
	if c.heard > c.settings.MaxWaiting { // the last one may have been large
		c.session.Fail(engine.TooMuch)
		return
	}
	s.push(call{kind: hasSaid, name: string(p.Name), args: p.AppendArgs(nil), id: p.ID, asked: p.HasID})
}

// push has the handler be told.
func (s *Socket) push(one call) {
	if s.namespace.Handler == nil {
		return
	}
	s.conn.heard += one.cost()
	if s.inbox == nil {
		s.inbox = new(inbox)
		go s.work()
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
		c.mu.Unlock()
	}
}

// tell tells the handler. A panic of its is the end of the connection.
func (s *Socket) tell(one *call) {
	defer func() {
		if v := recover(); v != nil {
			s.conn.settings.Logger.Error("a handler panicked", "namespace", s.namespace.Name, "panic", v,
				slog.String("stack", string(debug.Stack())))
			s.conn.session.Close(engine.Forced)
		}
	}()
	h := s.namespace.Handler
	switch one.kind {
	case hasConnected:
		h.Connected(s, one.args)
	case hasLeft:
		h.Disconnected(s, one.name)
	default:
		e := &Event{Name: one.name, Args: one.args}
		if one.asked {
			e.Ack = s.acker(one.id)
		}
		h.Event(s, e)
	}
}

// acker returns what answers an event.
func (s *Socket) acker(id uint64) func(json.RawMessage) error {
	answered := false // guarded by the connection's lock
	return func(args json.RawMessage) error {
		all, err := s.packets(packet.Ack, args, id)
		if err != nil {
			return err
		}
		c := s.conn
		c.mu.Lock()
		full := false
		defer func() { c.release(full) }()
		switch {
		case answered:
			return nil
		case s.state != connected:
			return ErrLeft
		}
		answered = true
		if full = !c.say(all...); full { // the client would wait for ever
			return ErrBusy
		}
		return nil
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

// A question is an event whose answer somebody waits for.
type question struct {
	answer chan json.RawMessage // holds one
}

// questions are those that wait. They are guarded by the connection's lock.
type questions struct {
	next    uint64 // one's id
	waiting map[uint64]*question
}

// Ask says an event to the socket and waits for its answer, a JSON array, until
// ctx ends: the error is ErrNoAnswer then. It is not part of the log: who loses
// its connection does not hear it again, and the error is ErrLeft. args is a
// JSON array.
func (s *Socket) Ask(ctx context.Context, event string, args json.RawMessage) (answer json.RawMessage, err error) {
	array := packet.AppendJoined(packet.AppendArray(nil, event), args)
	c := s.conn
	q := &question{answer: make(chan json.RawMessage, 1)}
	c.mu.Lock()
	if s.asked == nil {
		s.asked = &questions{waiting: make(map[uint64]*question)}
	}
	id := s.asked.next
	all, err := s.packets(packet.Event, array, id)
	switch {
	case err != nil:
	case s.state != connected:
		err = ErrLeft
	case len(s.asked.waiting) >= c.settings.MaxAcks || !c.say(all...):
		err = ErrBusy
	default:
		s.asked.next++
		s.asked.waiting[id] = q
	}
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case answer, ok := <-q.answer:
		if !ok {
			return nil, ErrLeft
		}
		return answer, nil
	case <-ctx.Done():
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(s.asked.waiting, id)
		return nil, ErrNoAnswer
	}
}

// answered takes an answer. One that nobody waits for any more is passed over.
func (s *Socket) answered(p *packet.Packet) {
	if s.asked == nil || !p.HasID {
		return
	}
	q, ok := s.asked.waiting[p.ID]
	if !ok {
		return
	}
	delete(s.asked.waiting, p.ID)
	s.conn.server.counts.answered.Add(1)
	q.answer <- p.AppendArgs(nil)
}

// failAll has nobody wait for the socket any more.
func (s *Socket) failAll() {
	if s.asked == nil {
		return
	}
	for _, q := range s.asked.waiting {
		close(q.answer)
	}
	clear(s.asked.waiting)
}
