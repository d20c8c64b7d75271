package park

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"syscall"
	"time"
)

// hear begins to listen to the peer, so that we know when it has gone. If a
// poll's next request is here already, what comes after that is not looked at,
// nor is its end, before the poll has its answer.
func (c *Conn) hear() {
	if c.kind == answer && len(c.pending) == 0 && under(c.held.rw) != nil {
		c.empty()
	}
	if c.kind != answer || len(c.pending) == 0 {
		c.parts.Store(2)
		go c.listen()
	}
}

// empty takes what is left over of a poll above the connection under it, so that
// the next may be waited for there; see listenAtTimes.
func (c *Conn) empty() {
	c.held.rw.SetReadDeadline(time.Unix(1, 0)) // which has long been over: nothing is waited for
	n, err := c.held.rw.Read(c.held.inbox[:])
	c.pending = bytes.TrimLeft(c.held.inbox[:n], "\r\n")
	c.held.quiet = n == 0 && errors.Is(err, os.ErrDeadlineExceeded)
	c.held.rw.SetReadDeadline(time.Time{})
}

// listen reads until the connection has ended, or goes back to its server.
func (c *Conn) listen() {
	defer c.rescueListener()
	if c.kind == answer {
		c.listenForNext()
		return
	}
	listen := c.listenOn
	if under(c.held.rw) != nil {
		listen = c.listenAtTimes
	}
	if listen() {
		go c.listen() // what has been said may have taken a large stack, which one that waits would keep
		return
	}
	c.held.rw.Close()
	c.kick(hungUp)
	c.done()
}

// rescueListener makes a panic of the tenant's the end of its connection, which
// whoever runs is told.
func (c *Conn) rescueListener() {
	if v := recover(); v != nil {
		c.lot.opts.Panicked(v, debug.Stack())
		c.held.rw.Close()
		c.kick(hungUp)
		c.done()
	}
}

// maxNoise is how many bytes a peer may send that has nothing to say.
const maxNoise = 64 << 10

// listenOn listens to a stream, to its end, or until something has come that did
// not fit. Then it is to be called again.
func (c *Conn) listenOn() (again bool) {
	for noise := 0; noise <= maxNoise; {
		n, err := c.held.rw.Read(c.held.inbox[:])
		heard := c.kind == upgrade && c.receive(c.held.inbox[:n])
		switch {
		case err != nil:
			return false
		case heard && n == len(c.held.inbox):
			return c.listenMore() == nil
		case !heard:
			noise += n
		}
	}
	return false
}

// listenAtTimes listens to a stream behind TLS, or the like. To wait in a read of
// that takes a stack twice as large as to wait for the connection under it, as long as
// nothing is left over above. It reports false at the end.
func (c *Conn) listenAtTimes() (again bool) {
	if c.held.quiet {
		awaitBytes(under(c.held.rw))
	}
	b := inboxes.Get().(*[4 << 10]byte)
	defer inboxes.Put(b)
	for c.held.noise <= maxNoise && c.await(time.Now().Add(moreTime)) {
		n, err := c.held.rw.Read(b[:])
		if heard := c.kind == upgrade && c.receive(b[:n]); !heard {
			c.held.noise += int32(n)
		}
		if err == nil {
			continue
		}
		c.held.quiet = errors.Is(err, os.ErrDeadlineExceeded)
		c.await(time.Time{})
		return c.held.quiet
	}
	return c.held.noise <= maxNoise && c.listenOn() // to the end: nobody is told any more
}

// moreTime is how long what has begun to come may take to go on, for as long as
// it has more room.
const moreTime = 100 * time.Millisecond

// listenMore hands over what comes with more room. A connection keeps little;
// more is lent while something comes.
func (c *Conn) listenMore() error {
	b := inboxes.Get().(*[4 << 10]byte)
	defer inboxes.Put(b)
	for c.await(time.Now().Add(moreTime)) {
		n, err := c.held.rw.Read(b[:])
		c.receive(b[:n])
		if err == nil && n == len(b) {
			continue
		}
		c.await(time.Time{})
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		break
	}
	return nil
}

// await says until when the next read may take. Once the tenant has gone, that
// has been said for the last time: then it reports false.
func (c *Conn) await(until time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tenant == nil {
		return false
	}
	c.held.rw.SetReadDeadline(until)
	return true
}

var inboxes = sync.Pool{New: func() any { return new([4 << 10]byte) }}

// receive hands p over, and reports whether there was somebody to have it.
func (c *Conn) receive(p []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	peer, ok := c.tenant.(Peer)
	if ok && len(p) > 0 {
		peer.Received(p)
	}
	return ok
}

