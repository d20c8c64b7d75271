// Package streamapp is the stream example's back end, so that it can run by
// itself (see ../main.go) or inside another program.
//
// It has two producers (producer.go), which tell Shaveet a line again and again
// (shaveet.go), and hands out what it takes to listen (here). The lines come to
// browsers and terminals from Shaveet, never from here.
package streamapp

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"html"
	"io/fs"
	"log"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/shaveet/shaveet/examples/stream"
)

// Config says where Shaveet is.
type Config struct {
	RPCURL    string       // where this back end reaches the admin API; required
	PublicURL string       // where browsers reach Shaveet; empty: the page's own address
	Token     string       // the admin token, if Shaveet was given one
	Client    *http.Client // nil: one with a timeout of its own
}

// App is an http.Handler, for any number of requests at once, and the two
// producers, which produce while Run runs.
type App struct {
	http.Handler
	publicURL string
	shaveet   *shaveet
	producers []*producer
}

// New returns the back end. It can be mounted below any path with
// http.StripPrefix, because the pages use relative addresses only.
func New(c Config) *App {
	a := &App{publicURL: strings.TrimRight(c.PublicURL, "/"), shaveet: newShaveet(c)}
	life := strings.ToLower(rand.Text()[:16])
	a.producers = []*producer{
		{channel: "stream:hello", every: time.Second, content: hello, publish: a.publish, life: life},
		{channel: "stream:random", every: time.Second / 2, content: random, publish: a.publish, life: life},
	}
	files := http.FileServerFS(stream.Page())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.page("index.html"))
	mux.HandleFunc("GET /websocket", a.page("websocket.html"))
	for _, name := range []string{"stream.css", "reader.js", "stream.js", "websocket.js"} {
		mux.Handle("GET /"+name, files)
	}
	mux.HandleFunc("GET /credentials", a.credentials)
	a.Handler = mux
	return a
}

// Run produces until ctx ends, and returns when nothing of it is left. It is
// called once.
func (a *App) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, p := range a.producers {
		running.Go(func() { p.run(ctx) })
	}
	running.Wait()
}

func (a *App) publish(ctx context.Context, channel string, data line, id string) error {
	return a.shaveet.call(ctx, nil, "publish", named{"channel": channel, "data": data, "publish_id": id})
}

// page puts Shaveet's address into a page, and allows scripts and connections
// from here and from Shaveet, nothing else.
func (a *App) page(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		text, err := fs.ReadFile(stream.Page(), name)
		if err != nil {
			http.Error(w, "no page", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", contentSecurityPolicy(a.publicURL))
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = strings.NewReplacer("__SHAVEET__", html.EscapeString(a.publicURL)).WriteString(w, string(text))
	}
}

func contentSecurityPolicy(publicURL string) string {
	from, sockets := "'self'", ""
	if u, err := url.Parse(publicURL); err == nil && u.Host != "" {
		from += " " + u.Scheme + "://" + u.Host
		sockets = " ws" + strings.TrimPrefix(u.Scheme, "http") + "://" + u.Host // WebSockets are named apart
	}
	return "default-src 'self'; img-src 'self' data:; script-src " + from + "; connect-src " + from + sockets +
		"; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
}

// credentials make a client, whoever asks, and subscribe it: what is said from
// then on it can hear. They are given in two forms. As clientId, key and url
// they are for the page; as clients and cursor the answer is, as it is, the body
// of a request to Shaveet, which passes over what it does not know.
func (a *App) credentials(w http.ResponseWriter, r *http.Request) {
	// A page of another site could have clients made in numbers, by images.
	// Terminals say nothing of this kind.
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		writeJSON(w, http.StatusForbidden, map[string]string{"error": "another site cannot do that"})
		return
	}
	channel := "stream:hello"
	switch r.URL.Query().Get("channel") {
	case "", "hello":
	case "random":
		channel = "stream:random"
	default:
		writeJSON(w, http.StatusNotFound, map[string]string{"error": "the channels are hello and random"})
		return
	}
	id := "stream-" + strings.ToLower(rand.Text())
	var key string
	var member struct{ Position string }
	err := a.shaveet.call(r.Context(), &key, "create_client", named{"client_id": id})
	if err == nil {
		err = a.shaveet.call(r.Context(), &member, "subscribe", named{"client_id": id, "channel_name": channel, "position": true})
	}
	if err != nil {
		log.Printf("shaveet: %v", err)
		writeJSON(w, http.StatusBadGateway, map[string]string{"error": "the push server does not answer"})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"url": a.publicURL, "channel": channel, "clientId": id, "key": key,
		"clients": []any{map[string]string{"id": id, "key": key}}, "cursor": member.Position,
	})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}
