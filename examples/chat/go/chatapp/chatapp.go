// Package chatapp is the chat example's back end as an http.Handler, so that
// it can run by itself (see ../main.go) or inside another program.
//
// It does what every back end beside Shaveet does: it decides who may join
// and who may speak, and tells Shaveet over JSON-RPC. What people read comes
// to their browsers from Shaveet, never from here.
package chatapp

import (
	"encoding/json"
	"errors"
	"html"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/shaveet/shaveet/examples/chat"
)

const (
	channel    = "chat"
	maxBody    = 16 << 10
	maxNameLen = 40   // characters
	maxTextLen = 2000 // characters
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
	people    *people
	page      fs.FS
}

// New returns the handler. It can be mounted below any path with
// http.StripPrefix, because the page uses relative addresses only.
func New(c Config) http.Handler {
	a := &app{
		publicURL: strings.TrimRight(c.PublicURL, "/"),
		shaveet:   newShaveet(c),
		people:    newPeople(),
		page:      chat.Page(),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.index)
	mux.Handle("GET /chat.css", http.FileServerFS(a.page))
	mux.Handle("GET /chat.js", http.FileServerFS(a.page))
	mux.HandleFunc("POST /join", a.answer(a.join))
	mux.HandleFunc("POST /say", a.answer(a.say))
	mux.HandleFunc("POST /leave", a.answer(a.leave))
	mux.HandleFunc("GET /members", a.answer(a.members))
	// A page of another site may not have its visitors join or speak here. Their
	// token keeps the rest from it.
	return http.NewCrossOriginProtection().Handler(mux)
}

// scriptFlags hands the page's own ?disableCORS=1 on to the library, so that
// JSONP can be tried in any browser.
func scriptFlags(r *http.Request) string {
	if r.URL.Query().Get("disableCORS") == "1" {
		return "?disableCORS=1"
	}
	return ""
}

