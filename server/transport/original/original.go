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
	if errors.Is(err, transport.ErrDrain) {
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
	ctx, end := transport.Hold(r.Context(), h.opts.Timeout, h.opts.Drain)
	defer end()
	return poll.Next(ctx)
}

// write sends the whole answer and returns when the kernel has it.
func (h *Handler) write(w http.ResponseWriter, body []byte) (err error) {
	flushed := transport.Whole(w, h.opts.WriteTimeout, func() {
		answerHeader(w, len(body))
		_, err = w.Write(body)
	})
	return errors.Join(err, flushed)
}

func answerHeader(w http.ResponseWriter, length int) {
	transport.ScriptHeader(w)
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Content-Length", strconv.Itoa(length))
}
