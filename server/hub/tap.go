package hub

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
)

// A Tap hears what is said on all channels whose names match, whoever is
// subscribed to them. It is made for what hands messages on to other systems:
// it hears what is said from its beginning on, and nobody sees that it is
// there. Messages that exclude clients are for it, too; notices are not.
//
// One goroutine at a time may Collect; Close may be called by any.
type Tap struct {
	hub      *Hub
	patterns []string
	notify   func()
	pending  atomic.Bool // notify has been called since the last Collect

	mu     sync.Mutex          // guards news, order and closed; no other lock is taken under it
	news   map[*channel]uint64 // up to which seq a channel has nothing new
	order  tapOrder            // the same, lowest first, and what is so no more
	closed bool

	taken []tapped // lent to Collect
	batch []*Message
}

// A tapped channel has news: the first comes right after from.
type tapped struct {
	channel *channel
	from    uint64
	evicted uint64 // what it had lost when it was looked at
}

// tapStep is how many channels a tap looks at in one go: while it makes its
// choice, publishers may have to wait.
const tapStep = 256

// Tap begins to listen to the channels that one of the patterns matches, as
// [Match] does. ready is called once when something is pending, and again when
// something is after the next Collect; it must not block, and not call the hub.
// The caller must Close the tap.
func (h *Hub) Tap(patterns []string, ready func()) *Tap {
	t := &Tap{hub: h, patterns: slices.Clone(patterns), notify: ready, news: make(map[*channel]uint64)}
	h.changeTaps(func(all []*Tap) []*Tap { return append(all, t) })
	return t
}

// Close ends the tap. It may be called again.
func (t *Tap) Close() {
	t.hub.changeTaps(func(all []*Tap) []*Tap {
		return slices.DeleteFunc(all, func(o *Tap) bool { return o == t })
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	clear(t.news)
	t.order = nil
}

// forget forgets what is new: the log is another one, or has been found again.
func (t *Tap) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.news)
	t.order = nil
}

func (h *Hub) changeTaps(change func([]*Tap) []*Tap) {
	h.tapsMu.Lock()
	defer h.tapsMu.Unlock()
	all := change(slices.Clone(h.allTaps()))
	h.taps.Store(&all)
}

func (h *Hub) allTaps() []*Tap {
	if all := h.taps.Load(); all != nil {
		return *all
	}
	return nil
}

// Collect returns what is pending, in the log's order, and from how many
// channels something is lost that was said since the last Collect. Where there
// is more already, ready is called before it returns. The messages are valid
// until the next Collect.
func (t *Tap) Collect() (messages []*Message, lost int) {
	t.pending.Store(false) // before the look: what comes later says so again
	visible := t.hub.visible.Load()
	top := t.take(visible)
	t.hub.yield()
	clear(t.batch)
	l := t.hub.limits()
	batch := t.batch[:0]
	for i := range t.taken {
		c := &t.taken[i]
		c.channel.mu.RLock()
		if c.evicted = c.channel.messages.evicted; c.evicted > c.from {
			lost++
		}
		batch = c.channel.messages.between(batch, c.from, top, l.BatchMessages+1)
		c.channel.mu.RUnlock()
	}
	slices.SortFunc(batch, func(a, b *Message) int { return cmp.Compare(a.Seq, b.Seq) })
	t.batch = batch
	batch, cut := l.cut(batch, l.BatchBytes)
	if cut {
		top = batch[len(batch)-1].Seq
	}
	t.putBack(top)
	// There may be more than was looked at; and an entry that was applied
	// meanwhile may have found nothing to wake for.
	if top < visible || t.hub.visible.Load() > visible {
		t.wake()
	}
	now := t.hub.now()
	return slices.DeleteFunc(batch, func(m *Message) bool { return m.late(now) }), lost
}

// take takes the channels whose news come first, and returns up to where they
// have them all, which is top at most. Nothing that is there is missing: an
// entry is noted before the top moves over it.
func (t *Tap) take(top uint64) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.taken)
	t.taken = t.taken[:0]
	for len(t.order) > 0 && t.order[0].from < top {
		if len(t.taken) == tapStep {
			return t.order[0].from
		}
		c := t.order.pop()
		if from, known := t.news[c.channel]; known && from == c.from {
			t.taken = append(t.taken, c)
			delete(t.news, c.channel)
		}
	}
	return top
}

// putBack notes the channels that have more than what was collected, up to seq
// at.
func (t *Tap) putBack(at uint64) {
	rest := t.taken[:0]
	for _, c := range t.taken {
		if from, more := c.rest(at); more {
			rest = append(rest, tapped{channel: c.channel, from: from})
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range rest {
		if !t.closed {
			t.news[c.channel] = c.from // who has noted something since knows less
			t.order.push(c)
		}
	}
}

// rest reports whether c has more beyond seq at, and right behind what.
func (c tapped) rest(at uint64) (from uint64, more bool) {
	c.channel.mu.RLock()
	defer c.channel.mu.RUnlock()
	r := &c.channel.messages
	told := max(c.from, at, c.evicted)
	if r.evicted > told { // meanwhile, and not told yet
		return told, true
	}
	if i := r.after(max(c.from, at)); i < r.n {
		return r.at(i).Seq - 1, true
	}
	return 0, false
}

// note says that ch has a message with number seq. The log's lock is held.
func (t *Tap) note(ch *channel, seq uint64) {
	if !slices.ContainsFunc(t.patterns, func(p string) bool { return Match(p, ch.name) }) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.news[ch]; !known && !t.closed {
		t.news[ch] = seq - 1
		t.order.push(tapped{channel: ch, from: seq - 1})
	}
}

// wake tells t that there is something to look at, unless it knows.
func (t *Tap) wake() {
	t.mu.Lock()
	news := len(t.news) > 0
	t.mu.Unlock()
	if news && t.pending.CompareAndSwap(false, true) {
		t.notify()
	}
}

// A tapOrder is a heap of channels, the one whose news come first in front.
// Numbers rise, so whoever notes something puts it at the end, where it stays.
type tapOrder []tapped

func (o *tapOrder) push(c tapped) {
	h := append(*o, c)
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if h[up].from <= h[i].from {
			break
		}
		h[up], h[i] = h[i], h[up]
		i = up
	}
	*o = h
}

func (o *tapOrder) pop() tapped {
	h := *o
	first, last := h[0], len(h)-1
	h[0], h[last] = h[last], tapped{}
	h = h[:last]
	for i := 0; ; {
		least := i
		for _, down := range []int{2*i + 1, 2*i + 2} {
			if down < last && h[down].from < h[least].from {
				least = down
			}
		}
		if least == i {
			break
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
	*o = h
	return first
}
