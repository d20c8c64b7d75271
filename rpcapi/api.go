package rpcapi

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/rpc/v2"

	"github.com/shaveet/shaveet/server/hub"
)

// Options say how an [API] behaves. The zero value is ready to use.
type Options struct {
	MaxBody  int64 // bytes of one request body; 0: 2 MiB
	MaxBatch int   // calls in one batch; 0: 1000
	// MaxAnswer is how long a batch's answer may be, in bytes, for another call
	// to be made; 0: 8 MiB.
	MaxAnswer int
	MaxDepth  int // arrays and objects inside each other, the request's own included; 0: 64

	// Version is what info says the version of the program is.
	Version string

	// EncodeMessage appends to b how readers are shown m: one JSON object. nil:
	// {"channel", "id", "pos", "sender", "data", "time", "system"?}.
	EncodeMessage func(b []byte, m *hub.Message) []byte

	// WriteTimeout is how long an answer may take to be written that comes late
	// because its call waits for others; 0: 10 s. Any other has the time that the
	// HTTP server gives it.
	WriteTimeout time.Duration

	// Logger hears of panics and of errors that callers are not shown.
	// Parameters and results, and so keys, are never logged. nil: slog.Default().
	Logger *slog.Logger

	// Called, if not nil, is told of every call after it was made, each of a
	// batch by itself: its method, "" for one that does not exist, the code of
	// the error it is answered with, 0 for none, and how long it took. ctx is
	// the request's. It may be called by many goroutines at once.
	Called func(ctx context.Context, method string, code int, took time.Duration)

	// Reload, if not nil, is what the method reload calls: it reads the
	// configuration again and returns the keys that have changed, and those
	// that need a restart. Its error is shown to the caller. nil: there is no
	// such method.
	Reload func(ctx context.Context) (changed, restart []string, err error)

	// Sockets does what the methods about sockets of Socket.IO ask for. nil: they
	// answer that it is switched off.
	Sockets Sockets

	// Elsewhere returns the sessions that clients have on other nodes, by their ids,
	// and the names of the nodes that have not answered. nil: there are none.
	Elsewhere func(ctx context.Context, clients []string) (sessions map[string][]hub.SessionInfo, unreached []string)

	// Services are further methods beside the built-in ones, which are
	// registered in the same way. See [Service].
	Services []Service
}

// API answers the admin API's calls. Its methods may be called by several
// goroutines at once.
type API struct {
	hub     *hub.Hub
	opts    Options
	log     *slog.Logger
	started time.Time

	admin   *admin
	rpc     *rpc.Server        // finds and calls the Go methods
	methods map[string]*method // by the name callers use
	table   []*method          // in the order in which they were registered

	openRPC func() []byte
}

// New returns the API of h: the ten methods of the first Shaveet, those that
// came after them, and those of opts.Services. It panics when a service is not
// as [Service] says, or when a name is taken.
func New(h *hub.Hub, opts Options) *API {
	a := &API{
		hub:     h,
		opts:    opts.withDefaults(),
		started: time.Now(),
		rpc:     rpc.NewServer(),
		methods: make(map[string]*method),
	}
	a.log = a.opts.Logger
	if a.opts.EncodeMessage == nil {
		a.opts.EncodeMessage = a.appendMessage
	}
	// With one codec, requests without a Content-Type use it: none of ours has one.
	a.rpc.RegisterCodec(codec{a}, "application/json")

	a.openRPC = sync.OnceValue(a.writeOpenRPC)

	a.admin = &admin{a.hub, a.opts}
	a.register(Service{Name: "Admin", Receiver: a.admin, Methods: adminMethods})
	a.shortcut()
	a.register(Service{Name: "Sockets", Receiver: &sockets{a.hub, a.opts}, Methods: socketMethods})
	a.register(Service{Name: "Server", Receiver: &serverInfo{a}, Methods: serverMethods})
	a.register(Service{Name: "System", Receiver: &system{a}, Methods: systemMethods})
	if opts.Reload != nil {
		a.register(Service{Name: "Reload", Receiver: &reloader{a.opts}, Methods: reloadMethods})
	}
	for _, s := range opts.Services {
		a.register(s)
	}
	return a
}

// adminMethods are what [admin] answers.
var adminMethods = slices.Concat(publishMethods, emitMethods, clientMethods, channelMethods, originalMethods)

// admin answers what is asked of the hub.
type admin struct {
	hub  *hub.Hub
	opts Options
}

// bounds are those of the parameters now.
func (a *admin) bounds() bounds { return bounds{a.hub.Limits().NameBytes, a.opts.MaxBatch} }

func (o Options) withDefaults() Options {
	if o.MaxBody <= 0 {
		o.MaxBody = 2 << 20
	}
	if o.MaxBatch <= 0 {
		o.MaxBatch = 1000
	}
	if o.MaxAnswer <= 0 {
		o.MaxAnswer = 8 << 20
	}
	if o.MaxDepth <= 0 {
		o.MaxDepth = 64
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}
