package server

import (
	"net/http"
	"strconv"
)

// routes has every URL of the program: what each door leads to. A path matches
// as a whole or not at all; there is no other spelling of any.
func (s *Server) routes() (main, public, admin http.Handler) {
	static := newStatic()
	browser := routes{
		"/message_updates":    noBody(s.poll),
		"/static/shaveet.js":  noBody(static),
		"/static/shaveet.mjs": noBody(static),
		"/healthz":            noBody(http.HandlerFunc(s.healthz)),
		"/readyz":             noBody(http.HandlerFunc(s.readyz)),
	}
	access := s.patient(newAdminAccess(s.admin, s.cfg, s.log))
	backend := routes{
		"/":        access,
		"/rpc":     access,
		"/healthz": browser["/healthz"],
		"/readyz":  browser["/readyz"],
	}
	both := routes{}
	for _, r := range []routes{browser, backend} {
		for path, h := range r {
			both[path] = h
		}
	}
	if s.cfg.AdminListen != "" {
		return browser, browser, backend
	}
	return both, browser, backend
}

// routes finds the handler for a path.
type routes map[string]http.Handler

func (r routes) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	h, ok := r[req.URL.EscapedPath()] // as it was written: %72pc is not rpc
	if !ok {
		h = http.HandlerFunc(notFound)
	}
	h.ServeHTTP(w, req)
}

// notFound is the one answer to whatever is not here, or not for the asker. A
// body that nobody has read would be taken for the next request, so the
// connection ends with it.
func notFound(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		w.Header().Set("Connection", "close")
	}
	text(w, http.StatusNotFound, "Not Found")
}

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
			w.Header().Set("Connection", "close")
			text(w, http.StatusBadRequest, "This request must not have a body")
			return
		}
		next.ServeHTTP(w, r)
	})
}
