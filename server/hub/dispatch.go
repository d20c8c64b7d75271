package hub

import (
	"context"
	"sync"
	"time"
)

// A dispatcher tells readers that something waits for them, on a goroutine of
// its own: whoever publishes only says which channels have news. Channels that
// get more news before their turn has come are told once, so the busier the
// hub, the fewer the wake-ups per message.
type dispatcher struct {
	wake  chan struct{}                      // holds a token when there is work
	waves func(late time.Duration, f func()) // nil: all are woken at once

	mu       sync.Mutex // guards all below; no other lock is taken under it
	channels []*channel
	clients  []*client
	since    time.Time // when the first of these came
}

// add has the readers of the channels and clients woken, and empties the lists.
func (d *dispatcher) add(channels *[]*channel, clients *[]*client) {
	if len(*channels) == 0 && len(*clients) == 0 {
		return
	}
	d.mu.Lock()
	if len(d.channels)+len(d.clients) == 0 {
		d.since = time.Now()
	}
	d.channels = append(d.channels, *channels...)
	d.clients = append(d.clients, *clients...)
	d.mu.Unlock()
	clear(*channels)
	clear(*clients)
	*channels, *clients = (*channels)[:0], (*clients)[:0]
	d.signal()
}

func (d *dispatcher) signal() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// run wakes readers until ctx ends.
func (d *dispatcher) run(ctx context.Context) {
	r := rounds{d: d}
	defer r.stop()
	for {
		if len(r.walks)+len(r.later) == 0 {
			select {
			case <-ctx.Done():
				return
			case <-d.wake:
			}
		} else if ctx.Err() != nil {
			return
		}
		r.fetch()
		r.wave(r.admit)
		r.round()
	}
}

// rounds are the dispatcher's walks over the members of channels. They go on by
// turns, a part at a time, so that news of a small channel does not wait for the
// last member of a large one.
type rounds struct {
	d       *dispatcher
	walks   []walk     // under way, the oldest first
	later   []*channel // have news again while their walk is under way
	grown   []*channel // the lists that change places with the dispatcher's
	clients []*client
	since   time.Time // when the first of what was fetched last came
	readers []*reader
	buf     [walkStep]*member
}

// A walk is over the members of a channel.
type walk struct {
	channel *channel
	next    int
	began   time.Time
}

// fetch takes what has come to the dispatcher.
func (r *rounds) fetch() {
	d := r.d
	d.mu.Lock()
	defer d.mu.Unlock()
	r.grown, d.channels = d.channels, r.grown[:0]
	r.clients, d.clients = d.clients, r.clients[:0]
	r.since = d.since
}

// admit wakes readers for what was fetched, or begins to. News of a channel whose
// walk is under way are those of its next.
func (r *rounds) admit() {
	for _, c := range r.clients {
		r.tell(c)
	}
	later := r.later
	r.later = nil
	for _, ch := range later {
		r.begin(ch)
	}
	for _, ch := range r.grown {
		r.begin(ch)
	}
	clear(r.grown)
	clear(r.clients)
}

// begin begins a walk, or makes the whole of it if one part is all.
func (r *rounds) begin(ch *channel) {
	if ch.walked {
		r.later = append(r.later, ch)
		return
	}
	ch.beginWalk()          // before it is not waiting any more: a deleted channel is not emptied then
	ch.waiting.Store(false) // before the first part: later news is a later walk's
	if ch.readers.Load() == 0 {
		ch.endWalk()
		return
	}
	part, more := ch.part(r.buf[:0], 0)
	if more {
		ch.walked = true
		r.walks = append(r.walks, walk{channel: ch, began: r.since})
		return
	}
	ch.endWalk()
	r.tellAll(part)
}

// round goes on with each walk by one part.
func (r *rounds) round() {
	under := r.walks[:0]
	for _, w := range r.walks {
		part, more := w.channel.part(r.buf[:0], w.next)
		r.wave(func() { r.tellAll(part) })
		if w.next += walkStep; more {
			under = append(under, w)
		} else {
			w.end()
		}
	}
	clear(r.walks[len(under):])
	r.walks = under
}

func (w *walk) end() {
	w.channel.walked = false
	w.channel.endWalk()
}

func (r *rounds) stop() {
	for _, w := range r.walks {
		w.end()
	}
}

func (r *rounds) tellAll(part []*member) {
	for _, m := range part {
		r.tell(m.client)
	}
	clear(part)
}

// wave has some of the readers be woken.
func (r *rounds) wave(wake func()) {
	if r.d.waves == nil {
		wake()
		return
	}
	oldest := r.since
	if len(r.walks) > 0 { // the first is the oldest
		oldest = r.walks[0].began
	}
	r.d.waves(time.Since(oldest), wake)
}

func (r *rounds) tell(c *client) {
	r.readers = c.readers(r.readers[:0])
	for _, one := range r.readers {
		one.wake()
	}
	clear(r.readers)
}
