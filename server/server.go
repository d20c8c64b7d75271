// Package server is where the parts are joined: hub, transports, admin API and
// sweeper behind the doors that callers come through.
//
// A whole server runs inside any Go program:
//
//	srv, err := server.New(server.DefaultConfig(), memory.New(), server.Options{})
//	...
//	err = srv.Serve(ctx, server.Doors{Main: listener})
package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/shaveet/shaveet/gc"
	"github.com/shaveet/shaveet/namespace"
	"github.com/shaveet/shaveet/rpcapi"
	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/metrics"
	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/transport"
	"github.com/shaveet/shaveet/server/transport/socketio"
	"github.com/shaveet/shaveet/server/transport/socketio/engine"
	"github.com/shaveet/shaveet/server/zeromq"
)

// Options are what a server needs beside its configuration. Zero fields mean
// the defaults.
type Options struct {
	Logger  *slog.Logger // default slog.Default()
	Version string       // told by the admin API; default "dev"

	// LogLevel is the level of Logger. It is set to what the configuration
	// says, now and at every reload. nil: the level is none of our business,
	// and a change of log_level waits for a restart.
	LogLevel *slog.LevelVar

	// Reload reads the configuration again, for [Server.Reload] and the admin
	// API's method reload. nil: it cannot be read again.
	Reload func() (Config, error)

	// Namespaces are answered by this program, whatever the configuration says of
	// namespaces of their names.
	Namespaces []*namespace.Namespace
}

// A Server is one push server. New makes it, Serve runs it, once.
type Server struct {
	cfg     Config // what the server began with; s.live has what may have changed
	log     *slog.Logger
	hub     *hub.Hub
	admin   http.Handler
	sockets *zeromq.Sockets
	sweep   *gc.Sweeper
	metrics *metrics.Metrics

	socketio   *socketio.Server       // nil: none
	echo       *engine.Server         // of Engine.IO alone, for test suites; nil: none
	namespaces []*namespace.Namespace // that this program answers
	handlers   handlers
	cluster    *cluster // nil: there are no other nodes
	room       *room    // of the doors, while they are open
	version    string

	live      atomic.Pointer[live]
	reloading sync.Mutex // held for a whole reload
	reload    func() (Config, error)
	level     *slog.LevelVar

	requests atomic.Uint64 // all that the access log could have had
	refused  rareLog

	lot      *park.Lot       // of all held requests
	drain    context.Context // ends when these must be answered
	endDrain context.CancelFunc
	draining atomic.Bool // not ready any more
}

// New returns a server on the given log. The error says all that is wrong with
// cfg.
func New(cfg Config, broker hub.Broker, opts Options) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	log := opts.Logger
	if log == nil {
		log = slog.Default()
	}
	log = slog.New(traceHandler{log.Handler()})
	s := &Server{cfg: cfg, log: log, reload: opts.Reload, level: opts.LogLevel, namespaces: opts.Namespaces, version: cmp.Or(opts.Version, "dev")}
	s.handlers.server = s
	s.setLevel(cfg)
	s.drain, s.endDrain = context.WithCancel(context.Background())
	s.hub = hub.New(hub.Config{
		NewKey: newKey, Limits: cfg.Limits, Lives: s.handlers.lives, Inherited: s.inherited,
		Waves:   func(late time.Duration, wake func()) { s.lot.Herd(late, wake) },
		MayWait: park.MayWait,
	}, broker)
	if err := s.hub.Configure(cfg.Limits, cfg.Channel); err != nil {
		return nil, err
	}
	s.metrics = metrics.New(s.hub, metrics.Options{Version: s.version, Ready: s.ready, Logger: log})
	s.lot = park.New(park.Options{
		Drain:        s.drain,
		WriteTimeout: cfg.WriteTimeout,
		IdleTimeout:  cfg.KeepAlive,
		MaxUnsent:    cfg.MaxUnsentBytes,
		DeadAfter:    max(cfg.HeartbeatTime, cfg.WriteTimeout+time.Second),
		Behind:       s.metrics.Behind,
		Quick:        s.quick,
		Waits:        isShared(broker),
		TooSlow:      s.metrics.TooSlow,
		Panicked: func(v any, stack []byte) {
			log.Error("a handler panicked", "route", "held", "panic", v, "stack", string(stack))
		},
	})
	s.refused.dropped = s.metrics.LogDropped
	s.live.Store(s.newLive(cfg))
	var api *rpcapi.API // which needs the sockets, whose handlers need it
	s.handlers.backend = s.newBackend(func(ctx context.Context, b, body []byte) []byte { return api.Append(ctx, b, body) })
	for i, n := range opts.Namespaces {
		if slices.ContainsFunc(opts.Namespaces[:i], func(o *namespace.Namespace) bool { return o.Name() == n.Name() }) {
			return nil, fmt.Errorf("there are two namespaces %s", n.Name())
		}
	}
	if err := s.handlers.begin(cfg); err != nil {
		return nil, err
	}
	s.metrics.Handlers(s.handlers.stats)
	s.newCluster(broker)
	s.newSocketIO(cfg)
	s.joinCluster()
	api = rpcapi.New(s.hub, s.adminOptions())
	s.admin = api
	s.sockets = s.newSockets(cfg, api.Handle)
	s.metrics.Sockets(s.socketStats)
	s.sweep = gc.New(s.hub, gc.Options{
		Interval: cfg.SweepInterval,
		IdleTime: cfg.IdleTime,
		MinAge:   cfg.MinAge,
		Swept:    s.swept,
	})
	return s, nil
}

