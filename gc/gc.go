// Package gc is the sweeper: it decides when to look for what nobody needs any
// more, and has the hub let go of it.
package gc

import (
	"context"
	"errors"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// A Hub is what the sweeper sweeps. [hub.Hub] is one.
type Hub interface {
	Expire(ctx context.Context, idle hub.Idle, max int) (gone int, more bool, err error)
	EvictAged(max int) (more bool)
	Tidy(ctx context.Context) error
}

// Options say how to sweep. Zero fields mean the defaults.
type Options struct {
	Interval time.Duration // between two looks for idle clients; default 10 s
	IdleTime time.Duration // a client without a session is let go after this; default 25 s
	MinAge   time.Duration // but not before it is this old; default 60 s
	Swept    func(Sweep)   // told of every sweep when it ends; may be nil
}

// A Sweep says what one sweep did. There is one a second, of which some look
// for idle clients, and those after a pause for nothing at all.
type Sweep struct {
	LetGo int           // clients
	Took  time.Duration // wall time
	Err   error         // why it ended early, if it did
}

// tick is how often messages are aged and empty channels dropped.
const tick = time.Second

// step is how many clients or messages are looked at between two glances at
// the context.
const step = 1000

// A Sweeper sweeps one hub.
type Sweeper struct {
	hub  Hub
	opts Options
	// spared is the time before which nobody is let go and nothing ages:
	// the process was paused, and nobody could poll, read or come back
	// meanwhile.
	spared time.Time
}

// New returns a sweeper for h.
func New(h Hub, opts Options) *Sweeper {
	if opts.Interval == 0 {
		opts.Interval = 10 * time.Second
	}
	if opts.IdleTime == 0 {
		opts.IdleTime = 25 * time.Second
	}
	if opts.MinAge == 0 {
		opts.MinAge = 60 * time.Second
	}
	if opts.Swept == nil {
		opts.Swept = func(Sweep) {}
	}
	return &Sweeper{hub: h, opts: opts}
}

// Run sweeps until ctx ends, or the hub's log fails. While the log is only not
// available, everything waits for a later sweep.
func (s *Sweeper) Run(ctx context.Context) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	last := time.Now()
	swept := last
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
		// The ticker's own time is when the tick was due; what counts is when
		// we got to run. A gap means that the whole process stood still.
		now := time.Now()
		if now.Sub(last) > 2*tick {
			s.spared = now.Add(s.opts.IdleTime)
		}
		last = now
		due := now.Sub(swept) >= s.opts.Interval
		if due {
			swept = now
		}
		var sweep Sweep
		sweep.LetGo, sweep.Err = s.sweep(ctx, now, due)
		sweep.Took = time.Since(now)
		s.opts.Swept(sweep)
		if err := sweep.Err; err != nil && !errors.Is(err, hub.ErrUnavailable) {
			return err
		}
		// A long sweep is our own doing, not a pause.
		last = time.Now()
	}
}

func (s *Sweeper) sweep(ctx context.Context, now time.Time, clients bool) (letGo int, err error) {
	if now.Before(s.spared) {
		return 0, nil
	}
	for s.hub.EvictAged(step) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
	}
	if clients {
		if letGo, err = s.expire(ctx); err != nil {
			return letGo, err
		}
	}
	return letGo, s.hub.Tidy(ctx)
}

func (s *Sweeper) expire(ctx context.Context) (letGo int, err error) {
	idle := hub.Idle{After: s.opts.IdleTime, MinAge: s.opts.MinAge}
	for more := true; more; {
		var n int
		n, more, err = s.hub.Expire(ctx, idle, step)
		letGo += n
		if err != nil {
			return letGo, err
		}
	}
	return letGo, nil
}
