package server

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rs/cors"
)

// preflightAge is how long a browser may remember that it may ask. None
// remembers for longer.
const preflightAge = 2 * time.Hour

// newCORS returns what tells browsers which pages may read our answers. The key
// is what lets a reader in, so no page gets at credentials of the browser's.
func newCORS(origins []string) *cors.Cors {
	opts := cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{http.MethodGet, http.MethodPost},
		AllowedHeaders: []string{"Authorization", "Cache-Control", "Content-Type", "Last-Event-ID"},
		ExposedHeaders: []string{"Retry-After"},
		MaxAge:         int(preflightAge.Seconds()),
	}
	if len(origins) == 0 { // to rs/cors that would be all
		opts.AllowOriginFunc = func(string) bool { return false }
	}
	return cors.New(opts)
}

// shared is for what web pages of other origins may use, as far as they are
// allowed to. A browser lets a page that is not allowed send its request and
// only keeps the answer from it, so such requests end here.
func (s *Server) shared(next http.Handler) http.Handler {
	next = options(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := s.live.Load().cors
		// Several are not what a browser sends, and only one is looked at.
		several := len(r.Header["Origin"]) > 1
		if several || r.Header.Get("Origin") != "" && !c.OriginAllowed(r) && !ownOrigin(r) {
			leaveUnread(w, r)
			w.Header().Set("Vary", "Origin")
			text(w, http.StatusForbidden, "Forbidden")
			return
		}
		c.Handler(next).ServeHTTP(w, r)
	})
}

// options answers who asks what else may be asked.
func options(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodOptions {
			next.ServeHTTP(w, r)
			return
		}
		leaveUnread(w, r)
		w.Header().Set("Allow", "GET, POST, OPTIONS")
		w.WriteHeader(http.StatusNoContent)
	})
}

// ownOrigin reports whether r comes from a page of the host that it is sent to:
// browsers name the origin in such a POST too. A name that was made to point
// here by somebody else gets that far as well, as it does with a GET, which
// names none; but without a key there is nothing to read, and browsers do not
// add keys by themselves. Whether we are reached by TLS only a proxy knows, so
// either scheme will do; where it is the other, the browser keeps the answer
// from the page, because nothing in it says that the page may have it.
func ownOrigin(r *http.Request) bool {
	scheme, host, _ := strings.Cut(strings.ToLower(r.Header.Get("Origin")), "://")
	port, ok := map[string]string{"http": ":80", "https": ":443"}[scheme] // which goes without saying
	return ok && host != "" && host == strings.TrimSuffix(strings.ToLower(r.Host), port)
}

// checkOrigin says what is wrong with an entry of allowed_origins. Browsers
// write an origin in one way only; what is written in another never matches.
func checkOrigin(origin string) error {
	if origin == "*" {
		return nil
	}
	origin = strings.ToLower(origin)
	scheme, host, _ := strings.Cut(origin, "://")
	plain := scheme + "://" + strings.Replace(host, "*", "x", 1) // a * is no letter of hosts
	u, err := url.Parse(plain)
	switch {
	case err != nil || u.Scheme == "" || u.Hostname() == "" || u.Scheme+"://"+u.Host != plain || strings.HasSuffix(host, ":"):
		return errors.New("must be * or scheme://host[:port]")
	case strings.ContainsFunc(origin, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return errors.New("must be in ASCII; browsers write other names in Punycode, xn--…")
	case u.Scheme == "http" && u.Port() == "80", u.Scheme == "https" && u.Port() == "443":
		return errors.New("must be written without the port that goes without saying, as browsers do")
	}
	if i := strings.IndexByte(host, '*'); i >= 0 {
		first, rest, _ := strings.Cut(host, ".")
		if i >= len(first) || rest == "" || strings.Contains(host[i+1:], "*") {
			return errors.New("may have one * only, and that before the host's first dot")
		}
	}
	return nil
}