func (s *Server) adminOptions() rpcapi.Options {
	opts := rpcapi.Options{
		MaxBody:   s.cfg.MaxBodyBytes,
		MaxBatch:  s.cfg.MaxBatchCalls,
		MaxDepth:  s.cfg.MaxJSONDepth,
		MaxAnswer: s.cfg.MaxAnswerBytes,
		Version:   s.version,

		WriteTimeout: s.cfg.WriteTimeout,

		Logger: s.log,
		Called: s.called,
		EncodeMessage: func(b []byte, m *hub.Message) []byte { // as readers get it, from the same bytes
			return append(b, transport.Modern(m)...)
		},
	}
	if s.socketio != nil {
		opts.Sockets = fleet{s.socketio}
	}
	if s.cluster != nil {
		opts.Elsewhere = s.sessionsElsewhere
	}
	if s.reload != nil {
		opts.Reload = func(ctx context.Context) (changed, restart []string, err error) {
			done, err := s.Reload(ctx)
			return done.Changed, done.Restart, err
		}
	}
	return opts
}

// isShared reports whether the log is others', too, so that it has to be waited for.
func isShared(b hub.Broker) bool {
	_, shared := b.(hub.Shared)
	return shared
}

// newKey returns a client's secret: 122 random bits as 32 hex digits.
func newKey() string { return strings.ReplaceAll(uuid.NewString(), "-", "") }

// Hub returns the server's hub, for programs that have a server inside.
func (s *Server) Hub() *hub.Hub { return s.hub }

// Doors are the listeners a server is reached by, at least one. A nil
// Admin leaves the admin API on the main door unless Config.AdminListen says
// otherwise.
type Doors struct{ Main, Public, Admin net.Listener }

func (d Doors) count() int { return len(d.open()) }

func (d Doors) open() (all []net.Listener) {
	for _, l := range []net.Listener{d.Main, d.Public, d.Admin} {
		if l != nil {
			all = append(all, l)
		}
	}
	return all
}

func (d Doors) close() {
	for _, l := range d.open() {
		l.Close()
	}
}

// Serve runs the server until ctx ends, then lets go of its callers: readiness
// goes, then the listeners, then what is held is answered. It returns nil when
// all this was done in time, and an error if a part failed. It closes the
// listeners and leaves nothing running.
func (s *Server) Serve(ctx context.Context, doors Doors) error {
	if err := s.sockets.Listen(); err != nil {
		doors.close()
		return err
	}
	s.room = newRoom(descriptors(), doors.count(), s.cfg.MaxConnections, s.nodeRoom())
	serveNodes, err := s.openNodeDoor()
	if err != nil {
		doors.close()
		return err
	}
	inner, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	defer s.endDrain()

	var parts sync.WaitGroup
	run := func(f func(context.Context) error) {
		parts.Go(func() {
			if err := f(inner); inner.Err() == nil {
				stop(err) // the first to end ends all
			}
		})
	}
	run(s.hub.Run)
	run(s.sweep.Run)
	if serveNodes != nil {
		run(serveNodes)
	}
	if s.socketio != nil {
		run(s.runSocketIO)
	}
	s.awaitLog(ctx, inner)
	run(s.serveSockets)
	servers := s.open(doors, run)

	select {
	case <-ctx.Done():
	case <-inner.Done():
	}
	failed := context.Cause(inner)
	err = s.close(servers, inner)
	stop(nil)
	parts.Wait()
	if failed != nil {
		return failed
	}
	return err
}

// awaitLog gives the log a moment to be found, so that the first caller finds
// a server that is ready. If that takes longer, the doors open all the same,
// and readiness says what is missing.
func (s *Server) awaitLog(ctx, inner context.Context) {
	select {
	case <-s.hub.Ready():
	case <-time.After(time.Second):
	case <-ctx.Done():
	case <-inner.Done():
	}
}

