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
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/socketio/engine"
	"github.com/shaveet/shaveet/server/transport/socketio/packet"
)

// Options are what a [Server] can be told. Zero fields mean the defaults.
type Options struct {
	engine.Options // Open is not heeded

	// ConnectTimeout is how long a connection may take to join its first namespace,
	// and a quarter more; default 45 s. For a third of it a socket that comes back
	// waits until its handler has been told that it had left.
	ConnectTimeout time.Duration
	// RecoveryTime is how long a socket that has lost its connection may come
	// back to where it was; 0: it may not. If more wait than there may be
	// sessions, those that have waited longest may not any more.
	RecoveryTime time.Duration

	MaxNamespaces int // that one connection may have joined; default 16
	MaxAuth       int // bytes of what a client shows when it joins one; default 16 KiB
	MaxAcks       int // answers that are waited for, of one socket; default 100
	MaxAsked      int // sockets that are asked at once; default 10,000
	MaxPending    int // bytes of packets whose attachments have not come, of all connections together; default 64 MiB
	MaxUnheard    int // bytes of what handlers have not been told yet, of all connections together, those that have gone too, and half as many of one handler; default 64 MiB
	MaxWaiting    int // bytes that may wait for one connection, in either direction, for another packet to be taken; default 256 KiB

	// Namespaces are those that can be joined. The root can be joined in any
	// case, by clients with a key if nothing else is said here.
	Namespaces []Namespace

	// Handlers are those that declared namespaces can have, by their names.
	Handlers map[string]Handler

	// Others are the other nodes. nil: there are none.
	Others Others

	// Conformance has the root and all open namespaces behave as the test
	// suites of the protocol want it.
	Conformance bool
}

// A Namespace is one that can be joined.
type Namespace struct {
	Name    string            // or a pattern, see [hub.Match]; a socket's own has its name
	Open    bool              // to everybody; otherwise to clients that show their key
	Handler Handler           // answers what its sockets say; nil: nobody does
	Events  []string          // that its sockets may say; none: all
	Relay   map[string]string // events that are handed on instead, and the room each goes to; "*": the first argument names it
}

// settings are Options made ready.
type settings struct {
	Options
	namespaces map[string]*Namespace // that have names
	patterns   []*Namespace          // the others, the first that matches counts
	remember   bool                  // what connections tell first is of use to handlers
	limits     packet.Limits
}

func newSettings(o Options) *settings {
	orDefault(&o.ConnectTimeout, 45*time.Second)
	orDefault(&o.MaxSessions, 100_000)
	orDefault(&o.MaxNamespaces, 16)
	orDefault(&o.MaxAuth, 16<<10)
	orDefault(&o.MaxAcks, 100)
	orDefault(&o.MaxAsked, 10_000)
	orDefault(&o.MaxWaiting, 256<<10)
	orDefault(&o.MaxPending, 64<<20)
	orDefault(&o.MaxUnheard, 64<<20)
	orDefault(&o.MaxPayload, 1_000_000)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &settings{Options: o, limits: packet.Limits{Bytes: o.MaxPayload}, namespaces: map[string]*Namespace{hub.Root: {Name: hub.Root}}}
	for _, n := range o.Namespaces {
		if o.Conformance && n.Open {
			n.Handler = conformance{}
		}
		s.remember = s.remember || n.Handler != nil
		if strings.Contains(n.Name, "*") {
			s.patterns = append(s.patterns, &n)
		} else {
			s.namespaces[n.Name] = &n
		}
	}
	slices.SortFunc(s.patterns, func(a, b *Namespace) int { return hub.ComparePatterns(a.Name, b.Name) })
	if o.AllowEIO3 {
		s.limits.Namespace = 4 << 10 // there is a query behind the name
	}
	return s
}

