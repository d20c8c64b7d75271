package park

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"syscall"
	"time"
)

// A stage is how far a parked connection has come.
type stage uint8

const (
	tenanted  stage = iota
	arrived         // and waits for its first request
	waiting         // for its next request
	lingering       // until the peer has heard the end
)

// parked is a connection that has nobody but the lot's poller and crew, who use
// its descriptor themselves: without a goroutine, a buffer, or a [net.Conn].
// All of it is of whoever runs.
type parked struct {
	fd      int32
	noise   int32 // bytes, or breaks of lines, that nobody had asked for
	stage   stage
	unread  bool     // there is something to read that was left for later
	roomToo bool     // the poller tells also when there is room
	known   bool     // the poller has it already
	later   uint32   // events that wait until all has been written; and ending for good, which the poller tells once
	unsent  *unsent  // what there was no room for; nil: nothing
	gone    func()   // told when the descriptor is closed; nil: nobody is
	peer    peerAddr // kept, since the kernel forgets it when the peer breaks the connection
	on      bool     // it is parked at all
	passed  bool     // its tenant has been asked what there is to say
}

// unsent is what a pass has not brought to an end.
type unsent struct {
	p         []byte
	began     time.Time // when the piece began that is under way
	left      int       // bytes of that
	said, end bool      // what the pass said
}

func (c *Conn) fd() int { return int(c.parked.fd) }

// unparked makes a connection of the descriptor again.
func (c *Conn) unparked() net.Conn {
	return c.lot.kernel.Conn(c.fd(), c.parked.peer.addrPort(), c.parked.gone)
}

// owes reports whether something is still to be written.
func (c *Conn) owes() bool { return c.parked.unsent != nil }

// adopt takes the descriptor out of a connection, if it has one that the poller
// can use.
func (c *Conn) adopt(conn net.Conn) bool {
	if c.lot.poller() == nil {
		return false
	}
	fd, ok := c.lot.kernel.Duplicate(conn)
	if !ok {
		return false
	}
	c.parked = parked{on: true, fd: int32(fd), peer: packAddr(conn.RemoteAddr())}
	if d, is := conn.(Detachable); is {
		conn, c.parked.gone = d.Detach()
	}
	conn.Close() // the other descriptor goes on
	return true
}

// park leaves the connection to the poller and the crew. early is what has come
// already, of what is no poll. The mark running is set.
func (c *Conn) park(early []byte) {
	c.parts.Store(1)
	defer c.rescueTurn()
	c.tick()
	c.parked.unread = c.kind == answer && len(c.pending) > 0
	if !c.parked.known {
		if err := c.lot.poll.add(c); err != nil {
			c.endParked(fmt.Errorf("%w: %w", ErrCut, err))
			return
		}
	}
	if len(early) > 0 {
		c.receive(early)
	}
	c.yield()
}

// yield ends a turn. There is another when there is a reason.
func (c *Conn) yield() {
	left := c.state.Load()
	if left&events != 0 || !c.state.CompareAndSwap(left, left&^running) {
		c.lot.crew.add(c)
	}
}

// turn looks at what has happened. The mark running is set, and stays if the
// connection has ended or gone elsewhere.
func (c *Conn) turn(d *desk) {
	defer c.rescueTurn()
	if now := c.state.And(^events) & events; !c.see(now, d) {
		c.yield()
	}
}

// see looks at what has happened, and reports whether it was the end.
func (c *Conn) see(now uint32, d *desk) (over bool) {
	c.parked.later |= now & ending
	if c.parked.stage != tenanted && now&due != 0 && c.lot.clock.Waits((*sleeper)(c)) {
		now &^= due // of the tenant's time
	}
	switch {
	case c.parked.stage == waiting, c.parked.stage == arrived:
		return c.seeNext(now, d)
	case c.parked.stage == lingering:
		return c.seeEnd(now, d)
	case now&cutOff != 0:
		return c.endParked(ErrCut)
	case !c.parked.passed: // what there is already is said even to who has said that it was all
		c.parked.passed = true
		c.state.Or(now & (readable | ending))
		return c.passParked(now|woken, d)
	}
	if now&readable != 0 {
		if err := c.hearParked(now, d); err != nil {
			return c.endParked(err)
		}
	}
	if c.parked.unsent != nil {
		c.parked.later |= now & (woken | draining)
		done, err := c.sendRest(now)
		if err != nil {
			return c.endParked(err)
		}
		if !done {
			return false
		}
		u := c.parked.unsent
		c.parked.unsent = nil
		if now, c.parked.later = c.parked.later, c.parked.later&ending; c.said(u.said, u.end) {
			return true
		}
		if c.parked.stage != tenanted {
			return false
		}
	}
	// What the tenant has been told it may have said something about.
	now |= c.state.And(^woken) & woken
	if now&(woken|due|draining) == 0 {
		return false
	}
	return c.passParked(now, d)
}

