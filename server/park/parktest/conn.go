package parktest

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// A Conn is a connection by one of its descriptors.
type Conn struct {
	k    *Kernel
	fd   int
	end  *end
	peer net.Addr
	gone func()

	once sync.Once

	// Guarded by k.mu.
	closed      bool
	read, write deadline
}

// A deadline is until when something may take.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) over() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (k *Kernel) newConnLocked(e *end, fd int, peer net.Addr, gone func()) *Conn {
	return &Conn{k: k, fd: fd, end: e, peer: peer, gone: gone}
}

// Read is part of [net.Conn]. What it waits with, the other side has room for.
func (c *Conn) Read(p []byte) (n int, err error) {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	e := c.end
	for {
		switch {
		case c.closed:
			return 0, net.ErrClosed
		case c.read.over():
			return 0, c.failed("read", os.ErrDeadlineExceeded)
		case e.asked != nil: // by somebody else
			e.reads.Wait()
			continue
		case len(p) == 0 && (len(e.in) > 0 || e.peer.refused):
			return 0, nil
		}
		n, err = e.read(p)
		switch {
		case err == nil && n == 0:
			return 0, io.EOF
		case err == nil:
			return n, nil
		case err != again:
			return 0, c.failed("read", err)
		}
		asked := &ask{p: p}
		e.asked = asked
		e.peer.roomier()
		e.reads.Wait()
		e.asked = nil
		if asked.n > 0 {
			return asked.n, nil
		}
	}
}

// Write is part of [net.Conn].
func (c *Conn) Write(p []byte) (n int, err error) {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	for {
		switch {
		case c.closed:
			return n, net.ErrClosed
		case c.write.over():
			return n, c.failed("write", os.ErrDeadlineExceeded)
		}
		m, err := c.end.write(p[n:])
		n += m
		switch {
		case err != nil && err != again:
			return n, c.failed("write", err)
		case n == len(p):
			return n, nil
		}
		c.end.writes.Wait()
	}
}

// Take reads what has come, and does not wait.
func (c *Conn) Take(p []byte) (n int, err error) {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	n, err = c.end.read(p)
	switch {
	case err == again:
		return 0, nil
	case err == nil && n == 0:
		return 0, io.EOF
	}
	return n, err
}

// Closed reports whether Close has been called.
func (c *Conn) Closed() bool {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	return c.closed
}

// Gone reports whether the next Read would find the end, or that the connection is
// broken.
func (c *Conn) Gone() bool {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	return c.closed || c.end.gone()
}

// failed makes an error of a connection out of one of the kernel's.
func (c *Conn) failed(op string, err error) error {
	return &net.OpError{Op: op, Net: "memory", Addr: c.peer, Err: err}
}

// Close is part of [net.Conn].
func (c *Conn) Close() error {
	if _, gone := c.Detach(); gone != nil {
		defer gone()
	}
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	for _, d := range []*deadline{&c.read, &c.write} {
		if d.timer != nil {
			d.timer.Stop()
		}
	}
	c.k.closeLocked(c.fd)
	c.end.look()
	return nil
}

// Detach is part of [park.Detachable].
func (c *Conn) Detach() (inner net.Conn, gone func()) {
	c.once.Do(func() { gone = c.gone })
	return c, gone
}

// CloseWrite says the end of what is written.
func (c *Conn) CloseWrite() error {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	return c.end.shutdown()
}

// SetLinger is that of a [net.TCPConn].
func (c *Conn) SetLinger(sec int) error {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	c.end.hard = sec == 0
	return nil
}

// LocalAddr is part of [net.Conn].
func (c *Conn) LocalAddr() net.Addr { return server }

// RemoteAddr is part of [net.Conn].
func (c *Conn) RemoteAddr() net.Addr { return c.peer }

// SetDeadline is part of [net.Conn].
func (c *Conn) SetDeadline(t time.Time) error { return c.until(t, &c.read, &c.write) }

// SetReadDeadline is part of [net.Conn].
func (c *Conn) SetReadDeadline(t time.Time) error { return c.until(t, &c.read) }

// SetWriteDeadline is part of [net.Conn].
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.until(t, &c.write) }

func (c *Conn) until(t time.Time, deadlines ...*deadline) error {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	for _, d := range deadlines {
		if d.timer != nil {
			d.timer.Stop()
			d.timer = nil
		}
		if d.at = t; !t.IsZero() && !d.over() {
			d.timer = time.AfterFunc(time.Until(t), c.look)
		}
	}
	c.end.look()
	return nil
}

// look has whoever waits look again.
func (c *Conn) look() {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	c.end.look()
}
