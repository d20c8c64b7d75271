// Package socketio has clients of Socket.IO read the log: protocol 5, which
// socket.io-client 3 and 4 speak, and if asked for protocol 4 of the versions 1
// and 2. See docs/socketio.md.
//
// A connection (package engine) carries sockets, one for each namespace it has
// joined. A socket is a small client of the hub's own beside the client whose
// key was shown: with its id everybody can speak to it alone, with its key it
// comes back. It reads by one session for both. So nothing is queued for it: what
// it is to hear is in the rings of its rooms, which are channels, and where it
// is is a position, which goes along with every event.
//
// What is said to one connection alone waits there, and is bounded: answers to
// what it has asked, and what handlers ask of it.
package socketio

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/socketio/engine"
	"github.com/shaveet/shaveet/server/transport/socketio/packet"
)

// Options are what a [Server] can be told. Zero fields mean the defaults.
type Options struct {
	engine.Options // Open is not heeded

	ConnectTimeout time.Duration // how long a connection may take to join its first namespace, and a quarter more; default 45 s
	// RecoveryTime is how long a socket that has lost its connection may come
	// back to where it was; 0: it may not. If more wait than there may be
	// sessions, those that have waited longest may not any more.
	RecoveryTime time.Duration

	MaxNamespaces int // that one connection may have joined; default 16
	MaxAcks       int // answers that are waited for, of one socket; default 100
	MaxPending    int // bytes of packets whose attachments have not come, of all connections together; default 64 MiB
	MaxWaiting    int // bytes that may wait for one connection, in either direction, for another packet to be taken; default 256 KiB

	// Namespaces are those that can be joined. The root can be joined in any
	// case, by clients with a key if nothing else is said here.
	Namespaces []Namespace

	// Conformance has the root and all open namespaces behave as the test
	// suites of the protocol want it.
	Conformance bool
}

// A Namespace is one that can be joined.
type Namespace struct {
	Name    string
	Open    bool    // to everybody; otherwise to clients that show their key
	Handler Handler // answers what its sockets say; nil: nobody does
}

// settings are Options made ready.
type settings struct {
	Options
	namespaces map[string]*Namespace
	limits     packet.Limits
}

func newSettings(o Options) *settings {
	orDefault(&o.ConnectTimeout, 45*time.Second)
	orDefault(&o.MaxSessions, 100_000)
	orDefault(&o.MaxNamespaces, 16)
	orDefault(&o.MaxAcks, 100)
	orDefault(&o.MaxWaiting, 256<<10)
	orDefault(&o.MaxPending, 64<<20)
	orDefault(&o.MaxPayload, 1_000_000)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &settings{Options: o, limits: packet.Limits{Bytes: o.MaxPayload}, namespaces: map[string]*Namespace{hub.Root: {Name: hub.Root}}}
	for _, n := range o.Namespaces {
		if o.Conformance && n.Open {
			n.Handler = conformance{}
		}
		s.namespaces[n.Name] = &n
	}
	if o.AllowEIO3 {
		s.limits.Namespace = 4 << 10 // there is a query behind the name
	}
	return s
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// A Server is the Socket.IO of one hub. Its methods may be called by many
// goroutines at once.
type Server struct {
	hub      *hub.Hub
	settings atomic.Pointer[settings]
	engine   *engine.Server
	counts   counts
	pending  atomic.Int64 // bytes of packets that are not whole
	leavers  *leavers
}

// New returns a server of h's.
func New(h *hub.Hub, o Options) *Server {
	sv := &Server{hub: h, leavers: newLeavers()}
	sv.settings.Store(newSettings(o))
	sv.leavers.most.Store(int64(sv.settings.Load().MaxSessions))
	o.Open = sv.open
	sv.engine = engine.New(o.Options)
	return sv
}

// Configure has the connections that begin from now on be as o says.
func (sv *Server) Configure(o Options) {
	sv.settings.Store(newSettings(o))
	sv.leavers.most.Store(int64(sv.settings.Load().MaxSessions))
	o.Open = sv.open
	sv.engine.Configure(o.Options)
}

// ServeHTTP serves requests of Engine.IO, whatever their path is.
func (sv *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { sv.engine.ServeHTTP(w, r) }

// Run forgets the sockets that are not to come back, until ctx ends; then it ends
// all sessions. It is called once.
func (sv *Server) Run(ctx context.Context) error {
	defer sv.engine.Close()
	sv.leavers.run(ctx, sv.hub, sv.settings.Load().Logger)
	return nil
}

// open begins a connection.
func (sv *Server) open(s *engine.Session, _ *http.Request, query url.Values) engine.App {
	set := sv.settings.Load()
	c := &conn{server: sv, settings: set, session: s, old: s.Protocol() == 3}
	said := queryAuth(query)
	if said.keyed() {
		c.query = &said
	}
	if c.old {
		c.join(hub.Root, said)
	}
	s.DueIn(set.ConnectTimeout + set.ConnectTimeout/4) // what it says may be late
	return c
}

// Stats are numbers about a server. Those that are not said to be of now are
// since it was made.
type Stats struct {
	engine.Stats

	Sockets int // connected now
	Waiting int // sockets that may come back, now

	Connected    uint64 // sockets that have joined a namespace
	Refused      uint64 // and those that were not let in
	Recovered    uint64 // sockets that came back to where they were
	NotRecovered uint64 // and those that could not
	Holes        uint64 // sockets closed because something they had not heard is lost
	Events       uint64 // that sockets have said
	Dropped      uint64 // those of them that nobody answers
	Acks         uint64 // answers that sockets have given
}

type counts struct {
	sockets                                                                       atomic.Int64
	connected, refused, recovered, notRecovered, holes, events, dropped, answered atomic.Uint64
}

// Stats returns the numbers as they are now.
func (sv *Server) Stats() Stats {
	n := &sv.counts
	return Stats{
		Stats:        sv.engine.Stats(),
		Sockets:      int(n.sockets.Load()),
		Waiting:      sv.leavers.len(),
		Connected:    n.connected.Load(),
		Refused:      n.refused.Load(),
		Recovered:    n.recovered.Load(),
		NotRecovered: n.notRecovered.Load(),
		Holes:        n.holes.Load(),
		Events:       n.events.Load(),
		Dropped:      n.dropped.Load(),
		Acks:         n.answered.Load(),
	}
}

// streamBatch is how many bytes of messages a batch may have, as for other
// streams.
const streamBatch = 64 << 10
