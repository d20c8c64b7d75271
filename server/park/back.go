package park

import (
	"bytes"
	"net"
	"net/http"
	"sync"
	"time"
)

// returns is the listener by which connections come back to their server.
type returns struct {
	srv    *http.Server
	addr   net.Addr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newReturns(srv *http.Server, addr net.Addr) *returns {
	return &returns{srv: srv, addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// over reports whether nobody is there any more.
func (r *returns) over() bool {
	select {
	case <-r.closed:
		return true
	default:
		return false
	}
}

// give hands c over, which is closed if nobody is there any more.
func (r *returns) give(c net.Conn) {
	select {
	case r.conns <- c:
	case <-r.closed:
		c.Close()
	}
}

// offer hands c over if its server waits for it at this moment.
func (r *returns) offer(c net.Conn) bool {
	select {
	case r.conns <- c:
		return true
	default:
		return false
	}
}

func (r *returns) Accept() (net.Conn, error) {
	if r.over() {
		return nil, net.ErrClosed
	}
	select {
	case c := <-r.conns:
		return c, nil
	case <-r.closed:
		return nil, net.ErrClosed
	}
}

func (r *returns) Close() error {
	r.once.Do(func() { close(r.closed) })
	return nil
}

func (r *returns) Addr() net.Addr { return r.addr }

// A replay is a connection of which some bytes have been read already.
type replay struct {
	net.Conn
	first []byte        // what has not been read again
	asked []byte        // all of it, as long as nothing else has come
	age   uint32        // of the lot, as it came
	fresh bool          // it is its first request of which they are
	spent time.Duration // of the time for that request's head
}

func newReplay(c net.Conn, first []byte, age uint32) *replay {
	return &replay{Conn: c, first: first, asked: first, age: age}
}

func (c *replay) Read(p []byte) (n int, err error) {
	if len(c.first) == 0 {
		if n, err = c.Conn.Read(p); n > 0 {
			c.asked = nil
		}
		return n, err
	}
	n = copy(p, c.first)
	if c.first = c.first[n:]; len(c.first) == 0 {
		c.first = nil
	}
	return n, nil
}

// SetReadDeadline is part of [net.Conn]. The first deadline is that for the head,
// for which somebody has waited already.
func (c *replay) SetReadDeadline(t time.Time) error {
	if !t.IsZero() {
		t, c.spent = t.Add(-c.spent), 0
	}
	return c.Conn.SetReadDeadline(t)
}

// request returns the request that is under way, if that is known to be the one
// with which the connection came back. Then it is one that looks as those do that
// the crew reads.
func (c *replay) request() []byte {
	end := bytes.Index(c.asked, []byte("\r\n\r\n")) + 4
	if end < 4 {
		return nil
	}
	length, ok := plainHead(c.asked[:end-2], func(string, bool) bool { return true })
	if !ok || end+length != len(c.asked) {
		return nil
	}
	return c.asked
}

// NetConn returns the connection itself.
func (c *replay) NetConn() net.Conn { return c.Conn }

// CameBack reports whether c is a connection on which a poll was answered, and
// of whose next request the beginning has come.
func CameBack(c net.Conn) bool {
	r, ok := c.(*replay)
	return ok && !r.fresh && len(r.asked) > 0
}

// bare takes off what we have put around a connection that came back before.
// Its bytes have long been read.
func bare(c net.Conn) net.Conn {
	if r, ok := c.(*replay); ok && len(r.first) == 0 {
		return r.Conn
	}
	return c
}
