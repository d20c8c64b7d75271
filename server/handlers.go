package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shaveet/shaveet/server/backend"
	"github.com/shaveet/shaveet/server/handler"
	"github.com/shaveet/shaveet/server/handler/webhook"
	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/metrics"
	"github.com/shaveet/shaveet/server/transport/socketio"
)

// handlers are those that the configuration names: the backend's own WebSocket,
// and webhooks.
type handlers struct {
	server  *Server
	backend *backend.Server
	clients atomic.Pointer[handler.Handler] // is told of clients; nil: nobody

	mu   sync.Mutex // guards all below
	all  map[string]*asked
	past map[string]*asked // those that are named no more
}

// asked is a handler with its webhook; nil: it is the backend's WebSocket.
type asked struct {
	*handler.Handler
	webhook *webhook.Caller
}

// lives is for the hub.
func (hs *handlers) lives(l hub.Life) {
	if h := hs.clients.Load(); h != nil {
		h.Notify(l)
	}
}

// begin makes the handlers.
func (hs *handlers) begin(cfg Config) error {
	hs.all = map[string]*asked{BackendHandler: {Handler: hs.make(BackendHandler, hs.backend, cfg)}}
	hs.past = make(map[string]*asked)
	return hs.configure(cfg)
}

func (hs *handlers) make(name string, c handler.Caller, cfg Config) *handler.Handler {
	_, node := hs.server.hub.Nodes()
	return handler.New(hs.server.hub, c, handler.Options{
		Name:   name,
		Node:   node,
		Limits: cfg.Handlers.Limits,
		Logger: hs.server.log,
		Observe: func(method, result string, took time.Duration) {
			hs.server.metrics.HandlerCalled(name, method, result, took)
		},
	})
}

// configure has the handlers be as cfg says.
func (hs *handlers) configure(cfg Config) error {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	next := map[string]*asked{BackendHandler: hs.all[BackendHandler]}
	var faults []error
	for _, rule := range cfg.Webhook {
		opts := webhook.Options{URL: rule.URL, Secrets: rule.Secrets, Version: hs.server.version, MaxAnswerBytes: cfg.HandlerMaxAnswerBytes}
		h := cmp.Or(hs.all[rule.Name], hs.past[rule.Name]) // its serials go on
		if h != nil {
			if err := h.webhook.Configure(opts); err != nil {
				faults = append(faults, fmt.Errorf("webhook.%q: %w", rule.Name, err))
			}
			next[rule.Name] = h
			continue
		}
		c, err := webhook.New(opts)
		if err != nil {
			faults = append(faults, fmt.Errorf("webhook.%q: %w", rule.Name, err))
			continue
		}
		next[rule.Name] = &asked{hs.make(rule.Name, c, cfg), c}
	}
	for name, h := range hs.all {
		if next[name] == nil { // its sockets are told to it all the same
			hs.past[name] = h
		}
	}
	for name := range next {
		delete(hs.past, name)
	}
	hs.all = next
	for _, h := range hs.everyone() {
		h.Configure(cfg.Handlers.Limits)
	}
	var clients *handler.Handler
	if h := next[cfg.ClientHandler]; h != nil {
		clients = h.Handler
	}
	hs.clients.Store(clients)
	return errors.Join(faults...)
}

// everyone is all handlers, those among them that are named no more. hs.mu is
// held.
func (hs *handlers) everyone() map[string]*asked {
	all := maps.Clone(hs.past)
	maps.Copy(all, hs.all)
	return all
}

// named returns the handlers by their names, as Socket.IO wants them.
func (hs *handlers) named() map[string]socketio.Handler {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	named := make(map[string]socketio.Handler)
	for name, h := range hs.all {
		named[name] = h
	}
	return named
}

// close delivers what waits to be told, as long as ctx lasts; what is given up is
// in the log. The backend's WebSockets end when they have heard it, whether or not
// a webhook answers: the error says that some of them were cut off.
func (hs *handlers) close(ctx context.Context) (err error) {
	hs.mu.Lock()
	all := hs.everyone()
	hs.mu.Unlock()
	var closing sync.WaitGroup
	for _, h := range all {
		closing.Go(func() {
			if h.webhook == nil {
				err = hs.closeBackend(ctx, h)
				return
			}
			h.Close(ctx)
			h.webhook.Close()
		})
	}
	closing.Wait()
	return err
}

// closeBackend delivers what the backend's WebSockets are to be told, if there are
// any: by the doors, which are shut, no others come. Then it closes them.
func (hs *handlers) closeBackend(ctx context.Context, h *asked) error {
	most, giveUp := mostOf(ctx)
	defer giveUp()
	if hs.backend.Stats().Conns == 0 {
		giveUp()
	}
	h.Close(most)
	return hs.backend.Close(ctx)
}

// mostOf is for what may take three quarters of the time that ctx has: the last
// quarter is for what comes after it.
func mostOf(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, end.Add(-time.Until(end)/4))
}

// stats are their counts as metrics want them.
func (hs *handlers) stats() metrics.Handlers {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	b := hs.backend.Stats()
	m := metrics.Handlers{
		ByName:   make(map[string]metrics.Handler),
		Backends: b.Conns, Serving: b.Serving, Refused: b.Refused, Requests: b.Requests, Ignored: b.Ignored, TooSlow: b.TooSlow, Dead: b.Dead,
	}
	for name, h := range hs.everyone() {
		st := h.Stats()
		m.ByName[name] = metrics.Handler{Waiting: st.Waiting, WaitingBytes: st.WaitingBytes, UnderWay: st.UnderWay, Undelivered: st.Undelivered, GivenUp: st.GivenUp}
	}
	return m
}

// newBackend makes what has the backend's own WebSockets.
func (s *Server) newBackend(handle func(ctx context.Context, b, body []byte) []byte) *backend.Server {
	return backend.New(backend.Options{
		Handle:       handle,
		Waits:        []string{"emit_with_ack"},
		Valid:        s.mayCall,
		MaxConns:     s.cfg.MaxBackends,
		MaxWaiting:   s.cfg.MaxBackendWaits,
		MaxBody:      s.cfg.MaxBodyBytes,
		MaxAnswer:    func() int { return s.Config().HandlerMaxAnswerBytes },
		WriteTimeout: s.cfg.WriteTimeout,
		Heartbeat:    func() time.Duration { return s.Config().HeartbeatTime },
		Logger:       s.log,
	})
}
