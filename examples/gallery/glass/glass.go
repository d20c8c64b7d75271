// Package glass is a relay that can be looked through: it carries the bytes of
// connections to a server and back, unchanged, each piece as soon as somebody has
// been told of it. So what is shown is what really is on the wire,
// whatever is spoken there.
package glass

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// A Watcher is told what passes on one connection.
type Watcher interface {
	// Pass is called with bytes before they are sent on, so that an answer is
	// never seen before its question. It is called in the relay's goroutines, one
	// for each direction, so it must be quick and safe for both at once; and p is
	// the relay's again when it returns. Up is from the caller to the server.
	Pass(up bool, at time.Time, p []byte)
	// End is called once, when the connection is over and nothing passes any more.
	End(at time.Time)
}

// Limits of a relay that serves a handful of browsers on one machine.
const (
	maxConns    = 256              // at a time; others are closed as they come
	pieceBytes  = 32 << 10         // at most, to be read at once
	dialTimeout = 5 * time.Second  // to reach the server
	startTime   = 2 * time.Second  // for the server to be there: it starts when we do
	stallTime   = 30 * time.Second // for a piece to be taken by whom it is for
	restTime    = 2 * time.Minute  // for all that is left when one side has said all
)

// A Glass relays what comes to its listener.
type Glass struct {
	listener net.Listener
	target   net.Addr
	watch    func(conn int) Watcher

	dial func(ctx context.Context) (net.Conn, error)

	mu      sync.Mutex // guards all below
	open    int
	last    int // number of the last connection
	refused int
}

// Listen makes a glass on a free port of this machine alone, in front of
// target. Of each connection, counted from 1, watch says who watches it.
func Listen(target net.Addr, watch func(conn int) Watcher) (*Glass, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return newGlass(l, target, watch), nil
}

func newGlass(l net.Listener, target net.Addr, watch func(conn int) Watcher) *Glass {
	g := &Glass{listener: l, target: target, watch: watch}
	g.dial = func(ctx context.Context) (net.Conn, error) {
		dialer := net.Dialer{Timeout: dialTimeout}
		return dialer.DialContext(ctx, target.Network(), target.String())
	}
	return g
}

// Addr is where the glass listens.
func (g *Glass) Addr() net.Addr { return g.listener.Addr() }

// Refused is how many connections there was no room for.
func (g *Glass) Refused() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refused
}

// Close closes the listener of a glass that is not served.
func (g *Glass) Close() { g.listener.Close() }

// Serve relays until ctx ends or the listener fails, ends all connections, and
// returns when nothing of them is left. The error is nil when ctx has ended.
func (g *Glass) Serve(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var conns sync.WaitGroup
	defer conns.Wait()
	defer stop()
	defer g.listener.Close()
	defer context.AfterFunc(ctx, func() { g.listener.Close() })()
	for {
		c, err := g.listener.Accept()
		switch {
		case ctx.Err() != nil:
			if c != nil {
				c.Close()
			}
			return nil
		case err != nil && !errors.Is(err, net.ErrClosed):
			select { // out of files, perhaps: that passes
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		case err != nil:
			return err
		}
		number, ok := g.enter()
		if !ok {
			c.Close()
			continue
		}
		conns.Go(func() {
			defer g.leave()
			g.relay(ctx, number, c)
		})
	}
}

func (g *Glass) enter() (number int, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open >= maxConns {
		g.refused++
		return 0, false
	}
	g.open++
	g.last++
	return g.last, true
}

func (g *Glass) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
}

// relay carries one connection to its end.
func (g *Glass) relay(ctx context.Context, number int, caller net.Conn) {
	defer caller.Close()
	server, err := g.reach(ctx)
	if err != nil {
		reset(caller) // as it would be refused without us
		return
	}
	defer server.Close()
	defer context.AfterFunc(ctx, func() { caller.Close(); server.Close() })()
	// Whatever goes wrong ends both: a connection that is cut is to be seen cut
	// from both sides. But our own end cuts nobody.
	cut := func() {
		if ctx.Err() == nil {
			reset(caller, server)
		}
	}
	w := g.watch(number)
	defer func() { w.End(time.Now()) }()
	var both sync.WaitGroup
	both.Go(func() { carry(server, caller, cut, func(p []byte) { w.Pass(true, time.Now(), p) }) })
	both.Go(func() { carry(caller, server, cut, func(p []byte) { w.Pass(false, time.Now(), p) }) })
	both.Wait()
}

// reach connects to the server, which may be about to listen.
func (g *Glass) reach(ctx context.Context) (net.Conn, error) {
	for end := time.Now().Add(startTime); ; {
		c, err := g.dial(ctx)
		if err == nil || !errors.Is(err, syscall.ECONNREFUSED) || time.Now().After(end) {
			return c, err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// carry takes all that from says to to, and its end; it calls cut if there is a
// worse one.
func carry(to, from net.Conn, cut func(), see func([]byte)) {
	buf := make([]byte, pieceBytes)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			see(buf[:n])
			_ = to.SetWriteDeadline(time.Now().Add(stallTime))
			if _, failed := to.Write(buf[:n]); failed != nil {
				cut()
				return
			}
		}
		switch {
		case err == io.EOF:
			if half, ok := to.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
				to.Close()
			}
			_ = to.SetReadDeadline(time.Now().Add(restTime))
			return
		case err != nil:
			cut()
			return
		}
	}
}

// reset ends connections in such a way that their peers notice.
func reset(all ...net.Conn) {
	for _, c := range all {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		c.Close()
	}
}
