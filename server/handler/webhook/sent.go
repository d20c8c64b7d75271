package webhook

import (
	"context"
	"net"
	"net/http/httptrace"
	"sync"
	"sync/atomic"

	"github.com/shaveet/shaveet/server/handler"
)

// A countedConn counts what was written to it. What is under TLS is not counted:
// of a call that was not encrypted whole, nothing can be heard.
type countedConn struct {
	net.Conn
	written atomic.Int64
}

func counted(c net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	return &countedConn{Conn: c}, nil
}

func (c *countedConn) Write(p []byte) (n int, err error) {
	n, err = c.Conn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

// traced is what was seen of the connections that a request had. There may be
// several: net/http takes another one if it has written nothing to the first.
type traced struct {
	mu     sync.Mutex // guards all below
	conn   *countedConn
	before int64 // what had been written to it
	sent   bool  // something was, to an earlier one
}

func (t *traced) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.sent = t.hasSent()
		t.conn = info.Conn.(*countedConn) // all are
		t.before = t.conn.written.Load()
	}}
}

// hasSent reports whether any byte of the request was written. t.mu is held.
func (t *traced) hasSent() bool {
	return t.sent || t.conn != nil && t.conn.written.Load() > t.before
}

// failure says what an error of a transport means. Where a request had a
// connection, and its time was over, something may still be on its way.
func (t *traced) failure(ctx context.Context, err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.conn == nil:
		return &handler.NotSent{Err: err}
	case ctx.Err() != nil:
		return ctx.Err()
	case !t.hasSent():
		return &handler.NotSent{Err: err}
	}
	return &handler.Lost{Err: err}
}