// passParked has the tenant say what is to be written, and writes what there is
// room for.
func (c *Conn) passParked(now uint32, d *desk) (over bool) {
	front := c.front()
	dst := d.out.room(front)
	out, end := c.next(dst, now)
	d.out.keep(out)
	said := len(out) > front
	if !said && len(c.opening()) == 0 && !(end && c.kind == chunked) {
		return c.said(false, end)
	}
	p := c.framed(out, front, end)
	n, err := c.push(p)
	if err != nil {
		return c.endParked(err)
	}
	if n < len(p) {
		return c.owe(p[n:], said, end)
	}
	return c.said(said, end)
}

// framed puts around what the tenant has said, behind front free bytes, what
// belongs there.
func (c *Conn) framed(out []byte, front int, end bool) []byte {
	if end && c.kind == chunked && len(out) == front { // nothing else says that it has ended
		c.whole = true
		p := append(append(out[:0], c.opening()...), lastChunk...)
		c.pending = nil
		return p
	}
	return c.frame(out, front, end)
}

// push writes what there is room for.
func (c *Conn) push(p []byte) (n int, err error) {
	for n < len(p) {
		m, err := c.lot.kernel.Write(c.fd(), p[n:])
		switch {
		case err == nil:
			n += m
			c.bytes += int64(m)
		case errors.Is(err, syscall.EAGAIN):
			return n, nil
		case !errors.Is(err, syscall.EINTR):
			return n, fmt.Errorf("%w: %w", ErrGone, os.NewSyscallError("write", err))
		}
	}
	return n, nil
}

// owe notes what is still to be written when there is room for it, for which the
// peer has its time.
func (c *Conn) owe(p []byte, said, end bool) (over bool) {
	c.parked.unsent = &unsent{p: bytes.Clone(p), began: time.Now(), left: piece, said: said, end: end}
	c.lot.clock.Set((*sleeper)(c), c.lot.opts.WriteTimeout)
	if !c.parked.roomToo {
		c.parked.roomToo = true
		if err := c.lot.poll.wantRoom(c); err != nil {
			return c.endParked(fmt.Errorf("%w: %w", ErrCut, err))
		}
	}
	return false
}

// sendRest goes on with what is owed.
func (c *Conn) sendRest(now uint32) (done bool, err error) {
	u, opts := c.parked.unsent, &c.lot.opts
	for len(u.p) > 0 {
		n, err := c.push(u.p[:min(u.left, len(u.p))])
		if err != nil {
			return false, err
		}
		u.p, u.left = u.p[n:], u.left-n
		took := time.Since(u.began)
		if len(u.p) > 0 && u.left > 0 {
			if took < opts.WriteTimeout {
				if now&due != 0 { // of an earlier time
					c.lot.clock.Set((*sleeper)(c), opts.WriteTimeout-took)
				}
				return false, nil
			}
			return false, c.lot.judge(os.ErrDeadlineExceeded, took)
		}
		c.lot.judge(nil, took)
		u.began, u.left = time.Now(), piece
		c.lot.clock.Set((*sleeper)(c), opts.WriteTimeout)
	}
	if c.every > 0 {
		c.lot.clock.Set((*sleeper)(c), c.every)
	} else {
		c.lot.clock.Clear((*sleeper)(c))
	}
	return true, nil
}

// said goes on when all has been written that a pass had.
func (c *Conn) said(anything, end bool) (over bool) {
	if anything {
		if c.kind == answer && c.Certain && c.lot.kernel.Gone(c.fd()) {
			return c.endParked(ErrGone)
		}
		c.sent()
		if c.kind == answer {
			return c.answeredParked()
		}
	}
	if end {
		return c.endParked(nil)
	}
	return false
}

// endParked ends the connection and tells the tenant why.
func (c *Conn) endParked(err error) (over bool) {
	c.leave(err, true)
	c.parked.unsent = nil
	if err == nil {
		return c.farewell()
	}
	if !errors.Is(err, ErrCut) { // nobody waits for what it has not taken
		c.lot.kernel.Abort(c.fd())
	}
	return c.release()
}

// release lets go of the descriptor.
func (c *Conn) release() (over bool) {
	c.lot.poll.forget(c) // before the descriptor can be another's
	c.closeParked()
	c.done()
	return true
}

// closeParked closes the descriptor, which is not in the poller.
func (c *Conn) closeParked() {
	c.lot.kernel.Close(c.fd())
	if c.parked.gone != nil {
		c.parked.gone()
	}
}

// answeredParked ends the tenancy of a poll.
func (c *Conn) answeredParked() (over bool) {
	c.leave(nil, false)
	if c.close {
		return c.farewell()
	}
	c.parked.stage, c.parked.noise = waiting, 0
	c.lot.clock.Set((*sleeper)(c), c.lot.opts.IdleTimeout)
	if c.parked.unread {
		c.state.Or(readable)
	}
	return false
}

