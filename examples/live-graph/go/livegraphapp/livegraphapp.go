// Package livegraphapp is the live graph example's back end as an http.Handler,
// so that it can run by itself (see ../main.go) or inside another program.
//
// It serves the pages and lets them in: each is a client of its own, which is
// subscribed to the channel that the producer's points are published on. The
// points themselves never come here.
package livegraphapp

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"html"
	"io/fs"
	"log"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/shaveet/shaveet/examples/live-graph"
)

const (
	channel = "graph" // as in ../../shaveet.toml
	newest  = 100     // as many points as a page shows
	most    = 1000    // as many as history answers at once
	maxBody = 4 << 10
	day     = 24 * 60 * 60 * 1000 // ms
)

// Config says where Shaveet is.
type Config struct {
	RPCURL    string       // where this back end reaches the admin API; required
	PublicURL string       // where browsers reach Shaveet; empty: the page's own address
	Token     string       // the admin token, if Shaveet was given one
	Client    *http.Client // nil: one with a timeout of its own
}

type app struct {
	publicURL string
	shaveet   *shaveet
	secret    []byte    // of this life of the back end
	odd       sync.Once // says that something was no point
}

// New returns the handler. It can be mounted below any path with
// http.StripPrefix, because the pages use relative addresses only.
func New(c Config) http.Handler {
	a := &app{publicURL: strings.TrimRight(c.PublicURL, "/"), shaveet: newShaveet(c), secret: make([]byte, 32)}
	rand.Read(a.secret)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.page("index.html"))
	mux.HandleFunc("GET /flot", a.page("flot.html"))
	for _, name := range files() {
		mux.Handle("GET /"+name, http.FileServerFS(livegraph.Page()))
	}
	mux.HandleFunc("POST /credentials", a.credentials)
	// Other sites cannot have us make clients.
	return http.NewCrossOriginProtection().Handler(mux)
}

// files are what pages load, by their paths.
func files() (all []string) {
	_ = fs.WalkDir(livegraph.Page(), ".", func(name string, d fs.DirEntry, _ error) error {
		if !d.IsDir() && !strings.HasSuffix(name, ".html") {
			all = append(all, name)
		}
		return nil
	})
	return all
}

// page puts Shaveet's address into a page, and allows scripts and connections
// from here and from Shaveet, nothing else.
func (a *app) page(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		text, err := fs.ReadFile(livegraph.Page(), name)
		if err != nil {
			http.Error(w, "no page", http.StatusInternalServerError)
			return
		}
		from, sockets := "'self'", ""
		if u, err := url.Parse(a.publicURL); err == nil && u.Host != "" {
			from += " " + u.Scheme + "://" + u.Host
			sockets = " ws" + strings.TrimPrefix(u.Scheme, "http") + "://" + u.Host // WebSockets are named apart
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Content-Security-Policy", "default-src 'self'; img-src 'self' data:; script-src "+from+
			"; connect-src "+from+sockets+"; base-uri 'none'; form-action 'none'; frame-ancestors 'self'")
		_, _ = strings.NewReplacer("__SHAVEET__", html.EscapeString(a.publicURL)).WriteString(w, string(text))
	}
}

// request is what a page sends that has been here before: who it is, and what
// proves it.
type request struct {
	ClientID string `json:"clientId"`
	Token    string `json:"token"`
}

// credentials let a page in. It asks when it opens, and again whenever Shaveet
// refuses what it has; so everything is set up anew each time, which changes
// nothing where it is set up already.
func (a *app) credentials(w http.ResponseWriter, r *http.Request) {
	var req *request
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&req); err != nil || req == nil {
		answer(w, http.StatusBadRequest, map[string]string{"error": "a short JSON object is expected"})
		return
	}
	// Who comes back stays who they were: what Shaveet still has for them they
	// get. And they get more points than they show: what they had not is a hole.
	points := most
	if !hmac.Equal([]byte(req.Token), []byte(a.token(req.ClientID))) {
		req.ClientID, points = "graph-"+rand.Text(), newest
	}
	result, err := a.letIn(r.Context(), req.ClientID, points)
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			log.Printf("shaveet: %v", err)
		}
		answer(w, http.StatusBadGateway, map[string]string{"error": "the push server does not answer"})
		return
	}
	answer(w, http.StatusOK, result)
}

// token is what only we can make of a client's id.
func (a *app) token(clientID string) string {
	sum := hmac.New(sha256.New, a.secret)
	sum.Write([]byte(clientID))
	return hex.EncodeToString(sum.Sum(nil))
}

// letIn makes a client, subscribes it, and only then asks for the newest
// points: so nothing falls between those and what comes live.
func (a *app) letIn(ctx context.Context, clientID string, newest int) (any, error) {
	var key string
	if err := a.shaveet.call(ctx, &key, "create_client", named{"client_id": clientID}); err != nil {
		return nil, err
	}
	if err := a.shaveet.call(ctx, nil, "subscribe", named{"client_id": clientID, "channel_name": channel}); err != nil {
		return nil, err
	}
	var history struct {
		Position string
		Messages []message
	}
	if err := a.shaveet.call(ctx, &history, "history", named{"channel": channel, "limit": newest, "reverse": true}); err != nil {
		return nil, err
	}
	points := []point{}
	for _, m := range slices.Backward(history.Messages) {
		if p, ok := m.point(); ok {
			points = append(points, p)
			continue
		}
		a.odd.Do(func() { log.Printf("passed over, as all others like it: no point of now: %.200s", m.Data) })
	}
	return map[string]any{
		"url": a.publicURL, "channel": channel, "clientId": clientID, "token": a.token(clientID),
		"key": key, "cursor": history.Position, "points": points,
	}, nil
}

type message struct {
	Data json.RawMessage
	Time int64 // Unix ms
}

type point struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// point is what was published, which may be anything, if it is a point of about
// its time. Others would be a hole of years, or all there is to see.
func (m message) point() (p point, ok bool) {
	var data struct{ X, Y *float64 }
	if err := json.Unmarshal(m.Data, &data); err != nil || data.X == nil || data.Y == nil {
		return point{}, false
	}
	return point{*data.X, *data.Y}, math.Abs(*data.X-float64(m.Time)) <= day
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}
