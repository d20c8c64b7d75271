package park

import (
	"bytes"
	"io"
	"net"
	"sync"
	"time"
)

// A oneConn is a listener with one connection, on which all has come already.
type oneConn struct {
	once sync.Once
	in   *bytes.Reader
	said bytes.Buffer
	over chan struct{} // closed when the connection has been
	end  sync.Once
}

func newOneConn(came []byte) *oneConn {
	return &oneConn{in: bytes.NewReader(came), over: make(chan struct{})}
}

func (c *oneConn) Accept() (conn net.Conn, err error) {
	err = net.ErrClosed
	c.once.Do(func() { conn, err = oneEnd{c}, nil })
	return conn, err
}

func (c *oneConn) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }
func (c *oneConn) Close() error   { return nil }

// A oneEnd is its connection.
type oneEnd struct{ c *oneConn }

func (e oneEnd) Read(p []byte) (int, error) {
	n, err := e.c.in.Read(p)
	if err != nil {
		err = io.EOF
	}
	return n, err
}

func (e oneEnd) Write(p []byte) (int, error)      { return e.c.said.Write(p) }
func (e oneEnd) LocalAddr() net.Addr              { return e.c.Addr() }
func (e oneEnd) RemoteAddr() net.Addr             { return e.c.Addr() }
func (e oneEnd) SetDeadline(time.Time) error      { return nil }
func (e oneEnd) SetReadDeadline(time.Time) error  { return nil }
func (e oneEnd) SetWriteDeadline(time.Time) error { return nil }

func (e oneEnd) Close() error {
	e.c.end.Do(func() { close(e.c.over) })
	return nil
}
