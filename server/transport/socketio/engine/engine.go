// Package engine keeps sessions of Engine.IO: what a client says by requests of
// HTTP or by a WebSocket, to which it may go over, and when it is to be given up.
// What the sessions are for is the business of an [App], which says what is to be
// sent when there is somebody to take it: nothing is queued here.
//
// A session holds no goroutine and no timer of its own. What it says and hears
// goes through the connections of a [park.Lot]; all that is done at a time is
// done by one clock for all sessions.
//
// Locks: the lock of a connection in the lot is taken before that of its session,
// and that before those of the table and the clock. Nothing is called with the
// session's lock held that takes a connection's, or another session's.
package engine

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shaveet/shaveet/server/alarm"
	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/transport/socketio/engineio"
	"github.com/shaveet/shaveet/server/wsframe"
)

// An App is what stands on top of a session. Its methods are called one at a
// time, with the session's lock held; they must not block.
type App interface {
	// Received is given a message, which is valid only during the call.
	Received(m engineio.Packet)
	// Next puts what is to be sent now. It is called when the transport can
	// take something: when a poll has come or a WebSocket begun, after a Wake,
	// and now and then for nothing; not again before what it put last has been
	// Sent. If there is more than it puts, it calls Wake itself.
	Next(out *Writer)
	// Sent says that the kernel has all that Next put last. It is called only
	// if that was something.
	Sent()
	// Ready says that the transport can take something again: a poll has come,
	// a WebSocket has begun, or has sent what Next put last. It is called
	// before Next; what has come to pass before it, and was to be sent at once
	// or never, is late.
	Ready()
	// Due says that the time asked for by [Session.DueIn] has come.
	Due()
	// Closed is the last call, which always comes, once. What Next put last is
	// lost if it was not Sent.
	Closed(why Reason)
}

// Options are what a [Server] can be told. Zero fields mean the defaults.
type Options struct {
	Lot *park.Lot // holds the connections; must not be nil

	// Drain, when it ends, has no more sessions begin. It is what the lot was
	// told. nil: never.
	Drain context.Context

	// Open begins a session for the request r, which is valid only during the
	// call, and returns what stands on top of it; nil refuses. Nobody else
	// sees the session before it returns. It must not be nil.
	Open func(s *Session, r *http.Request, query url.Values) App

	PingInterval   time.Duration // between two pings; default 25 s
	PingTimeout    time.Duration // how long a client may take to answer one; default 20 s
	UpgradeTimeout time.Duration // how long going over to a WebSocket may take; default 10 s

	MaxPayload    int // bytes of one request's body and of one WebSocket message; default 1,000,000
	MaxPackets    int // a second from one client, and at once; default 1000
	MaxSessions   int // default 100,000; see [Session.Settled]
	MaxHandshakes int // a second from one address that is not this machine's; default 500

	// Node is what the names of sessions begin with where there are several nodes,
	// all of one length, in letters that need no escape in a URL. Forward has the
	// node that a name begins with answer the request, and reports false if it does
	// not: then nothing has been written. "" and nil: there is only this one. They
	// are the same in all configurations.
	Node    string
	Forward func(node string, w http.ResponseWriter, r *http.Request) bool

	AllowEIO3 bool // take clients of protocol 3, too
	JSONP     bool // answer with scripts where that is asked for

	Logger *slog.Logger // default slog.Default()
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
	}{{&o.PingInterval, 25 * time.Second}, {&o.PingTimeout, 20 * time.Second}, {&o.UpgradeTimeout, 10 * time.Second}} {
		if *d.value == 0 {
			*d.value = d.or
		}
	}
	for _, d := range []struct {
		value *int
		or    int
	}{{&o.MaxPayload, engineio.DefaultBytes}, {&o.MaxPackets, 1000}, {&o.MaxSessions, 100_000}, {&o.MaxHandshakes, 500}} {
		if *d.value == 0 {
			*d.value = d.or
		}
	}
	if o.Drain == nil {
		o.Drain = context.Background()
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// A config is what sessions begin with, and keep.
type config struct {
	Options
	payload    engineio.Limits
	frames     wsframe.Limits
	packetTime time.Duration // between two packets of one who sends as many as it may in a second
}

func newConfig(o Options) *config {
	o = o.withDefaults()
	return &config{
		Options:    o,
		payload:    engineio.Limits{Bytes: o.MaxPayload, Packets: o.MaxPackets},
		frames:     wsframe.Limits{Message: o.MaxPayload}.WithDefaults(),
		packetTime: time.Second / time.Duration(o.MaxPackets),
	}
}

// A Server is the sessions of Engine.IO at one address. Its methods may be called
// by many goroutines at once.
type Server struct {
	lot    *park.Lot
	node   string
	config atomic.Pointer[config]
	clock  *alarm.Clock[*sleeper]
	begun  time.Time // what must not go back, as the clock may, is counted from here
	guests guests
	counts counts

	mu       sync.RWMutex // guards all below, and the standing and slot of every session
	sessions map[sid]*Session
	standing [gone][]*Session // the same ones by how they stand, in no order
	closed   bool
}

// New returns a server without sessions.
func New(o Options) *Server {
	sv := &Server{lot: o.Lot, node: o.Node, clock: alarm.New[*sleeper](), begun: time.Now(), sessions: make(map[sid]*Session)}
	sv.Configure(o)
	return sv
}

// Configure has the sessions that begin from now on be as o says. The lot stays
// the same.
func (sv *Server) Configure(o Options) { sv.config.Store(newConfig(o)) }

// Close ends all sessions, and has no more begin.
func (sv *Server) Close() {
	sv.mu.Lock()
	sv.closed = true
	all := make([]*Session, 0, len(sv.sessions))
	for _, s := range sv.sessions {
		all = append(all, s)
	}
	sv.mu.Unlock()
	for _, s := range all {
		s.Close(Shutdown)
	}
}
