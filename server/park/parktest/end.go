package parktest

import (
	"sync"
	"syscall"

	"github.com/shaveet/shaveet/server/park/internal/kernel"
)

const again = syscall.EAGAIN

// An end is one side of a connection. All of it is guarded by the kernel's
// mutex.
type end struct {
	peer    *end
	open    int        // descriptors it has
	in      []byte     // what has come and is not read
	most    int        // how much of that there is room for
	asked   *ask       // a Read that waits; nil: none does
	fin     bool       // nothing comes behind in
	shut    bool       // the end has been said
	broken  bool       // nothing goes to and fro any more
	err     error      // told once by what comes next, when it is broken
	hard    bool       // closing it forgets what has not been taken
	refused bool       // a write has found too little room, and there has not been more since
	full    bool       // so has who asked: it is told when there is more
	item    *item      // in a poll; nil: none tells of it
	reads   *sync.Cond // told when something has come, and
	writes  *sync.Cond // when there is room
}

// An ask is a Read that waits, and what it has been given.
type ask struct {
	p []byte
	n int
}

// write writes to the peer what that has room for.
func (e *end) write(p []byte) (n int, err error) {
	to := e.peer
	switch {
	case e.err != nil:
		return 0, e.told()
	case e.broken || e.shut:
		return 0, syscall.EPIPE
	case to.open == 0: // the answer to this is that nobody is there
		e.breaks(syscall.EPIPE)
		return len(p), nil
	}
	n = to.take(p)
	if n < len(p) {
		e.refused, e.full = true, true
		to.reads.Broadcast() // for who wants to know that something is said
		if n == 0 {
			return 0, again
		}
	}
	return n, nil
}

// take takes what there is room for: with a Read that waits first.
func (e *end) take(p []byte) (n int) {
	if a := e.asked; a != nil {
		m := copy(a.p[a.n:], p)
		a.n, n, p = a.n+m, m, p[m:]
	}
	m := max(min(len(p), e.most-len(e.in)), 0)
	e.in = append(e.in, p[:m]...)
	if n += m; n > 0 {
		e.happened(kernel.Came)
	}
	return n
}

// room is how many bytes the peer has room for.
func (e *end) room() int {
	to := e.peer
	n := to.most - len(to.in)
	if a := to.asked; a != nil {
		n += len(a.p) - a.n
	}
	return max(n, 0)
}

// hasRoom reports whether that is enough for the kernel to tell of it: a third of
// what there can be.
func (e *end) hasRoom() bool {
	n := e.room()
	return n > 0 && 2*n >= len(e.peer.in)
}

// roomier says that there is more room for what is written here.
func (e *end) roomier() {
	e.writes.Broadcast()
	e.refused = e.refused && e.room() == 0
	if e.full && e.hasRoom() {
		e.full = false
		e.happened(kernel.Room)
	}
}

// read reads what has come.
func (e *end) read(p []byte) (n int, err error) {
	if n, err = e.peek(p); n > 0 {
		e.in = e.in[n:]
		e.peer.roomier()
	}
	return n, err
}

func (e *end) peek(p []byte) (n int, err error) {
	switch {
	case len(e.in) > 0:
		return copy(p, e.in), nil
	case e.err != nil:
		return 0, e.told()
	case e.fin || e.broken:
		return 0, nil
	}
	return 0, again
}

// gone reports whether there is nothing to read any more.
func (e *end) gone() bool { return len(e.in) == 0 && (e.fin || e.broken) }

// told returns the error that is told once.
func (e *end) told() (err error) {
	err, e.err = e.err, nil
	return err
}

// shutdown says the end.
func (e *end) shutdown() error {
	if e.broken {
		return syscall.ENOTCONN
	}
	e.shut = true
	if !e.peer.fin {
		e.peer.fin = true
		e.peer.happened(kernel.Came | kernel.Ending)
	}
	return nil
}

// close is for when its last descriptor has gone. With something left that
// nobody has read, or that still waits for room, the peer hears of it as of a
// break.
func (e *end) close() {
	if e.item != nil {
		e.item.poll.drop(e.item)
	}
	switch {
	case e.broken:
	case e.hard || len(e.in) > 0 || e.peer.refused:
		e.peer.breaks(syscall.ECONNRESET)
	default:
		e.shutdown()
	}
}

// breaks ends both directions. What nobody has read is lost.
func (e *end) breaks(err error) {
	e.broken, e.err, e.in = true, err, nil
	e.happened(kernel.Came | kernel.Room | kernel.Ending)
}

// happened has those who wait look, and the poll tell of it.
func (e *end) happened(what kernel.What) {
	e.reads.Broadcast()
	if what&kernel.Room != 0 {
		e.writes.Broadcast()
	}
	if i := e.item; i != nil && what&i.wanted != 0 {
		i.poll.queue(i)
	}
}

// look has those who wait look.
func (e *end) look() {
	e.reads.Broadcast()
	e.writes.Broadcast()
}

// now is what a poll tells of the end.
func (e *end) now() (what kernel.What) {
	if len(e.in) > 0 || e.fin || e.broken {
		what |= kernel.Came
	}
	if e.broken || e.shut || e.hasRoom() {
		what |= kernel.Room
	} else {
		e.full = true
	}
	if e.fin || e.broken {
		what |= kernel.Ending
	}
	return what
}
