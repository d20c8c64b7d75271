// Package namespace answers pages that speak Socket.IO, in Go programs that have
// a Shaveet inside.
//
//	chat := namespace.New("/chat", namespace.Options{Open: true})
//	chat.On("join", func(ctx context.Context, s *namespace.Socket, room string) (bool, error) {
//		return true, s.Join(ctx, room)
//	})
//	chat.On("say", func(ctx context.Context, s *namespace.Socket, room, text string) error {
//		if !slices.Contains(s.Rooms(), room) {
//			return &namespace.Error{Type: "not_here", Message: "join first"}
//		}
//		return s.To(room).Emit(ctx, "said", s.ID(), text)
//	})
//	srv, err := server.New(cfg, memory.New(), server.Options{Namespaces: []*namespace.Namespace{chat}})
//
// A function for an event has parameters for the event's arguments, and returns
// the arguments of the answer; see [Namespace.On]. What it says to rooms goes by
// the log: who has lost the connection for a moment hears it when it is back.
package namespace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/socketio"
)

// Options are what a [Namespace] can be told. Zero fields mean the defaults.
type Options struct {
	Open       bool          // everybody may connect, without a client and its key
	Timeout    time.Duration // when contexts of functions end; default 10 s
	AckTimeout time.Duration // how long sockets may take to answer, where no context says so; default 10 s
	Logger     *slog.Logger  // for errors that pages are not told; default slog.Default()
}

// A Namespace has the functions that answer the sockets of a namespace, or of
// all namespaces of a pattern. Its methods may be called by many goroutines at
// once, also while it is served.
//
// Functions are called for one socket one after the other, in the order in which
// things happened, and for several at once. One that takes long holds up nobody
// but its socket, which hears nothing as long as it takes, and cannot come back:
// if it takes longer than a page that tries to can wait, that is let in as a new
// socket. Their context ends after [Options.Timeout], and when the server does not
// wait for them any longer. A panic is the end of the socket's connection, and of nothing else.
type Namespace struct {
	name    string
	options Options
	server  atomic.Pointer[socketio.Server] // nil: not yet

	mu         sync.RWMutex // guards all below
	events     map[string]*function
	any        func(context.Context, *Socket, string, Args) ([]any, error)
	connect    func(context.Context, *Socket) error
	disconnect func(context.Context, *Socket, string)
	sockets    map[*socketio.Socket]*Socket // those that are connecting, or connected
}

