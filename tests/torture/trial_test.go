package torture

import (
	"cmp"
	"fmt"
	"slices"
)

// A trial goes through the answers of one reader.
type trial struct {
	*verdict
	reader    *reader
	view      map[string]membership // what the reader knows to be on
	doubtful  bool                  // it has heard that a client is gone since it was told
	blank     bool                  // it begins anew and has not been told
	covered   map[string][]span     // by epoch
	lastEpoch int
	number    int // of the answer
}

func (t *trial) find(format string, args ...any) {
	t.verdict.find("answer %d: %s", t.number, fmt.Sprintf(format, args...))
}

func (t *trial) run() {
	for i, a := range t.reader.ledger.answers {
		t.number = i
		a.asked = t.made(&a)
		t.answer(&a)
	}
	t.once()
	t.jumps()
}

// once: what is kept is kept once, and in order.
func (t *trial) once() {
	type place struct {
		epoch string
		n     int
	}
	seen := make(map[place]bool)
	var last position
	for _, m := range t.reader.ledger.kept {
		t.number = m.answer
		if m.Pos.epoch == last.epoch && m.Pos.seq <= last.seq {
			t.find("message %d at %v is kept after %v", m.Data.N, m.Pos, last)
		}
		last = m.Pos
		p := place{m.Pos.epoch, m.Data.N}
		if seen[p] {
			t.find("message %d is kept twice", m.Data.N)
		}
		seen[p] = true
	}
}

// jumps: no part of the log was passed over.
func (t *trial) jumps() {
	for epoch, spans := range t.covered {
		slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
		end := uint64(0)
		for _, s := range spans {
			if s.from > end {
				for _, m := range t.between(epoch, span{end, s.from}) {
					if t.owed(m, nil) {
						t.find("message %d at %v is in no answer: the reader has passed over it", m.n, m.pos)
					}
				}
			}
			end = max(end, s.to)
		}
	}
}

func (t *trial) answer(a *answer) {
	if a.Cursor.none() {
		if len(a.Messages) > 0 {
			t.find("messages without a cursor")
		}
		t.doubtful = true
		return
	}
	life, known := t.life[a.Cursor.epoch]
	switch {
	case !known:
		t.find("%v is of an epoch that there never was", a.Cursor)
		return
	case life < t.lastEpoch || t.lives[life].died > 0 && t.lives[life].died < a.asked:
		t.find("%v is of an epoch that is over", a.Cursor)
	case a.from.epoch == a.Cursor.epoch && a.from.seq > a.Cursor.seq:
		t.find("the cursor goes back from %v to %v", a.from, a.Cursor)
	}
	t.lastEpoch = life
	gaps := t.signals(a)
	t.messages(a, gaps)
	t.owedIn(a, gaps)
	in := a.covers()
	t.covered[a.Cursor.epoch] = append(t.covered[a.Cursor.epoch], in)
	if in.from < in.to && !t.doubtful {
		t.stale(a)
	}
}

// signals checks what an answer announces, and returns its gaps by channel.
func (t *trial) signals(a *answer) map[string]span {
	gaps := make(map[string]span)
	reset, channels := false, false
	for i := range a.Signals {
		switch s := &a.Signals[i]; s.Type {
		case "reset":
			reset = true
			if s.Cursor != (position{a.Cursor.epoch, 0}) {
				t.find("a reset to %v", s.Cursor)
			}
		case "channels":
			channels, t.doubtful = true, false
			t.view = s.Channels
			for name, m := range s.Channels {
				if !t.begins(name, m.Since) {
					t.find("%s is said to begin at %v, where nobody joined", name, m.Since)
				}
			}
		case "gap":
			t.gap(s, a)
			gaps[s.Channel] = span{s.From.seq, s.To.seq}
		case "skip":
			t.skip(s, a)
		case "gone":
			t.doubtful = true
		}
	}
	if other := !a.from.none() && a.from.epoch != a.Cursor.epoch; reset != other {
		t.find("from %v to %v, and reset is %v", a.from, a.Cursor, reset)
	}
	if t.blank = (t.blank || a.from.none() || reset) && !channels; t.blank && !a.part {
		t.find("the first answer does not tell of the channels")
	}
	return gaps
}

// ours reports whether a stay is of one of the reader's clients.
func (t *trial) ours(s *stay, channel, epoch string) bool {
	return s.channel == channel && s.at.epoch == epoch && slices.Contains(t.reader.clients, s.client)
}

// begins reports whether a membership of the reader's clients began so.
func (t *trial) begins(channel string, since position) bool {
	return slices.ContainsFunc(t.stays, func(s *stay) bool {
		return t.ours(s, channel, since.epoch) && s.at.seq-1 == since.seq
	})
}

// stale: the reader does not take itself to be where it has left long ago.
func (t *trial) stale(a *answer) {
	for name, m := range t.view {
		if !slices.ContainsFunc(t.stays, func(s *stay) bool {
			return t.ours(s, name, a.Cursor.epoch) && s.at.seq-1 == m.Since.seq && (s.left == 0 || s.left > a.asked)
		}) {
			t.find("the reader was not told that it is off %s since %v", name, m.Since)
		}
	}
}

