package handler

import (
	"container/heap"
	"container/list"
	"slices"
	"time"
)

// A line is the notes about one subject.
type line struct {
	about   subject
	notes   []*note       // the next one first
	flying  bool          // that one is under way
	place   *list.Element // among those that are ready; nil: it is not
	at      time.Time     // of those that are not: when it will be
	index   int           // among them
	waiters int
	gone    chan struct{} // closed when it is empty; nil: nobody waits for that
}

// oldest returns the oldest note that is not under way. c.mu is held.
func (c *courier) oldest() *note {
	for e := c.all.Front(); e != nil; e = e.Next() {
		n := e.Value.(*note)
		if l := c.lines[n.about]; !l.flying || l.notes[0] != n {
			return n
		}
	}
	return nil
}

// makeRoom gives up the oldest notes if there are too many. c.mu is held.
func (c *courier) makeRoom() {
	most := c.h.limits.Load().HandlerMaxUndelivered
	for c.all.Len() > most || c.bytes > most*bytesPerNote && c.all.Len() > 1 {
		n := c.oldest()
		if n == nil {
			return
		}
		c.giveUp(n)
	}
}

// expire gives up the notes whose time is over. c.mu is held.
func (c *courier) expire(now time.Time) {
	began := now.Add(-c.h.limits.Load().HandlerRetryTime)
	for n := c.oldest(); n != nil && !n.at.After(began); n = c.oldest() {
		c.giveUp(n)
	}
}

// giveUp has nobody be told. c.mu is held, and the note is not under way.
func (c *courier) giveUp(n *note) {
	c.remove(n)
	c.givenUp++
	c.untold++
}

// remove takes a note off its line, and the line away if it is empty. c.mu is
// held.
func (c *courier) remove(n *note) {
	c.all.Remove(n.place)
	c.bytes -= n.size
	l := c.lines[n.about]
	at := slices.Index(l.notes, n)
	l.notes = slices.Delete(l.notes, at, at+1)
	if len(l.notes) > 0 {
		return
	}
	delete(c.lines, l.about)
	switch {
	case l.place != nil:
		c.ready.Remove(l.place)
	case !l.flying && l.index >= 0 && l.index < len(c.later) && c.later[l.index] == l:
		heap.Remove(&c.later, l.index)
	}
	if l.gone != nil {
		close(l.gone)
	}
}

// confess logs how many notes were given up, once a minute at most.
func (c *courier) confess() {
	now := time.Now().Unix()
	if last := c.told.Load(); last != 0 && now-last < 60 {
		return
	}
	c.mu.Lock()
	n, all := c.untold, c.givenUp
	c.untold = 0
	c.mu.Unlock()
	if n > 0 {
		c.told.Store(now)
		c.h.log.Error("handler was not told who has left or come back; it sees that by the hole in the serials", "notifications", n, "since_start", all)
	}
}

// pauses are the lines that wait until they are tried again, the first to be
// first. It is a [heap.Interface].
type pauses []*line

func (p pauses) Len() int           { return len(p) }
func (p pauses) Less(i, j int) bool { return p[i].at.Before(p[j].at) }
func (p pauses) Swap(i, j int) {
	p[i], p[j] = p[j], p[i]
	p[i].index, p[j].index = i, j
}

func (p *pauses) Push(x any) {
	l := x.(*line)
	l.index = len(*p)
	*p = append(*p, l)
}

func (p *pauses) Pop() any {
	last := len(*p) - 1
	l := (*p)[last]
	(*p)[last] = nil
	*p = (*p)[:last]
	l.index = -1
	return l
}
