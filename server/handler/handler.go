// Package handler has a backend answer what the sockets of Socket.IO say. A
// [Handler] is a [socketio.Handler] that makes calls of JSON-RPC by a [Caller],
// and does what their results ask for.
//
// # What is tried again
//
// An event, and the wish to join, are tried again only if the backend has
// certainly not heard of them, and only as long as their time is not over. That
// a socket has left, and that a client has gone or is back, are notifications:
// they are tried until they are answered, whatever the answer is, or given up
// after a while; while somebody wants to come back who has to wait for that, sooner,
// if the backend hears them and has no proper answer. Those about one socket, or one client, come in the order in
// which the things happened; those about different ones may overtake each other.
// Who joins again waits until it is told that it had left.
//
// # Serials
//
// Every call has a number, from 1 on, each one more than that before. It is the
// call's when it is made for the first time, or when the notification begins to
// wait, so calls that are under way at once may come in another order, and a
// notification that had to wait comes long after the numbers around it. The
// number of a call that was certainly not heard is given to the next one. So a
// hole that stays, longer than notifications are tried, is a notification that
// was given up; or else the backend was too late, or away, when it was to hear
// an event. It asks for all sockets then.
package handler

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/socketio"
)

// A Hub is what is needed of a hub. [hub.Hub] is one.
type Hub interface {
	Emit(context.Context, hub.Emission) (hub.Published, error)
	Position() hub.Position
}

// Options are what a [Handler] is made with. All may be left out.
type Options struct {
	Name   string // what the log calls it
	Node   string // the id of this node, which calls have then; "": there is but one
	Limits Limits
	// Logger hears of what goes wrong, once a second at most; default
	// slog.Default().
	Logger *slog.Logger
	// Observe hears of every call that has ended, of a notification of every try:
	// how, and how long it took, with the time it waited for its turn. The results
	// are ok, refused, unavailable, timeout, failed, busy and canceled.
	Observe func(method, result string, took time.Duration)
}

// A Handler asks a backend. [New] makes one. Its methods may be called by many
// goroutines at once.
type Handler struct {
	hub    Hub
	caller Caller
	opts   Options
	log    *slog.Logger

	limits   atomic.Pointer[Limits]
	serials  serials
	gate     gate
	courier  *courier
	down     atomic.Bool // nobody was reached last
	saidDown atomic.Bool // the log has been told so
	rare     rareLog
}

var _ socketio.Handler = (*Handler)(nil)

// New returns a handler. It must be closed.
func New(h Hub, c Caller, opts Options) *Handler {
	n := &Handler{hub: h, caller: c, opts: opts, log: cmp.Or(opts.Logger, slog.Default())}
	if opts.Name != "" {
		n.log = n.log.With("handler", opts.Name)
	}
	n.courier = newCourier(n)
	n.Configure(opts.Limits)
	return n
}

// Configure replaces the limits. Calls that have begun keep their time-out.
func (h *Handler) Configure(l Limits) {
	l = l.withDefaults()
	h.limits.Store(&l)
	h.gate.configure(l.HandlerMaxCalls, l.HandlerMaxWaitingBytes)
	h.courier.signal()
}

// Close ends the handler when its sockets have all left: it delivers the
// notifications that wait, as long as ctx lasts, and returns how many were given
// up. Those that come later are given up at once.
func (h *Handler) Close(ctx context.Context) (givenUp int) { return h.courier.close(ctx) }

// Stats are what a handler has done, and does.
type Stats struct {
	Waiting      int    // calls that wait for their turn
	WaitingBytes int    // of them
	UnderWay     int    // calls
	Undelivered  int    // notifications, those under way among them
	GivenUp      uint64 // notifications that never were delivered
}

// Stats tells how it stands.
func (h *Handler) Stats() (s Stats) {
	s.Waiting, s.WaitingBytes, s.UnderWay = h.gate.stats()
	s.Undelivered, s.GivenUp = h.courier.stats()
	return s
}

// Connect is part of [socketio.Handler]. An error that is no refusal is a
// [*Failure].
func (h *Handler) Connect(ctx context.Context, s *socketio.Socket, shake *socketio.Handshake) error {
	return h.connect(ctx, s, shake)
}

// Event is part of [socketio.Handler].
func (h *Handler) Event(ctx context.Context, s *socketio.Socket, e *socketio.Event) {
	h.event(ctx, s, e)
}

// Disconnect is part of [socketio.Handler]. It does not wait until the backend
// has heard of it.
func (h *Handler) Disconnect(_ context.Context, s *socketio.Socket, why string) {
	h.disconnect(s, why)
}

