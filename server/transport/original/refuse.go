package original

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport"
)

// retryAfter is what a page is told to wait when it may try again.
const retryAfter = 2 // seconds

// refuse answers a poll that cannot be held.
//
// The answer has no CORS header: a page of 2010 would evaluate the text of an
// error it can read, and never poll again; one it cannot read it takes for a
// failure, and retries. Pages that say they understand errors (v=2) get them
// as a call of their callback, with the header; if they poll by JSONP, also
// with status 200, because browsers do not run scripts with another.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, q query, err error) {
	status, kind := http.StatusServiceUnavailable, "unavailable"
	var gone []string
	switch {
	case errors.Is(err, hub.ErrBadCredentials):
		status, kind = http.StatusNotFound, "gone"
		gone = h.refused(q.credentials)
	case errors.Is(err, hub.ErrLimitReached):
		status, kind = http.StatusTooManyRequests, "limit_reached"
	case !errors.Is(err, hub.ErrUnavailable) && r.Context().Err() == nil:
		h.opts.Logger.Error("poll failed", "err", err)
	}
	if status != http.StatusNotFound {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	}
	if !q.marked {
		transport.Text(w, status, http.StatusText(status))
		return
	}
	body := q.appendError(nil, status, kind, gone)
	answerHeader(w)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if q.jsonp {
		status = http.StatusOK
	}
	w.WriteHeader(status)
	w.Write(body) // should it get lost, the page asks again
}

// refused returns the ids whose credentials are wrong.
func (h *Handler) refused(creds []hub.Credentials) []string {
	var ids []string
	for _, c := range creds {
		if !h.hub.Opens(c) {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// appendError appends a call of the page's callback that tells an error. It
// cannot be taken for messages: those are arrays.
func (q *query) appendError(b []byte, status int, kind string, gone []string) []byte {
	b = q.appendCall(b)
	b = append(b, `{"error": {"code": `...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, `, "type": "`...)
	b = append(b, kind...)
	b = append(b, '"')
	if gone == nil {
		b = append(b, `, "retry_ms": `...)
		b = strconv.AppendInt(b, retryAfter*1000, 10)
	} else {
		b = append(b, `, "clients": [`...)
		for i, id := range gone {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = transport.AppendString(b, id)
		}
		b = append(b, ']')
	}
	return append(b, "}});"...)
}
