// Package longpoll is the long poll for readers that hold their own position:
// the page asks for what is past its cursor, the server answers when there is
// something or after a while, with a new cursor, and the page asks again. It
// serves GET and POST, and GET also by JSONP.
package longpoll

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport"
)

// Options are what a [Handler] can be told. Zero fields mean the defaults.
type Options struct {
	Timeout      time.Duration // how long a poll is held at most; default 25 s
	Retry        time.Duration // who is sent away comes again after once to twice this; default 2 s
	WriteTimeout time.Duration // how long an answer may take to be written; default 10 s
	MaxClients   int           // clients in one poll; default 16
	MaxBody      int64         // bytes of a POST's body; default 64 KiB
	Logger       *slog.Logger  // default slog.Default()

	// Jitter spreads the times after which readers come again; default
	// [transport.Jitter].
	Jitter func(time.Duration) time.Duration

	// Drain, when it ends, has every poll answered at once, with the
	// connection closed. nil: never.
	Drain context.Context
}

func (o Options) withDefaults() Options {
	if o.Timeout == 0 {
		o.Timeout = 25 * time.Second
	}
	if o.Retry == 0 {
		o.Retry = 2 * time.Second
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = 10 * time.Second
	}
	if o.MaxClients == 0 {
		o.MaxClients = 16
	}
	if o.MaxBody == 0 {
		o.MaxBody = 64 << 10
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Jitter == nil {
		o.Jitter = transport.Jitter
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

// ServeHTTP answers one poll.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := poll{Handler: h, w: w, r: r}
	hello, err := p.read()
	if err != nil {
		// What is left of a body is not worth reading, and where the next
		// request begins is not left to whoever stands in between.
		if r.ContentLength != 0 {
			w.Header().Set("Connection", "close")
		}
		p.refuse(err)
		return
	}
	session, err := h.hub.Attach(r.Context(), hello.Clients, hello.Start("longpoll"))
	if errors.Is(err, hub.ErrBadCredentials) {
		p.tell(http.StatusNotFound, h.gone(hello.Clients))
		return
	}
	if err != nil {
		p.refuse(err)
		return
	}
	defer session.Close()
	b := p.await(session, hello.Wait)
	if r.Context().Err() != nil {
		return // nobody is there to read an answer
	}
	if p.tell(http.StatusOK, b) == nil {
		session.Commit()
	}
}

// gone is what readers are told who may not read for all their clients.
func (h *Handler) gone(creds []hub.Credentials) hub.Batch {
	var b hub.Batch
	named := make(map[string]bool)
	for _, c := range creds {
		if !named[c.ID] && !h.hub.Opens(c) {
			named[c.ID] = true
			b.Signals = append(b.Signals, hub.Signal{Type: hub.SignalGone, Client: c.ID})
		}
	}
	return b
}

// A poll is one request under way.
type poll struct {
	*Handler
	w        http.ResponseWriter
	r        *http.Request
	callback string // that the answer calls, "" if it is plain JSON
}

// read reads the request to its end.
func (p *poll) read() (transport.Hello, error) {
	if p.r.Method != http.MethodGet && p.r.Method != http.MethodPost {
		p.w.Header().Set("Allow", "GET, POST")
		return transport.Hello{}, &transport.Refusal{Status: http.StatusMethodNotAllowed,
			Type: "method_not_allowed", Message: "a poll is a GET or a POST request"}
	}
	query, err := url.ParseQuery(p.r.URL.RawQuery)
	if err != nil {
		return transport.Hello{}, invalid("the query string cannot be read")
	}
	if query.Has("callback") {
		name := query.Get("callback")
		if !transport.ValidCallback(name) {
			return transport.Hello{}, invalid("callback: must be the name of a function")
		}
		p.callback = name
	}
	return transport.ReadHello(p.r, query, transport.HelloLimits{Clients: p.opts.MaxClients, Body: p.opts.MaxBody})
}

func invalid(message string) error {
	return &transport.Refusal{Status: http.StatusBadRequest, Type: "invalid_request", Message: message}
}

// await waits for news, but not longer than the reader wants and a poll may
// take.
func (p *poll) await(s *hub.Session, wait time.Duration) hub.Batch {
	if wait == transport.NoWait || wait > p.opts.Timeout {
		wait = p.opts.Timeout
	}
	// The request has come whole. Were the deadline for that to pass while it
	// is held, net/http would take it for the peer hanging up.
	http.NewResponseController(p.w).SetReadDeadline(time.Time{})

	ctx, end := transport.Hold(p.r.Context(), wait, p.opts.Drain)
	defer end()
	b, _ := s.Next(ctx)
	if p.opts.Drain.Err() == nil {
		return b
	}
	p.w.Header().Set("Connection", "close")
	b = s.Collect() // something may have come in the same instant
	if !slices.ContainsFunc(b.Signals, endsSession) {
		b.Signals = append(b.Signals, hub.Signal{Type: hub.SignalDrain})
	}
	return b
}

// endsSession reports whether s is told by the session itself to who has to go.
func endsSession(s hub.Signal) bool {
	return s.Type == hub.SignalDrain || s.Type == hub.SignalSuperseded
}

// tell answers with a batch.
func (p *poll) tell(status int, b hub.Batch) error {
	body := make([]byte, 0, 512)
	if p.callback != "" {
		body = appendCall(body, p.callback)
	}
	return p.answer(status, transport.AppendBatch(body, &b, p.retry()))
}

// refuse answers a poll that cannot be held.
func (p *poll) refuse(err error) {
	refusal := transport.RefusalOf(err, p.retry())
	if refusal.Status == http.StatusInternalServerError && p.r.Context().Err() == nil {
		p.opts.Logger.Error("poll failed", "err", err)
	}
	refusal.Header(p.w.Header())
	var body []byte
	if p.callback != "" {
		body = appendCall(body, p.callback)
	}
	p.answer(refusal.Status, append(body, refusal.Body()...))
}

func (p *poll) retry() time.Duration { return p.opts.Jitter(p.opts.Retry) }

// answer sends the body, of which the call is still open if there is one, and
// does not wait for a reader that takes none of it. It returns when the kernel
// has all.
func (p *poll) answer(status int, body []byte) error {
	return transport.Whole(p.w, p.opts.WriteTimeout, func() {
		if p.callback == "" {
			transport.JSON(p.w, status, body)
			return
		}
		body = closeCall(body)
		transport.ScriptHeader(p.w)
		p.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		p.w.Write(body) // status 200: browsers run no script with another
	})
}
