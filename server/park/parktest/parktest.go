// Package parktest has connections in memory that a [park.Lot] parks, for tests
// in which time stands still: whoever waits for them does so in a way that
// testing/synctest knows.
//
//	k := parktest.NewKernel(0)
//	lot := park.New(park.Options{Kernel: k})
//	ln := k.Listen()
//	go lot.Serve(srv, ln)
//	conn, err := ln.Dial(ctx)
//
// They behave as a machine's do where that matters: room is bounded, so writes
// are cut short or refused; ends and breaks are told apart; a poll tells of each
// thing once; descriptors are used again as soon as they are free; and calls are
// interrupted now and then for nothing.
package parktest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"

	"github.com/shaveet/shaveet/server/park/internal/kernel"
)

// A Kernel has connections, and is what [park.Options] want.
type Kernel struct {
	most int

	mu    sync.Mutex // guards all below, and the connections
	ends  []*end     // by descriptor; nil: it is free
	calls int
	port  uint16
	wrong []error
}

var _ kernel.Kernel = (*Kernel)(nil)

// NewKernel returns a kernel that takes so many bytes from a server before its
// peer reads them, beside those that the peer waits for with a Read. With 0, what
// has not been read has not been written.
func NewKernel(most int) *Kernel { return &Kernel{most: most} }

// fromPeer is how many bytes a server's peer may be ahead.
const fromPeer = 4 << 10

var server = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}

// Open returns how many descriptors there are.
func (k *Kernel) Open() (n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.ends {
		if e != nil {
			n++
		}
	}
	return n
}

// Err says what the kernel has been asked for that nobody should have: calls on
// descriptors that are not open, above all.
func (k *Kernel) Err() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return errors.Join(k.wrong...)
}

func (k *Kernel) wrongLocked(format string, a ...any) {
	k.wrong = append(k.wrong, fmt.Errorf(format, a...))
}

// openLocked returns a new descriptor of e: the lowest that is free.
func (k *Kernel) openLocked(e *end) (fd int) {
	e.open++
	fd = slices.Index(k.ends, nil)
	if fd < 0 {
		fd = len(k.ends)
		k.ends = append(k.ends, nil)
	}
	k.ends[fd] = e
	return fd
}

func (k *Kernel) endLocked(fd int) (*end, error) {
	if fd < 0 || fd >= len(k.ends) || k.ends[fd] == nil {
		k.wrongLocked("descriptor %d is not open", fd)
		return nil, syscall.EBADF
	}
	return k.ends[fd], nil
}

func (k *Kernel) closeLocked(fd int) {
	e, err := k.endLocked(fd)
	if err != nil {
		return
	}
	k.ends[fd] = nil
	if e.open--; e.open == 0 {
		e.close()
	}
}

// Duplicate is part of [kernel.Kernel].
func (k *Kernel) Duplicate(conn net.Conn) (fd int, ok bool) {
	c, ok := conn.(*Conn)
	if !ok || c.k != k {
		return 0, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if c.closed {
		return 0, false
	}
	return k.openLocked(c.end), true
}

// Conn is part of [kernel.Kernel].
func (k *Kernel) Conn(fd int, peer netip.AddrPort, gone func()) net.Conn {
	k.mu.Lock()
	defer k.mu.Unlock()
	e, err := k.endLocked(fd)
	if err != nil {
		panic(err)
	}
	return k.newConnLocked(e, fd, net.TCPAddrFromAddrPort(peer), gone)
}

// on has f work on the end of a descriptor, if it is not interrupted.
func (k *Kernel) on(fd int, f func(*end) (int, error)) (n int, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e, err := k.endLocked(fd)
	if err != nil {
		return 0, err
	}
	if k.calls++; k.calls%7 == 0 {
		return 0, syscall.EINTR
	}
	return f(e)
}

// Read is part of [kernel.Kernel].
func (k *Kernel) Read(fd int, p []byte) (n int, err error) {
	return k.on(fd, func(e *end) (int, error) { return e.read(p) })
}

// Peek is part of [kernel.Kernel].
func (k *Kernel) Peek(fd int, p []byte) (n int, err error) {
	return k.on(fd, func(e *end) (int, error) { return e.peek(p) })
}

// Write is part of [kernel.Kernel].
func (k *Kernel) Write(fd int, p []byte) (n int, err error) {
	return k.on(fd, func(e *end) (int, error) { return e.write(p) })
}

// must has f work on the end of a descriptor.
func (k *Kernel) must(fd int, f func(*end)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e, err := k.endLocked(fd); err == nil {
		f(e)
	}
}

// Gone is part of [kernel.Kernel].
func (k *Kernel) Gone(fd int) (gone bool) {
	k.must(fd, func(e *end) { gone = e.gone() })
	return gone
}

// Shutdown is part of [kernel.Kernel].
func (k *Kernel) Shutdown(fd int) (err error) {
	k.must(fd, func(e *end) { err = e.shutdown() })
	return err
}

// Abort is part of [kernel.Kernel].
func (k *Kernel) Abort(fd int) { k.must(fd, func(e *end) { e.hard = true }) }

// Close is part of [kernel.Kernel].
func (k *Kernel) Close(fd int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closeLocked(fd)
}

// A Listener has connections come to a server.
type Listener struct {
	k      *Kernel
	conns  chan *Conn
	closed chan struct{}
	once   sync.Once
}

// Listen returns a new listener.
func (k *Kernel) Listen() *Listener {
	return &Listener{k: k, conns: make(chan *Conn), closed: make(chan struct{})}
}

// Dial returns the other side of a connection that the listener has accepted.
func (l *Listener) Dial(ctx context.Context) (*Conn, error) {
	ours, theirs := l.k.connect()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.closed:
		ours.Close()
		theirs.Close()
		return nil, net.ErrClosed
	case <-ctx.Done():
		ours.Close()
		theirs.Close()
		return nil, context.Cause(ctx)
	}
}

func (k *Kernel) connect() (ours, theirs *Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	a, b := &end{most: k.most}, &end{most: fromPeer}
	a.peer, b.peer = b, a
	for _, e := range []*end{a, b} {
		e.reads, e.writes = sync.NewCond(&k.mu), sync.NewCond(&k.mu)
	}
	k.port++
	from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(k.port)}
	return k.newConnLocked(a, k.openLocked(a), server, nil), k.newConnLocked(b, k.openLocked(b), from, nil)
}

// Accept is part of [net.Listener].
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close is part of [net.Listener].
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr is part of [net.Listener].
func (l *Listener) Addr() net.Addr { return server }
