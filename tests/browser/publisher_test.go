package browser

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// strangers is how many bursts are said in a new life of the server before the
// publisher waits for the client to be known again.
const strangers = 4

// A publisher says numbered messages and keeps the ledger: where each is, or
// that nobody knows. What nobody knows it does not say again, for the server
// that may have had it is dead by then.
type publisher struct {
	admin    *admin
	truth    *truth
	channels []string
	burst    int           // most messages at once
	pause    time.Duration // between two bursts, on average
	rand     *rand.Rand

	mu      sync.Mutex // guards all below
	said    int        // how many numbers
	allowed int        // up to where it may go on
	life    int        // of the server, counted from 0
	busy    bool       // a request is under way
	dying   bool       // the server is being ended, or is not there
	changed chan struct{}
}

func (p *publisher) change(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do()
	close(p.changed)
	p.changed = make(chan struct{})
}

// wait waits until ok, which is called with the lock held.
func (p *publisher) wait(ctx context.Context, ok func() bool) bool {
	for {
		p.mu.Lock()
		done, changed := ok(), p.changed
		p.mu.Unlock()
		if done {
			return true
		}
		select {
		case <-changed:
		case <-time.After(50 * time.Millisecond): // what others have to tell is no change of ours
		case <-ctx.Done():
			return false
		}
	}
}

// run says so many numbers.
func (p *publisher) run(ctx context.Context, total int) error {
	life, bursts := 0, 0 // in this life
	for said := 0; said < total; bursts++ {
		var room int
		ready := p.wait(ctx, func() bool {
			if life != p.life {
				life, bursts = p.life, 0
			}
			room = p.allowed - p.said
			return room > 0 && !p.dying && (bursts < strangers || p.known())
		})
		if !ready {
			return context.Cause(ctx)
		}
		n := min(1+p.rand.IntN(p.burst), room, total-said)
		if err := p.say(ctx, n); err != nil {
			return err
		}
		said += n
		p.change(func() { p.said = said })
		select {
		case <-time.After(time.Duration(p.rand.Int64N(int64(2 * p.pause)))):
		case <-ctx.Done():
		}
	}
	return nil
}

// dies notes that the server is about to be ended: at once, if possible in the
// middle of a request.
func (p *publisher) dies(ctx context.Context) {
	p.wait(ctx, func() bool {
		p.dying = p.busy || p.said >= p.allowed
		return p.dying
	})
}

// known reports whether the client is on its channels, in this life. It is
// called with the lock held, or when nobody changes anything.
func (p *publisher) known() bool {
	p.truth.mu.Lock()
	defer p.truth.mu.Unlock()
	lives := p.truth.lives
	return p.life == len(lives)-1 && p.truth.entered[lives[p.life]] != nil
}

// say says the next n numbers. That fails only if the server lives: one that
// dies may have them or not.
func (p *publisher) say(ctx context.Context, n int) error {
	var life int
	p.change(func() { life, p.busy = p.life, true })
	defer p.change(func() { p.busy = false })
	all := make([]*saying, n)
	for i := range all {
		channel := p.channels[p.rand.IntN(len(p.channels))]
		all[i] = p.note(channel, life, p.rand.IntN(1<<p.rand.IntN(11)))
	}
	err := p.attempt(ctx, all)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil || p.dying || p.life > life {
		return nil
	}
	return fmt.Errorf("publishing to a server that lives: %w", err)
}

// sayLast says one more number on each channel.
func (p *publisher) sayLast(ctx context.Context) error {
	var all []*saying
	for _, channel := range p.channels {
		all = append(all, p.note(channel, p.life, 0))
	}
	return p.attempt(ctx, all)
}

func (p *publisher) note(channel string, life, pad int) *saying {
	p.truth.mu.Lock()
	defer p.truth.mu.Unlock()
	s := &saying{channel: channel, n: len(p.truth.said[channel]) + 1, pad: pad, life: life}
	p.truth.said[channel] = append(p.truth.said[channel], s)
	return s
}

// attempt publishes them and notes where they are.
func (p *publisher) attempt(ctx context.Context, all []*saying) error {
	type content struct {
		N   int    `json:"n"`
		Pad string `json:"pad"`
	}
	words := make([]map[string]any, len(all))
	for i, s := range all {
		words[i] = map[string]any{"channel": s.channel, "data": content{s.n, strings.Repeat("x", s.pad)},
			"publish_id": fmt.Sprint(s.channel, "-", s.n)}
	}
	var places []struct {
		Position position
		ID       uint64
		Repeated bool
		Error    *rpcError
	}
	if err := p.admin.do(ctx, "publish_many", map[string]any{"messages": words}, &places); err != nil {
		return err
	}
	p.truth.mu.Lock()
	defer p.truth.mu.Unlock()
	if len(places) != len(all) {
		return fmt.Errorf("%d places for %d messages", len(places), len(all))
	}
	for i, at := range places {
		switch s := all[i]; {
		case at.Error != nil:
			return at.Error
		case at.Repeated:
			p.truth.faults = append(p.truth.faults, fmt.Sprintf("%s %d is said to be a repeat", s.channel, s.n))
		default:
			s.pos, s.id = at.Position, at.ID
		}
	}
	return nil
}
