// Package sse is Server-Sent Events for readers that hold their own position. A
// page needs nothing of ours: its browser's EventSource reads, remembers the
// position, and comes back with it by itself. What it speaks is the text/event-stream
// of the HTML standard, section 9.2.
package sse

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport"
)

// A Handler streams events. See docs/protocol.md for what it speaks.
type Handler struct{ host *transport.Host }

// New returns a handler that reads from h.
func New(h *hub.Hub, opts transport.Options) *Handler {
	return &Handler{transport.NewHost(h, opts)}
}

// ServeHTTP begins one stream of events.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	hello, query, err := h.host.Read(w, r)
	if err == nil {
		err = resume(&hello, r.Header)
	}
	if err != nil {
		h.host.Refuse(w, r, nil, err)
		return
	}
	feed := &events{retry: h.host.RetryTime()}
	if err := feed.Attach(r.Context(), h.host, hello, "sse", feed.encode); err != nil {
		h.refuse(w, r, query, hello, err)
		return
	}
	transport.StreamHeader(w, eventStream)
	h.host.Lot.Stream(&feed.Conn, w, r, feed, h.host.Beat(hello))
}

// refuse answers a reader that is not let in. An EventSource, which can give its
// key only in the query, comes back to what has ended well and to nothing else:
// so what passes is told it as a stream that ends, and what does not by the
// status that all programs of this kind know to mean that they are not to come
// back.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, query url.Values, hello transport.Hello, err error) {
	bare := query.Has("client_id")
	if bare && errors.Is(err, hub.ErrBadCredentials) {
		w.Header().Set("Cache-Control", "no-cache, no-store")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if bare && strings.Contains(r.Header.Get("Accept"), eventStream) {
		if refusal := h.host.RefusalOf(r.Context(), err); refusal.Retry > 0 {
			transport.StreamHeader(w, eventStream)
			w.Write(appendRetry(nil, refusal.Retry))
			return
		}
	}
	h.host.Refuse(w, r, hello.Clients, err)
}

const eventStream = "text/event-stream"

func appendRetry(dst []byte, d time.Duration) []byte {
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, d.Milliseconds(), 10)
	return append(dst, "\n\n"...)
}

// maxEventID is more than any id of ours has characters.
const maxEventID = 256

// resume has the reader go on after the last event that it has had, which it
// knows better than whoever once wrote the address. An id that is not of ours
// is a position of nowhere.
func resume(hello *transport.Hello, header http.Header) error {
	id := header.Get("Last-Event-ID")
	if id == "" {
		return nil
	}
	if len(id) > maxEventID {
		return &transport.Refusal{Status: http.StatusBadRequest, Type: "invalid_request", Message: "Last-Event-ID: is too long"}
	}
	at, err := hub.ParsePosition(id)
	if err != nil {
		at = nowhere
	}
	hello.At, hello.Now = at, false
	return nil
}

// nowhere is beyond the end of any log.
var nowhere = hub.Position{Epoch: 1, Seq: 1<<64 - 1}

// events are one reader's.
type events struct {
	transport.Feed
	retry time.Duration // after which its browser comes again; 0: it has been told
}

// encode appends what b tells as events. Signals have no position and come
// first, so that whoever loses the connection in between is told them again. A
// tick ends a batch that has any: messages belong together with the signals
// before them, and nothing else says where they end.
func (e *events) encode(dst []byte, b *hub.Batch, retry time.Duration, beat bool) []byte {
	if e.retry > 0 {
		dst = appendRetry(dst, e.retry)
		e.retry = 0
	}
	told := len(b.Signals) > 0
	for i := range b.Signals {
		dst = appendSignal(dst, &b.Signals[i], retry)
	}
	for _, m := range b.Messages {
		if transport.IsPresence(m) {
			told = true
			dst = appendEvent(dst, transport.PresenceName, hub.Position{}, transport.Modern(m))
		}
	}
	for _, m := range b.Messages {
		if !transport.IsPresence(m) {
			dst = append(dst, m.Encoding(transport.FormEvent, encodeMessage)...)
		}
	}
	if beat || told {
		dst = appendEvent(dst, "tick", b.Position, nil)
	}
	return dst
}

func encodeMessage(m *hub.Message) []byte {
	return appendEvent(nil, "", m.Position(), transport.AppendModern(nil, m))
}

func appendSignal(dst []byte, s *hub.Signal, retry time.Duration) []byte {
	var at hub.Position
	if s.Type == hub.SignalReset {
		at = s.From
	}
	return appendEvent(dst, transport.SignalName(s), at, transport.AppendSignal(nil, s, retry))
}

// appendEvent appends an event: kind "" is a message, and the zero position
// none. data is one line.
func appendEvent(dst []byte, kind string, at hub.Position, data []byte) []byte {
	if kind != "" {
		dst = append(dst, "event: "...)
		dst = append(dst, kind...)
		dst = append(dst, '\n')
	}
	if !at.IsZero() {
		dst = append(dst, "id: "...)
		dst = at.Append(dst)
		dst = append(dst, '\n')
	}
	dst = append(dst, "data: "...)
	dst = append(dst, data...)
	return append(dst, "\n\n"...)
}
