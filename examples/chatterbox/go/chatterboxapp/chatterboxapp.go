// Package chatterboxapp is a web application of the chatterbox example, so that
// it can run by itself (see ../main.go) or inside another program, once or
// several times.
//
// Each serves the page to visitors of its own, takes what they say, and tells
// Shaveet by ZeroMQ (bus.go). What anybody has said, at whichever of them,
// Shaveet tells all pages; and all of them, which keep it for newcomers
// (lines.go).
package chatterboxapp

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/shaveet/shaveet/examples/chatterbox"
)

const (
	channel = "chatterbox" // as in ../../shaveet.toml
	maxBody = 32 << 10
	past    = 100 // messages that are asked for
)

// patience is how long it takes until a line that was said is heard, and then
// some more.
var patience = []time.Duration{300 * time.Millisecond, 2700 * time.Millisecond}

// Config says what the application is called and where Shaveet is.
type Config struct {
	Name      string       // is shown beside what is said here: at most 40 characters of it
	RPCURL    string       // where it reaches the admin API; required
	PublicURL string       // where browsers reach Shaveet; empty: the page's own address
	Token     string       // the admin token, if Shaveet was given one
	Pull, Pub string       // endpoints of Shaveet's ZeroMQ sockets; required
	Client    *http.Client // nil: one with a timeout of its own
	Logger    *slog.Logger // hears when the sockets come and go; nil: slog.Default()
}

// App is an http.Handler, for any number of requests at once, and the two
// sockets, which are connected while Run runs.
type App struct {
	http.Handler
	name, publicURL string
	shaveet         *shaveet
	bus             *bus
	lines           *lines
	secret          []byte // of this life of the application
}

// New returns the application. It can be mounted below any path with
// http.StripPrefix, because the page uses relative addresses only.
func New(c Config) (*App, error) {
	a := &App{publicURL: strings.TrimRight(c.PublicURL, "/"), shaveet: newShaveet(c), lines: newLines(), secret: make([]byte, 32)}
	name := []rune(c.Name)
	a.name = string(name[:min(len(name), limits["w"])])
	rand.Read(a.secret)
	var err error
	if a.bus, err = newBus(c, a.hear); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.page)
	for _, name := range []string{"chatterbox.css", "chatterbox.js", "say.js"} {
		mux.Handle("GET /"+name, http.FileServerFS(chatterbox.Page()))
	}
	mux.HandleFunc("POST /join", a.answer(a.join))
	mux.HandleFunc("POST /say", a.answer(a.say))
	// A page of another site may not have its visitors speak here.
	a.Handler = http.NewCrossOriginProtection().Handler(mux)
	return a, nil
}

// Run keeps the sockets connected until ctx ends, and returns when nothing of
// it is left. It is called once.
func (a *App) Run(ctx context.Context) { a.bus.run(ctx) }

// hear takes what comes from Shaveet's pub socket: a channel and a message.
func (a *App) hear(frames [][]byte) {
	var m message
	if len(frames) == 2 && string(frames[0]) == channel && json.Unmarshal(frames[1], &m) == nil {
		a.lines.add(m)
	}
}

// joined is what a page needs to listen (auth), to come back as who it was
// (token), and to begin with (lines).
type joined struct {
	Auth struct {
		ClientID string `json:"client_id"`
		Key      string `json:"key"`
		Cursor   string `json:"cursor"`
	} `json:"auth"`
	Token string `json:"token"`
	Lines []line `json:"lines"`
}

// join lets a page in, whenever it connects: Shaveet knows nobody after a
// restart, and what is set up already is not changed by this.
func (a *App) join(ctx context.Context, req fields) (any, error) {
	id, err := req.text("client_id")
	if err != nil {
		return nil, err
	}
	proof, err := req.text("token")
	if err != nil {
		return nil, err
	}
	// Who comes back stays who they were, so that their socket recovers.
	if !hmac.Equal([]byte(proof), []byte(a.token(id))) {
		id = "chatterbox-" + strings.ToLower(rand.Text())
	}
	in := joined{Token: a.token(id)}
	in.Auth.ClientID = id
	if err := a.shaveet.call(ctx, &in.Auth.Key, "create_client", named{"client_id": id}); err != nil {
		return nil, err
	}
	if err := a.shaveet.call(ctx, nil, "subscribe", named{"client_id": id, "channel_name": channel}); err != nil {
		return nil, err
	}
	if in.Auth.Cursor, err = a.remember(ctx); err != nil {
		return nil, err
	}
	in.Lines = a.lines.newest()
	return in, nil
}

// say says a line, and answers when it was heard: ZeroMQ has no receipts, but we
// are among those who hear.
func (a *App) say(ctx context.Context, req fields) (any, error) {
	said := saying{W: a.name}
	var err error
	if said.U, err = req.plain("u", ""); err != nil {
		return nil, err
	}
	if said.M, err = req.plain("m", "\n\t"); err != nil {
		return nil, err
	}
	if said.ID = rand.Text(); req["id"] != nil && req["id"] != "" {
		if said.ID, err = req.plain("id", ""); err != nil {
			return nil, err
		}
	}
	if a.lines.has(said.ID) {
		return nil, nil // a second attempt, and the first one came through
	}
	text, err := json.Marshal(said)
	if err != nil {
		return nil, fmt.Errorf("a line: %w", err)
	}
	if err := a.bus.say(text); err != nil {
		return nil, refuse(http.StatusBadGateway, "nothing was said: the push server is away")
	}
	for _, within := range patience {
		if a.lines.hears(ctx, said.ID, within) {
			return nil, nil
		}
		// We may be deaf: what is said while our socket is not connected does not come.
		_, _ = a.remember(ctx)
	}
	if !a.lines.has(said.ID) {
		return nil, refuse(http.StatusGatewayTimeout, "it is not known whether that was said; with the same id it can be said again")
	}
	return nil, nil
}

// remember takes over what Shaveet keeps, and returns where that ends: whoever
// goes on there misses nothing.
func (a *App) remember(ctx context.Context) (position string, err error) {
	var history struct {
		Messages []message // the newest first
		Position string
	}
	if err := a.shaveet.call(ctx, &history, "history", named{"channel": channel, "limit": past, "reverse": true}); err != nil {
		return "", err
	}
	for i := range history.Messages {
		a.lines.add(history.Messages[len(history.Messages)-1-i])
	}
	return history.Position, nil
}

// token is what only we can make of a client's id.
func (a *App) token(id string) string {
	sum := hmac.New(sha256.New, a.secret)
	sum.Write([]byte(id))
	return hex.EncodeToString(sum.Sum(nil))
}

// page puts Shaveet's address and our name into the page, and allows scripts and
// connections from here and from Shaveet, nothing else.
func (a *App) page(w http.ResponseWriter, _ *http.Request) {
	text, err := fs.ReadFile(chatterbox.Page(), "index.html")
	if err != nil {
		http.Error(w, "no page", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", contentSecurityPolicy(a.publicURL))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = strings.NewReplacer("__SHAVEET__", html.EscapeString(a.publicURL), "__NAME__", html.EscapeString(a.name)).WriteString(w, string(text))
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
