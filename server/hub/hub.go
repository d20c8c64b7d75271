package hub

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// AdminChannel is the channel on which new channels are announced.
const AdminChannel = "admin"

// A Hub knows the clients and the channels, and is the front door to them. All
// its methods may be called by many goroutines at once, and answer
// [ErrUnavailable] where they need the log and [Hub.Run] is not running.
type Hub struct {
	newKey func() string
	broker Broker
	shared Shared    // the broker, if its log has several followers; else nil
	begun  time.Time // carries the monotonic clock that ages are measured with

	conf   atomic.Pointer[conf] // limits and channel rules
	confMu sync.Mutex           // held by who changes conf

	epoch   atomic.Uint64
	era     atomic.Pointer[era]
	life    atomic.Uint32            // how often the state has been replaced, twice; odd while it is
	epochs  atomic.Pointer[[]uint64] // in which each life was, by life/2; nil: there has been one only
	visible atomic.Uint64            // S: everything up to here can be read
	ready   chan struct{}            // closed when the epoch is known
	once    sync.Once                // closes ready

	clients  *registry[client] // live and let go
	channels *registry[channel]
	letGo    letGoList
	wheel    wheel
	ages     ages
	idle     idleChannels
	queue    dispatcher
	retries  publishIDs
	missed   missed
	reached  reached
	errands  errands

	declared atomic.Pointer[map[string]*Namespace] // by their patterns; nil: none
	lives    func(Life)                            // nil: nobody is told
	inherits func(Credentials)                     // nil: nobody is told
	waits    func(context.Context) bool            // nil: as many as want may wait

	taps   atomic.Pointer[[]*Tap]
	tapsMu sync.Mutex // held by who changes taps

	// stamp is the time of the entry being applied. Guarded by the log's lock.
	stamp struct {
		mono int64 // ns since the hub began
		wall int64 // Unix ms

		foreign bool // it was asked for by another process
		unknown bool // it has numbers that are not known here
	}

	// touched is what the entry being applied has changed. Guarded by the
	// log's lock.
	touched struct {
		channels []*channel
		clients  []*client
	}

	bytes     atomic.Int64 // charged for all messages and their encodings
	kept      atomic.Int64 // messages and notices in all rings
	nClients  atomic.Int64 // live ones
	nSockets  atomic.Int64 // those of them that are sockets
	nChannels atomic.Int64
	sessions  atomic.Int64
	totals    totals

	// step is called between the steps of reading, without a lock. The
	// property test uses it to let other things happen there; it is nil
	// otherwise.
	step func()
}

// New returns a hub on the given log. [Hub.Run] brings it to life.
func New(cfg Config, b Broker) *Hub {
	h := &Hub{
		newKey:   cfg.NewKey,
		broker:   b,
		lives:    cfg.Lives,
		inherits: cfg.Inherited,
		waits:    cfg.MayWait,
		begun:    time.Now(),
		ready:    make(chan struct{}),
		clients:  newRegistry[client](),
		channels: newRegistry[channel](),
		wheel:    wheel{buckets: make(map[int64]*client)},
		queue:    dispatcher{wake: make(chan struct{}, 1), waves: cfg.Waves},
		retries:  publishIDs{seen: make(map[publishID]*earlier)},
	}
	h.shared, _ = b.(Shared)
	h.conf.Store(newConf(cfg.Limits.withDefaults(), nil))
	return h
}

// Run follows the log and wakes readers until ctx ends. It is called once and
// returns when everything it started has stopped.
func (h *Hub) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var dispatching sync.WaitGroup
	dispatching.Go(func() { h.queue.run(ctx) })
	h.errands.begin(ctx)
	err := h.broker.Run(ctx, fold{h})
	cancel()
	h.errands.end()
	dispatching.Wait()
	return err
}

// Ready is closed when the hub has found the log and can be used.
func (h *Hub) Ready() <-chan struct{} { return h.ready }

// Position returns the top of the log as this hub has applied it.
func (h *Hub) Position() Position { return h.position(h.visible.Load()) }

func (h *Hub) position(seq uint64) Position { return Position{h.epoch.Load(), seq} }

// now is the monotonic clock, in ns since the hub began.
func (h *Hub) now() int64 { return int64(time.Since(h.begun)) }

func (h *Hub) yield() {
	if h.step != nil {
		h.step()
	}
}
