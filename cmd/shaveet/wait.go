package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// What a command waits before it tries again: at first up to the shorter, in
// the end up to the longer time.
const (
	firstWait = 500 * time.Millisecond
	longWait  = 10 * time.Second
)

// A backoff counts the failures in a row, and says how long to wait after the
// next. Its zero value has seen none.
type backoff struct{ failures int }

// next is how long to wait after a failure. What the server advises, if it
// does, is random already.
func (b *backoff) next(err error) time.Duration {
	limit := min(firstWait<<min(b.failures, 10), longWait)
	b.failures++
	var status *statusError
	if errors.As(err, &status) && status.retryAfter > 0 {
		return status.retryAfter
	}
	return limit/2 + rand.N(limit/2)
}

func (b *backoff) reset() { b.failures = 0 }

// pause waits for d, or until ctx ends, and then returns its error.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
