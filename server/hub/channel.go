package hub

import (
	"slices"
	"sync"
	"sync/atomic"
	"weak"
)

// A member is a client on a channel. The channel lists it while the client is
// live; the client keeps it as long as the membership lasts.
type member struct {
	client  *client
	channel *channel
	since   uint64 // the seq before the one the membership began with
	sinceID uint64 // the channel's last id then
	joined  int64  // when it began, or its client was last revived; Unix ms, guarded by channel.mu
	slot    int    // index in channel.members, -1 when not listed; guarded by channel.mu
}

// A channel is a bounded ring of messages, side rings of notices and of volatile
// events, and its members.
type channel struct {
	hub  *Hub
	name string

	newest  atomic.Uint64 // highest seq of anything a reader may want to know
	waiting atomic.Bool   // stands in the dispatcher's queue
	listed  atomic.Bool   // stands in the list of channels that may go
	readers atomic.Int32  // members somebody reads for; with none, there is nobody to wake
	deleted atomic.Uint64 // the seq with which it was deleted; 0: it was not
	epoch   uint64        // of the log, that its numbers are of
	began   uint64        // the seq with which it began
	asOf    uint64        // up to where it has come with an image of the state

	set    atomic.Pointer[settings]             // see settings
	shared atomic.Pointer[weak.Pointer[Common]] // what its readers were given last; nil: nothing

	walked bool // the dispatcher walks over its members; the dispatcher's own

	mu        sync.RWMutex // guards all below; taken after a client's lock
	messages  ring
	notices   ring
	volatile  *ring // nil as long as there was nothing for it
	lastID    uint64
	joined    uint64    // the seq with which somebody joined it last, or came back
	members   []*member // in no order; holds nil where someone left during a walk
	holes     []int     // where those nils are
	walks     int       // walks under way
	absent    int       // let-go clients that would be members
	counted   uint64    // seq with which the number of members was last told
	uncounted bool      // it has changed since, without a notice
}

// gone reports whether the channel was deleted. Who is still a member of it is
// one in name only.
func (ch *channel) gone() bool { return ch.deleted.Load() != 0 }

// memberCount returns how many live members ch has; a channel that does not
// exist has none.
func (ch *channel) memberCount() int {
	if ch == nil {
		return 0
	}
	ch.mu.RLock()
	defer ch.mu.RUnlock()
	return ch.size()
}

// size returns the number of members. ch.mu is held.
func (ch *channel) size() int { return len(ch.members) - len(ch.holes) }

// idleLocked reports whether ch holds nothing and matters to nobody. The side
// ring does not count: without a member nobody can ever read it. The admin
// channel stays, so that its numbers go on.
func (ch *channel) idleLocked() bool {
	return ch.size() == 0 && ch.absent == 0 && ch.messages.n == 0 && ch.name != AdminChannel
}

// list makes m one of ch's members, in a hole if there is one: who joins during
// a walk may be missed by it, and walks that overlap for ever must not make
// the list grow for ever. ch.mu is held.
func (ch *channel) list(m *member) {
	if n := len(ch.holes); n > 0 {
		m.slot = ch.holes[n-1]
		ch.members[m.slot] = m
		ch.holes = ch.holes[:n-1]
		return
	}
	m.slot = len(ch.members)
	ch.members = append(ch.members, m)
}

// unlist takes m off ch's members. While somebody walks them nobody may move,
// so a hole is left, to be closed when the last walk has ended. ch.mu is held.
func (ch *channel) unlist(m *member) {
	slot := m.slot
	m.slot = -1
	ch.members[slot] = nil
	if ch.walks > 0 || len(ch.holes) > 0 {
		ch.holes = append(ch.holes, slot)
		return
	}
	ch.fill(slot)
}

// fill closes the hole at slot with the last member. ch.mu is held.
func (ch *channel) fill(slot int) {
	last := len(ch.members) - 1
	if slot < last {
		ch.members[slot] = ch.members[last]
		ch.members[slot].slot = slot
	}
	ch.members[last] = nil
	ch.members = ch.members[:last]
	if last == 0 {
		ch.members = nil
	}
}

// walkStep is how many members a walk takes, and how many holes it closes,
// under one hold of the channel's lock.
const walkStep = 256

// walk calls f with all members of ch, a slice at a time, and without a lock.
// Who joins or leaves meanwhile may be among them or not; everybody else is,
// exactly once. The slice is valid until f returns.
func (ch *channel) walk(f func([]*member)) {
	ch.beginWalk()
	defer ch.endWalk()
	var buf [walkStep]*member
	for next := 0; ; next += walkStep {
		part, more := ch.part(buf[:0], next)
		if len(part) > 0 {
			f(part)
		}
		if !more {
			return
		}
	}
}

