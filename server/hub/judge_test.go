package hub_test

import (
	"slices"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// owed reports whether e is for one of the reader's clients.
func (r *reader) owed(e *event) bool {
	return isIn(e.channel, r.namespace) && slices.ContainsFunc(r.objects, func(c *modelClient) bool { return e.owed[c.life] })
}

// holds reports whether one of the reader's clients has been on e's channel
// since before e was said.
func (r *reader) holds(e *event) bool {
	return isIn(e.channel, r.namespace) && slices.ContainsFunc(r.objects, func(c *modelClient) bool { return c.holds(e) })
}

func (c *modelClient) holds(e *event) bool {
	s := c.sub(e.channel)
	return s != nil && s.since < e.seq
}

// isNot reports whether e is not for the reader although it is said on one of
// its channels, or may be taken for such.
func (r *reader) isNot(e *event) bool {
	return e.late() || r.mayBeExcluded(e) || e.union != nil && r.mayBeExcepted(e.union)
}

// isExcluded reports whether those of the reader's clients that e is for are
// excluded.
func (r *reader) isExcluded(e *event) bool {
	return len(e.exclude) > 0 && !slices.ContainsFunc(r.objects, func(c *modelClient) bool {
		return e.owed[c.life] && !slices.Contains(e.exclude, c.id)
	})
}

// mayBeExcluded reports whether those that are excluded are all by whom the
// reader would hear e: who has left meanwhile does not count.
func (r *reader) mayBeExcluded(e *event) bool {
	return len(e.exclude) > 0 && !slices.ContainsFunc(r.objects, func(c *modelClient) bool {
		there := len(r.objects) == 1 || c.holds(e) && r.world.model.clients[c.id] == c
		return there && !slices.Contains(e.exclude, c.id)
	})
}

// remembered is how many memberships that have ended a client remembers at
// least. If there were more, it may have been anywhere.
const remembered = 16

// mayBeExcepted reports whether the event is not for the reader, or may be taken
// for such.
func (r *reader) mayBeExcepted(u *union) bool {
	return r.isExcepted(u) || len(u.exceptRooms) > 0 &&
		slices.ContainsFunc(r.objects, func(c *modelClient) bool { return c.endings > remembered })
}

// isExcepted reports whether the event is not for the reader: one of its clients
// is named, or was in a room that is.
func (r *reader) isExcepted(u *union) bool {
	return slices.ContainsFunc(r.objects, func(c *modelClient) bool {
		return slices.Contains(u.exceptIDs, c.id) || u.exceptLives[c.life]
	})
}

// hearsElsewhere reports whether the reader is told another copy of e, or was.
func (r *reader) hearsElsewhere(e *event) bool {
	return e.union != nil && (r.hasHeard(e.union) || slices.ContainsFunc(e.union.before(e), r.owed))
}

// hasHeard reports whether the reader has had one of the copies, or was somebody
// else when it came to the first.
func (r *reader) hasHeard(u *union) bool {
	return u.first() <= r.floor || slices.ContainsFunc(u.copies, func(e *event) bool { return r.heard[e.seq] })
}

// mustBeHeard says that a message that has just come is right to come now.
func (r *reader) mustBeHeard(m *hub.Message) {
	t, e := r.world.t, r.world.model.event(m.Seq)
	if m.Terms != nil && m.Terms.TTL > 0 && time.Now().UnixMilli()-m.Time > m.Terms.TTL.Milliseconds() {
		t.Fatalf("seq %d came when it was not worth hearing any more", m.Seq)
	}
	if m.Volatile && m.Seq <= r.writable {
		t.Fatalf("volatile seq %d came, and the reader could not take it when it was said: not before %d", m.Seq, r.writable)
	}
	if e == nil || e.union == nil {
		return
	}
	for _, first := range e.union.before(e) {
		if r.holds(first) {
			t.Fatalf("seq %d came, and the reader hears that by %s, as seq %d", m.Seq, first.channel, first.seq)
		}
	}
}

// hasVolatile says that the reader has had all volatile events that it could
// take, up to a seq.
func (r *reader) hasVolatile(to uint64) {
	for _, e := range r.world.model.events {
		if e.kind != volatile || e.seq <= r.writable || e.seq > to || e.evicted || !r.holds(e) || r.isNot(e) {
			continue
		}
		if !r.hasHeard(e.union) && !slices.ContainsFunc(e.union.before(e), r.mayMiss) {
			r.world.t.Fatalf("seq %d on %s was for who can take it, and the reader could since %d", e.seq, e.channel, r.writable)
		}
	}
}

// mayMiss reports whether the reader may have been told this volatile copy and
// not the next: it is for the reader, or is kept no more.
func (r *reader) mayMiss(e *event) bool {
	return r.holds(e) || r.owed(e) && (e.evicted || e.deleted)
}

// judge says whether the reader has everything up to a seq, or knows what it
// has not; and that what it has is right.
func (r *reader) judge(to uint64) {
	if r.objects == nil || r.epoch != r.world.hub.Position().Epoch {
		return // the model of that life is gone
	}
	r.judgeWhatCame()
	for _, e := range r.world.model.events {
		if r.floor < e.seq && e.seq <= to && e.kind != volatile && r.owed(e) && !r.heard[e.seq] && !r.knows(e) {
			r.world.t.Fatalf("silent hole: seq %d (id %d) on %s, notice %v", e.seq, e.id, e.channel, e.kind == notice)
		}
	}
}

// judgeWhatCame says whether what the reader has is right: in order, for it,
// and no gap was told where there is none.
func (r *reader) judgeWhatCame() {
	t := r.world.t
	seen := map[uint64]bool{}
	var last uint64
	for _, m := range r.got {
		e := r.world.model.event(m.Seq)
		if e == nil || e.id != m.ID || e.channel != m.Channel() {
			t.Fatalf("seq %d (id %d) on %s was never said", m.Seq, m.ID, m.Channel())
		}
		if !r.owed(e) || r.isExcluded(e) || e.union != nil && r.isExcepted(e.union) {
			t.Fatalf("seq %d on %s was not for this client", m.Seq, m.Channel())
		}
		if e.union != nil && slices.ContainsFunc(e.union.copies, func(o *event) bool { return o != e && r.heard[o.seq] }) {
			t.Fatalf("seq %d is an event that the reader has had by another channel", m.Seq)
		}
		if seen[m.Seq] {
			continue
		}
		if m.Seq < last {
			t.Fatalf("seq %d came after %d", m.Seq, last)
		}
		seen[m.Seq], last = true, m.Seq
	}
	for _, g := range r.gaps {
		if !slices.ContainsFunc(r.world.model.events, func(e *event) bool {
			return e.channel == g.channel && (e.evicted || e.deleted) && e.kind == message && g.from < e.seq && e.seq <= g.to
		}) {
			t.Fatalf("false gap on %s: %d to %d", g.channel, g.from, g.to)
		}
	}
}

// knows reports whether the reader was told that it would not get e.
func (r *reader) knows(e *event) bool {
	return r.excused[e.seq] || r.isLost(e) || r.isSkipped(e) || r.isCancelled(e)
}

// isLost reports whether the reader was told that e is kept no more.
func (r *reader) isLost(e *event) bool {
	for _, g := range r.gaps {
		if e.kind == message && g.channel == e.channel && g.from < e.seq && e.seq <= g.to {
			return true
		}
	}
	for _, s := range r.resyncs {
		if e.kind == notice && s.channel == e.channel && e.seq <= s.to && (e.evicted || e.deleted) {
			return true
		}
	}
	return false
}

// isSkipped reports whether the reader was told that e is not for it; for one
// copy of an event it must have another one, or know that it is lost.
func (r *reader) isSkipped(e *event) bool {
	if !slices.ContainsFunc(r.skips, func(s skip) bool { return s.channel == e.channel && s.id == e.id && e.seq <= s.top }) {
		return false
	}
	return r.isNot(e) || e.union != nil && (r.hasHeard(e.union) || slices.ContainsFunc(e.union.before(e), func(o *event) bool {
		return r.owed(o) && (r.excused[o.seq] || r.isLost(o))
	}))
}

// isCancelled reports whether the reader is on e's channel no more. If it is
// not told of its channels, its backend knows.
func (r *reader) isCancelled(e *event) bool {
	if r.unlisted {
		return !r.holds(e)
	}
	for _, c := range r.cancels {
		member, still := c.channels[e.channel]
		if e.seq <= c.top && c.at < e.seq && (!still || member.Since.Seq >= e.seq) {
			return true
		}
	}
	return false
}