// configured reports whether a name or pattern is one of the configuration's.
func (s *settings) configured(pattern string) bool {
	return s.namespaces[pattern] != nil || slices.ContainsFunc(s.patterns, func(n *Namespace) bool { return n.Name == pattern })
}

// namespace returns what a name stands for; nil: nothing. What is configured
// comes before what was declared, and a name before a pattern.
func (sv *Server) namespace(set *settings, name string) *Namespace {
	ns := set.namespaces[name]
	if ns == nil && (hub.CheckNamespace(name) != nil || strings.ContainsFunc(name, unicode.IsControl)) {
		return nil // no pattern makes it a good one
	}
	declared, isDeclared := sv.hub.Declared(name)
	if ns == nil && !(isDeclared && declared.Pattern == name) {
		if i := slices.IndexFunc(set.patterns, func(n *Namespace) bool { return hub.Match(n.Name, name) }); i >= 0 {
			ns = set.patterns[i]
		}
	}
	switch {
	case ns != nil && ns.Name == name:
		return ns
	case ns != nil:
		one := *ns
		one.Name = strings.Clone(name)
		return &one
	case !isDeclared:
		return nil
	}
	one := &Namespace{Name: strings.Clone(name), Open: declared.Open, Events: declared.Events, Relay: declared.Relay}
	if declared.Handler != "" {
		// As they are now, for it may have been declared since the connection began.
		if one.Handler = sv.settings.Load().Handlers[declared.Handler]; one.Handler == nil {
			one.Handler = nobody{} // the configuration has changed since
		}
	}
	return one
}

// nobody is the handler that there is no more.
type nobody struct{}

func (nobody) Connect(context.Context, *Socket, *Handshake) error { return ErrUnavailable }
func (nobody) Event(_ context.Context, _ *Socket, e *Event) {
	e.Fail("handler_unavailable", "nobody can be asked")
}
func (nobody) Disconnect(context.Context, *Socket, string) {}

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
	unheard  unheard
	leavers  *leavers

	coming claims // sockets that come back
	going  claims // sockets whose handler has not been told yet that they have left
	doomed claims // those of them that cannot come back

	working tasks           // connections, goroutines of handlers, sockets that join
	base    context.Context // ends when handlers are not waited for any longer
	abandon context.CancelFunc
}

// New returns a server of h's.
func New(h *hub.Hub, o Options) *Server {
	sv := &Server{hub: h, leavers: newLeavers()}
	sv.base, sv.abandon = context.WithCancel(context.Background())
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

// lastWait is how long handlers may take to return when their contexts have ended.
const lastWait = 5 * time.Second

// Run forgets the sockets that are not to come back, until ctx ends; then it ends
// all sessions, and the contexts of handlers. It is called once, and returns when
// all handlers have, or a moment later without those that do not heed it.
func (sv *Server) Run(ctx context.Context) error {
	sv.leavers.run(ctx, sv.hub, sv.settings.Load().Logger)
	sv.engine.Close()
	sv.abandon()
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWait)
	defer cancel()
	if sv.working.wait(late) != nil {
		sv.settings.Load().Logger.Error("handlers go on although their contexts have ended")
	}
	return nil
}

// Drain ends all sessions and waits until handlers have been told everything, or
// ctx ends. Afterwards nobody connects any more.
func (sv *Server) Drain(ctx context.Context) error {
	sv.engine.Close()
	err := sv.working.wait(ctx)
	sv.abandon()
	return err
}

// open begins a connection.
func (sv *Server) open(s *engine.Session, r *http.Request, query url.Values) engine.App {
	set := sv.settings.Load()
	c := &conn{server: sv, settings: set, session: s, old: s.Protocol() == 3}
	sv.working.begin() // until it is closed
	said := queryAuth(query)
	remember := set.remember || sv.hub.AnyDeclared()
	if said.keyed() || remember {
		c.first = &first{auth: said}
	}
	if remember {
		c.first.address, c.first.header = r.RemoteAddr, r.Header.Clone()
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
