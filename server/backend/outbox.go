package backend

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// piece is how many bytes a peer has the write timeout for.
const piece = 64 << 10

// fill is how much is enough for a write.
const fill = 16 << 10

// longest is how long an answer may wait for others to be written with it.
const longest = time.Millisecond

// errTooSlow says that the peer has not taken what was written in time.
var errTooSlow = errors.New("the peer is too slow")

// An outbox is what is to be written to a connection: all that is there is
// written at once. One goroutine runs it; the other methods may be called by
// many.
type outbox struct {
	limit   int           // bytes; with more there is no room
	timeout time.Duration // for each piece
	wake    chan struct{} // has something if there is something to be done
	ended   chan struct{} // closed when nothing will be written any more
	late    *time.Timer   // wakes for what has waited for others

	mu      sync.Mutex    // guards all below
	next    []byte        // what is written next
	put     int64         // bytes that were ever put in
	written int64         // bytes of them that the kernel has
	over    bool          // nothing more is put in
	ticking bool          // late is set
	room    chan struct{} // closed when there is room again; nil if nobody waits for that
}

func newOutbox(limit int, timeout time.Duration) *outbox {
	o := &outbox{limit: limit, timeout: timeout, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	o.late = time.AfterFunc(time.Hour, o.tick)
	return o
}

// append puts in what f appends, and returns where that ends among all that was
// ever put in. It does so whether or not there is room: see await. ok is false
// if nothing is put in any more.
func (o *outbox) append(f func(b []byte) []byte) (end int64, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		return 0, false
	}
	before := len(o.next)
	o.next = f(o.next)
	o.put += int64(len(o.next) - before)
	switch {
	case len(o.next) >= fill:
		o.flush()
	case !o.ticking:
		o.ticking = true
		o.late.Reset(longest)
	}
	return o.put, true
}

// flush has what is there be written now.
func (o *outbox) flush() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// tick is for what was not flushed in time.
func (o *outbox) tick() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ticking = false
	o.flush()
}

// finish has the outbox end: once all is written if last is not nil, which comes
// at the end then, and now if it is nil.
func (o *outbox) finish(last []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.over {
		o.over = true
		o.next = append(o.next, last...)
		o.put += int64(len(last))
	}
	if last == nil {
		o.next = nil
	}
	o.flush()
}

// await waits until there is room, or nothing will be written any more, or
// until giveUp.
func (o *outbox) await(giveUp <-chan struct{}) {
	for {
		o.mu.Lock()
		if len(o.next) < o.limit || o.over {
			o.mu.Unlock()
			return
		}
		if o.room == nil {
			o.room = make(chan struct{})
		}
		room := o.room
		o.mu.Unlock()
		select {
		case <-room:
		case <-o.ended:
			return
		case <-giveUp:
			return
		}
	}
}

// sent returns how many bytes the kernel has.
func (o *outbox) sent() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.written
}

// run writes until the end. The error says why not all was written.
func (o *outbox) run(to net.Conn) (err error) {
	defer func() {
		o.finish(nil)
		o.late.Stop()
		close(o.ended)
	}()
	var done []byte // what was written last, whose room is used again
	for range o.wake {
		b, over := o.take(done)
		if err := o.write(to, b); err != nil {
			return err
		}
		if over {
			return nil
		}
		if done = b[:0]; cap(done) > 2*piece {
			done = nil
		}
	}
	return nil
}

// take returns all that is there, and whether no more will come. empty is for
// what comes next.
func (o *outbox) take(empty []byte) (b []byte, over bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	b, o.next = o.next, empty
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
	return b, o.over
}

func (o *outbox) write(to net.Conn, b []byte) error {
	for len(b) > 0 {
		to.SetWriteDeadline(time.Now().Add(o.timeout))
		n, err := to.Write(b[:min(len(b), piece)])
		o.mu.Lock()
		o.written += int64(n)
		o.mu.Unlock()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return errTooSlow
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
