package handler

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/shaveet/shaveet/server/transport/socketio"
)

// tried notes how one try of a call went.
func (h *Handler) tried(err error) {
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled): // who knows
	case unreached(err):
		h.down.Store(true)
		if !h.saidDown.Load() && h.rare.allow() && !h.saidDown.Swap(true) {
			h.log.Warn("handler cannot be reached", "error", err)
		}
	default:
		if h.down.Swap(false) && h.saidDown.Swap(false) {
			h.log.Info("handler is reached again")
		}
		h.courier.reached()
	}
}

// ended notes how a call ended, and returns it as Connect does.
func (h *Handler) ended(method string, began time.Time, err error) error {
	result := resultOf(err)
	if h.opts.Observe != nil {
		h.opts.Observe(method, result, time.Since(began))
	}
	if refusal := (*socketio.Refusal)(nil); err == nil || errors.As(err, &refusal) {
		return err
	}
	// That it cannot be reached has been said once, and an error for the page is
	// none of ours.
	if result != "unavailable" && result != "canceled" && result != "refused" {
		h.report(method, result, err)
	}
	return failureOf(err)
}

// report says what is wrong, not more often than once a second.
func (h *Handler) report(method, result string, err error) {
	if h.rare.allow() {
		h.log.Warn("handler call failed", "method", method, "result", result, "error", err)
	}
}

// resultOf returns the word for how a call ended.
func resultOf(err error) string {
	a, refusal := (*Answered)(nil), (*socketio.Refusal)(nil)
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &refusal), errors.As(err, &a) && a.own():
		return "refused"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	return strings.TrimPrefix(failureOf(err).Kind(), "handler_")
}

// jitter returns between half of d and d: those who have lost the same backend do
// not all come back at once.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

// A rareLog lets one line a second through: a flood of failures must not become a
// flood of lines. All are counted.
type rareLog struct{ last atomic.Int64 }

func (l *rareLog) allow() bool {
	now := time.Now().Unix()
	last := l.last.Load()
	return now != last && l.last.CompareAndSwap(last, now)
}