// Notify tells the backend what has become of a client. It only notes it down,
// so it may be called under the log's lock.
func (h *Handler) Notify(l hub.Life) { h.courier.add(noteOfLife(l)) }

// NotConnected is the reason of a disconnect of a socket that the backend may
// have let in, and that is not there all the same: its connect had no answer in
// time, or one that made no sense, or its client had gone meanwhile.
const NotConnected = "not connected"

func (h *Handler) connect(ctx context.Context, s socket, shake *socketio.Handshake) error {
	began := time.Now()
	due, cancel := context.WithTimeout(ctx, h.limits.Load().HandlerTimeout)
	defer cancel()
	size := len(shake.Auth) + callCost
	err := h.awaitFarewell(due, s.ID())
	var result json.RawMessage
	heard := false
	if err == nil {
		result, heard, err = h.ask(due, &Call{Method: "connect", Socket: s.ID()}, size, func(p *params) {
			p.socket(s.ID(), s.Namespace(), s.Client())
			p.handshake(shake)
		})
	}
	var r *reply
	if err == nil {
		r, err = parseConnect(result, s.Namespace())
	}
	if err == nil && r.refusal == nil {
		err = h.perform(ctx, s, r)
	}
	a := (*Answered)(nil)
	switch {
	case err == nil && r.refusal != nil:
		err = r.refusal
	case errors.As(err, &a): // it says that it has not let it in
		if a.own() {
			err = &socketio.Refusal{Message: a.Message, Data: a.object(nil)}
		}
	case err != nil && heard:
		h.disconnect(s, NotConnected)
	}
	return h.ended("connect", began, err)
}

// awaitFarewell waits until the backend knows that a socket has left which was here
// before. That it has left has been noted by then.
func (h *Handler) awaitFarewell(ctx context.Context, socket string) error {
	if err := h.courier.wait(ctx, socket); err != nil {
		return h.noTurn(fmt.Errorf("it was not asked: the disconnect of the same socket could not be delivered before: %w", err))
	}
	return nil
}

func (h *Handler) event(ctx context.Context, s socket, e *socketio.Event) {
	began := time.Now()
	due, cancel := context.WithTimeout(ctx, h.limits.Load().HandlerTimeout)
	size := len(e.Name) + len(e.Args) + callCost
	result, _, err := h.ask(due, &Call{Method: "event", Socket: s.ID()}, size, func(p *params) {
		p.socket(s.ID(), s.Namespace(), s.Client())
		p.event(e, s.Data())
	})
	cancel()
	var r *reply
	if err == nil {
		r, err = parseEvent(result, s.Namespace())
	}
	if err == nil {
		err = h.perform(ctx, s, r)
	}
	if err == nil {
		err = acknowledge(e, r.ack)
	}
	if h.ended("event", began, err); err != nil {
		tell(e, err)
	} else if r.disconnect {
		s.Disconnect()
	}
}

func (h *Handler) disconnect(s socket, why string) {
	h.courier.add(&note{
		method: "disconnect", about: subject{id: s.ID()}, at: time.Now(), epoch: h.hub.Position().Epoch,
		namespace: s.Namespace(), client: s.Client(), reason: why, data: s.Data(),
	})
}

// callCost is what a call counts beside its bytes.
const callCost = 512

// The pauses between two tries of a call that could not be sent.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = time.Second
)

// ask makes a call, until ctx ends. It reports whether the backend may have heard
// of it. While a call waits for a backend that cannot be reached it keeps its
// turn, so not all who wait knock at the door.
func (h *Handler) ask(ctx context.Context, c *Call, size int, add func(*params)) (result json.RawMessage, heard bool, err error) {
	if err := h.gate.enter(ctx, size); err != nil {
		return nil, false, h.noTurn(err)
	}
	defer h.gate.leave()
	serial := h.serials.take()
	p := begin(size, h.opts.Node, serial, h.hub.Position().Epoch, time.Now())
	add(p)
	c.ID, c.Params = uuid.NewString(), p.end()
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		result, err := h.caller.Call(ctx, c)
		h.tried(err)
		if !unsent(err) {
			return result, true, err
		}
		if !sleep(ctx, jitter(pause)) {
			h.serials.giveBack(serial)
			if errors.Is(err, context.DeadlineExceeded) { // its turn came too late for a try
				err = h.noTurn(context.DeadlineExceeded)
			}
			return nil, false, err
		}
	}
}

// noTurn says what it was that a call has waited for in vain.
func (h *Handler) noTurn(err error) error {
	if errors.Is(err, context.DeadlineExceeded) && h.down.Load() {
		return &NotSent{err}
	}
	return err
}
