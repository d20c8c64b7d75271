package redis

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// syncs are the callers who want to know that the state is not behind.
type syncs struct {
	mu      sync.Mutex // guards waiting
	waiting []chan error
	wake    chan struct{} // holds a token when there is one
}

func (s *syncs) wait(ctx context.Context) error {
	done := make(chan error, 1)
	s.mu.Lock()
	s.waiting = append(s.waiting, done)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *syncs) take() []chan error {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.waiting
	s.waiting = nil
	return all
}

// runSyncs asks where the log is, once for all who have asked meanwhile.
func (b *Broker) runSyncs(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			for _, done := range b.syncs.take() {
				done <- hub.ErrUnavailable
			}
			return context.Cause(ctx)
		case <-b.syncs.wake:
		}
		all := b.syncs.take()
		if len(all) == 0 {
			continue
		}
		b.counts.syncs.Add(1)
		err := b.catchUp(ctx)
		for _, done := range all {
			done <- err
		}
	}
}

// catchUp returns when all has been applied that is in the log now.
func (b *Broker) catchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	defer cancel()
	for {
		if done, err := b.tryCatchUp(ctx); done {
			return err
		}
		select {
		case <-ctx.Done():
			return hub.ErrUnavailable
		case <-time.After(20 * time.Millisecond): // the log is being looked for
		}
	}
}

func (b *Broker) tryCatchUp(ctx context.Context) (done bool, err error) {
	conn, _, err := b.connection()
	if err != nil {
		return false, err
	}
	w, err := b.where(ctx, conn)
	switch {
	case err != nil:
		return false, err
	case !w.own:
		b.loseLog()
		return false, nil
	}
	err = b.await(ctx, w)
	return !errors.Is(err, errOther), err
}

// await waits until the state is at w, or beyond. The error is errOther if it is
// of another epoch by then, or of one that came after that of w.
func (b *Broker) await(ctx context.Context, w whereabouts) error {
	b.mu.Lock()
	from := b.at.epoch
	b.mu.Unlock()
	for {
		b.mu.Lock()
		at, moved := b.at, b.moved
		b.mu.Unlock()
		switch {
		case at.ready && at.epoch == w.epoch && at.seq >= w.seq:
			return nil
		case at.ready && at.epoch == w.epoch:
			from = w.epoch
		case from == w.epoch || at.epoch != from:
			return errOther
		default:
			b.loseLog()
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return hub.ErrUnavailable
		}
	}
}
