package hub

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// ErrGone ends a poll whose client was killed, or has another key now.
var ErrGone = errors.New("the client is gone")

// ErrDismissed ends a poll that the backend has asked to end.
var ErrDismissed = errors.New("the session has been disconnected")

// A Poll is one request of a page of 2010. Such pages hold no position, so
// each client keeps what they have taken, and only one answer at a time is
// under way for a client: of polls that overlap, each gets what the others
// have left, and every message goes to exactly one. Its methods are called by
// one goroutine at a time.
type Poll struct {
	*reader
	leased bool
	end    uint64 // everything up to here is in the answer under way
	handed int    // messages in it
	passed uint64 // up to here nothing that is left is for these clients, if others have to agree on what is taken
	life   uint32 // of the hub, that passed is of
	claim  *claim // what others have to agree on; nil: nothing
}

// AttachPoll begins a poll for the clients that creds name. With any wrong one
// the error is [ErrBadCredentials] and nothing has happened. ready is as in
// [Start]: who gives it waits by it, and not by Next. The caller must Close the
// poll.
func (h *Hub) AttachPoll(ctx context.Context, creds []Credentials, ready func()) (*Poll, error) {
	r, err := h.open(ctx, creds, Start{Transport: "message_updates", Ready: ready})
	if err != nil {
		return nil, err
	}
	// One order for all, so that of two polls for the same clients one gets
	// all of them.
	slices.SortFunc(r.clients, func(a, b *client) int { return strings.Compare(a.id, b.id) })
	r.poll = true
	return &Poll{reader: r}, nil
}

// Next returns what the clients have not taken yet, waiting for it if need be.
// After messages the caller says by Done how the answer fared. The error is
// [ErrGone], [ErrDismissed], or ctx's cause.
func (p *Poll) Next(ctx context.Context) ([]*Message, error) {
	for {
		batch, err := p.Collect()
		if len(batch) > 0 || err != nil {
			return batch, err
		}
		if err := p.await(ctx); err != nil {
			return nil, err
		}
	}
}

// Done ends the answer that Next began. If it was taken, by a connection that
// still stood when all of it had been written, nobody gets its messages again;
// otherwise the next poll does.
func (p *Poll) Done(taken bool) {
	if !p.leased {
		return
	}
	p.leased = false
	claim := p.claim
	p.claim = nil
	switch {
	case claim == nil && taken:
		p.taken()
	case claim != nil && !taken:
		claim.giveBack(p.hub)
	}
	if taken {
		p.hub.totals.batches.Add(1)
		p.hub.totals.delivered.Add(uint64(p.handed))
	}
	p.release(p.clients, !taken)
	p.giveBack()
}

// Close ends the poll; an answer under way counts as not taken. It may be
// called again.
func (p *Poll) Close() {
	p.Done(false)
	if p.claim != nil {
		if p.claim.end() {
			p.claim.giveBack(p.hub)
		}
		p.claim = nil
		p.release(p.clients, true)
	}
	p.close()
}

// Collect returns what the clients have not taken yet, without waiting; nothing
// also if another answer is under way, whose end is told as news. After messages
// the caller says by Done how the answer fared. The error is [ErrGone] or
// [ErrDismissed].
func (p *Poll) Collect() (messages []*Message, err error) {
	p.pending.Store(false)
	if p.dismissed.Load() {
		return nil, ErrDismissed
	}
	if p.claim != nil {
		switch p.claim.stateNow() {
		case claimAsked:
			return nil, nil
		case claimGranted:
			p.leased, p.handed = true, len(p.claim.messages)
			return p.claim.messages, nil
		}
		p.claim = nil
		p.release(p.clients, false)
	}
	if !p.lease() {
		return nil, nil
	}
	life := p.hub.life.Load()
	if p.life != life {
		p.life, p.passed = life, 0
	}
	p.borrow()
	defer func() {
		if len(messages) == 0 {
			p.giveBack()
		}
	}()
	for {
		top := p.hub.visible.Load()
		if !p.readMemberships() {
			p.release(p.clients, true)
			return nil, ErrGone
		}
		batch, cut := p.gather(top, nil)
		if len(batch) == 0 || life%2 == 1 || p.hub.life.Load() != life { // who replaces the state wakes everybody
			p.release(p.clients, false)
			return nil, nil
		}
		p.end = top
		if cut {
			p.end = batch[len(batch)-1].Seq
		}
		batch = p.withhold(batch, nil)
		p.handed = len(batch)
		switch {
		case len(batch) > 0 && p.hub.shared != nil:
			p.ask(batch)
			return nil, nil
		case len(batch) > 0:
			p.leased = true
			return batch, nil
		case p.hub.shared != nil:
			p.passed = p.end
		default:
			p.taken() // what is not for these clients is over without an answer
		}
	}
}

// readMemberships makes the sources of what the clients are members of, and
// reports whether all of them may still read.
func (p *Poll) readMemberships() (open bool) {
	p.sources = p.sources[:0]
	open = true
	for _, c := range p.clients {
		c.mu.Lock()
		open = open && c.openTo(p.reader)
		for _, m := range c.subs {
			if !m.channel.gone() {
				p.source(m, max(c.takenUpTo(), p.passed, m.since))
			}
		}
		c.mu.Unlock()
	}
	return open
}

// taken moves the clients to the end of the answer.
func (p *Poll) taken() {
	for _, c := range p.clients {
		c.mu.Lock()
		t := &c.rare().taken
		t.upTo = max(t.upTo, p.end)
		c.mu.Unlock()
	}
}

// lease takes the lease of all clients, or of none.
func (p *Poll) lease() bool {
	for i, c := range p.clients {
		c.mu.Lock()
		t := &c.rare().taken
		free := t.lease == nil
		if free {
			t.lease = p
		} else {
			t.wanted = true
		}
		c.mu.Unlock()
		if !free {
			p.release(p.clients[:i], false)
			return false
		}
	}
	return true
}

// release gives the leases back and wakes the polls that wait for one, or all
// polls if there is something for them.
func (p *Poll) release(clients []*client, news bool) {
	for _, c := range clients {
		c.mu.Lock()
		t := &c.rare().taken
		t.lease = nil
		others := news || t.wanted
		t.wanted = false
		c.mu.Unlock()
		if !others {
			continue
		}
		for _, r := range c.readers(nil) {
			if r != p.reader {
				r.wake()
			}
		}
	}
}
