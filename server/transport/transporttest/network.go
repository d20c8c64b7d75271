package transporttest

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// A network has connections in memory. Nothing is buffered in them: what one
// side has not read, the other has not written.
type network struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once

	mu    sync.Mutex // guards all below
	limit int        // bytes the next connections deliver before they break; none if negative
	stall bool       // the next connections deliver nothing, and do not break
	conns []*conn
}

func newNetwork() *network {
	return &network{accept: make(chan net.Conn), closed: make(chan struct{}), limit: -1}
}

// client returns an HTTP client that opens a connection for each request and
// leaves it open: it cannot try again by itself, and it does not hang up while
// the server looks whether its answer has arrived.
func (n *network) client() *http.Client { return &http.Client{Transport: &freshTransport{network: n}} }

// A freshTransport has one connection for each request.
type freshTransport struct {
	network *network

	mu   sync.Mutex // guards used
	used []*http.Transport
}

func (t *freshTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	fresh := &http.Transport{DialContext: t.network.dial}
	t.mu.Lock()
	t.used = append(t.used, fresh)
	t.mu.Unlock()
	return fresh.RoundTrip(r)
}

func (t *freshTransport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, u := range t.used {
		u.CloseIdleConnections()
	}
}

func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	n.mu.Lock()
	c := &conn{Conn: ours, left: n.limit, stall: n.stall, closed: make(chan struct{})}
	n.conns = append(n.conns, c)
	n.mu.Unlock()
	select {
	case n.accept <- theirs:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// fault has the next connections break after so many bytes, or stall.
func (n *network) fault(limit int, stall bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.limit, n.stall = limit, stall
}

// cut breaks every connection there is.
func (n *network) cut() {
	n.mu.Lock()
	conns := n.conns
	n.conns = nil
	n.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}

// Accept, Close and Addr make the network the server's listener.
func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.accept:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error {
	n.once.Do(func() { close(n.closed) })
	return nil
}

func (n *network) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "memory"} }

// A conn is the reader's end of a connection.
type conn struct {
	net.Conn
	left   int // bytes until it breaks; never if negative
	stall  bool
	closed chan struct{}
	once   sync.Once
}

func (c *conn) Read(p []byte) (int, error) {
	if c.stall {
		<-c.closed
		return 0, net.ErrClosed
	}
	if c.left < 0 {
		return c.Conn.Read(p)
	}
	if c.left == 0 {
		// The server must have begun to say something for this to be a cut.
		var one [0]byte
		c.Conn.Read(one[:])
		c.Close()
		return 0, net.ErrClosed
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