// New returns a namespace that nobody answers in yet. name begins with a slash;
// a * in it is any text: then it is a pattern, and the namespaces that match it
// are there for whoever asks for them. It panics if name cannot be one.
func New(name string, o Options) *Namespace {
	if err := hub.CheckNamespace(name); err != nil {
		panic(fmt.Sprintf("namespace: New(%q): %v", name, err))
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.AckTimeout == 0 {
		o.AckTimeout = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Namespace{name: name, options: o, events: make(map[string]*function), sockets: make(map[*socketio.Socket]*Socket)}
}

// Name returns the name it was made with.
func (n *Namespace) Name() string { return n.name }

// OnConnect has f let sockets in. Before it returns, nobody is told of the
// socket, but it is in its rooms already: it can join others, and Emit says to it
// what its page hears then; it cannot be asked.
// An [*Error] refuses the socket, in its words, and its page does not come again
// by itself; of any other error pages hear nothing, and they come again.
//
// Without such a function all are let in. It panics if there is one already.
func (n *Namespace) OnConnect(f func(ctx context.Context, s *Socket) error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if f == nil || n.connect != nil {
		panic(fmt.Sprintf("namespace: %s: OnConnect is for one function", n.name))
	}
	n.connect = f
}

// OnDisconnect has f be told of sockets that have left, or lost their
// connections, once for each that was let in. why is in the words of Socket.IO. A
// socket that comes back is let in anew, see [Socket.Recovered].
//
// It panics if there is such a function already.
func (n *Namespace) OnDisconnect(f func(ctx context.Context, s *Socket, why string)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if f == nil || n.disconnect != nil {
		panic(fmt.Sprintf("namespace: %s: OnDisconnect is for one function", n.name))
	}
	n.disconnect = f
}

// On has fn answer an event. Its parameters are a [context.Context] and the
// [*Socket], each of which may be left out, and one for each argument of the
// event, which is decoded as by [Args.Scan]: what the page says beyond that is
// passed over, and what it does not say it must be able to leave out, as it is
// with a pointer or a variadic parameter. Otherwise the page is told that these
// are bad_arguments, and fn is not called.
//
// What fn returns are the arguments of the answer, if the page wants one. If the
// last result is an error, and not nil, that is the answer instead, see [Error].
//
//	func(name string)
//	func(ctx context.Context, s *Socket, room string, limit *int) ([]Message, error)
//	func(s *Socket, picture []byte, tags ...string) (id int, thumbnail []byte, err error)
//
// It panics if fn is no such function, if the event has one already, or if no
// page can say it.
func (n *Namespace) On(event string, fn any) {
	if err := hub.CheckEvent(event, len(event)); err != nil {
		panic(fmt.Sprintf("namespace: %s: %v", n.name, err))
	}
	f := newFunction(event, fn)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.events[event] != nil {
		panic(fmt.Sprintf("namespace: %s: the event %q has a function already", n.name, event))
	}
	n.events[event] = f
}

// OnAny has f answer the events that no other function answers. What it returns
// are the arguments of the answer. Without it these events are answered with an
// error of the type unknown_event. It panics if there is such a function already.
func (n *Namespace) OnAny(f func(ctx context.Context, s *Socket, event string, args Args) ([]any, error)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if f == nil || n.any != nil {
		panic(fmt.Sprintf("namespace: %s: OnAny is for one function", n.name))
	}
	n.any = f
}

// SocketIO returns the namespace as a server of Socket.IO takes it.
func (n *Namespace) SocketIO() socketio.Namespace {
	return socketio.Namespace{Name: n.name, Open: n.options.Open, Handler: handler{n}}
}

// Attach makes the namespace part of a server, which is done by it. It panics
// if it is part of another one.
func (n *Namespace) Attach(sv *socketio.Server) {
	if !n.server.CompareAndSwap(nil, sv) && n.server.Load() != sv {
		panic(fmt.Sprintf("namespace: %s is part of another server", n.name))
	}
}

// All is everybody in the namespace.
func (n *Namespace) All() Audience { return n.At(n.name) }

// At is everybody in one namespace of those that match, if its name is a
// pattern.
func (n *Namespace) At(name string) Audience {
	a := Audience{namespace: n, whom: hub.Audience{Namespace: name}}
	switch {
	case name == n.name && strings.Contains(name, "*"):
		a.err = fmt.Errorf("namespace: %s is a pattern: say by At which of its namespaces is meant", n.name)
	case !hub.Match(n.name, name):
		a.err = fmt.Errorf("namespace: %s is none of %s", name, n.name)
	}
	return a
}

// To is [Audience.To] for everybody in the namespace.
func (n *Namespace) To(rooms ...string) Audience { return n.All().To(rooms...) }

// Except is [Audience.Except] for everybody in the namespace.
func (n *Namespace) Except(rooms ...string) Audience { return n.All().Except(rooms...) }

// Emit is [Audience.Emit] for everybody in the namespace.
func (n *Namespace) Emit(ctx context.Context, event string, args ...any) error {
	return n.All().Emit(ctx, event, args...)
}

// EmitWithAck is [Audience.EmitWithAck] for everybody in the namespace.
func (n *Namespace) EmitWithAck(ctx context.Context, event string, args ...any) ([]Answer, error) {
	return n.All().EmitWithAck(ctx, event, args...)
}

// Sockets returns all that are connected, for a pattern those of all its
// namespaces, in no order.
func (n *Namespace) Sockets() []*Socket {
	n.mu.RLock()
	defer n.mu.RUnlock()
	all := make([]*Socket, 0, len(n.sockets))
	for _, s := range n.sockets {
		if s.in.Load() {
			all = append(all, s)
		}
	}
	return all
}

// Disconnect takes everybody off the namespace, and returns how many were there.
// Their pages are told, and do not come back by themselves.
func (n *Namespace) Disconnect(ctx context.Context) (int, error) { return n.All().Disconnect(ctx) }

// patient returns ctx with an end.
func (n *Namespace) patient(ctx context.Context) (context.Context, context.CancelFunc) {
	ours, _ := ctx.Value(deadline{}).(time.Time)
	if end, ends := ctx.Deadline(); ends && !end.Equal(ours) {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, n.options.AckTimeout)
}

// deadline is where the context of a function has the end that we gave it.
type deadline struct{}

// timed returns ctx as a function gets it.
func (n *Namespace) timed(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, n.options.Timeout)
	end, _ := ctx.Deadline()
	return context.WithValue(ctx, deadline{}, end), cancel
}

// handler is the namespace as socketio knows it.
type handler struct{ *Namespace }

// Connect is part of [socketio.Handler].
func (n handler) Connect(ctx context.Context, raw *socketio.Socket, h *socketio.Handshake) error {
	s := &Socket{namespace: n.Namespace, raw: raw, handshake: *h}
	n.mu.Lock()
	n.sockets[raw] = s
	connect := n.connect
	n.mu.Unlock()
	defer func() {
		if !s.in.Load() {
			n.forget(raw)
		}
	}()
	if connect == nil {
		s.in.Store(true)
		return nil
	}
	ctx, cancel := n.timed(ctx)
	defer cancel()
	err := connect(ctx, s)
	if err == nil {
		s.in.Store(true)
		return nil
	}
	e := told(err)
	if e == nil {
		n.failed(ctx, "a socket could not be let in", err)
		return socketio.ErrUnavailable
	}
	refusal, bad := e.refusal()
	if bad != nil { // it has no data then
		n.failed(ctx, "why a socket is refused cannot be told", bad)
	}
	return refusal
}

// Event is part of [socketio.Handler].
func (n handler) Event(ctx context.Context, raw *socketio.Socket, e *socketio.Event) {
	n.mu.RLock()
	s, f, fallback := n.sockets[raw], n.events[e.Name], n.any
	n.mu.RUnlock()
	ctx, cancel := n.timed(ctx)
	defer cancel()
	args, err := parseArgs(e.Args)
	var results []any
	switch {
	case err != nil: // there are too many: socketio hands over nothing but arrays
	case f != nil:
		results, err = f.invoke(ctx, s, args)
	case fallback != nil:
		results, err = fallback(ctx, s, e.Name, args)
	default:
		err = &Error{Type: "unknown_event", Message: "nobody answers this event"}
	}
	n.answer(ctx, e, results, err)
}

// answer tells the page what came of an event.
func (n *Namespace) answer(ctx context.Context, e *socketio.Event, results []any, err error) {
	if told(err) == nil && err != nil {
		n.failed(ctx, "an event could not be answered", err, "event", e.Name)
		e.Fail("handler_failed", "the event could not be answered")
		return
	}
	if e.Ack == nil {
		return
	}
	args, bad := encode(results)
	if err != nil {
		args, bad = told(err).answer()
	}
	if bad == nil {
		if bad = e.Ack(args); bad == nil || errors.Is(bad, ErrLeft) {
			return // who has left needs no answer
		}
	}
	n.failed(ctx, "an answer could not be given", bad, "event", e.Name)
	e.Fail("handler_failed", "the event could not be answered")
}

// Disconnect is part of [socketio.Handler].
func (n handler) Disconnect(ctx context.Context, raw *socketio.Socket, why string) {
	n.mu.RLock()
	s, f := n.sockets[raw], n.disconnect
	n.mu.RUnlock()
	defer n.forget(raw)
	s.in.Store(false)
	if f != nil {
		ctx, cancel := n.timed(ctx)
		defer cancel()
		f(ctx, s, why)
	}
}

func (n *Namespace) forget(raw *socketio.Socket) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.sockets, raw)
}

// failed logs what the page is not told. It is no failure that the socket has
// left meanwhile, or that the server ends.
func (n *Namespace) failed(ctx context.Context, what string, err error, more ...any) {
	level := slog.LevelError
	if errors.Is(err, ErrLeft) || ctx.Err() != nil {
		level = slog.LevelDebug
	}
	n.options.Logger.Log(ctx, level, what, slices.Concat([]any{"namespace", n.name}, more, []any{"err", err})...)
}
