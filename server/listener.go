package server

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shaveet/shaveet/server/metrics"
)

// reserve is how many file descriptors are kept free of connections.
const reserve = 64

// roomAt is how many connections may be open at once at each of several doors
// when configuration says max: 0 means an equal part of what n descriptors leave
// room for. An n of 0 means that there is no limit of them, and the result 0 as
// many as come.
func roomAt(n, max, doors int) int {
	switch {
	case n == 0:
		return max
	case max == 0:
		return roomFor(n, doors)
	}
	return min(max, mostFor(n, doors))
}

// roomFor is how many connections each of the doors may have when the process
// may have n descriptors.
func roomFor(n, doors int) int { return max((n-2*reserve)/doors, n/(2*doors), 1) }

// mostFor is how many connections one of the doors may have if configuration
// allows more: what is left is enough to ask at the others.
func mostFor(n, doors int) int { return max(n-(doors+1)*reserve, n/(2*doors), 1) }

// roomForNodes is how many of n descriptors may be connections of other nodes to
// this one, and as many again of this one to others. Where requests are handed on,
// each that is held at the door may need another connection; else nodes do no more
// than ask each other.
func roomForNodes(n int, handOn bool) int {
	if handOn {
		return max(n/4, 1)
	}
	return max(n/16, 1)
}

// limitListener returns l, of which at most max connections are open at once;
// who comes later waits in the kernel's queue. Without such a limit, which a
// max of 0 means, the process runs out of descriptors, and nobody can even ask
// how it does. full is told when somebody has to wait, once a minute at most.
func limitListener(l net.Listener, max int, counts *metrics.Door, full func()) net.Listener {
	limited := &limitedListener{Listener: l, counts: counts, full: full, closed: make(chan struct{})}
	limited.gone = limited.end
	if max > 0 {
		limited.room = make(chan struct{}, max)
	}
	return limited
}

type limitedListener struct {
	net.Listener
	counts *metrics.Door
	room   chan struct{} // has a token for every open connection; nil: no limit
	gone   func()        // end, made once
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
func (l *limitedListener) Enter() error {
	if l.room == nil {
		return nil
	}
	select {
	case l.room <- struct{}{}:
		return nil
	default:
	}
	if now := time.Now(); now.Sub(l.told) >= time.Minute {
		l.told = now
		l.full()
	}
	select {
	case l.room <- struct{}{}:
		return nil
	case <-l.closed:
		return net.ErrClosed
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
func (l *limitedListener) Leave() {
	if l.room != nil {
		<-l.room
	}
}

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