// listenForNext waits for the next request on a connection that a poll came by.
// Line breaks before it are passed over, as net/http does.
func (c *Conn) listenForNext() {
	if c.held.quiet {
		awaitBytes(under(c.held.rw))
	}
	for range maxBreaks {
		n, err := c.held.rw.Read(c.held.inbox[:])
		came := bytes.TrimLeft(c.held.inbox[:n], "\r\n")
		if len(came) == 0 && err == nil {
			continue
		}
		c.mu.Lock()
		held := c.tenant != nil
		switch {
		case held && len(came) > 0:
			c.pending = came
		case !held && len(came) > 0 && !c.close:
			c.away = true
		}
		away := c.away
		c.mu.Unlock()
		switch {
		case held && len(came) > 0:
			c.done() // the rest is for who answers
		case held: // without a next request there is nobody to answer
			c.held.rw.Close()
			c.kick(hungUp)
			c.done()
		case away:
			c.giveBack(came)
		default:
			c.linger(err)
		}
		return
	}
	c.linger(ErrCut)
	c.kick(hungUp)
}

// maxBreaks is how often a peer may send nothing but line breaks.
const maxBreaks = 16

// answered ends the tenancy of a poll. Its connection waits for the next
// request.
func (c *Conn) answered() (over bool) {
	if c.kept != nil {
		c.leave(nil, false)
		return true
	}
	// Before anybody who listens can take the connection away.
	c.held.rw.SetReadDeadline(time.Now().Add(c.lot.opts.IdleTimeout))
	deaf := c.leave(nil, false)
	switch {
	case c.close:
		c.goodbye(deaf)
		c.done()
	case deaf:
		c.giveBack(c.pending)
	default:
		c.done()
	}
	return true
}

// giveBack hands the connection to its server, with what has come of its next
// request. Nobody has anything to do with it here any more.
func (c *Conn) giveBack(early []byte) {
	c.held.rw.SetDeadline(time.Time{})
	first := append([]byte(nil), early...)
	c.done()
	c.held.back.give(&replay{Conn: c.held.rw, first: first})
}

// lingerTime is how long a peer may take to hear the end of what was said.
const lingerTime = 500 * time.Millisecond

// goodbye ends what is written. Were the connection closed with something on
// it that nobody has read, the peer might lose what it has not read yet. deaf
// says that nobody listens.
func (c *Conn) goodbye(deaf bool) {
	if c.kind == chunked && !c.whole {
		c.send(lastChunk)
	}
	if closeWrite(c.held.rw) != nil {
		c.held.rw.Close()
		return
	}
	c.held.rw.SetReadDeadline(time.Now().Add(lingerTime))
	if deaf {
		c.parts.Add(1)
		go c.linger(nil)
	}
}

// closeWrite says the end of what is written, if the connection can.
func closeWrite(c net.Conn) error {
	for {
		if half, ok := c.(interface{ CloseWrite() error }); ok {
			return half.CloseWrite()
		}
		outer, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return http.ErrNotSupported
		}
		c = outer.NetConn()
	}
}

// linger reads what a peer still has to say, so that it hears the end.
func (c *Conn) linger(err error) {
	for noise := 0; err == nil && noise <= maxNoise; {
		var n int
		n, err = c.held.rw.Read(c.held.inbox[:])
		noise += n
	}
	c.held.rw.Close()
	c.done()
}

// judge says what is wrong with a peer by what became of a write.
func (l *Lot) judge(err error, took time.Duration) error {
	switch {
	case err == nil && took > slow:
		l.opts.Behind()
		return nil
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		l.opts.Behind()
		l.opts.TooSlow()
		return ErrTooSlow
	case errors.Is(err, ErrGone):
		return err
	}
	return fmt.Errorf("%w: %w", ErrGone, err)
}

// under returns the connection of the system's that c is around, if it can be waited
// for and c is more than an account of it. nil: it is not.
func under(c net.Conn) syscall.Conn {
	outer, around := c.(interface{ NetConn() net.Conn })
	if _, account := c.(Detachable); account && around {
		outer, around = outer.NetConn().(interface{ NetConn() net.Conn })
	}
	if !around || !canAwait {
		return nil
	}
	inner, _ := innermost(outer.NetConn()).(syscall.Conn)
	return inner
}

// innermost takes off what is wrapped around a connection.
func innermost(c net.Conn) net.Conn {
	for {
		outer, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c
		}
		c = outer.NetConn()
	}
}