// gap: what is said to be lost was there, and its window has dropped it.
func (t *trial) gap(s *signal, a *answer) {
	in := a.covers()
	if m, ok := t.view[s.Channel]; !ok || s.From.seq != max(in.from, m.Since.seq) || s.From.epoch != a.Cursor.epoch {
		t.find("a gap of %s from %v, while the reader stands at %d, and on it at %v", s.Channel, s.From, in.from, m.Since)
	}
	if m := t.places[s.To]; (m == nil || m.channel != s.Channel) && len(t.maybe(a.Cursor.epoch, s.Channel)) == 0 {
		t.find("a gap of %s ends at %v, where it has no message", s.Channel, s.To)
	}
	byCount, byBytes := t.dropped(a.Cursor.epoch, s.Channel, s.To.seq, a)
	if !(s.Reason == "count" && byCount || s.Reason == "bytes" && byBytes) {
		t.find("a false gap of %s from %v to %v (%s)", s.Channel, s.From, s.To, s.Reason)
	}
}

// skip: there is such a message, and somebody is excluded from it.
func (t *trial) skip(s *signal, a *answer) {
	in := a.covers()
	if a.part {
		in.to = ^uint64(0) // it may be of what has not come
	}
	for _, m := range t.between(a.Cursor.epoch, in) {
		if m.channel == s.Channel && m.id == s.ID && t.excluded(m, false) {
			return
		}
	}
	for _, m := range t.maybe(a.Cursor.epoch, s.Channel) {
		if t.excluded(m, false) {
			return
		}
	}
	t.find("a false skip: id %d of %s", s.ID, s.Channel)
}

// excluded reports whether any of the reader's clients, or all, are excluded
// from m.
func (t *trial) excluded(m *saying, all bool) bool {
	n := 0
	for _, c := range t.reader.clients {
		if slices.Contains(m.exclude, c) {
			n++
		}
	}
	return n == len(t.reader.clients) || n > 0 && !all
}

// messages: each was said like that, in this order, and for this reader.
func (t *trial) messages(a *answer, gaps map[string]span) {
	in := a.covers()
	last := in.from
	for i := range a.Messages {
		m := &a.Messages[i]
		if m.Pos.epoch != a.Cursor.epoch || m.Pos.seq <= last || m.Pos.seq > in.to {
			t.find("message %d at %v comes after %d in an answer that covers %v", m.Data.N, m.Pos, last, in)
		}
		last = m.Pos.seq
		s := t.places[m.Pos]
		if s == nil { // it was never acknowledged, or not here
			s = t.said[m.Data.N]
			if s == nil || !t.untold(m.Pos.epoch, s) {
				t.find("message %d at %v was never said there", m.Data.N, m.Pos)
				continue
			}
		} else if m.ID != s.id {
			t.find("message %d has the id %d, not %d", m.Data.N, m.ID, s.id)
		}
		if m.Data != (content{s.n, s.pad}) || m.Channel != s.channel || m.Sender != "back" || m.System {
			t.find("message %d at %v has been changed", s.n, m.Pos)
		}
		if g, ok := gaps[m.Channel]; ok && g.from < m.Pos.seq && m.Pos.seq <= g.to {
			t.find("message %d at %v comes in an answer that calls it lost", m.Data.N, m.Pos)
		}
		if t.excluded(s, true) {
			t.find("message %d is not for this reader", s.n)
		}
		if v, ok := t.view[m.Channel]; !ok || m.Pos.seq <= v.Since.seq {
			t.find("message %d at %v of %s comes to a reader that is on since %v", s.n, m.Pos, m.Channel, v.Since)
		}
		if !slices.ContainsFunc(t.stays, func(st *stay) bool {
			return t.ours(st, m.Channel, m.Pos.epoch) && st.at.seq < m.Pos.seq && (st.left == 0 || st.left > a.asked && st.left > s.begun)
		}) {
			t.find("message %d at %v was said while nobody here was on %s", s.n, m.Pos, m.Channel)
		}
	}
}

// owed reports whether m is for the reader for certain when the answer a came:
// one of its clients was on when m was said, and nobody thought of ending that
// before. nil is the end of all.
func (t *trial) owed(m *saying, a *answer) bool {
	return slices.ContainsFunc(t.stays, func(s *stay) bool {
		return t.ours(s, m.channel, m.pos.epoch) && s.at.seq < m.pos.seq && !slices.Contains(m.exclude, s.client) &&
			(s.leaving == 0 || a != nil && s.leaving > a.came)
	})
}

// owedIn: whatever the answer covers is in it or announced as lost.
func (t *trial) owedIn(a *answer, gaps map[string]span) {
	got := make(map[uint64]bool, len(a.Messages))
	for _, m := range a.Messages {
		got[m.Pos.seq] = true
	}
	type number struct {
		channel string
		id      uint64
	}
	skipped := make(map[number]bool)
	for _, s := range a.Signals {
		if s.Type == "skip" {
			skipped[number{s.Channel, s.ID}] = true
		}
	}
	for _, m := range t.between(a.Cursor.epoch, a.covers()) {
		if got[m.pos.seq] {
			continue
		}
		on, ok := t.view[m.channel]
		owed := t.owed(m, a)
		if !ok || m.pos.seq <= on.Since.seq {
			if owed {
				t.find("message %d at %v of %s is missing, and the reader was not told that it is on since before", m.n, m.pos, m.channel)
			}
			continue
		}
		if g, ok := gaps[m.channel]; ok && g.from < m.pos.seq && m.pos.seq <= g.to {
			continue
		}
		if skipped[number{m.channel, m.id}] && t.excluded(m, false) && !owed {
			continue
		}
		if byCount, byBytes := false, false; a.from.none() {
			if byCount, byBytes = t.dropped(a.Cursor.epoch, m.channel, m.pos.seq, a); byCount || byBytes {
				continue // the first answer does not tell of what was gone before
			}
		}
		t.find("message %d at %v of %s is missing without a word (the answer covers %v)", m.n, m.pos, m.channel, a.covers())
	}
}