// open starts to serve every door.
func (s *Server) open(doors Doors, run func(func(context.Context) error)) []*http.Server {
	main, public, admin := s.routes()
	var servers []*http.Server
	for _, d := range []struct {
		name     string
		listener net.Listener
		handler  http.Handler
	}{{"main", doors.Main, main}, {"public", doors.Public, public}, {"admin", doors.Admin, admin}} {
		if d.listener == nil {
			continue
		}
		srv := s.httpServer(d.handler)
		servers = append(servers, srv)
		room := s.room.part(s.cfg.MaxConnections)
		if room.limit < s.cfg.MaxConnections {
			s.log.Warn("there are fewer descriptors than max_connections asks for", "door", d.name, "connections", room.limit, "max_connections", s.cfg.MaxConnections)
		}
		listener := s.limited(d.name, d.listener, room)
		run(func(ctx context.Context) error {
			if err := s.lot.Serve(srv, listener); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			<-ctx.Done() // the door is shut, but what came through it is still at work
			return nil
		})
		s.log.Info("listening", "door", d.name, "addr", d.listener.Addr().String())
	}
	return servers
}

// limited returns the listener of a door that has a part of the room.
func (s *Server) limited(door string, l net.Listener, room *part) net.Listener {
	return limitListener(l, room, s.metrics.Door(door, room.now), func() {
		s.log.Warn("a door is full: who comes now waits until somebody leaves", "door", door, "connections", room.now())
	})
}

func (s *Server) httpServer(h http.Handler) *http.Server {
	var waiting newcomers
	srv := &http.Server{
		Handler:           h,
		ConnState:         waiting.follow,
		ReadHeaderTimeout: s.cfg.HeaderTimeout,
		// From the header's end; what is held has its own for each write.
		WriteTimeout:   s.cfg.BodyTimeout + s.cfg.WriteTimeout,
		IdleTimeout:    s.cfg.KeepAlive,
		MaxHeaderBytes: s.cfg.MaxHeaderBytes,
		ErrorLog:       slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),

		DisableGeneralOptionsHandler: true, // "OPTIONS *" is not here either
	}
	srv.Protocols = new(http.Protocols)
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(s.cfg.HTTP2)
	srv.RegisterOnShutdown(waiting.dismiss)
	return srv
}

// close lets go of the callers. Held polls are answered only after the doors
// are shut: their pages poll again within a millisecond, and would otherwise
// come back to us.
func (s *Server) close(servers []*http.Server, inner context.Context) error {
	s.draining.Store(true)
	cfg := s.Config()
	s.log.Info("draining", "delay", cfg.DrainDelay, "timeout", cfg.DrainTimeout)
	delay := time.After(cfg.DrainDelay)
	s.stopIntake()
	select {
	case <-delay:
	case <-inner.Done(): // a part has failed: there is nothing to hand over
	}

	ctx, cancel := context.WithTimeout(context.Background(), cfg.DrainTimeout)
	defer cancel()
	var shut sync.WaitGroup
	var late atomic.Bool
	var open atomic.Int64 // doors
	open.Store(int64(len(servers)))
	for _, srv := range servers {
		srv.RegisterOnShutdown(func() { // its door is shut by now
			if open.Add(-1) == 0 {
				s.endDrain()
			}
		})
		shut.Go(func() {
			if err := srv.Shutdown(ctx); err != nil {
				late.Store(true)
				srv.Close()
			}
		})
	}
	shut.Wait()
	err := s.lot.Wait(ctx)
	if s.socketio != nil {
		most, cancel := mostOf(ctx) // who leaves meanwhile is still to be told
		err = errors.Join(err, s.socketio.Drain(most))
		cancel()
	}
	if err = errors.Join(err, s.handlers.close(ctx)); err != nil || late.Load() {
		return fmt.Errorf("some requests had not ended after drain_timeout = %v and were cut off", cfg.DrainTimeout)
	}
	return nil
}

// healthz answers as long as the process can.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok") }

// readyz tells whether new callers should be sent here.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	switch {
	case s.ready():
		text(w, http.StatusOK, "ready")
	case s.draining.Load():
		text(w, http.StatusServiceUnavailable, "draining")
	default:
		text(w, http.StatusServiceUnavailable, "waiting for the log")
	}
}

// outOfTouch is after how long without its log a node is not ready.
const outOfTouch = 10 * time.Second

func (s *Server) ready() bool {
	select {
	case <-s.hub.Ready():
		return !s.draining.Load() && s.hub.InTouch(outOfTouch) && s.hub.Known()
	default:
		return false
	}
}
