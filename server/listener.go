package server

import (
	"net"
	"sync"
)

// reserve is how many file descriptors are kept free of connections.
const reserve = 64

// limitListener returns l, of which at most max connections are open at once;
// who comes later waits in the kernel's queue. Without such a limit the
// process runs out of descriptors, and nobody can even ask how it does. A max
// of 0 means an equal part, one of several doors', of what the limit of
// descriptors leaves room for.
func limitListener(l net.Listener, max, doors int) net.Listener {
	if n := descriptors(); max == 0 && n > 0 {
		max = roomFor(n, doors)
	}
	if max == 0 {
		return l
	}
	return &limitedListener{Listener: l, room: make(chan struct{}, max), closed: make(chan struct{})}
}

// roomFor is how many connections each of the doors may have when the process
// may have n descriptors.
func roomFor(n, doors int) int { return max((n-2*reserve)/doors, n/(2*doors), 1) }

type limitedListener struct {
	net.Listener
	room   chan struct{} // has a token for every open connection
	once   sync.Once
	closed chan struct{}
}

func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.room <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.room
		return nil, err
	}
	return &limitedConn{Conn: c, leave: sync.OnceFunc(func() { <-l.room })}, nil
}

func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	leave func()
}

// NetConn returns the connection itself.
func (c *limitedConn) NetConn() net.Conn { return c.Conn }

func (c *limitedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
