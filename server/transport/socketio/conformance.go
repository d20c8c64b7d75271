package socketio

// What the test suites of the protocols want to talk to.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/shaveet/shaveet/server/transport/socketio/engine"
	"github.com/shaveet/shaveet/server/transport/socketio/engineio"
)

// conformance is the handler that the test suites of the protocol want.
type conformance struct{}

// breath is how long the suites get to hear that they are connected: they begin to
// listen for the next packet only then, and miss one that has come along.
const breath = 30 * time.Millisecond

func (conformance) Connect(context.Context, *Socket, *Handshake) error { return nil }

func (conformance) Joined(ctx context.Context, s *Socket, auth json.RawMessage) {
	time.Sleep(breath)
	if auth == nil {
		auth = json.RawMessage("{}")
	}
	s.report(s.Emit(ctx, "auth", json.RawMessage("["+string(auth)+"]")))
}

func (conformance) Event(ctx context.Context, s *Socket, e *Event) {
	switch {
	case s.Namespace() != "/":
	case e.Name == "message":
		s.report(s.Emit(ctx, "message-back", e.Args))
	case e.Name == "message-with-ack" && e.Ack != nil:
		s.report(e.Ack(e.Args))
	}
}

func (conformance) Disconnect(context.Context, *Socket, string) {}

func (s *Socket) report(err error) {
	if err != nil && !errors.Is(err, ErrLeft) {
		s.conn.settings.Logger.Debug("nothing could be said", "namespace", s.namespace.Name, "error", err)
	}
}

// NewEcho returns sessions of Engine.IO that say what is said to them, for the
// test suite of that protocol.
func NewEcho(o engine.Options) *engine.Server {
	o.Open = func(s *engine.Session, _ *http.Request, _ url.Values) engine.App {
		s.Settled()
		return &echo{session: s}
	}
	return engine.New(o)
}

// maxEcho is how many bytes an echo keeps for a client that does not listen.
const maxEcho = 1 << 20

type echo struct {
	session *engine.Session
	out     []message
	said    int
	waiting int
}

// Received is part of [engine.App].
func (e *echo) Received(m engineio.Packet) {
	if e.waiting += len(m.Data) + messageCost; e.waiting > maxEcho {
		e.session.Fail(engine.TooMuch)
		return
	}
	e.out = append(e.out, message{m.Binary, bytes.Clone(m.Data)})
	e.session.Wake()
}

// Next is part of [engine.App].
func (e *echo) Next(out *engine.Writer) {
	for _, m := range e.out {
		put(out, m)
	}
	e.said = len(e.out)
}

// Sent is part of [engine.App].
func (e *echo) Sent() {
	for _, m := range e.out[:e.said] {
		e.waiting -= len(m.data) + messageCost
	}
	e.out, e.said = e.out[e.said:], 0
}

// Ready is part of [engine.App].
func (e *echo) Ready() {}

// Due is part of [engine.App].
func (e *echo) Due() {}

// Closed is part of [engine.App].
func (e *echo) Closed(engine.Reason) {}
