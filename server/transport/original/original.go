// Package original is the long poll of 2010: the page asks, the server answers
// when it has something to say or after a while, and the page asks again. It
// serves CORS and JSONP alike, since the answer is always a script that calls
// the page's callback. Its pages hold no position; those that do use package
// longpoll.
package original

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport"
)

// Options are what a [Handler] can be told. Zero fields mean the defaults.
type Options struct {
	Timeout      time.Duration // how long a poll is held; default 25 s
	WriteTimeout time.Duration // how long an answer may take to be written; default 10 s
	MaxClients   int           // clients in one poll; default 16
	Logger       *slog.Logger  // default slog.Default()

	// Drain, when it ends, has every poll answered at once, with the
	// connection closed. nil: never.
	Drain context.Context
}

func (o Options) withDefaults() Options {
	if o.Timeout == 0 {
		o.Timeout = 25 * time.Second
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = 10 * time.Second
	}
	if o.MaxClients == 0 {
		o.MaxClients = 16
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Drain == nil {
		o.Drain = context.Background()
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

// Why a poll is answered before it has something to say.
var (
	errTimeout = errors.New("poll time is up")
	errDrain   = errors.New("server is going away")
)

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
		answerHeader(w, len(q.appendAnswer(nil, nil)))
		return
	}
	poll, err := h.hub.AttachPoll(r.Context(), q.credentials)
	if err != nil {
		h.refuse(w, q, err)
		return
	}
	defer poll.Close()

	messages, err := h.await(r, poll)
	if errors.Is(err, errDrain) {
		w.Header().Set("Connection", "close")
	}
	if r.Context().Err() != nil {
		return // nobody is there to read an answer
	}
	err = h.write(w, q.appendAnswer(nil, messages))
	// The messages count as taken only if the connection still stands when
	// the kernel has all of the answer. Else the next poll gets them again.
	poll.Done(err == nil && !transport.PeerGone(r.Context()))
}

// await waits for messages, but not longer than a poll may take.
func (h *Handler) await(r *http.Request, poll *hub.Poll) ([]*hub.Message, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	defer context.AfterFunc(h.opts.Drain, func() { cancel(errDrain) })()
	timer := time.AfterFunc(h.opts.Timeout, func() { cancel(errTimeout) })
	defer timer.Stop()
	return poll.Next(ctx)
}

// write sends the whole answer and returns when the kernel has it.
func (h *Handler) write(w http.ResponseWriter, body []byte) error {
	rc := http.NewResponseController(w)
	// Not every writer has deadlines; net/http's connections do.
	if err := rc.SetWriteDeadline(time.Now().Add(h.opts.WriteTimeout)); err == nil {
		defer rc.SetWriteDeadline(time.Time{})
	}
	answerHeader(w, len(body))
	if _, err := w.Write(body); err != nil {
		return err
	}
	return rc.Flush()
}

func answerHeader(w http.ResponseWriter, length int) {
	transport.ScriptHeader(w)
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Content-Length", strconv.Itoa(length))
}
