package glass

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are in memory.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	c, ok := <-p.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.conns) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// half is a connection one direction of which can end.
type half struct{ net.Conn }

func (half) CloseWrite() error { return nil }

// Nobody waits for ever: not for who does not take what is sent, and not for who
// has nothing more to say to one who has said all.
func TestTime(t *testing.T) {
	for name, tt := range map[string]struct {
		talk func(caller, server net.Conn)
		want time.Duration
	}{
		"a stalled server":  {func(caller, _ net.Conn) { _, _ = caller.Write([]byte("x")) }, stallTime},
		"a stalled caller":  {func(_, server net.Conn) { _, _ = server.Write([]byte("x")) }, stallTime},
		"a caller who goes": {func(caller, _ net.Conn) { caller.Close() }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &pipes{conns: make(chan net.Conn, 1)}
				n := &notes{}
				g := newGlass(l, l.Addr(), func(int) Watcher { return n })
				server, inner := net.Pipe()
				g.dial = func(context.Context) (net.Conn, error) { return inner, nil }
				ctx, cancel := context.WithCancel(t.Context())
				var running sync.WaitGroup
				running.Go(func() { _ = g.Serve(ctx) })
				caller, outer := net.Pipe()
				l.conns <- outer
				start := time.Now()
				tt.talk(caller, server)
				for n.over() == 0 && time.Since(start) < time.Hour {
					time.Sleep(time.Second)
				}
				if took := time.Since(start); took < tt.want || took > tt.want+2*time.Second {
					t.Errorf("it ended after %v, want %v", took, tt.want)
				}
				cancel()
				running.Wait()
				caller.Close()
				server.Close()
			})
		})
	}
}

func TestRestTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to, server := net.Pipe()
		from, caller := net.Pipe()
		caller.Close()
		carry(half{to}, from, func() { t.Error("cut") }, func([]byte) {})
		start := time.Now()
		if _, err := to.Read(make([]byte, 1)); err == nil || time.Since(start) != restTime {
			t.Errorf("the other direction ended after %v: %v", time.Since(start), err)
		}
		for _, c := range []net.Conn{to, from, server} {
			c.Close()
		}
	})
}

// A server that is about to start is waited for.
func TestStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		server, inner := net.Pipe()
		defer server.Close()
		defer inner.Close()
		dial := func(context.Context) (net.Conn, error) {
			if time.Since(start) < startTime/2 {
				return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
			}
			return inner, nil
		}
		if c, err := (&Glass{dial: dial}).reach(t.Context()); c != inner || err != nil {
			t.Errorf("reached %v, %v", c, err)
		}
		start = time.Now().Add(time.Hour)
		if _, err := (&Glass{dial: dial}).reach(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("of no server: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		before := time.Now()
		if _, err := (&Glass{dial: dial}).reach(ctx); err == nil || time.Since(before) > 0 {
			t.Errorf("at our end: %v after %v", err, time.Since(before))
		}
	})
}
