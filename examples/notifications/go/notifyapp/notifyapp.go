// Package notifyapp is the notifications example's back end as an
// http.Handler, so that it can run by itself (see ../main.go) or inside another
// program.
//
// It keeps the users and the notifications (store.go), tells Shaveet what is
// new (shaveet.go), and answers its page (here).
package notifyapp

import (
	"context"
	"encoding/json"
	"errors"
	"html"
	"io/fs"
	"log"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/shaveet/shaveet/examples/notifications"
)

// Config says where Shaveet is.
type Config struct {
	RPCURL    string       // where this back end reaches the admin API; required
	PublicURL string       // where browsers reach Shaveet
	Token     string       // the admin token, if Shaveet was given one
	Client    *http.Client // nil: one with a timeout of its own
}

const (
	cookie   = "notifications_session"
	everyone = "everyone" // the channel that all are on
	maxBody  = 16 << 10
)

type app struct {
	publicURL string
	shaveet   *shaveet
	store     *store
}

// New returns the handler. It serves a site of its own: the cookie is for all
// paths.
func New(c Config) http.Handler {
	a := &app{strings.TrimRight(c.PublicURL, "/"), newShaveet(c), newStore()}
	files := http.FileServerFS(notifications.Page())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.index)
	mux.Handle("GET /notifications.css", files)
	mux.Handle("GET /notifications.js", files)
	mux.HandleFunc("POST /login", a.login)
	mux.HandleFunc("POST /logout", a.logout)
	mux.HandleFunc("POST /credentials", a.inside(a.credentials))
	mux.HandleFunc("GET /notifications", a.inside(a.list))
	mux.HandleFunc("POST /notify", a.inside(a.notify))
	mux.HandleFunc("POST /read", a.inside(a.read))
	// Other sites cannot act for our users: SameSite keeps the cookie from them.
	// But a site, there, is a host without its port; so this refuses every POST
	// that a browser sends from another origin.
	return http.NewCrossOriginProtection().Handler(mux)
}

// index puts Shaveet's address into the page, and allows scripts and
// connections from here and from Shaveet, nothing else.
func (a *app) index(w http.ResponseWriter, _ *http.Request) {
	page, err := fs.ReadFile(notifications.Page(), "index.html")
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
	w.Header().Set("Content-Security-Policy", "default-src 'self'; img-src 'self' data:; script-src "+from+
		"; connect-src "+from+sockets+"; base-uri 'none'; form-action 'none'; frame-ancestors 'self'")
	_, _ = strings.NewReplacer("__SHAVEET__", html.EscapeString(a.publicURL)).WriteString(w, string(page))
}

// request is the body of every POST; each handler reads what it needs.
type request struct {
	Name     string `json:"name"`
	To       string `json:"to"`
	Everyone bool   `json:"everyone"`
	Text     string `json:"text"`
	Number   int    `json:"number"`
}

