package rpcapi

import (
	"log/slog"
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

	// Logger hears of panics and of errors that callers are not shown.
	// Parameters and results, and so keys, are never logged. nil: slog.Default().
	Logger *slog.Logger

	// Services are further methods beside the built-in ones, which are
	// registered in the same way. See [Service].
	Services []Service
}

// API answers the admin API's calls. Its methods may be called by several
// goroutines at once.
type API struct {
	hub     *hub.Hub
	opts    Options
	limits  hub.Limits
	log     *slog.Logger
	started time.Time

	rpc     *rpc.Server        // finds and calls the Go methods
	methods map[string]*method // by the name callers use
}

// New returns the API of h, with the ten methods of the first Shaveet, info,
// system.list_methods and system.describe, and those of opts.Services. It
// panics when a service is not as [Service] says, or when a name is taken.
func New(h *hub.Hub, opts Options) *API {
	a := &API{
		hub:     h,
		opts:    opts.withDefaults(),
		limits:  h.Limits(),
		started: time.Now(),
		rpc:     rpc.NewServer(),
		methods: make(map[string]*method),
	}
	a.log = a.opts.Logger
	// With one codec, requests without a Content-Type use it: none of ours has one.
	a.rpc.RegisterCodec(codec{a}, "application/json")

	a.register(Service{Name: "Admin", Receiver: &admin{hub: h}, Methods: adminMethods})
	a.register(Service{Name: "Info", Receiver: &infoService{api: a}, Methods: infoMethods})
	a.register(Service{Name: "System", Receiver: &system{api: a}, Methods: systemMethods})
	for _, s := range opts.Services {
		a.register(s)
	}
	return a
}

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
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}
