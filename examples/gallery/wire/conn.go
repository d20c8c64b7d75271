package wire

import (
	"bytes"
	"fmt"
	"sync"
	"time"
)

// A Conn reads along on one connection, and emits what it understands in the
// order in which it passes. Its methods may be called by two goroutines, one for
// each direction.
type Conn struct {
	mu   sync.Mutex // guards all below, and is held while emit runs
	emit func(Event)
	at   time.Time // of the piece that is being read
	up   side
	down side
	over func()
}

// side is one direction. Its step reads some of the bytes that have come, one at
// least, and returns how many; it may change step.
type side struct {
	c    *Conn
	isUp bool
	seen seen
	hide *hider // nil where nothing can be secret
	step func(p []byte) int
}

func newConn(emit func(Event)) *Conn {
	c := &Conn{emit: emit, over: func() {}}
	c.up = side{c: c, isUp: true}
	c.down = side{c: c}
	return c
}

// Open says that the connection is there.
func (c *Conn) Open(at time.Time, title string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.emit(Event{At: at, Up: true, Kind: KindOpen, Title: title})
}

// Pass reads what passes. It keeps nothing of p.
func (c *Conn) Pass(up bool, at time.Time, p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
	s := &c.down
	if up {
		s = &c.up
	}
	for len(p) > 0 {
		n := s.step(p)
		if n <= 0 || n > len(p) { // cannot be; but it must never be why a page hangs
			s.giveUp()
			continue
		}
		p = p[n:]
	}
}

// End says that the connection is over.
func (c *Conn) End(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
	c.over()
	for _, s := range []*side{&c.up, &c.down} {
		if s.seen.count > 0 {
			s.tell(Event{Kind: KindRaw, Title: fmt.Sprintf("%d bytes, cut off", s.seen.count)})
		}
	}
	c.emit(Event{At: at, Up: true, Kind: KindClose, Title: "connection closed"})
}

// tell emits an event that has all bytes that have passed since the last one.
func (s *side) tell(e Event) {
	e.At, e.Up = s.c.at, s.isUp
	e.Bytes, e.Raw = s.seen.take()
	s.c.emit(e)
}

// note counts bytes that may be of a head, without what is secret in them.
func (s *side) note(p []byte) []byte {
	if s.hide != nil {
		p = s.hide.over(bytes.Clone(p))
	}
	s.seen.add(p)
	return p
}

// giveUp has all that comes shown as it is.
func (s *side) giveUp() {
	s.step = func(p []byte) int {
		text, cut := readable(s.note(p), maxText)
		s.tell(Event{Kind: KindRaw, Title: fmt.Sprintf("%d bytes", s.seen.count), Text: text, Cut: cut})
		return len(p)
	}
}

// gather collects bytes until whole says how long they are, which it must say
// again when there are more; then it calls then with them. Whole may say that
// they make no sense by a negative number.
func (s *side) gather(whole func(held []byte) int, then func(held []byte)) {
	var held []byte
	s.step = func(p []byte) int {
		if len(held) == 0 { // whole already, as most are: what is behind it need not be copied
			if n := whole(p); n > 0 && n <= len(p) && n <= maxHead {
				s.note(p[:n])
				then(bytes.Clone(p[:n]))
				return n
			}
		}
		before := len(held)
		held = beginning(held, p, maxHead)
		switch n := whole(held); {
		case n < 0 || n == 0 && len(held) == maxHead:
			s.note(held[before:])
			s.giveUp()
			return max(1, len(held)-before)
		case n == 0:
			s.note(held[before:])
			return len(held) - before
		default:
			s.note(held[before:n])
			done := held[:n]
			held = nil
			then(done)
			return n - before
		}
	}
}

// pass lets n bytes pass, calls part with each piece of them, and then then.
func (s *side) pass(n uint64, part func(p []byte), then func()) {
	if n == 0 {
		then()
		return
	}
	s.step = func(p []byte) int {
		if uint64(len(p)) > n {
			p = p[:n]
		}
		s.seen.add(p)
		part(p)
		if n -= uint64(len(p)); n == 0 {
			then()
		}
		return len(p)
	}
}

// fixed is for gather: so many bytes.
func fixed(n int) func([]byte) int {
	return func(held []byte) int {
		if len(held) < n {
			return 0
		}
		return n
	}
}
