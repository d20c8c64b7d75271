package talkapp

import (
	"html"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	socketiochat "github.com/shaveet/shaveet/examples/socketio-chat"
)

// Page returns the page and its files. publicURL is where browsers reach
// Shaveet; empty: the page's own address. It can be mounted below any path with
// http.StripPrefix, because the page uses relative addresses only.
func Page(publicURL string) http.Handler {
	publicURL = strings.TrimRight(publicURL, "/")
	files := http.FileServerFS(socketiochat.Page())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { index(w, publicURL) })
	mux.Handle("GET /talk.css", files)
	mux.Handle("GET /talk.js", files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentSecurityPolicy(publicURL))
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

// index puts Shaveet's address into the page.
func index(w http.ResponseWriter, publicURL string) {
	text, err := fs.ReadFile(socketiochat.Page(), "index.html")
	if err != nil {
		http.Error(w, "no page", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = strings.NewReplacer("__SHAVEET__", html.EscapeString(publicURL)).WriteString(w, string(text))
}

// contentSecurityPolicy allows scripts from here and from Shaveet, which has the
// stock client, and connections to Shaveet.
func contentSecurityPolicy(publicURL string) string {
	script, connect := "'self'", "'self'"
	if u, err := url.Parse(publicURL); err == nil && u.Host != "" {
		origin := u.Scheme + "://" + u.Host
		script += " " + origin
		connect += " " + origin + " ws" + strings.TrimPrefix(origin, "http") // wss for https
	}
	return "default-src 'none'; img-src data:; style-src 'self'; script-src " + script + "; connect-src " + connect +
		"; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
}
