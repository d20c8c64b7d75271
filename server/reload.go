package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/rs/cors"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport"
	"github.com/shaveet/shaveet/server/transport/longpoll"
	"github.com/shaveet/shaveet/server/transport/original"
	"github.com/shaveet/shaveet/server/transport/sse"
	"github.com/shaveet/shaveet/server/transport/stream"
	"github.com/shaveet/shaveet/server/transport/websocket"
)

// live is what can be changed while the server runs: the configuration in
// force and what is made from it. It is replaced as a whole.
type live struct {
	cfg      Config
	hosts    map[string]bool // of admin calls without a token
	cors     *cors.Cors
	poll     http.Handler
	longpoll http.Handler
	sse      http.Handler
	stream   http.Handler

	websocket http.Handler
}

func (s *Server) newLive(cfg Config) *live {
	common := transport.Options{
		Lot:        s.lot,
		Heartbeat:  cfg.HeartbeatTime,
		Retry:      cfg.RetryTime,
		MaxClients: cfg.MaxPollClients,
		MaxBody:    cfg.MaxHelloBytes,
		Logger:     s.log,
	}
	return &live{
		cfg:   cfg,
		hosts: allowedHosts(cfg),
		cors:  newCORS(cfg.AllowedOrigins),
		poll: original.New(s.hub, original.Options{
			Lot:        s.lot,
			Timeout:    cfg.PollTimeout,
			MaxClients: cfg.MaxPollClients,
			Logger:     s.log,
		}),
		longpoll: longpoll.New(s.hub, longpoll.Options{Options: common, Timeout: cfg.PollTimeout}),
		sse:      sse.New(s.hub, common),
		stream:   stream.New(s.hub, common),
		websocket: websocket.New(s.hub, websocket.Options{
			Options:      common,
			HelloTimeout: cfg.BodyTimeout,
			MaxFrames:    cfg.MaxReaderFrames,
			Compression:  cfg.WebsocketCompression,
		}),
	}
}

// current is a handler that is made anew with each configuration. A request
// keeps the one it began with.
func (s *Server) current(of func(*live) http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { of(s.live.Load()).ServeHTTP(w, r) })
}

// Config returns the configuration in force.
func (s *Server) Config() Config { return s.live.Load().cfg }

// Reloaded says what a reload has done, by keys.
type Reloaded struct {
	Changed []string // have their new values
	Restart []string // will have them after a restart
}

// ErrNoReload is the error of Reload in a server that was not told how.
var ErrNoReload = errors.New("this server cannot read its configuration again")

// Reload reads the configuration again, by Options.Reload, and puts into force
// what can be changed while the server runs. With an error, which says all that
// is wrong, nothing has changed.
func (s *Server) Reload(ctx context.Context) (Reloaded, error) {
	if s.reload == nil {
		return Reloaded{}, ErrNoReload
	}
	s.reloading.Lock()
	defer s.reloading.Unlock()
	done, err := s.reloadLocked()
	s.metrics.Reloaded(err == nil)
	if err != nil {
		s.log.ErrorContext(ctx, "the configuration was not reloaded: nothing has changed", "error", oneLine(err))
		return Reloaded{}, err
	}
	s.log.InfoContext(ctx, "reloaded the configuration", "changed", done.Changed, "restart", done.Restart)
	return done, nil
}

func (s *Server) reloadLocked() (Reloaded, error) {
	wanted, err := s.reload()
	if err != nil {
		return Reloaded{}, err
	}
	if err := wanted.Validate(); err != nil {
		return Reloaded{}, err
	}
	old := s.live.Load().cfg
	next, done := s.merge(old, wanted)
	// Fine as a whole does not mean fine beside what needs a restart: an admin
	// door stays where it is, and must not lose the token it needs there.
	if err := next.Validate(); err != nil {
		return Reloaded{}, fmt.Errorf("%w; this needs a restart, because of what has changed beside it: %s", err, strings.Join(done.Restart, ", "))
	}
	if err := s.hub.Configure(next.Limits, next.Channel); err != nil {
		return Reloaded{}, err
	}
	if err := s.handlers.configure(next); err != nil {
		return Reloaded{}, err // which Validate would have found
	}
	s.live.Store(s.newLive(next))
	s.lot.Forget()
	if next.AdminToken != old.AdminToken {
		s.handlers.backend.LetGo() // they come again, and show the new one
	}
	s.configureSocketIO(next)
	s.setLevel(next)
	return done, nil
}

// merge returns old with all of wanted that can be changed now.
func (s *Server) merge(old, wanted Config) (Config, Reloaded) {
	next := old
	done := Reloaded{Changed: []string{}, Restart: []string{}}
	was, is, will := old.Settings(), wanted.Settings(), next.Settings()
	for i := range is {
		switch {
		case is[i].sameAs(was[i]):
		case is[i].Live && (is[i].Key != "log_level" || s.level != nil):
			will[i].Value.Set(is[i].Value)
			done.Changed = append(done.Changed, is[i].Key)
		default:
			done.Restart = append(done.Restart, is[i].Key)
		}
	}
	if !reflect.DeepEqual(old.ZeroMQ, wanted.ZeroMQ) {
		done.Restart = append(done.Restart, "zeromq")
	}
	next.Channel, next.Namespace = slices.Clone(wanted.Channel), slices.Clone(wanted.Namespace)
	next.Webhook = slices.Clone(wanted.Webhook)
	done.Changed = append(done.Changed, changedTables(old.Channel, next.Channel, func(r hub.ChannelRule) string {
		return fmt.Sprintf("channel.%q", r.Pattern)
	})...)
	done.Changed = append(done.Changed, changedTables(old.Namespace, next.Namespace, func(r NamespaceRule) string {
		return fmt.Sprintf("namespace.%q", r.Name)
	})...)
	done.Changed = append(done.Changed, changedTables(old.Webhook, next.Webhook, func(r WebhookRule) string {
		return fmt.Sprintf("webhook.%q", r.Name)
	})...)
	return next, done
}

// changedTables names the tables that are not the same in a and b.
func changedTables[T any](a, b []T, nameOf func(T) string) (names []string) {
	has := func(all []T, r T) bool {
		return slices.ContainsFunc(all, func(o T) bool { return reflect.DeepEqual(o, r) })
	}
	for _, r := range append(slices.Clone(a), b...) {
		name := nameOf(r)
		if !(has(a, r) && has(b, r)) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// setLevel tells the logger how much to log, if it can be told.
func (s *Server) setLevel(cfg Config) {
	var level slog.Level
	if s.level != nil && level.UnmarshalText([]byte(cfg.LogLevel)) == nil {
		s.level.Set(level)
	}
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