// beginWalk has everybody stay where they are in the list of members.
func (ch *channel) beginWalk() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.walks++
}

// part appends the members from the next on, as many as a step of a walk takes,
// and reports whether there are more behind them.
func (ch *channel) part(dst []*member, next int) (part []*member, more bool) {
	ch.mu.RLock()
	defer ch.mu.RUnlock()
	end := min(next+walkStep, len(ch.members))
	for _, m := range ch.members[min(next, end):end] {
		if m != nil {
			dst = append(dst, m)
		}
	}
	return dst, end < len(ch.members)
}

// endWalk closes the holes that walks have caused, unless another one is
// under way, which then will.
func (ch *channel) endWalk() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.walks--
	for len(ch.holes) > 0 && ch.walks == 0 {
		// The highest hole first: the last member is then never a hole itself.
		slices.Sort(ch.holes)
		n := max(0, len(ch.holes)-walkStep)
		for i := len(ch.holes) - 1; i >= n; i-- {
			ch.fill(ch.holes[i])
		}
		ch.holes = ch.holes[:n]
		if n > 0 {
			ch.mu.Unlock()
			ch.mu.Lock()
		}
	}
	if len(ch.holes) == 0 {
		ch.holes = nil
	}
}

// keep numbers m in ch and stores it in r, one of ch's rings. What r can no
// longer hold goes. ch.mu is held, and the log's lock.
func (ch *channel) keep(r *ring, m *Message, seq uint64) {
	h := ch.hub
	if !m.Volatile {
		ch.lastID++
	}
	m.Seq, m.ID, m.channel, m.name = seq, ch.lastID, ch, ch.name
	m.at, m.Time = h.stamp.mono, h.stamp.wall
	ch.put(r, m)
}

// put stores m, which has its numbers, in r. ch.mu is held, and the log's lock.
func (ch *channel) put(r *ring, m *Message) {
	h, set := ch.hub, ch.settings()
	r.push(m)
	h.ages.push(m, int64(set.Window))
	h.bytes.Add(int64(m.charge()))
	h.kept.Add(1)
	ch.newest.Store(max(ch.newest.Load(), m.Seq))
	if r != &ch.messages {
		for r.n > h.limits().ChannelNotices {
			ch.evict(r, ReasonCount)
		}
		for r.n > 1 && r.bytes > set.Bytes {
			ch.evict(r, ReasonBytes)
		}
		return
	}
	for r.n > 1 && r.bytes > set.Bytes {
		ch.evict(r, ReasonBytes)
	}
	for set.Messages > 0 && r.n > set.Messages {
		ch.evict(r, ReasonCount)
	}
}

// ringOf returns the ring that m belongs to. ch.mu is held.
func (ch *channel) ringOf(m *Message) *ring {
	switch {
	case m.Notice != 0:
		return &ch.notices
	case m.Volatile:
		if ch.volatile == nil {
			ch.volatile = new(ring)
		}
		return ch.volatile
	}
	return &ch.messages
}

// rings returns all that ch has.
func (ch *channel) rings() []*ring {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	all := []*ring{&ch.messages, &ch.notices}
	if ch.volatile != nil {
		all = append(all, ch.volatile)
	}
	return all
}

// empty drops all that a deleted channel holds, and reports whether that was
// possible: not while its members have still to be told.
func (ch *channel) empty() bool {
	for _, r := range ch.rings() {
		for more := true; more; {
			ch.mu.Lock()
			for range walkStep {
				if more = r.n > 0; !more {
					break
				}
				ch.evict(r, ReasonAge)
			}
			ch.mu.Unlock()
		}
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.waiting.Load() || ch.walks > 0 {
		return false
	}
	ch.members, ch.holes = nil, nil
	return true
}

// evict drops r's oldest message. ch.mu is held.
func (ch *channel) evict(r *ring, why Reason) {
	h := ch.hub
	h.discard(r.pop(why))
	h.totals.evicted[why].Add(1)
}

// discard forgets a message that no ring has any more.
func (h *Hub) discard(m *Message) {
	h.ages.remove(m)
	h.bytes.Add(-int64(m.charge() + m.dropEncodings()))
	h.kept.Add(-1)
}

// evictThrough drops what ch keeps up to m, which it may not have any more.
func (ch *channel) evictThrough(m *Message, why Reason) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	r := ch.ringOf(m)
	for r.n > 0 && r.at(0).Seq <= m.Seq {
		ch.evict(r, why)
	}
	ch.hub.mayGo(ch)
}
