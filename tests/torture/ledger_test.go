package torture

import "fmt"

// A ledger is all that a reader has taken: every answer, by which is meant
// every batch, and every message once.
type ledger struct {
	answers []answer
	kept    []kept
	seen    map[position]bool
	repeats int
	faults  []string // what the reader itself found wrong
	numbers map[string]*numbering
}

// An answer is one that the reader has taken.
type answer struct {
	asked, came int64    // ticks
	from        position // where the reader was; none: it came without a cursor
	batch
}

// kept is a message that the reader had not seen before.
type kept struct {
	answer int // of which it came
	message
}

func newLedger() *ledger {
	return &ledger{seen: make(map[position]bool), numbers: make(map[string]*numbering)}
}

func (l *ledger) fault(format string, args ...any) {
	if len(l.faults) < 5 {
		l.faults = append(l.faults, fmt.Sprintf("answer %d: ", len(l.answers))+fmt.Sprintf(format, args...))
	}
}

// take enters an answer, and drops what has been seen.
func (l *ledger) take(a answer, dedupe bool) {
	l.count(&a)
	l.answers = append(l.answers, a)
	for _, m := range a.Messages {
		if l.seen[m.Pos] && dedupe {
			l.repeats++
			continue
		}
		l.seen[m.Pos] = true
		l.kept = append(l.kept, kept{len(l.answers) - 1, m})
	}
}

// A numbering follows the ids of one channel, which have no hole that was not
// announced.
type numbering struct {
	id    uint64          // of the last message, or of the last before it began
	seq   uint64          // where that is
	known map[uint64]bool // ids after it that signals have told
	holes []span          // of the log, where ids may be missing
}

// A span is what is after from, up to to.
type span struct{ from, to uint64 }

// forget begins anew: the reader has come without a cursor, or to another life
// of the log.
func (l *ledger) forget() { clear(l.numbers) }

// count checks the ids in an answer. All numbers in it are of one epoch.
func (l *ledger) count(a *answer) {
	if a.Cursor.none() {
		return
	}
	covered := a.covers()
	first := a.from.none()
	if first || a.from.epoch != a.Cursor.epoch {
		l.forget()
	}
	for i := range a.Signals {
		l.countSignal(&a.Signals[i], covered, first)
	}
	for _, m := range a.Messages {
		c := l.numbers[m.Channel]
		if c == nil {
			l.fault("a message of channel %s, which the reader is not on", m.Channel)
			continue
		}
		if !c.follows(m) {
			l.fault("%s: id %d at %v follows id %d at %d; nothing announces a hole", m.Channel, m.ID, m.Pos, c.id, c.seq)
		}
		if m.ID <= c.id {
			l.fault("%s: id %d after %d", m.Channel, m.ID, c.id)
		}
		c.id, c.seq = m.ID, m.Pos.seq
		for id := range c.known {
			if id <= m.ID {
				delete(c.known, id)
			}
		}
	}
}

func (l *ledger) countSignal(s *signal, covered span, first bool) {
	if s.Type == "channels" {
		l.countChannels(s.Channels, covered, first)
		return
	}
	c := l.numbers[s.Channel]
	switch {
	case s.Channel == "":
	case c == nil:
		l.fault("a %s of channel %s, which the reader is not on", s.Type, s.Channel)
	case s.Type == "gap":
		c.holes = append(c.holes, span{s.From.seq, s.To.seq})
	case s.Type == "skip" || s.ID > 0:
		c.known[s.ID] = true
	case s.Resync:
		c.holes = append(c.holes, covered)
	}
}

func (l *ledger) countChannels(channels map[string]membership, covered span, first bool) {
	for name := range l.numbers {
		if _, ok := channels[name]; !ok {
			delete(l.numbers, name)
		}
	}
	for name, m := range channels {
		c := l.numbers[name]
		if c != nil && m.Since.seq <= c.seq {
			continue // an older membership has ended, and this one was there already
		}
		c = &numbering{id: m.ID, seq: m.Since.seq, known: make(map[uint64]bool)}
		if first {
			c.holes = append(c.holes, covered)
		}
		l.numbers[name] = c
	}
}

// follows reports whether all ids between the last message and m are known, or
// may be missing.
func (c *numbering) follows(m message) bool {
	for id := c.id + 1; id < m.ID; id++ {
		if c.known[id] {
			continue
		}
		for _, h := range c.holes {
			if h.from < m.Pos.seq && h.to > c.seq {
				return true
			}
		}
		return false
	}
	return true
}

// covers is the part of the log that a says all of.
func (a *answer) covers() span {
	if a.from.epoch == a.Cursor.epoch {
		return span{a.from.seq, a.Cursor.seq}
	}
	return span{0, a.Cursor.seq}
}
