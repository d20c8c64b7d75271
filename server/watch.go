package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/shaveet/shaveet/server/metrics"
)

// A watch stands before the handler of one URL, and sees how each request ends:
// it counts all, and logs those that config or their failure asks for.
type watch struct {
	server *Server
	route  string
	counts *metrics.Route
	next   http.Handler
	failed rareLog

	endings map[string]ended // by method
}

// watch returns next under a watch. route is what the log and the metrics call
// it.
func (s *Server) watch(route string, next http.Handler) http.Handler {
	h := &watch{server: s, route: route, counts: s.metrics.Route(route), next: next, failed: rareLog{dropped: s.metrics.LogDropped}}
	h.endings = map[string]ended{otherMethod: h.ending(otherMethod)}
	for method := range methods {
		h.endings[method] = h.ending(method)
	}
	return h
}

// ServeHTTP makes a handler's panic the end of one connection, and an error in
// the log: net/http would tell it where we log what clients do wrong. For what
// outlives its handler package park does the same.
func (h *watch) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	seen := &seenWriter{ResponseWriter: w, watch: h, request: r}
	h.counts.Begin()
	defer func() {
		v := recover()
		if v == nil && seen.outlives {
			return
		}
		if v != nil && v != http.ErrAbortHandler {
			seen.status = http.StatusInternalServerError
			h.server.log.ErrorContext(r.Context(), "a handler panicked", "route", h.route, "panic", v, "stack", string(debug.Stack()))
		}
		if v == nil && seen.status == 0 && r.Context().Err() == nil {
			seen.status = http.StatusOK // net/http says it for who says nothing
		}
		if v == nil && seen.status >= 500 && r.Context().Err() != nil {
			seen.status = 0 // nobody has heard of it
		}
		h.counts.End(seen.status)
		if level, line := h.worth(seen.status); line != "" {
			h.tell(context.WithoutCancel(r.Context()), level, line, seen.status, seen.bytes, r.Method, r.RemoteAddr, time.Since(began))
		}
		if v != nil {
			panic(http.ErrAbortHandler)
		}
	}()
	h.next.ServeHTTP(seen, r)
}

// worth says how a request that was answered so is logged; not at all: no line.
func (h *watch) worth(status int) (level slog.Level, line string) {
	switch {
	case status >= 500 && h.failed.allow():
		return slog.LevelWarn, "request failed"
	case status < 500 && h.server.sampled():
		return slog.LevelInfo, "request"
	}
	return 0, ""
}

// tell logs the request.
func (h *watch) tell(ctx context.Context, level slog.Level, line string, status int, bytes int64, method, peer string, took time.Duration) {
	// Neither the URL, which may have keys in its query and anything in its
	// path, nor any header.
	h.server.log.LogAttrs(ctx, level, line,
		slog.String("method", knownMethod(method)), slog.String("route", h.route), slog.Int("status", status),
		slog.Int64("bytes", bytes), slog.Duration("took", took), slog.String("peer", peer))
}

// sampled reports whether it is this request's turn to be logged.
func (s *Server) sampled() bool {
	n := s.live.Load().cfg.AccessLog
	return n > 0 && s.requests.Add(1)%uint64(n) == 0
}

// methods are those that the log names. What it names is none of the request's
// own bytes, which would have to be kept.
var methods = map[string]string{
	http.MethodGet: http.MethodGet, http.MethodHead: http.MethodHead, http.MethodPost: http.MethodPost, http.MethodPut: http.MethodPut,
	http.MethodPatch: http.MethodPatch, http.MethodDelete: http.MethodDelete, http.MethodOptions: http.MethodOptions,
}

// knownMethod keeps inventions of callers out of the log.
func knownMethod(method string) string {
	if known, ok := methods[method]; ok {
		return known
	}
	return otherMethod
}

const otherMethod = "other"

// A seenWriter remembers what was answered.
type seenWriter struct {
	http.ResponseWriter
	status int // 0 until there is one
	bytes  int64

	watch    *watch
	request  *http.Request
	outlives bool // its request outlives the handler
}

// Outlive is part of [park.Witness]. What it returns is the same for all requests
// of a method, for there may be many.
func (w *seenWriter) Outlive() (ended func(status int, bytes int64, took time.Duration, peer fmt.Stringer)) {
	w.outlives = true
	return w.watch.endings[knownMethod(w.request.Method)]
}

// Again is part of [park.Witness].
func (w *seenWriter) Again() (begun func()) { return w.watch.counts.Begin }

// ended is told of requests that have outlived their handler.
type ended = func(status int, bytes int64, took time.Duration, peer fmt.Stringer)

func (h *watch) ending(method string) ended {
	return func(status int, bytes int64, took time.Duration, peer fmt.Stringer) {
		h.counts.End(status)
		if level, line := h.worth(status); line != "" {
			h.tell(context.Background(), level, line, status, bytes, method, peer.String(), took)
		}
	}
}

// Unwrap is for [http.ResponseController].
func (w *seenWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *seenWriter) WriteHeader(status int) {
	if w.status == 0 && status >= 200 { // those below announce another
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *seenWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}