// farewell ends what is written. The peer has some time to hear it: were the
// connection closed with something on it that nobody has read, it might lose
// what it has not read yet.
func (c *Conn) farewell() (over bool) {
	if c.lot.kernel.Shutdown(c.fd()) != nil {
		return c.release()
	}
	c.parked.stage, c.parked.noise = lingering, 0
	c.lot.clock.Set((*sleeper)(c), lingerTime)
	c.state.Or(readable)
	return false
}

// seeEnd waits until the peer has heard the end.
func (c *Conn) seeEnd(now uint32, d *desk) (over bool) {
	if now&(cutOff|due) != 0 {
		return c.leaveLot()
	}
	if now&readable == 0 {
		return false
	}
	for c.parked.noise <= maxNoise {
		n, err := c.fetch(d.in[:])
		if err != nil {
			return c.leaveLot()
		}
		if n == 0 {
			return false
		}
		c.parked.noise += int32(n)
	}
	return c.leaveLot()
}

// leaveLot is the end of a connection that has no tenant any more.
func (c *Conn) leaveLot() (over bool) {
	c.lot.clock.Clear((*sleeper)(c))
	return c.release()
}

// seeNext waits for the next request.
func (c *Conn) seeNext(now uint32, d *desk) (over bool) {
	if now&(cutOff|draining|due) != 0 || c.held.back.over() {
		return c.leaveLot()
	}
	for now&readable != 0 {
		early := copy(d.in[:], c.pending)
		n, err := c.fetch(d.in[early:])
		came := bytes.TrimLeft(d.in[:early+n], "\r\n")
		if len(came) > 0 {
			full := early+n == len(d.in)
			if over, ok := c.serveAgain(came, full, d); ok {
				return over
			}
			if over, ok := c.serveQuick(came, full, d); ok {
				return over
			}
			return c.goBack(came)
		}
		c.pending = nil
		if err != nil {
			return c.leaveLot()
		}
		if n == 0 {
			break
		}
		if c.parked.noise++; c.parked.noise > maxBreaks {
			return c.leaveLot()
		}
	}
	return false
}

// goBack hands the connection to its server, with what has come of its next
// request.
func (c *Conn) goBack(came []byte) (over bool) {
	c.lot.clock.Clear((*sleeper)(c))
	conn := c.unparked()
	c.lot.poll.remove(c)
	back, again := c.held.back, newReplay(conn, bytes.Clone(came), c.lot.age.Load())
	if c.parked.stage == arrived {
		again.fresh, again.spent = true, c.lot.clock.Now()-c.began
	}
	c.done()
	if !back.offer(again) {
		go back.give(again)
	}
	return true
}

// errEnd: there is nothing to come any more.
var errEnd = errors.New("the end")

// fetch reads what there is; 0 bytes without an error are nothing now.
func (c *Conn) fetch(p []byte) (n int, err error) {
	for {
		n, err = c.lot.kernel.Read(c.fd(), p)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN):
			return 0, nil
		case err != nil:
			return 0, err
		case n == 0:
			return 0, errEnd
		default:
			return n, nil
		}
	}
}

// maxFetched is how often something is read before others have their turn.
const maxFetched = 4

// hearParked reads what has come for the tenant. The error says that nothing
// will any more.
func (c *Conn) hearParked(now uint32, d *desk) error {
	if c.kind == answer {
		return c.hearEarly(d)
	}
	for range maxFetched {
		n, err := c.fetch(d.in[:])
		if err != nil {
			return ErrGone
		}
		heard := n > 0 && c.kind == upgrade && c.receive(d.in[:n])
		if !heard {
			if c.parked.noise += int32(n); c.parked.noise > maxNoise {
				return ErrGone
			}
		}
		if n == 0 || n < len(d.in) && now&ending == 0 {
			return nil
		}
	}
	c.state.Or(now & (readable | ending))
	return nil
}

// hearEarly looks at what has come while a poll was held: it stays where it is
// until the poll has been answered, but for line breaks, and the end.
func (c *Conn) hearEarly(d *desk) error {
	for !c.parked.unread {
		n, err := c.lot.kernel.Peek(c.fd(), d.in[:maxBreaks])
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			return nil
		case err != nil || n == 0:
			return ErrGone
		}
		if c.parked.unread = len(bytes.TrimLeft(d.in[:n], "\r\n")) > 0; c.parked.unread {
			return nil
		}
		c.fetch(d.in[:n])
		if c.parked.noise++; c.parked.noise > maxBreaks {
			return ErrGone
		}
	}
	return nil
}

// rescueTurn makes a panic of the tenant's the end of its connection, of which
// somebody is told.
func (c *Conn) rescueTurn() {
	v := recover()
	if v == nil {
		return
	}
	c.lot.opts.Panicked(v, debug.Stack())
	defer c.leaveLot()
	defer func() { recover() }() // of Closed too: it has been told already that something is wrong
	c.mu.Lock()
	there := c.tenant != nil
	c.mu.Unlock()
	if there {
		c.leave(ErrCut, true)
	}
}
