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

	mu     sync.Mutex // guards news; no other lock is taken under it
	news   map[*channel]uint64
	closed bool

	channels []tapped // lent to Collect
	batch    []*Message
}

// tapped is a channel with news, and the seq up to which it has none.
type tapped struct {
	channel *channel
	from    uint64
}

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
	top := t.hub.visible.Load()
	t.take(top)
	t.hub.yield()
	clear(t.batch)
	l := t.hub.limits()
	batch := t.batch[:0]
	for _, c := range t.channels {
		c.channel.mu.RLock()
		if c.channel.messages.evicted > c.from {
			lost++
		}
		batch = c.channel.messages.between(batch, c.from, top, l.BatchMessages+1)
		c.channel.mu.RUnlock()
	}
	slices.SortFunc(batch, func(a, b *Message) int { return cmp.Compare(a.Seq, b.Seq) })
	t.batch = batch
	batch, more := l.cut(batch, l.BatchBytes)
	at := top
	if more {
		at = batch[len(batch)-1].Seq
	}
	t.putBack(at)
	// An entry that was applied meanwhile may have found nothing to wake for.
	if more || t.hub.visible.Load() > top {
		t.wake()
	}
	now := t.hub.now()
	return slices.DeleteFunc(batch, func(m *Message) bool { return m.late(now) }), lost
}

// take takes the channels with news up to top. Nothing that is there is
// missing: an entry is noted before the top moves over it.
func (t *Tap) take(top uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.channels)
	t.channels = t.channels[:0]
	for ch, from := range t.news {
		if from < top {
			t.channels = append(t.channels, tapped{ch, from})
			delete(t.news, ch)
		}
	}
}

// putBack notes the channels that have more than what was collected, up to seq
// at.
func (t *Tap) putBack(at uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.channels {
		// What is lost has been told. Who has noted news since knows less.
		if c.channel.newest.Load() > at && !t.closed {
			t.news[c.channel] = max(c.from, at)
		}
	}
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
