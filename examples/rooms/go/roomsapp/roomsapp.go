// Package roomsapp is the rooms example's back end as an http.Handler, so that
// it can run by itself (see ../main.go) or inside another program.
//
// It has the requests of the chat server that ends the gevent tutorial. Nothing
// is kept here: who is who, who is in which room and what was said there is
// Shaveet's (rooms.go), and Shaveet holds the polls.
package roomsapp

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/shaveet/shaveet/examples/rooms"
)

const (
	maxBody    = 32 << 10
	maxNameLen = 20   // characters
	maxTextLen = 2000 // characters
	pollTime   = "10000"
)

// Config says where Shaveet is.
type Config struct {
	RPCURL    string       // where this back end reaches the admin API; required
	PublicURL string       // where browsers reach Shaveet; empty: the page's own address
	Token     string       // the admin token, if Shaveet was given one
	Client    *http.Client // nil: one with a timeout of its own
	Rooms     []string     // nil: python and django, as in the tutorial
}

type app struct {
	publicURL string
	policy    string
	shaveet   *shaveet
	rooms     []string
	files     http.Handler
}

// New returns the handler. It can be mounted below any path with
// http.StripPrefix, because the pages use relative addresses only.
func New(c Config) http.Handler {
	a := &app{
		publicURL: strings.TrimRight(c.PublicURL, "/"),
		shaveet:   newShaveet(c),
		rooms:     c.Rooms,
		files:     http.FileServerFS(rooms.Page()),
	}
	a.policy = contentSecurityPolicy(a.publicURL)
	if len(a.rooms) == 0 {
		a.rooms = []string{"python", "django"}
	}
	mux := http.NewServeMux()
	// Names have no dots, so files are nobody's.
	for _, name := range []string{"rooms.css", "common.js", "poll.js", "choose.js", "main.js", "room.js"} {
		mux.Handle("GET /"+name, a.files)
	}
	mux.HandleFunc("GET /{$}", a.page("choose.html", nil))
	mux.HandleFunc("GET /{uid}", a.page("main.html", a.list))
	mux.HandleFunc("GET /{room}/{uid}", a.page("room.html", a.join))
	mux.HandleFunc("POST /put/{room}/{uid}", a.posted(a.put))
	mux.HandleFunc("POST /poll/{uid}", a.posted(a.poll))
	mustBePost := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", http.MethodPost)
		answer(w, nil, refuse(http.StatusMethodNotAllowed, "this must be a POST"))
	}
	mux.HandleFunc("GET /put/{room}/{uid}", mustBePost)
	if !slices.Contains(a.rooms, "poll") { // where it is a room's page
		mux.HandleFunc("GET /poll/{uid}", mustBePost)
	}
	return a.guard(mux)
}

// contentSecurityPolicy allows scripts from here, connections also to Shaveet
// (where a poll is sent on to), and nothing else.
func contentSecurityPolicy(publicURL string) string {
	connect := "'self'"
	if u, err := url.Parse(publicURL); err == nil && u.Host != "" {
		connect += " " + u.Scheme + "://" + u.Host
	}
	return "default-src 'none'; img-src data:; style-src 'self'; script-src 'self'; connect-src " + connect +
		"; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
}

// guard is before everything: headers that all answers have.
func (a *app) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", a.policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// fromElsewhere reports whether a page of another site or port asks. Browsers
// keep our cookie from other sites, but a site, there, is a host without its
// port. Programs that are no browsers say nothing of this kind.
func fromElsewhere(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site != "same-origin" && site != "none"
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || u.Host != r.Host
}

type handler func(http.ResponseWriter, *http.Request, visitor) (any, error)

// page answers with the page, which asks at the same address for what is to be
// seen, as JSON. Who only looks at the page has not come in yet.
func (a *app) page(file string, data handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, err := a.visitor(w, r)
		w.Header().Set("Vary", "Accept")
		if err == nil && data != nil && strings.Contains(r.Header.Get("Accept"), "application/json") {
			if fromElsewhere(r) {
				answer(w, nil, errElsewhere)
				return
			}
			value, err := data(w, r, who)
			answer(w, value, err)
			return
		}
		if err != nil {
			answer(w, nil, err)
			return
		}
		http.ServeFileFS(w, r, rooms.Page(), file)
	}
}

// posted answers a POST of a form by somebody who has been here before.
func (a *app) posted(f handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		err := r.ParseForm()
		if tooBig := (*http.MaxBytesError)(nil); errors.As(err, &tooBig) {
			answer(w, nil, refuse(http.StatusRequestEntityTooLarge, "too long"))
			return
		}
		switch {
		case err != nil:
			err = refuse(http.StatusBadRequest, "a form is expected")
		case fromElsewhere(r):
			err = errElsewhere
		case secretOf(r) == "":
			err = refuse(http.StatusForbidden, "open the page first: its cookie is missing")
		}
		var who visitor
		if err == nil {
			who, err = a.visitor(w, r)
		}
		var value any
		if err == nil {
			value, err = f(w, r, who)
		}
		answer(w, value, err)
	}
}

// visitor looks at the names in the address, and at the cookie. A browser
// without one gets one.
func (a *app) visitor(w http.ResponseWriter, r *http.Request) (visitor, error) {
	who := visitor{uid: r.PathValue("uid"), secret: secretOf(r)}
	if r.URL.Path != "/" && !ValidName(who.uid) {
		return who, refuse(http.StatusBadRequest, "a name has 1 to 20 letters, digits, spaces, - and _")
	}
	if room := r.PathValue("room"); room != "" && !slices.Contains(a.rooms, room) {
		return who, refuse(http.StatusNotFound, "no such room")
	}
	if who.secret == "" {
		who.secret = newSecret()
		// Lax and not Strict: who comes by a link must stay who they are. A site
		// that is served by https marks it Secure as well.
		http.SetCookie(w, &http.Cookie{Name: cookie, Value: who.secret, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	}
	return who, nil
}

// ValidName says whether somebody or a room can be called so: 1 to 20 letters
// and digits of any script, and - _ and spaces between them. No colon: it
// stands between a name and what was said.
func ValidName(name string) bool {
	if name == "" || !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxNameLen {
		return false
	}
	if name[0] == ' ' || name[len(name)-1] == ' ' {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return !unicode.In(r, unicode.L, unicode.M, unicode.Nd) && !strings.ContainsRune("-_ ", r)
	})
}

// plainText accepts 1 to limit characters without control characters; a
// message may have line breaks and tabs.
func plainText(s string, limit int) bool {
	if s == "" || !utf8.ValidString(s) || utf8.RuneCountInString(s) > limit {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' })
}
