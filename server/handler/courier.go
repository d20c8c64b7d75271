package handler

import (
	"container/heap"
	"container/list"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// A courier delivers notes. Those about one subject stand in a line, and are
// delivered one after the other; lines are tried in the order in which they came,
// several at once. A note that fails is tried again after a pause that doubles.
// While none comes through, all lines wait, too, and after each pause one of them
// is tried.
type courier struct {
	h      *Handler
	ctx    context.Context
	cancel context.CancelFunc
	wake   chan struct{} // holds a token when there is something to look at
	told   atomic.Int64  // when it was last logged that notes are given up; unix seconds

	mu        sync.Mutex // guards all below; of other locks only that of the serials is taken under it
	all       list.List  // of *note, the oldest first
	bytes     int        // of them
	lines     map[subject]*line
	ready     list.List // of *line: those whose first note can be tried
	later     pauses    // those whose first note has failed
	flying    int       // notes under way
	failures  int       // in a row
	unreached bool      // the last of them was that nobody could be reached
	resume    time.Time // no try before, after failures
	waiters   int
	ended     chan struct{} // closed when the goroutine has ended; nil: there is none
	closed    bool
	givenUp   uint64
	untold    uint64 // of those: not logged yet
}

// The pauses between two tries of a note. A line that somebody waits for is
// tried again sooner.
const (
	firstNotePause   = 100 * time.Millisecond
	longestNotePause = 10 * time.Second
	awaitedPause     = 500 * time.Millisecond
)

// enoughHeard is how many tries of a note that somebody waits for the backend has to
// hear, and answer with something that makes no sense, until it counts as told: who
// cannot answer that somebody has left shuts nobody out.
const enoughHeard = 3

// bytesPerNote is how much notes may have on the average when there are as many
// as there may be.
const bytesPerNote = 2 << 10

func newCourier(h *Handler) *courier {
	c := &courier{h: h, wake: make(chan struct{}, 1), lines: make(map[subject]*line)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// signal has the goroutine look at what there is.
func (c *courier) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// add has a note be delivered. It does not block.
func (c *courier) add(n *note) {
	n.size = n.cost()
	c.mu.Lock()
	defer c.mu.Unlock()
	n.node, n.serial = c.h.opts.Node, c.h.serials.take()
	if c.closed {
		c.givenUp++
		return
	}
	n.place = c.all.PushBack(n)
	c.bytes += n.size
	l := c.lines[n.about]
	if l == nil {
		l = &line{about: n.about}
		c.lines[n.about] = l
		l.place = c.ready.PushBack(l)
	}
	l.notes = append(l.notes, n)
	c.makeRoom()
	if c.ended == nil {
		c.ended = make(chan struct{})
		go c.run(c.ended)
	}
	c.signal()
}

// run delivers until there is nothing more.
func (c *courier) run(ended chan<- struct{}) {
	defer close(ended)
	over := c.ctx.Done()
	for {
		pause, more := c.turn()
		c.confess()
		if !more {
			return
		}
		var timer <-chan time.Time
		if pause > 0 {
			timer = time.After(pause)
		}
		select {
		case <-c.wake:
		case <-timer:
		case <-over:
			over = nil // what is under way comes back by the signal
		}
	}
}

// turn has notes be tried whose time has come. It returns how long nothing will
// happen by itself, 0 for ever, and whether anything is left to do.
func (c *courier) turn() (pause time.Duration, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.expire(now)
	for len(c.later) > 0 && !c.later[0].at.After(now) {
		if l := heap.Pop(&c.later).(*line); l.waiters > 0 {
			l.place = c.ready.PushFront(l)
		} else {
			l.place = c.ready.PushBack(l)
		}
	}
	most := max(1, c.h.limits.Load().HandlerMaxCalls/2) // events have their turn, too
	over := c.ctx.Err() != nil
	for !over && c.ready.Len() > 0 && c.flying < most && !now.Before(c.resume) {
		l := c.ready.Remove(c.ready.Front()).(*line)
		l.place, l.flying = nil, true
		c.flying++
		go c.deliver(l, l.notes[0], c.failures)
		if c.failures > 0 { // the next one does not wait for this one's time-out
			c.resume = now.Add(c.pause(c.failures, c.waiters > 0))
		}
	}
	if over && c.flying == 0 {
		for c.all.Len() > 0 {
			c.giveUp(c.all.Front().Value.(*note))
		}
	}
	if c.all.Len() == 0 && c.flying == 0 {
		c.ended = nil
		return 0, false
	}
	return c.untilNext(now), true
}

// untilNext returns how long it is until something has to be done. c.mu is held.
func (c *courier) untilNext(now time.Time) time.Duration {
	var next time.Time
	sooner := func(t time.Time) {
		if t.After(now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if len(c.later) > 0 {
		sooner(c.later[0].at)
	}
	sooner(c.resume)
	if n := c.oldest(); n != nil {
		sooner(n.at.Add(c.h.limits.Load().HandlerRetryTime))
	}
	if next.IsZero() {
		return 0
	}
	return next.Sub(now)
}

// deliver tries a note. It waits for its turn as long as that takes.
func (c *courier) deliver(l *line, n *note, round int) {
	began := time.Now()
	err := c.h.gate.enter(c.ctx, 0)
	if err == nil {
		err = c.call(n)
		c.h.tried(err)
		c.h.ended(n.method, began, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flying--
	l.flying = false
	c.signal()
	if answered(err) {
		c.failures, c.resume = 0, time.Time{}
		c.done(l, n)
		return
	}
	c.failed(l, n, round, err)
}

// done takes a note that counts as told off its line. c.mu is held.
func (c *courier) done(l *line, n *note) {
	c.remove(n)
	if len(l.notes) > 0 {
		l.place = c.ready.PushBack(l)
	}
}

func (c *courier) call(n *note) error {
	defer c.h.gate.leave()
	ctx, cancel := context.WithTimeout(c.ctx, c.h.limits.Load().HandlerTimeout)
	defer cancel()
	_, err := c.h.caller.Call(ctx, n.call())
	return err
}

// failed has a note, and all, be tried again later. c.mu is held.
func (c *courier) failed(l *line, n *note, round int, err error) {
	n.tries++
	switch {
	case !unreached(err) && !errors.Is(err, context.DeadlineExceeded) && c.ctx.Err() == nil:
		c.failures, c.resume = 0, time.Time{} // somebody is there: only this line waits
		if n.heard++; n.heard >= enoughHeard && l.waiters > 0 {
			c.done(l, n)
			return
		}
	case round == c.failures: // not for each of several that have failed together
		c.failures++
	}
	c.unreached = unreached(err)
	l.at = time.Now().Add(c.pause(n.tries, l.waiters > 0))
	heap.Push(&c.later, l)
}

// pause returns how long to wait after so many failures. c.mu is held.
func (c *courier) pause(failures int, awaited bool) time.Duration {
	most := longestNotePause
	if awaited || c.closed {
		most = awaitedPause
	}
	return jitter(min(firstNotePause<<min(failures-1, 10), most))
}

// reached notes that somebody has answered: if nobody could be reached before, it
// is worth another try.
func (c *courier) reached() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failures > 0 && c.unreached {
		c.resume = time.Time{}
		c.signal()
	}
}

// wait waits until nothing is left to tell about a socket.
func (c *courier) wait(ctx context.Context, socket string) error {
	c.mu.Lock()
	l := c.lines[subject{id: socket}]
	if l == nil {
		c.mu.Unlock()
		return nil
	}
	if l.gone == nil {
		l.gone = make(chan struct{})
	}
	l.waiters++
	c.waiters++
	c.hurry(l)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		l.waiters--
		c.waiters--
	}()
	select {
	case <-l.gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hurry has a line be tried soon, and first. c.mu is held.
func (c *courier) hurry(l *line) {
	soon := time.Now().Add(jitter(awaitedPause))
	if c.resume.After(soon) {
		c.resume = soon
	}
	switch {
	case l.place != nil:
		c.ready.MoveToFront(l.place)
	case !l.flying:
		heap.Remove(&c.later, l.index)
		l.place = c.ready.PushFront(l)
	}
	c.signal()
}

// close is [Handler.Close].
func (c *courier) close(ctx context.Context) (givenUp int) {
	c.mu.Lock()
	before := c.givenUp
	c.closed = true
	c.resume = time.Time{}
	for len(c.later) > 0 {
		l := heap.Pop(&c.later).(*line)
		l.place = c.ready.PushBack(l)
	}
	ended := c.ended
	c.signal()
	c.mu.Unlock()
	if ended != nil {
		select {
		case <-ended:
		case <-ctx.Done():
			c.told.Store(0) // what is given up now is logged in any case
			c.cancel()
			<-ended
		}
	}
	c.cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	return int(c.givenUp - before)
}

func (c *courier) stats() (undelivered int, givenUp uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all.Len(), c.givenUp
}
