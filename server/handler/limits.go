package handler

import (
	"errors"
	"fmt"
	"time"
)

// Limits bound what one handler does and keeps. A zero field means the default
// that [DefaultLimits] gives it. The tags say what each one is, for
// configuration and its manual.
type Limits struct {
	HandlerTimeout         time.Duration `help:"how long the answer to what a socket says may take, the time it waits for its turn included"`
	HandlerMaxCalls        int           `help:"calls to one handler that are under way at once; others wait for their turn"`
	HandlerMaxWaitingBytes int           `help:"bytes of what sockets say that wait for one handler; beyond it they are told handler_busy; one event may be larger"`
	HandlerRetryTime       time.Duration `help:"for how long it is tried to tell a handler that a socket has left, or that a client has gone or is back"`
	HandlerMaxUndelivered  int           `help:"of these, how many may be undelivered for one handler, at 2 KiB each on the average; when there are more, the oldest is given up"`
}

// DefaultLimits returns the limits a handler has when nothing else is said.
func DefaultLimits() Limits {
	return Limits{
		HandlerTimeout:         5 * time.Second,
		HandlerMaxCalls:        64,
		HandlerMaxWaitingBytes: 32 << 20,
		HandlerRetryTime:       10 * time.Minute,
		HandlerMaxUndelivered:  100_000,
	}
}

// withDefaults fills the zero fields of l.
func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	orDefault(&l.HandlerTimeout, d.HandlerTimeout)
	orDefault(&l.HandlerMaxCalls, d.HandlerMaxCalls)
	orDefault(&l.HandlerMaxWaitingBytes, d.HandlerMaxWaitingBytes)
	orDefault(&l.HandlerRetryTime, d.HandlerRetryTime)
	orDefault(&l.HandlerMaxUndelivered, d.HandlerMaxUndelivered)
	return l
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate says all that is wrong with l, each limit named as configuration
// names it.
func (l Limits) Validate() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(l.HandlerTimeout >= time.Millisecond, `handler_timeout: must be at least 1ms, as in "5s"`)
	check(l.HandlerMaxCalls > 0, "handler_max_calls: must be more than 0")
	check(l.HandlerMaxWaitingBytes > 0, "handler_max_waiting_bytes: must be more than 0")
	check(l.HandlerRetryTime > 0, `handler_retry_time: must be more than 0, as in "10m"`)
	check(l.HandlerMaxUndelivered > 0, "handler_max_undelivered: must be more than 0")
	return errors.Join(faults...)
}
