package webhook

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"
)

// ReceiverOptions are what [Protect] needs.
type ReceiverOptions struct {
	// Secrets are those that a call may be signed with, mostly one. There must be
	// one, or all calls are refused.
	Secrets []string
	// MaxBodyBytes is how long a call may be; default 4 MiB.
	MaxBodyBytes int64
	// MaxIDs is how many calls are remembered; default 250,000, which take 30 MB.
	// When more come within five minutes, the time that a call may be old is
	// shorter.
	MaxIDs int
}

const (
	defaultMaxBody = 4 << 20
	defaultMaxIDs  = 250_000
)

// codeRepeated is the code of the error that a call is answered with which was
// answered before. To shaveet it is an answer: nothing is tried again.
const codeRepeated = -32000

// Protect returns a handler that hands on only calls that were signed with one of
// the secrets, are not older or younger than five minutes, and were not answered
// before. next can read the body of the request as if nobody had.
//
// A call that comes again because its answer was lost is answered with an error of
// JSON-RPC, since it has been performed. It is handed on once more if next has
// answered it with a status of 500 or above, or panicked; and while next has not
// answered at all, it is told to come later (503).
func Protect(next http.Handler, opts ReceiverOptions) http.Handler {
	opts.MaxBodyBytes = cmp.Or(opts.MaxBodyBytes, defaultMaxBody)
	opts.MaxIDs = cmp.Or(opts.MaxIDs, defaultMaxIDs)
	return &guard{next: next, opts: opts, heard: newMemory(opts.MaxIDs)}
}

type guard struct {
	next  http.Handler
	opts  ReceiverOptions
	heard *memory
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "a call is a POST", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, g.opts.MaxBodyBytes))
	if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
		http.Error(w, "the call is too long", http.StatusRequestEntityTooLarge)
		return
	} else if err != nil {
		http.Error(w, "the call has broken off", http.StatusBadRequest)
		return
	}
	now := time.Now()
	at, err := verify(g.opts.Secrets, r.Header, body, now)
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	id, ok := idOf(r.Header, body)
	if !ok {
		http.Error(w, "the call's id is not that of its header", http.StatusBadRequest)
		return
	}
	switch g.heard.take(id, at, now) {
	case isLate:
		http.Error(w, ErrTimestamp.Error(), http.StatusUnauthorized)
	case isUnderWay:
		http.Error(w, "the call is under way", http.StatusServiceUnavailable)
	case isAnswered:
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"jsonrpc": "2.0", "id": id,
			"error": map[string]any{"code": codeRepeated, "message": "this call was answered before"}})
	case isNew:
		g.serve(w, r, body, id)
	}
}

// serve hands a call on.
func (g *guard) serve(w http.ResponseWriter, r *http.Request, body []byte, id string) {
	answered := false
	defer func() { g.heard.done(id, answered) }() // also when it panics
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	status := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	g.next.ServeHTTP(status, r)
	answered = status.status < 500
}

// idOf returns the id of a call. That in the header is not signed, so it has to be
// that in the body.
func idOf(h http.Header, body []byte) (id string, ok bool) {
	var call struct {
		ID string `json:"id"`
	}
	ids := h.Values(HeaderID)
	if json.Unmarshal(body, &call) != nil || len(ids) != 1 || ids[0] == "" {
		return "", false
	}
	return call.ID, call.ID == ids[0]
}

// A statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
	begun  bool
}

func (w *statusWriter) WriteHeader(status int) {
	if !w.begun && status >= 200 {
		w.begun, w.status = true, status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(p)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
