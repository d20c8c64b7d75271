package bench

import (
	"sync/atomic"
	"time"
)

// A heldBy is what one reader has had of one channel: all below next but what
// is missing, of which the last 64 are known one by one.
type heldBy struct {
	next uint32
	had  uint64 // bit i: next-1-i has come
}

// Faults are what must not happen.
type Faults struct {
	Lost       int64 `json:"lost"`
	Duplicated int64 `json:"duplicated"`
	Reordered  int64 `json:"reordered"`
	Misrouted  int64 `json:"misrouted"`
	Damaged    int64 `json:"damaged"`
	Broken     int64 `json:"broken"` // connections that ended too early
}

// Any reports whether anything went wrong.
func (f Faults) Any() bool { return f != Faults{} }

func (f *Faults) add(o Faults) {
	f.Lost += o.Lost
	f.Duplicated += o.Duplicated
	f.Reordered += o.Reordered
	f.Misrouted += o.Misrouted
	f.Damaged += o.Damaged
	f.Broken += o.Broken
}

// A tally checks what the readers of one loop hear, and measures how long it
// took. It belongs to the loop's goroutine, but for what is atomic.
type tally struct {
	spread spread
	size   int
	held   []heldBy // of reader r and its channel j at r*k+j
	began  time.Time
	flight *flight

	from, to   *atomic.Int64 // of the due times that are measured
	deliveries atomic.Int64
	faults     Faults
	latency    histogram
}

// hear checks what has come to a reader at a time.
func (t *tally) hear(reader int, text []byte, now time.Duration) {
	var fresh int64
	for {
		n, whole, rest, found := nextNote(text, t.size)
		if !found {
			break
		}
		text = rest
		if !whole {
			t.faults.Damaged++
			continue
		}
		j, ok := t.spread.index(reader, n.channel)
		if !ok {
			t.faults.Misrouted++
			continue
		}
		if !t.count(&t.held[reader*t.spread.each+j], n.seq) {
			continue
		}
		fresh++
		if due := int64(n.due); due >= t.from.Load() && due < t.to.Load() {
			t.latency.add(now - n.due)
		}
		t.flight.arrived(n.number)
	}
	if fresh > 0 {
		t.deliveries.Add(fresh)
	}
}

// count notes that seq has come, and reports whether for the first time.
func (t *tally) count(h *heldBy, seq uint32) (fresh bool) {
	switch {
	case seq == h.next:
		h.next++
		h.had = h.had<<1 | 1
		return true
	case seq > h.next:
		missing := seq - h.next
		t.faults.Lost += int64(missing) // until they come after all
		h.next = seq + 1
		h.had = h.had<<min(missing+1, 64) | 1 // a shift by 64 clears
		return true
	}
	behind := h.next - 1 - seq
	if behind >= 64 || h.had&(1<<behind) != 0 {
		t.faults.Duplicated++
		return false
	}
	h.had |= 1 << behind
	t.faults.Lost--
	t.faults.Reordered++
	return true
}

// end counts what readers still lack of what was said. said has the number of
// messages of each channel.
func (t *tally) end(readers []int, said []uint32) {
	for _, r := range readers {
		for j := range t.spread.each {
			h := &t.held[r*t.spread.each+j]
			if n := said[t.spread.channel(r, j)]; n > h.next {
				t.faults.Lost += int64(n - h.next)
				h.next = n
			}
		}
	}
}

// A spread says which reader hears which channels: each so many, in a row.
type spread struct{ readers, channels, each int }

func (s spread) channel(reader, j int) int { return (reader*s.each + j) % s.channels }

// index is where a channel stands among those of a reader.
func (s spread) index(reader, channel int) (j int, ok bool) {
	if channel < 0 || channel >= s.channels {
		return 0, false
	}
	j = (channel - reader*s.each%s.channels + s.channels) % s.channels
	return j, j < s.each
}

// members is how many hear each channel.
func (s spread) members() []int {
	all := make([]int, s.channels)
	for r := range s.readers {
		for j := range s.each {
			all[s.channel(r, j)]++
		}
	}
	return all
}
