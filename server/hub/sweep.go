package hub

import (
	"context"
	"slices"
	"sync"
	"time"
)

// idleChannels lists the channels that somebody should look at soon: those
// that may go, those whose number of members has to be told, and those that
// were deleted.
type idleChannels struct {
	mu        sync.Mutex // guards all; no other lock is taken under it
	mayGo     []string
	uncounted []string
	deleted   []*channel // which still hold messages or members
}

// mayGo lists ch if it holds nothing and matters to nobody. ch.mu is held.
func (h *Hub) mayGo(ch *channel) {
	if ch.gone() || !ch.idleLocked() || !ch.listed.CompareAndSwap(false, true) {
		return
	}
	h.idle.mu.Lock()
	h.idle.mayGo = append(h.idle.mayGo, ch.name)
	h.idle.mu.Unlock()
}

func (i *idleChannels) addUncounted(name string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.uncounted = append(i.uncounted, name)
}

func (i *idleChannels) addDeleted(ch *channel) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.deleted = append(i.deleted, ch)
}

func (i *idleChannels) takeDeleted() []*channel {
	i.mu.Lock()
	defer i.mu.Unlock()
	all := i.deleted
	i.deleted = nil
	return all
}

// clear forgets all that is listed.
func (i *idleChannels) clear() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.mayGo, i.uncounted, i.deleted = nil, nil, nil
}

// take returns one of the lists and empties it.
func (i *idleChannels) take(list *[]string) []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	names := *list
	*list = nil
	return names
}

// settle forgets what another process has seen to. What it has not is kept: it
// may end before it has.
func (i *idleChannels) settle(h *Hub) {
	h.keepListed(OpCount, i.take(&i.uncounted), fold{h}.mustCount)
	h.keepListed(OpDrop, i.take(&i.mayGo), fold{h}.mayDrop)
}

func (h *Hub) keepListed(op Op, names []string, still func(string) bool) {
	slices.Sort(names)
	names = slices.DeleteFunc(slices.Compact(names), func(name string) bool { return !still(name) })
	h.idle.putBack(op, names)
}

// putBack lists again what could not be done.
func (i *idleChannels) putBack(op Op, names []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if op == OpCount {
		i.uncounted = append(i.uncounted, names...)
		return
	}
	i.mayGo = append(i.mayGo, names...)
}

// full reports whether there is no room for n more bytes. Encodings that find
// none are not kept; messages evict others.
func (h *Hub) full(n int) bool { return h.bytes.Load()+int64(n) > h.limits().TotalBytes }

// roomStep is how many messages are evicted to make room, at least, with one
// entry of the log.
const roomStep = 128

// makeRoom evicts the oldest messages of all while the hub holds too much: as
// many as have to go for what has come with the last entry, and some more. The
// log's lock is held.
func (h *Hub) makeRoom(came int64) {
	before := h.bytes.Load()
	for n := 0; n < roomStep || before-h.bytes.Load() < 2*came; n++ {
		if !h.evictOldest() {
			return
		}
	}
}

// evictOldest drops the oldest message of all if the hub holds too much, and
// reports whether it has. The newest one stays.
func (h *Hub) evictOldest() bool {
	if h.bytes.Load() <= h.limits().TotalBytes {
		return false
	}
	m := h.ages.front()
	if m == nil || m.Seq >= h.visible.Load() {
		return false
	}
	m.channel.evictThrough(m, ReasonMemory)
	return true
}

// EvictAged drops messages that have become older than their window, and the
// oldest if the hub holds more than it may since that has become less; at most
// max of them. It reports whether there are more.
func (h *Hub) EvictAged(max int) (more bool) {
	now := h.now()
	for range max {
		m := h.ages.aged(now)
		if m == nil && !h.evictOldest() {
			return false
		}
		if m == nil {
			continue
		}
		m.channel.evictThrough(m, ReasonAge)
	}
	return true
}

// tidyStep is how many memberships end, or clients are forgotten, or channels
// dropped, under one hold of the log's lock: what fits into 100 µs.
const tidyStep = 4

// expireStep is how many clients are looked at together.
const expireStep = 64

