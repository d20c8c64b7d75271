package server

import (
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	clientjs "github.com/shaveet/shaveet/client-js"
)

// routes has every URL of the program: what each door leads to. A path matches
// as a whole or not at all; there is no other spelling of any.
func (s *Server) routes() (main, public, admin http.Handler) {
	static := newStatic(clientjs.Files)
	health := routes{
		"/healthz": noBody(http.HandlerFunc(s.healthz)),
		"/readyz":  noBody(http.HandlerFunc(s.readyz)),
	}
	browser := routes{
		"/message_updates":    noBody(s.current(func(l *live) http.Handler { return l.poll })),
		"/longpoll":           s.patient(s.shared(s.current(func(l *live) http.Handler { return l.longpoll }))),
		"/sse":                s.patient(s.shared(s.current(func(l *live) http.Handler { return l.sse }))),
		"/stream":             s.patient(s.shared(s.current(func(l *live) http.Handler { return l.stream }))),
		"/websocket":          noBody(s.shared(s.current(func(l *live) http.Handler { return l.websocket }))),
		"/static/shaveet.js":  noBody(static),
		"/static/shaveet.mjs": noBody(static),
		"/static/tabs.mjs":    noBody(static),
	}
	maps.Copy(browser, s.socketIORoutes())
	backend := routes{
		"/":        s.patient(s.admin),
		"/rpc":     s.patient(s.handlers.backend.Or(s.admin)),
		"/metrics": onlyGET(s.metrics.Handler()),
	}
	maps.Copy(backend, s.profiling())
	for _, part := range []routes{health, browser} {
		for path, h := range part {
			part[path] = s.watch(path, h)
		}
	}
	for path, h := range backend {
		name := path
		if strings.HasPrefix(path, profilesAt) { // not worth a name each
			name = profilesAt
		}
		backend[path] = tracing(s.watch(name, s.guard(h)))
	}
	unknown := s.watch("other", http.HandlerFunc(notFound))
	if s.cfg.AdminListen != "" {
		return door(unknown, health, browser), door(unknown, health, browser), door(unknown, health, backend)
	}
	return door(unknown, health, browser, backend), door(unknown, health, browser), door(unknown, health, backend)
}

// quick reports the same as the function. Where there are several nodes, another one
// may have to be waited for when a WebSocket begins.
func (s *Server) quick(path string, upgrade bool) bool {
	if s.cluster != nil && path == "/socket.io/" {
		return false
	}
	return quick(path, upgrade)
}

// quick reports whether a path's requests are polls, streams or WebSockets, or
// are answered at once. Polls of Socket.IO may wait, while their client goes over to
// a WebSocket.
func quick(path string, upgrade bool) bool {
	switch path {
	case "/longpoll", "/sse", "/stream", "/websocket":
		return true
	case "/socket.io/":
		return upgrade
	}
	return false
}

// routes are handlers by path.
type routes map[string]http.Handler

// door finds the handler for a path; unknown is the one for all others.
func door(unknown http.Handler, parts ...routes) http.Handler {
	all := make(routes)
	for _, part := range parts {
		maps.Copy(all, part)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, ok := all[r.URL.EscapedPath()] // as it was written: %72pc is not rpc
		if !ok {
			h = unknown
		}
		h.ServeHTTP(w, r)
	})
}

// notFound is the one answer to whatever is not here, or not for the asker.
func notFound(w http.ResponseWriter, r *http.Request) {
	leaveUnread(w, r)
	text(w, http.StatusNotFound, "Not Found")
}

// leaveUnread says that r's body, if it has one, will not be read: the answer is
// the last thing on its connection, so whoever is between the caller and us
// cannot see the next request begin elsewhere than we do. net/http reads a
// little of it all the same, so that the answer is not lost, and may take a
// moment for that. With HTTP/2 there is no such doubt, and a connection carries
// the requests of others.
func leaveUnread(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 && r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
		http.NewResponseController(w).SetReadDeadline(time.Now().Add(unreadTime))
	}
}

// unreadTime is how long a body may take that nobody wants.
const unreadTime = 500 * time.Millisecond

func text(w http.ResponseWriter, status int, line string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-cache, no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(line)+2))
	w.WriteHeader(status)
	w.Write([]byte(line + "\r\n"))
}

// noBody refuses requests with a body where none has a meaning: unread, it
// hides from us that the peer has gone, and it may be a second request that
// somebody has smuggled in.
func noBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			leaveUnread(w, r)
			text(w, http.StatusBadRequest, "This request must not have a body")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// onlyGET is for what is read by tools of the operator's.
func onlyGET(next http.Handler) http.Handler {
	return noBody(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-cache, no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet {
			h.Set("Allow", http.MethodGet)
			text(w, http.StatusMethodNotAllowed, "Method Not Allowed")
			return
		}
		next.ServeHTTP(w, r)
	}))
}

// tracing is for requests that may be part of a trace.
func tracing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, withTrace(r)) })
}
