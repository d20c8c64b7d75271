// Package stream is HTTP streaming for readers that hold their own position: an
// answer that does not end, with one batch on each line.
package stream

import (
	"net/http"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport"
)

// A Handler streams. See docs/protocol.md for what it speaks.
type Handler struct{ host *transport.Host }

// New returns a handler that reads from h.
func New(h *hub.Hub, opts transport.Options) *Handler {
	return &Handler{transport.NewHost(h, opts)}
}

// ServeHTTP begins one stream.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	hello, _, err := h.host.Read(w, r)
	if err != nil {
		h.host.Refuse(w, r, nil, err)
		return
	}
	var feed transport.Feed
	if err := feed.Attach(r.Context(), h.host, hello, "stream", line); err != nil {
		h.host.Refuse(w, r, hello.Clients, err)
		return
	}
	transport.StreamHeader(w, "application/x-ndjson")
	h.host.Lot.Stream(&feed.Conn, w, r, &feed, h.host.Beat(hello))
}

func line(dst []byte, b *hub.Batch, retry time.Duration, _ bool) []byte {
	return append(transport.AppendSharedBatch(dst, b, retry), '\n')
}
