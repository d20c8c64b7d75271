package hub

import "sync"

// A wheel knows when to look at each client again, to the second. Looking at
// those who are due costs nothing for those who are not, however many they
// are. A client that has been active in the meantime is simply put back.
type wheel struct {
	mu      sync.Mutex        // guards all; no other lock is taken under it
	buckets map[int64]*client // by second: a list through client.nextDue
	from    int64             // no bucket is older
}

const second = int64(1e9)

// add has c looked at once `at` has passed, in ns since the hub began. A
// client that stands in the wheel already stays where it is.
func (w *wheel) add(c *client, at int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.wheeled {
		return
	}
	c.dueIn = max(w.from, (at+second-1)/second)
	c.wheeled = true
	c.nextDue = w.buckets[c.dueIn]
	if c.nextDue != nil {
		c.nextDue.prevDue = c
	}
	w.buckets[c.dueIn] = c
}

// remove takes c out of the wheel, if it is there.
func (w *wheel) remove(c *client) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.wheeled {
		w.unlink(c)
	}
}

// hold says whether this process looks after c, and returns whether it did.
func (w *wheel) hold(c *client, held bool) (before bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, c.held = c.held, held
	return before
}

// holds reports whether this process looks after c.
func (w *wheel) holds(c *client) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return c.held
}

// unlink takes c out of its bucket. w.mu is held.
func (w *wheel) unlink(c *client) {
	switch {
	case c.prevDue != nil:
		c.prevDue.nextDue = c.nextDue
	case c.nextDue != nil:
		w.buckets[c.dueIn] = c.nextDue
	default:
		delete(w.buckets, c.dueIn)
	}
	if c.nextDue != nil {
		c.nextDue.prevDue = c.prevDue
	}
	c.nextDue, c.prevDue, c.wheeled = nil, nil, false
}

// due appends to buf, within its capacity, clients whose time has come, and
// takes them out of the wheel.
func (w *wheel) due(now int64, buf []*client) []*client {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ; w.from <= now/second; w.from++ {
		for c := w.buckets[w.from]; c != nil; c = w.buckets[w.from] {
			if len(buf) == cap(buf) {
				return buf
			}
			w.unlink(c)
			buf = append(buf, c)
		}
	}
	return buf
}
