package server

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shaveet/shaveet/server/metrics"
)

// limitListener returns l, of which only so many connections are open at once as
// there is room for; who comes later waits in the kernel's queue. Without such a
// limit the process runs out of descriptors, and nobody can even ask how it does.
// full is called when somebody has to wait, once a minute at most.
func limitListener(l net.Listener, room *part, counts *metrics.Door, full func()) net.Listener {
	limited := &limitedListener{Listener: l, room: room, counts: counts, full: full, closed: make(chan struct{})}
	limited.gone = limited.end
	return limited
}

type limitedListener struct {
	net.Listener
	counts *metrics.Door
	room   *part
	gone   func() // end, made once
	full   func()
	told   time.Time // when full was, by who accepts
	once   sync.Once
	closed chan struct{}
}

func (l *limitedListener) Accept() (net.Conn, error) {
	if err := l.Enter(); err != nil {
		return nil, err
	}
	c, err := l.Listener.Accept()
	if err != nil {
		l.Leave()
		return nil, err
	}
	l.Entered()
	return &limitedConn{Conn: c, listener: l}, nil
}

// Inside is part of [park.Gate].
func (l *limitedListener) Inside() net.Listener { return l.Listener }

// Enter is part of [park.Gate].
func (l *limitedListener) Enter() error { return l.room.take(l.closed, l.wait) }

// wait says that somebody has to.
func (l *limitedListener) wait() {
	if now := time.Now(); now.Sub(l.told) >= time.Minute {
		l.told = now
		l.full()
	}
}

// Entered is part of [park.Gate].
func (l *limitedListener) Entered() (gone func()) {
	l.counts.Opened()
	return l.gone
}

// end is for a connection that has been closed.
func (l *limitedListener) end() {
	l.counts.Closed()
	l.Leave()
}

// Leave is part of [park.Gate]: it gives back the room of one connection.
func (l *limitedListener) Leave() { l.room.give() }

func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	listener *limitedListener
	closed   atomic.Bool
}

// NetConn returns the connection itself.
func (c *limitedConn) NetConn() net.Conn { return c.Conn }

func (c *limitedConn) Close() error {
	inner, gone := c.Detach()
	if gone != nil {
		defer gone()
	}
	return inner.Close()
}

// Detach is part of [park.Detachable].
func (c *limitedConn) Detach() (inner net.Conn, gone func()) {
	if c.closed.CompareAndSwap(false, true) {
		gone = c.listener.gone
	}
	return c.Conn, gone
}