// index puts Shaveet's address into the page, and allows scripts and
// connections from the page's own server and from Shaveet, nothing else.
func (a *app) index(w http.ResponseWriter, r *http.Request) {
	text, err := fs.ReadFile(a.page, "index.html")
	if err != nil {
		http.Error(w, "no page", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", contentSecurityPolicy(a.publicURL))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = strings.NewReplacer(
		"__SHAVEET__/static/shaveet.js", html.EscapeString(a.publicURL)+"/static/shaveet.js"+scriptFlags(r),
		"__SHAVEET__", html.EscapeString(a.publicURL),
	).WriteString(w, string(text))
}

func contentSecurityPolicy(publicURL string) string {
	from := "'self'"
	if u, err := url.Parse(publicURL); err == nil && u.Host != "" {
		from += " " + u.Scheme + "://" + u.Host
	}
	return "default-src 'self'; img-src 'self' data:; script-src " + from + "; connect-src " + from + "; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
}

// request is the body of every POST; each handler reads what it needs.
type request struct {
	Name     string `json:"name"`
	Text     string `json:"text"`
	ClientID string `json:"client_id"`
	Token    string `json:"token"`
}

// joined is what a browser needs to listen (client_id, key) and to speak
// (client_id, token). The key opens Shaveet and the token opens this back
// end, so that neither learns the other's secret from a log or a bug.
type joined struct {
	ClientID   string `json:"client_id"`
	Key        string `json:"key"`
	Token      string `json:"token"`
	Name       string `json:"name"`
	Channel    string `json:"channel"`
	ShaveetURL string `json:"shaveet_url"`
}

// join makes a person and subscribes them. Somebody who comes back with the
// right token, after Shaveet has restarted for example, stays who they were.
func (a *app) join(r *http.Request, req request) (any, error) {
	name := strings.TrimSpace(req.Name)
	if !plainText(name, maxNameLen) {
		return nil, refuse(http.StatusBadRequest, "a name has 1 to 40 printable characters")
	}
	if a.people.full() {
		if err := a.forgetTheGone(r); err != nil {
			return nil, err
		}
	}
	p, ok := a.people.welcome(name, req.ClientID, req.Token)
	if !ok {
		return nil, refuse(http.StatusServiceUnavailable, "the room is full")
	}
	key, err := a.shaveet.createClient(r.Context(), p.clientID)
	if err != nil {
		return nil, err
	}
	if err := a.shaveet.subscribe(r.Context(), p.clientID, channel); err != nil {
		return nil, err
	}
	return joined{p.clientID, key, p.token, p.name, channel, a.publicURL}, nil
}

// message is what is published. The name is filled in here and not by the
// browser, so nobody can speak as somebody else.
type message struct {
	Type string `json:"type"`
	Name string `json:"name"`
	Text string `json:"text"`
}

func (a *app) say(r *http.Request, req request) (any, error) {
	p, ok := a.people.verify(req.ClientID, req.Token)
	if !ok {
		return nil, errNotYou
	}
	text := strings.TrimSpace(req.Text)
	if !plainText(text, maxTextLen) {
		return nil, refuse(http.StatusBadRequest, "a message has 1 to 2000 printable characters")
	}
	return nil, a.shaveet.newMessage(r.Context(), p.clientID, message{"message", p.name, text}, channel)
}

// leave lets the others know at once; who just vanishes is noticed by
// Shaveet's sweeper a little later.
func (a *app) leave(r *http.Request, req request) (any, error) {
	if _, ok := a.people.verify(req.ClientID, req.Token); !ok {
		return nil, errNotYou
	}
	return nil, a.shaveet.killClient(r.Context(), req.ClientID)
}

type member struct {
	ClientID string `json:"client_id"`
	Name     string `json:"name"`
}

// members lists the room. Shaveet knows who is there, we know their names.
func (a *app) members(r *http.Request, _ request) (any, error) {
	ids, err := a.shaveet.channelClients(r.Context(), channel)
	if err != nil {
		return nil, err
	}
	list := []member{}
	for _, id := range ids {
		if name, ok := a.people.name(id); ok {
			list = append(list, member{id, name})
		}
	}
	return list, nil
}

func (a *app) forgetTheGone(r *http.Request) error {
	ids, err := a.shaveet.channelClients(r.Context(), channel)
	if err != nil {
		return err
	}
	a.people.keepOnly(ids)
	return nil
}

// plainText accepts 1 to limit characters without control characters; a
// message may have line breaks and tabs.
func plainText(s string, limit int) bool {
	if s == "" || !utf8.ValidString(s) || utf8.RuneCountInString(s) > limit {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\t'
	})
}

// refusal is an error that the browser is told about.
type refusal struct {
	status  int
	message string
}

func (r refusal) Error() string { return r.message }

func refuse(status int, message string) error { return refusal{status, message} }

var errNotYou = refuse(http.StatusForbidden, "wrong client_id or token")

// answer reads the JSON body, calls f and writes what it returns as JSON.
func (a *app) answer(f func(*http.Request, request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var req request
		err := decode(w, r, &req)
		var result any
		if err == nil {
			result, err = f(r, req)
		}
		switch known := (refusal{}); {
		case errors.As(err, &known):
			writeJSON(w, known.status, map[string]string{"error": known.message})
		case err != nil:
			writeJSON(w, http.StatusBadGateway, map[string]string{"error": "the push server does not answer"})
		case result == nil:
			w.WriteHeader(http.StatusNoContent)
		default:
			writeJSON(w, http.StatusOK, result)
		}
	}
}

func decode(w http.ResponseWriter, r *http.Request, req *request) error {
	if r.Method != http.MethodPost {
		return nil
	}
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(req)
	if tooBig := (*http.MaxBytesError)(nil); errors.As(err, &tooBig) {
		return refuse(http.StatusRequestEntityTooLarge, "too long")
	}
	if err != nil {
		return refuse(http.StatusBadRequest, "a JSON object is expected")
	}
	return nil
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}
