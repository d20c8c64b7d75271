// Package longpoll is the long poll for readers that hold their own position:
// the page asks for what is past its cursor, the server answers when there is
// something or after a while, with a new cursor, and the page asks again. It
// serves GET and POST, and GET also by JSONP.
package longpoll

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport"
)

// Options are what a [Handler] can be told. Zero fields mean the defaults.
type Options struct {
	transport.Options
	Timeout time.Duration // how long a poll is held at most; default 25 s
}

// A Handler answers long polls. See docs/protocol.md for what it speaks.
type Handler struct {
	host    *transport.Host
	timeout time.Duration
}

// New returns a handler that reads from h.
func New(h *hub.Hub, opts Options) *Handler {
	if opts.Timeout == 0 {
		opts.Timeout = 25 * time.Second
	}
	return &Handler{transport.NewHost(h, opts.Options), opts.Timeout}
}

// ServeHTTP answers one poll.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	hello, query, err := h.host.Read(w, r)
	callback, badName := callbackOf(query)
	if badName != nil {
		err = badName
	}
	if err != nil {
		h.refuse(w, r, hello, callback, err)
		return
	}
	poll := &poll{Feed: transport.Feed{Patient: true}}
	if err := poll.Attach(r.Context(), h.host, hello, "longpoll", encodingFor(callback)); err != nil {
		h.refuse(w, r, hello, callback, err)
		return
	}
	wait := hello.Wait
	if wait == transport.NoWait || wait > h.timeout {
		wait = h.timeout
	}
	if callback == "" {
		transport.JSONHeader(w)
	} else {
		transport.ScriptHeader(w)
	}
	h.host.Lot.Answer(&poll.Conn, w, r, poll, wait)
}

// A poll is held for one reader, and then its next, which differs by where it
// goes on. It is a [park.Regular].
type poll struct{ transport.Feed }

// Moving is part of [park.Regular].
func (p *poll) Moving() (name, value string) { return "cursor", p.At().String() }

// Again is part of [park.Regular].
func (p *poll) Again(cursor []byte) bool {
	at, err := hub.ParsePosition(string(cursor))
	return err == nil && p.Feed.Again(at)
}

// callbackOf returns the function that the answer is to call, "" for plain
// JSON.
func callbackOf(query url.Values) (string, error) {
	if !query.Has("callback") {
		return "", nil
	}
	name := query.Get("callback")
	if !transport.ValidCallback(name) {
		return "", &transport.Refusal{Status: http.StatusBadRequest, Type: "invalid_request",
			Message: "callback: must be the name of a function"}
	}
	return name, nil
}

// encodingFor is the encoding of an answer that calls the callback, if there is
// one.
func encodingFor(callback string) transport.Encoding {
	if callback == "" {
		return plain
	}
	return func(dst []byte, b *hub.Batch, retry time.Duration, _ bool) []byte {
		return appendCall(dst, callback, transport.AppendBatch(nil, b, retry))
	}
}

func plain(dst []byte, b *hub.Batch, retry time.Duration, _ bool) []byte {
	return transport.AppendBatch(dst, b, retry)
}

// refuse answers a poll that cannot be held. A script element sees no status,
// and browsers run no script with another than 200.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, hello transport.Hello, callback string, err error) {
	if callback == "" {
		h.host.Refuse(w, r, hello.Clients, err)
		return
	}
	var body []byte
	if errors.Is(err, hub.ErrBadCredentials) {
		gone := h.host.Gone(hello.Clients)
		body = transport.AppendBatch(nil, &gone, 0)
	} else {
		refusal := h.host.RefusalOf(r.Context(), err)
		refusal.Header(w.Header())
		body = refusal.Body()
	}
	body = appendCall(nil, callback, body)
	transport.ScriptHeader(w)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body) // should it get lost, the page asks again
}
