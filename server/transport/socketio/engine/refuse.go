package engine

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/shaveet/shaveet/server/transport/socketio/engineio"
	"github.com/shaveet/shaveet/server/wsframe"
)

// A fault is why a request is refused.
type fault struct {
	status int
	code   int // of the protocol
	text   string
}

// The faults.
var (
	unknownTransport = fault{http.StatusBadRequest, 0, "Transport unknown"}
	unknownSession   = fault{http.StatusBadRequest, 1, "Session ID unknown"}
	badMethod        = fault{http.StatusBadRequest, 2, "Bad handshake method"}
	badRequest       = fault{http.StatusBadRequest, 3, "Bad request"}
	forbidden        = fault{http.StatusForbidden, 4, "Forbidden"}
	badVersion       = fault{http.StatusBadRequest, 5, "Unsupported protocol version"}

	tooLarge          = fault{http.StatusRequestEntityTooLarge, 3, "Payload too large"}
	tooManyHandshakes = fault{http.StatusTooManyRequests, 4, "Too many handshakes"}
	tooManySessions   = fault{http.StatusServiceUnavailable, 4, "Too many sessions"}
	leaving           = fault{http.StatusServiceUnavailable, 4, "The server is about to end"}
)

// badHandshake is why a request is no handshake of a WebSocket.
func badHandshake(w http.ResponseWriter, err error) *fault {
	f := badRequest
	if refusal, ok := errors.AsType[*wsframe.Refusal](err); ok {
		refusal.Header(w.Header())
		f.status, f.text = refusal.Status, refusal.Text
	}
	return &f
}

// refuse answers a request with what is wrong. With HTTP/1, one that has a body
// is the last on its connection: where the next one begins is not left to whoever
// stands in between. A client that asks for a WebSocket reads no JSON.
func (c *call) refuse(f *fault) {
	if f.code != forbidden.code {
		c.counts.badRequests.Add(1)
	}
	h := c.w.Header()
	if c.r.ProtoMajor == 1 && (c.raise || c.r.ContentLength != 0) {
		h.Set("Connection", "close")
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if f.status == http.StatusTooManyRequests || f.status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	if c.raise {
		status := f.status
		if status == http.StatusForbidden {
			status = http.StatusBadRequest
		}
		h.Set("Content-Type", "text/plain; charset=UTF-8")
		c.write(status, []byte(f.text))
		return
	}
	h.Set("Content-Type", "application/json")
	c.write(f.status, fmt.Appendf(nil, `{"code":%d,"message":%q}`, f.code, f.text))
}

// head sets the headers of a poll's answer.
func (c *call) head(octets bool) {
	h := c.w.Header()
	h.Set("Cache-Control", "no-store")
	switch {
	case c.form.script:
		h.Set("Content-Type", "text/javascript; charset=UTF-8")
		h.Set("X-Content-Type-Options", "nosniff")
	case octets:
		h.Set("Content-Type", "application/octet-stream")
	default:
		h.Set("Content-Type", "text/plain; charset=UTF-8")
	}
}

// tell answers a poll at once.
func (c *call) tell(three bool, packets ...engineio.Packet) {
	wire := payload
	if three {
		wire = payload3
	}
	w := newWriter(wire, nil)
	for _, p := range packets {
		w.packet(p)
	}
	body := w.release()
	if c.form.script {
		body = engineio.AppendJSONP(nil, c.form.number, body)
	}
	c.head(false)
	c.write(http.StatusOK, body)
}

func (c *call) write(status int, body []byte) {
	c.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(status)
	c.w.Write(body) // should it get lost, the client asks again
}
