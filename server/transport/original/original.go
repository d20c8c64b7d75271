// Package original is the long poll of 2010: the page asks, the server answers
// when it has something to say or after a while, and the page asks again. It
// serves CORS and JSONP alike, since the answer is always a script that calls
// the page's callback. Its pages hold no position; those that do use package
// longpoll.
package original

import (
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/transport"
)

// Options are what a [Handler] can be told. Zero fields mean the defaults.
type Options struct {
	// Lot holds the polls, and says when it is time to go. It must not be nil.
	Lot *park.Lot

	Timeout    time.Duration // how long a poll is held; default 25 s
	MaxClients int           // clients in one poll; default 16
	Logger     *slog.Logger  // default slog.Default()
}

func (o Options) withDefaults() Options {
	if o.Timeout == 0 {
		o.Timeout = 25 * time.Second
	}
	if o.MaxClients == 0 {
		o.MaxClients = 16
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// A Handler answers long polls. See docs/protocol.md for what it speaks.
type Handler struct {
	hub  *hub.Hub
	opts Options
}

// New returns a handler that reads from h.
func New(h *hub.Hub, opts Options) *Handler { return &Handler{h, opts.withDefaults()} }

// ServeHTTP answers one poll. HEAD is answered as if there were nothing to
// say, at once; it consumes nothing.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		transport.Text(w, http.StatusMethodNotAllowed, "A poll is a GET request")
		return
	}
	q, err := parseQuery(r.URL.RawQuery, h.opts.MaxClients)
	if err != nil {
		transport.Text(w, http.StatusBadRequest, err.Error())
		return
	}
	if r.Method == http.MethodHead {
		answerHeader(w)
		w.Header().Set("Content-Length", strconv.Itoa(len(q.appendAnswer(nil, nil))))
		return
	}
	p := &poll{query: q}
	p.Certain = true
	if p.poll, err = h.hub.AttachPoll(r.Context(), q.credentials, p.Wake); err != nil {
		h.refuse(w, r, q, err)
		return
	}
	answerHeader(w)
	h.opts.Lot.Answer(&p.Conn, w, r, p, h.opts.Timeout)
}

// A poll is one request that is held: a [park.Tenant].
type poll struct {
	park.Conn
	query
	poll *hub.Poll
}

// Next answers with what there is, or with nothing when the time is up or the
// poll has been ended by the backend: the page asks again, and is told then what
// has become of its client.
func (p *poll) Next(dst []byte, why park.Event) (out []byte, end bool) {
	messages, err := p.poll.Collect()
	if len(messages) == 0 && err == nil && why == 0 {
		return dst, false
	}
	return p.appendAnswer(dst, messages), false
}

// Sent says that the messages are taken. They are so only if the connection
// still stands when the kernel has all of the answer; else the next poll gets
// them again.
func (p *poll) Sent() { p.poll.Done(true) }

func (p *poll) Closed(error) { p.poll.Close() }

func answerHeader(w http.ResponseWriter) {
	transport.ScriptHeader(w)
	w.Header().Set("Access-Control-Allow-Origin", "*")
}
