package park

import (
	"sync"
	"time"
)

// A crew looks after the connections of the poller that have a reason for it,
// in the order in which they were named: one pass each, and whoever has more to
// say stands in line again. So nobody is kept waiting for long by one that is
// busy. It is as large as the load needs: the fewer look, the later each
// connection has its turn, the more has come together for it by then, and the
// less each message costs.
type crew struct {
	most int // how many may work at once

	mu    sync.Mutex // guards all below
	line  []*Conn    // from head on
	head  int
	hands int       // how many work
	wish  int       // how many should, while there is enough to do
	room  sync.Cond // the line has become short
}

// The line is long with so many, and short with so many.
const (
	longLine  = 512
	shortLine = 128
)

// lap is how long a message may take to reach all who hear it before more work
// at that at once.
const lap = 25 * time.Millisecond

// handful is how many connections one of the crew takes at a time.
const handful = 32

func newCrew(most int) *crew {
	w := &crew{most: most, wish: 1}
	w.room.L = &w.mu
	return w
}

// add has somebody look after c, whose mark running is set.
func (w *crew) add(c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.line = append(w.line, c)
	if w.hands == 0 || w.hands < w.wish && len(w.line)-w.head > handful {
		w.hands++
		go w.work()
	}
}

// work looks after connections until there are none left for it.
func (w *crew) work() {
	d := desks.Get().(*desk)
	defer desks.Put(d)
	var mine [handful]*Conn
	for {
		n := w.take(&mine)
		if n == 0 {
			return
		}
		for i, c := range mine[:n] {
			mine[i] = nil
			c.turn(d)
		}
	}
}

// take takes the first in line.
func (w *crew) take(mine *[handful]*Conn) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n = copy(mine[:], w.line[w.head:])
	if n == 0 || w.hands > max(w.wish, 1) {
		w.hands-- // if there are any left, others see to them
		return 0
	}
	clear(w.line[w.head : w.head+n])
	w.head += n
	if w.head == len(w.line) {
		w.line, w.head = w.line[:0], 0
		if cap(w.line) > maxLine {
			w.line = nil
		}
	} else if w.head >= 4*longLine && w.head > len(w.line)/2 {
		left := copy(w.line, w.line[w.head:])
		clear(w.line[left:])
		w.line, w.head = w.line[:left], 0
	}
	if len(w.line)-w.head <= shortLine {
		w.room.Broadcast()
	}
	return n
}

// maxLine is how many may have stood in line for its memory to be kept.
const maxLine = 1 << 16

// pace returns when the line is not long any more. since is when the oldest
// piece of news came that somebody has not been woken for yet.
func (w *crew) pace(late time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wish = min(1+int(late/lap), w.most)
	for len(w.line)-w.head > longLine {
		if w.hands < w.wish {
			w.hands++
			go w.work()
		}
		w.room.Wait()
	}
}

// A desk is what a pass over a connection needs, lent to one who works.
type desk struct {
	out buffer         // what is written
	in  [16 << 10]byte // what has come
}

var desks = sync.Pool{New: func() any { return &desk{out: buffer{make([]byte, 0, 4<<10)}} }}
