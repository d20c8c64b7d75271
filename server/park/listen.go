package park

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// hear begins to listen to the peer, so that we know when it has gone. If a
// poll's next request is here already, what comes after that is not looked at,
// nor is its end, before the poll has its answer.
func (c *Conn) hear() {
	if c.kind() != answer || len(c.pending) == 0 {
		go c.listen()
	}
}

// listen reads until the connection has ended, or goes back to its server.
func (c *Conn) listen() {
	if c.kind() == answer {
		c.listenForNext()
	} else {
		c.listenOn()
	}
}

// maxNoise is how many bytes a peer may send that has nothing to say.
const maxNoise = 64 << 10

// listenOn listens to a stream.
func (c *Conn) listenOn() {
	defer c.lot.remove(c)
	noise := 0
	for {
		n, err := c.held.rw.Read(c.held.inbox[:])
		if n > 0 {
			if c.kind() == upgrade {
				err = c.listenMore(n, err)
			} else if noise += n; noise > maxNoise {
				err = ErrCut
			}
		}
		if err != nil {
			c.held.rw.Close()
			c.kick(hungUp)
			return
		}
	}
}

// listenMore hands over what has come. A connection keeps little room for what
// comes; where that is not enough, it is lent more until there is nothing left.
func (c *Conn) listenMore(n int, err error) error {
	c.receive(c.held.inbox[:n])
	if n < len(c.held.inbox) || err != nil {
		return err
	}
	b := inboxes.Get().(*[4 << 10]byte)
	defer inboxes.Put(b)
	for n = len(b); n == len(b) && err == nil; {
		n, err = c.held.rw.Read(b[:])
		if n > 0 {
			c.receive(b[:n])
		}
	}
	return err
}

var inboxes = sync.Pool{New: func() any { return new([4 << 10]byte) }}

func (c *Conn) receive(p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if peer, ok := c.tenant.(Peer); ok {
		peer.Received(p)
	}
}

// listenForNext waits for the next request on a connection that a poll came by.
func (c *Conn) listenForNext() {
	n, err := c.held.rw.Read(c.held.inbox[:])
	c.mu.Lock()
	answered := c.tenant == nil
	if !answered && n > 0 {
		c.pending = c.held.inbox[:n]
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	switch {
	case !answered: // without a next request there is nobody to answer
		c.held.rw.Close()
		c.kick(hungUp)
		c.lot.remove(c)
	case n > 0 && !c.held.close:
		c.giveBack(c.held.inbox[:n])
	default:
		c.linger(err)
	}
}

// deaf reports whether nobody listens to a peer, of whose next request the
// beginning is here already.
func (c *Conn) deaf() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kind() == answer && c.pending != nil
}

// answered ends the tenancy of a poll. Its connection waits for the next
// request.
func (c *Conn) answered() (over bool) {
	c.status = 200
	if c.stock != nil {
		c.leave(nil)
		return true
	}
	if c.held.close {
		c.goodbye()
		c.leave(nil)
		return true
	}
	// Before anybody who listens can take the connection away.
	c.held.rw.SetReadDeadline(time.Now().Add(c.lot.opts.IdleTimeout))
	c.leave(nil)
	if c.deaf() {
		c.giveBack(c.pending)
	}
	return true
}

// giveBack hands the connection to its server, with what has come of its next
// request.
func (c *Conn) giveBack(early []byte) {
	c.held.rw.SetDeadline(time.Time{})
	c.held.back.give(&replay{Conn: c.held.rw, first: append([]byte(nil), early...)})
	c.lot.remove(c)
}

// lingerTime is how long a peer may take to hear the end of what was said.
const lingerTime = 500 * time.Millisecond

// goodbye ends what is written. Were the connection closed with something on
// it that nobody has read, the peer might lose what it has not read yet.
func (c *Conn) goodbye() {
	if c.kind() == chunked && !c.held.done {
		c.send(lastChunk)
	}
	if c.deaf() || closeWrite(c.held.rw) != nil {
		c.hangUp()
		return
	}
	c.held.rw.SetReadDeadline(time.Now().Add(lingerTime))
}

// hangUp closes the connection, which whoever listens hears.
func (c *Conn) hangUp() {
	c.held.rw.Close()
	if c.deaf() {
		c.lot.remove(c)
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
	for err == nil {
		_, err = c.held.rw.Read(c.held.inbox[:])
	}
	c.held.rw.Close()
	c.lot.remove(c)
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
		l.opts.TooSlow()
		return ErrTooSlow
	case errors.Is(err, ErrGone):
		return err
	}
	return fmt.Errorf("%w: %w", ErrGone, err)
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
