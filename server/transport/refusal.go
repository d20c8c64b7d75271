package transport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// A Refusal is why a reader is not served, fit for its eyes.
type Refusal struct {
	Status  int           // of HTTP
	Type    string        // a stable name for programs
	Message string        // one sentence for people
	Retry   time.Duration // after which it may come again; 0: there is no use in that
}

func (r *Refusal) Error() string { return r.Message }

// invalid is the refusal of a request that makes no sense.
func invalid(format string, args ...any) *Refusal {
	return &Refusal{Status: http.StatusBadRequest, Type: "invalid_request", Message: fmt.Sprintf(format, args...)}
}

// RefusalOf says what a reader is told of err. retry is for errors that pass.
// Of what is no fault of the reader it learns nothing: such a refusal has the
// status 500, and the log should have the rest.
func RefusalOf(err error, retry time.Duration) *Refusal {
	var known *Refusal
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, hub.ErrLimitReached):
		return &Refusal{http.StatusTooManyRequests, "limit_reached", err.Error(), retry}
	case errors.Is(err, hub.ErrUnavailable):
		return &Refusal{http.StatusServiceUnavailable, "unavailable", err.Error(), retry}
	case Left(err):
		return RefusalOf(hub.ErrUnavailable, retry)
	}
	return &Refusal{Status: http.StatusInternalServerError, Type: "internal", Message: "something is wrong with the server"}
}

// Left reports whether err is that a reader has left, or is out of time, while it
// was let in: then nothing is wrong.
func Left(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// Body returns the refusal as JSON.
func (r *Refusal) Body() []byte {
	type fault struct {
		Code    int    `json:"code"`
		Type    string `json:"type"`
		Message string `json:"message"`
		RetryMS int64  `json:"retry_ms,omitempty"`
	}
	b, err := json.Marshal(map[string]fault{"error": {r.Status, r.Type, r.Message, r.Retry.Milliseconds()}})
	if err != nil {
		panic(err) // it has nothing that could not be written
	}
	return b
}

// Header sets what HTTP readers are told beside the body: when to come again,
// in whole seconds.
func (r *Refusal) Header(h http.Header) {
	if r.Retry > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((r.Retry+time.Second-1)/time.Second), 10))
	}
}

// Jitter returns a random time of at least d and less than twice d, so that
// those who were sent away together do not come back together.
func Jitter(d time.Duration) time.Duration { return d + rand.N(max(d, 1)) }