// Expire lets go of clients that are idle: it looks at up to max clients whose
// time may have come and reports whether others wait. Its cost follows the
// number of those, never the number that live, and it holds the log's lock for
// no more than a few clients at a time.
func (h *Hub) Expire(ctx context.Context, idle Idle, max int) (gone int, more bool, err error) {
	idle.Socket = h.limits().LetGoAge
	var buf [expireStep]*client
	for looked := 0; looked < max; {
		n := min(len(buf), max-looked)
		due := h.wheel.due(h.now(), buf[:0:n])
		if len(due) == 0 {
			return gone, false, nil
		}
		looked += len(due)
		n, err := h.letGoIdle(ctx, due, idle)
		gone += n
		if err != nil {
			return gone, true, err
		}
	}
	return gone, true, nil
}

// letGoIdle lets go of those of the clients that are idle and puts the others
// back into the wheel.
func (h *Hub) letGoIdle(ctx context.Context, clients []*client, idle Idle) (int, error) {
	now := h.now()
	var err error
	var ids []string
	ending := 0 // memberships of those in ids
	flush := func() {
		if len(ids) > 0 && err == nil {
			_, err = h.append(ctx, Command{Op: OpLetGo, Clients: ids, Idle: idle})
		}
		ids, ending = nil, 0
	}
	for _, c := range clients {
		c.mu.Lock()
		due, subs := c.state == live && c.dueAtLocked(now, idle) <= now, len(c.subs)
		c.mu.Unlock()
		if !due {
			continue
		}
		if ending += max(1, subs); ending > tidyStep {
			flush()
			ending = max(1, subs)
		}
		ids = append(ids, c.id)
	}
	flush()
	gone := 0
	for _, c := range clients {
		c.mu.Lock()
		state, due := c.state, c.dueAtLocked(now, idle)
		c.mu.Unlock()
		switch state {
		case live, leaving:
			if h.wheel.holds(c) { // by nobody else
				h.wheel.add(c, due)
			}
		case letGo:
			gone++
		}
	}
	return gone, err
}

// Tidy forgets clients that have waited too long to be revived and publish ids
// that are too old, drops channels that hold nothing and matter to nobody and
// what deleted ones held, and has the readers of large channels told how many
// members there are. It is meant to be called about
// once a second, by one goroutine.
func (h *Hub) Tidy(ctx context.Context) error {
	for _, ch := range h.idle.takeDeleted() {
		if !ch.empty() {
			h.idle.addDeleted(ch)
		}
	}
	l := h.limits()
	for h.retries.expire(h.now()-int64(l.PublishIDAge), expireStep) {
	}
	h.reviveMissed()
	if !h.keeper() {
		h.idle.settle(h)
		return nil
	}
	if err := h.inSteps(ctx, OpCount, h.idle.take(&h.idle.uncounted)); err != nil {
		return err
	}
	for {
		ids := h.letGo.surplus(l.LetGoClients, h.now()-int64(l.LetGoAge), tidyStep)
		if len(ids) == 0 {
			break
		}
		if _, err := h.append(ctx, Command{Op: OpForget, Clients: ids}); err != nil {
			return err
		}
	}
	return h.inSteps(ctx, OpDrop, h.idle.take(&h.idle.mayGo))
}

// maxInVain is how many channels one after the other may be in vain, before the rest
// is left for later: it may not be the channels' fault.
const maxInVain = 16

// inSteps appends commands for the channels, a few at a time. One with which that
// cannot be done keeps no others from it.
func (h *Hub) inSteps(ctx context.Context, op Op, channels []string) error {
	// A name is there twice if its channel was deleted and a new one needs the
	// same.
	slices.Sort(channels)
	channels = slices.Compact(channels)
	var failed error
	for alone, inVain := 0, 0; len(channels) > 0; {
		n := min(tidyStep, len(channels))
		if alone > 0 {
			n, alone = 1, alone-1
		}
		// The check shortens what it is given.
		_, err := h.append(ctx, Command{Op: op, Channels: slices.Clone(channels[:n])})
		switch {
		case err == nil:
			inVain = 0
		case ctx.Err() != nil || inVain == maxInVain || !h.InTouch(time.Second):
			h.idle.putBack(op, channels)
			return err
		case n > 1:
			alone = n // one of them it is
			continue
		default:
			failed = err
			inVain++
			h.idle.putBack(op, channels[:1])
		}
		channels = channels[n:]
	}
	return failed
}