// login takes anybody at their word. A real site asks for more than a name,
// and marks its cookie Secure.
func (a *app) login(w http.ResponseWriter, r *http.Request) {
	var req request
	err := decode(w, r, &req)
	name := strings.TrimSpace(req.Name)
	if err == nil && !plainText(name, 40) {
		err = refuse(http.StatusBadRequest, "a name has 1 to 40 printable characters")
	}
	if err != nil {
		answer(w, nil, err)
		return
	}
	session, err := a.store.login(name)
	if err == nil {
		http.SetCookie(w, &http.Cookie{Name: cookie, Value: session, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
	}
	answer(w, map[string]string{"name": name}, err)
}

// logout also changes the key of whoever leaves: what this browser knew of
// Shaveet is void. The user's other browsers are refused as well, ask for
// credentials as they do then, and go on with the new key.
func (a *app) logout(w http.ResponseWriter, r *http.Request) {
	if u, ok := a.store.logout(session(r)); ok {
		if err := a.shaveet.call(r.Context(), nil, "rotate_key", named{"client_id": u.channel()}); err != nil {
			log.Printf("the key of %q stays: %v", u.name, err)
		}
	}
	http.SetCookie(w, &http.Cookie{Name: cookie, Path: "/", MaxAge: -1})
	answer(w, nil, nil)
}

// credentials are what a page connects with. A page asks for them when it
// opens, and again whenever Shaveet refuses those it has; so everything is set
// up anew each time, which changes nothing where it is set up already.
func (a *app) credentials(ctx context.Context, u user, _ request) (any, error) {
	var client, member struct{ Key, Position string }
	if err := a.shaveet.call(ctx, &client, "create_client", named{"client_id": u.channel(), "position": true}); err != nil {
		return nil, err
	}
	channels := []string{u.channel(), everyone}
	for _, channel := range channels {
		if err := a.shaveet.call(ctx, &member, "subscribe", named{"client_id": u.channel(), "channel_name": channel, "position": true}); err != nil {
			return nil, err
		}
	}
	a.publish(ctx)
	return map[string]any{"url": a.publicURL, "clientId": u.channel(), "key": client.Key, "cursor": member.Position, "channels": channels}, nil
}

func (a *app) list(_ context.Context, u user, _ request) (any, error) { return a.store.list(u), nil }

func (a *app) notify(ctx context.Context, u user, req request) (any, error) {
	text := strings.TrimSpace(req.Text)
	if !plainText(text, 500) {
		return nil, refuse(http.StatusBadRequest, "a notification has 1 to 500 printable characters")
	}
	n, err := a.store.add(u, strings.TrimSpace(req.To), req.Everyone, text)
	if err != nil {
		return nil, err
	}
	return map[string]any{"number": n.Number, "live": a.publish(ctx)}, nil
}

// publish tells Shaveet what it has not been told yet, and reports whether it
// could. What it could not is told the next time. Who does not know whether an
// attempt came through (the answer was lost, or another request does the same
// at this moment) just tries again: with the same publish id it is said once.
func (a *app) publish(ctx context.Context) bool {
	for _, n := range a.store.unsaid() {
		err := a.shaveet.call(ctx, nil, "publish", named{"channel": n.channel, "data": n, "publish_id": n.publishID})
		if err != nil {
			log.Printf("notification %d waits: %v", n.Number, err)
			return false
		}
		a.store.said(n)
	}
	return true
}

// read also tells the user's other tabs. If that fails they find out with
// their next list, so it is not tried again.
func (a *app) read(ctx context.Context, u user, req request) (any, error) {
	news := named{"type": "read", "number": a.store.read(u, req.Number)}
	if err := a.shaveet.call(ctx, nil, "publish", named{"channel": u.channel(), "data": news}); err != nil {
		log.Printf("other tabs of %q are not told: %v", u.name, err)
	}
	return news, nil
}

// inside answers a user who is logged in with what f returns.
func (a *app) inside(f func(context.Context, user, request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		u, ok := a.store.user(session(r))
		if !ok {
			answer(w, nil, refuse(http.StatusUnauthorized, "log in first"))
			return
		}
		var req request
		err := decode(w, r, &req)
		var result any
		if err == nil {
			result, err = f(r.Context(), u, req)
		}
		answer(w, result, err)
	}
}

func session(r *http.Request) string {
	if c, err := r.Cookie(cookie); err == nil {
		return c.Value
	}
	return ""
}

func decode(w http.ResponseWriter, r *http.Request, req *request) error {
	if r.Method != http.MethodPost {
		return nil
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(req); err != nil {
		return refuse(http.StatusBadRequest, "a short JSON object is expected")
	}
	return nil
}

// plainText accepts 1 to limit characters, none of them a control character.
func plainText(s string, limit int) bool {
	return s != "" && utf8.ValidString(s) && utf8.RuneCountInString(s) <= limit && !strings.ContainsFunc(s, unicode.IsControl)
}

// refusal is an error that the browser is told about.
type refusal struct {
	status  int
	message string
}

func (r refusal) Error() string { return r.message }

func refuse(status int, message string) error { return refusal{status, message} }

func answer(w http.ResponseWriter, value any, err error) {
	status := http.StatusOK
	switch known := (refusal{}); {
	case errors.As(err, &known):
		status, value = known.status, map[string]string{"error": known.message}
	case err != nil:
		log.Printf("shaveet: %v", err)
		status, value = http.StatusBadGateway, map[string]string{"error": "the push server does not answer"}
	case value == nil:
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}
