package transporttest

import (
	"context"
	"net"
	"net/http"
	"sync"

	"github.com/shaveet/shaveet/server/park/parktest"
)

// A network has connections in memory. Nothing is buffered in them on the way to
// readers: what has not been read has not been written.
type network struct {
	ln    *parktest.Listener
	again bool // connections serve more than one request

	mu     sync.Mutex // guards all below
	limit  int        // bytes the next connections deliver before they break; none if negative
	stall  bool       // the next connections deliver nothing, and do not break
	conns  []*conn
	dialed []*record // of all there have been
}

func newNetwork(k *parktest.Kernel, again bool) *network {
	return &network{ln: k.Listen(), again: again, limit: -1}
}

// client returns an HTTP client that cannot try again by itself, and does not hang
// up while the server looks whether its answer has arrived. It opens a connection
// for each request and leaves it open, or has one for all.
func (n *network) client() *http.Client {
	if n.again {
		return &http.Client{Transport: once{&http.Transport{DialContext: n.dial}}}
	}
	return &http.Client{Transport: &freshTransport{network: n}}
}

// once has what has been asked not be asked again.
type once struct{ *http.Transport }

func (o once) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.GetBody = nil
	return o.Transport.RoundTrip(r)
}

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
	n.mu.Lock()
	c := &conn{left: n.limit, stall: n.stall, closed: make(chan struct{}), record: new(record)}
	n.mu.Unlock()
	var err error
	if c.Conn, err = n.ln.Dial(ctx); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns, n.dialed = append(n.conns, c), append(n.dialed, c.record)
	return c, nil
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

// A conn is the reader's end of a connection.
type conn struct {
	net.Conn
	left   int // bytes until it breaks; never if negative
	stall  bool
	closed chan struct{}
	once   sync.Once
	record *record
}

func (c *conn) Read(p []byte) (n int, err error) {
	defer func() { c.record.add(p[:n]) }()
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
	n, err = c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
