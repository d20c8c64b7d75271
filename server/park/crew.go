package park

import (
	"bufio"
	"context"
	"slices"
	"sync"
	"sync/atomic"
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

	mu      sync.Mutex // guards all below
	line    []*Conn    // from head on
	head    int
	began   time.Time   // since when the line has not been empty
	took    time.Time   // when somebody took some of it last
	watch   *time.Timer // goes off while watched; nil until it is needed
	watched bool
	hands   int // how many work
	stuck   int // how many of them are kept by something, as far as is known
	relief  int // how often others came because all were
	wish    int // how many should work, while there is enough to do
	waiting int // how many have left it to wait for something, with a request
}

// lap is how long a message may take to reach all who hear it before more work
// at that at once.
const lap = 25 * time.Millisecond

// maxStuck is how many may be kept by something and be replaced.
const maxStuck = 1024

// maxWaiting is how many may have left the crew at once to wait for something, each
// with a desk.
const maxWaiting = 4096

// handful is how many connections one of the crew takes at a time.
const handful = 32

func newCrew(most int) *crew {
	return &crew{most: most, wish: 1}
}

// add has somebody look after c, whose mark running is set.
func (w *crew) add(c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.line) == 0 {
		w.began = time.Now()
	}
	w.line = append(w.line, c)
	if free := w.free(); free == 0 && w.stuck < maxStuck || free < w.wish && len(w.line)-w.head > handful {
		w.hire()
		return
	}
	if !w.watched { // who works may be kept by something
		w.watched = true
		if w.watch == nil {
			w.watch = time.AfterFunc(lap, w.relieve)
		} else {
			w.watch.Reset(lap)
		}
	}
}

// hire has one more work. w.mu is held.
func (w *crew) hire() {
	w.hands++
	go w.work(w.relief)
}

// free is how many work who are not kept by anything. w.mu is held.
func (w *crew) free() int { return w.hands - w.stuck }

// back says that one is back from what was under way when so many reliefs had come.
// w.mu is held.
func (w *crew) back(relief int) {
	if relief != w.relief {
		w.stuck--
	}
}

// relieve has one more work if others wait and have for long, and nobody takes
// them: then all who work are kept by something.
func (w *crew) relieve() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watched = w.head < len(w.line)
	if !w.watched {
		return
	}
	w.watch.Reset(lap)
	if time.Since(w.took) >= lap && w.stuck < maxStuck {
		w.relief++
		w.stuck = w.hands
		w.hire()
	}
}

// work looks after connections until there are none left for it.
func (w *crew) work(relief int) {
	d := desks.Get().(*desk)
	defer desks.Put(d)
	d.crew, d.relief = w, relief
	for w.serve(d, false) > 0 {
	}
}

// serve looks after the first in line, and returns how many there were. With
// none, there is one hand less. herds is said by who goes on as long as there are
// any, however many others work.
func (w *crew) serve(d *desk, herds bool) (n int) {
	mine := &d.mine
	n = w.take(mine, d, herds)
	d.herds = herds
	for i, c := range mine[:n] {
		d.rest = mine[i+1 : n]
		if c.turn(d); d.left {
			break
		}
	}
	d.rest = nil
	clear(mine[:n])
	if cap(d.out.p) > maxKept {
		d.out.p = make([]byte, 0, deskSize)
	}
	if d.left {
		w.done(d)
		return 0
	}
	return n
}

// leave has who works at d be one of the crew no more: what comes next may take
// long, and what they have taken to do is left to others. It reports whether so many
// may wait.
func (w *crew) leave(d *desk) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case d.left:
		return true
	case w.waiting >= maxWaiting:
		return false
	}
	d.left = true
	w.waiting++
	w.back(d.relief)
	w.hands--
	if len(w.line) == 0 {
		w.began = time.Now()
	}
	w.line = slices.Insert(w.line, w.head, d.rest...) // they have waited longest
	d.rest = nil
	if w.head < len(w.line) && w.free() == 0 {
		w.hire()
	}
	return true
}

// done says that who has left has waited long enough.
func (w *crew) done(d *desk) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting--
	d.left = false
}

// deskSize is how many bytes most passes need at most.
const deskSize = 4 << 10

// take takes the first in line.
func (w *crew) take(mine *[handful]*Conn, d *desk, herds bool) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.back(d.relief)
	d.relief = w.relief
	n = copy(mine[:], w.line[w.head:])
	if n == 0 || !herds && w.free() > max(w.wish, 1) {
		w.hands-- // if there are any left, others see to them
		return 0
	}
	w.took = time.Now()
	if long := int(w.took.Sub(w.began) / lap); long > 0 && n == handful { // too few are at it
		w.wish = min(max(w.wish, 1+long), w.most)
		if w.free() < w.wish {
			w.hire()
		}
	}
	clear(w.line[w.head : w.head+n])
	w.head += n
	if w.head == len(w.line) {
		w.line, w.head, w.wish = w.line[:0], 0, 1
		if cap(w.line) > maxLine {
			w.line = nil
		}
	} else if w.head >= maxHerd && w.head > len(w.line)/2 {
		left := copy(w.line, w.line[w.head:])
		clear(w.line[left:])
		w.line, w.head = w.line[:left], 0
	}
	return n
}

// maxLine is how many may have stood in line for its memory to be kept.
const maxLine = 1 << 16

// herd has the caller work at what wake adds to the line.
func (w *crew) herd(late time.Duration, wake func()) {
	w.mu.Lock()
	w.hands++ // so that nobody else is called for the first of them
	relief := w.relief
	w.wish = min(1+int(late/lap), w.most)
	w.mu.Unlock()
	wake()
	d := desks.Get().(*desk)
	defer desks.Put(d)
	d.crew, d.relief = w, relief
	for done := 0; done < maxHerd; {
		n := w.serve(d, true)
		if n == 0 {
			return
		}
		done += n
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.back(d.relief)
	w.hands--
	if w.head < len(w.line) && w.free() == 0 {
		w.hire() // in our place
	}
}

// maxHerd is how many are seen to before more are woken.
const maxHerd = 1024

// A desk is what a pass over a connection needs, lent to one who works.
type desk struct {
	crew   *crew          // whose it is
	relief int            // of that, when who works here took something last
	mine   [handful]*Conn // what has been taken to do
	rest   []*Conn        // and is left of that
	herds  bool           // who works here has to wake others, and must not wait
	left   bool           // who works here is one of the crew no more
	out    buffer         // what is written
	in     [16 << 10]byte // what has come
	reading
	sums *summer
}

type deskKey struct{}

// MayWait is said by a handler before it waits for something: by one of a quick
// request, so that others do not wait with it. It reports whether so many may wait;
// if not, the handler should say that there is too much to do. ctx is the request's.
func MayWait(ctx context.Context) bool {
	at, quick := ctx.Value(deskKey{}).(*atomic.Pointer[desk])
	if !quick {
		return true
	}
	d := at.Load() // nil: its handler has returned
	return d == nil || d.crew.leave(d)
}

var desks = sync.Pool{New: func() any {
	return &desk{out: buffer{make([]byte, 0, deskSize)}, reading: reading{lines: bufio.NewReader(nil)}, sums: newSummer()}
}}
