package rpcapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ServeHTTP answers POST on any path; who may call, and where, is decided
// before. The media type does not matter, since old clients send the wrong one.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, fmt.Sprintf("The method %s is not allowed here: the admin API takes POST.", r.Method))
		return
	}
	if text := unreadable(r.Header); text != "" {
		refuse(w, http.StatusUnsupportedMediaType, text)
		return
	}
	x := spare.Get().(*exchange)
	defer x.giveBack()
	var ok bool
	if x.body, ok = a.readBody(w, r, x.body[:0]); !ok {
		return
	}
	ctx := &lasting{Context: r.Context(), late: lateness{to: w, writes: a.opts.WriteTimeout}}
	x.answer, x.kept = a.handle(ctx, x.answer[:0], x.body)
	ctx.late.over()
	h := w.Header()
	h["Cache-Control"], h["Pragma"] = noCache, noCache
	if len(x.answer) == 0 {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	h["Content-Type"], h["Content-Length"] = jsonType, lengthOf(len(x.answer))
	if _, err := w.Write(x.answer); err != nil {
		x.answer = nil // HTTP/2 may still be at it
	}
}

// An exchange is the room that a request and its answer take, lent for that
// time.
type exchange struct {
	body, answer []byte
	kept         bool // somebody may still have a part of the body
}

var spare = sync.Pool{New: func() any { return new(exchange) }}

func (x *exchange) giveBack() {
	if x.kept || cap(x.body) > keptBytes {
		x.body = nil
	}
	if cap(x.answer) > keptBytes {
		x.answer = nil
	}
	x.kept = false
	spare.Put(x)
}

// Values of headers. Nobody writes to them: whoever adds one gets a list of
// its own.
var (
	noCache  = []string{"no-cache"}
	jsonType = []string{"application/json"}
	lengths  = newLengths()
)

func newLengths() (all []string) {
	for n := range 512 {
		all = append(all, strconv.Itoa(n))
	}
	return all
}

func lengthOf(n int) []string {
	if n < len(lengths) {
		return lengths[n : n+1 : n+1]
	}
	return []string{strconv.Itoa(n)}
}

// lasting is a request's context for what is done for it: what has come whole
// is done, whether or not its caller waits to hear.
type lasting struct {
	context.Context
	late lateness
}

// Deadline is part of [context.Context].
func (*lasting) Deadline() (_ time.Time, _ bool) { return }

// Done is part of [context.Context].
func (*lasting) Done() <-chan struct{} { return nil }

// Err is part of [context.Context].
func (*lasting) Err() error { return nil }

// Value is part of [context.Context].
func (c *lasting) Value(key any) any {
	if key == (latenessKey{}) {
		return &c.late
	}
	return c.Context.Value(key)
}

// unreadable says why a body with these headers cannot be read as UTF-8, if so.
func unreadable(h http.Header) string {
	for _, coding := range h["Content-Encoding"] {
		if coding != "" && !strings.EqualFold(strings.TrimSpace(coding), "identity") {
			return "The body must not be encoded or compressed."
		}
	}
	contentType := h.Get("Content-Type")
	if !strings.Contains(contentType, ";") {
		return ""
	}
	_, params, err := mime.ParseMediaType(contentType)
	charset := strings.ToLower(params["charset"])
	if err != nil && strings.Contains(strings.ToLower(contentType), "charset") {
		charset = "unknown"
	}
	switch charset {
	case "", "utf-8", "us-ascii":
		return ""
	}
	return "The charset of the body must be UTF-8."
}

// readBody reads the body within its limit, into b. When it cannot, it answers
// and returns false.
func (a *API) readBody(w http.ResponseWriter, r *http.Request, b []byte) (body []byte, ok bool) {
	if r.ContentLength > a.opts.MaxBody {
		refuseAndClose(w, http.StatusRequestEntityTooLarge, tooLargeText(a.opts.MaxBody))
		return b, false
	}
	// What is only announced is not paid for in advance beyond a modest size. One
	// byte more is room to see the end.
	b = slices.Grow(b, int(min(max(r.ContentLength, bytes.MinRead), 64<<10))+1)
	for {
		n, err := r.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case int64(len(b)) > a.opts.MaxBody:
			refuseAndClose(w, http.StatusRequestEntityTooLarge, tooLargeText(a.opts.MaxBody))
			return b, false
		case err == io.EOF:
			return b, true
		case err != nil:
			refuseAndClose(w, http.StatusBadRequest, "The body could not be read.")
			return b, false
		case len(b) == cap(b):
			b = slices.Grow(b, len(b))
		}
	}
}

func tooLargeText(limit int64) string {
	return fmt.Sprintf("The body must not be larger than %d bytes (max_body_bytes).", limit)
}

// refuse answers a request that is wrong as HTTP.
func refuse(w http.ResponseWriter, status int, sentence string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain")
	h.Set("Cache-Control", "no-cache")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, sentence+"\n")
}

// refuseAndClose is refuse for a body that has not been read to its end: what
// remains of it is not worth reading, and nobody need agree with us about where
// the next request would begin.
func refuseAndClose(w http.ResponseWriter, status int, sentence string) {
	w.Header().Set("Connection", "close")
	refuse(w, status, sentence)
}
