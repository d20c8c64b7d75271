package hub

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"
)

// TakeBack, as From of a [Take], gives back what was taken after UpTo, whoever
// has taken more since: what was lost with one answer is worth more than that
// nothing comes twice.
const TakeBack = math.MaxUint64

// A claim is an answer to a page of 2010 where the log is shared: before it is
// given, all who follow the log know that it is, since the next poll may come to
// any of them.
type claim struct {
	messages []*Message
	takes    []Take

	mu    sync.Mutex // guards all below
	state claimState
	over  bool // nobody waits for it any more
}

type claimState uint8

const (
	claimAsked claimState = iota
	claimGranted
	claimRefused
)

// ask has the messages claimed. The poll is woken when that is decided.
func (p *Poll) ask(messages []*Message) {
	epoch := p.hub.epochOf(p.life)
	c := &claim{messages: append([]*Message(nil), messages...)}
	for _, one := range p.clients {
		one.mu.Lock()
		from := one.takenUpTo()
		one.mu.Unlock()
		if from < p.end {
			c.takes = append(c.takes, Take{Client: one.id, From: from, UpTo: p.end})
		}
	}
	p.claim = c
	h := p.hub
	h.errands.run(func(ctx context.Context) {
		_, err := h.append(ctx, Command{Op: OpTake, Takes: c.takes, Within: epoch})
		if errors.Is(err, ErrUnavailable) { // it may be in the log all the same
			c.takeBack(ctx, h)
		}
		if c.decide(err == nil) {
			c.giveBack(h)
		}
		p.wake()
	})
}

// decide says whether the claim was granted, and reports whether it was in vain.
func (c *claim) decide(granted bool) (inVain bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = claimRefused
	if granted {
		c.state = claimGranted
	}
	return granted && c.over
}

func (c *claim) stateNow() claimState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// end says that nobody waits for the claim, and reports whether it was granted.
func (c *claim) end() (granted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	return c.state == claimGranted
}

// giveBack says that the answer was lost.
func (c *claim) giveBack(h *Hub) {
	h.errands.run(func(ctx context.Context) { c.takeBack(ctx, h) })
}

// takeBackPause is how long it takes until it is tried again to give back.
const takeBackPause = time.Second

// takeBack gives back what was claimed for each client, as soon as the log takes
// that.
func (c *claim) takeBack(ctx context.Context, h *Hub) {
	for _, t := range c.takes {
		back := []Take{{Client: t.Client, From: TakeBack, UpTo: t.From}}
		for {
			_, err := h.append(ctx, Command{Op: OpTake, Takes: back})
			if !errors.Is(err, ErrUnavailable) {
				break // it is done, or the client is no more
			}
			select {
			case <-time.After(takeBackPause):
			case <-ctx.Done():
				return // it is lost with the process
			}
		}
	}
}

// checkTake says if a page on another node was first.
func (h fold) checkTake(cmd *Command) error {
	if cmd.Within != 0 && cmd.Within != h.epoch.Load() {
		return &Error{Kind: Conflict, Name: cmd.Takes[0].Client, Text: "the log is another one"}
	}
	for _, t := range cmd.Takes {
		c := h.clients.get(t.Client)
		if c == nil {
			return unknownClient(t.Client)
		}
		c.mu.Lock()
		from := c.takenUpTo()
		c.mu.Unlock()
		if t.From != TakeBack && t.From != from {
			return &Error{Kind: Conflict, Name: t.Client, Text: "another answer has taken this"}
		}
	}
	return nil
}

// takes notes what pages have.
func (h fold) takes(e Entry) {
	for _, t := range e.Takes {
		c := h.before(t.Client, e.Last)
		if c == nil {
			continue
		}
		c.mu.Lock()
		taken := &c.rare().taken
		if t.From == TakeBack {
			taken.upTo = min(taken.upTo, t.UpTo)
		} else {
			taken.upTo = t.UpTo
		}
		c.mu.Unlock()
		h.touchClient(c)
	}
}
