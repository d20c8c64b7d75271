package glass

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"
)

// notes are a watcher's.
type notes struct {
	mu       sync.Mutex // guards all below
	up, down bytes.Buffer
	order    []bool
	ended    int
}

func (n *notes) Pass(up bool, _ time.Time, p []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.order = append(n.order, up)
	if up {
		n.up.Write(p)
	} else {
		n.down.Write(p)
	}
}

func (n *notes) End(time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ended++
}

// bench is a glass in front of a server that handles connections, and what was
// seen of them.
type bench struct {
	*Glass
	mu   sync.Mutex // guards seen
	seen []*notes
}

func begin(t *testing.T, handle func(c *net.TCPConn)) *bench {
	t.Helper()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{}
	b.Glass, err = Listen(server.Addr(), func(int) Watcher {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.seen = append(b.seen, &notes{})
		return b.seen[len(b.seen)-1]
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := b.Serve(ctx); err != nil {
			t.Error(err)
		}
	})
	running.Go(func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				handle(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		server.Close()
		running.Wait()
	})
	return b
}

func (b *bench) call(t *testing.T) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c.(*net.TCPConn)
}

// note returns what was seen of a connection that is over.
func (b *bench) note(t *testing.T, i int) *notes {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		b.mu.Lock()
		if i < len(b.seen) {
			n := b.seen[i]
			n.mu.Lock()
			ended := n.ended
			n.mu.Unlock()
			if ended > 0 {
				b.mu.Unlock()
				return n
			}
		}
		b.mu.Unlock()
		if time.Now().After(deadline) {
			t.Fatalf("connection %d does not end", i)
		}
	}
}

func random(seed uint64, n int) []byte {
	p := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

// What goes in comes out, both ways at once, and that is what is seen. The end
// of one direction is passed on while the other goes on.
func TestBytesAreUnchanged(t *testing.T) {
	for _, size := range []int{0, 1, pieceBytes - 1, pieceBytes, pieceBytes + 1, 3 << 20} {
		up, down := random(1, size), random(2, size)
		got := make(chan []byte, 1)
		b := begin(t, func(c *net.TCPConn) {
			all, _ := io.ReadAll(c) // to the end that the caller has made
			got <- all
			_, _ = c.Write(down)
		})
		c := b.call(t)
		if _, err := c.Write(up); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(answer, down) {
			t.Errorf("%d bytes: down came %d, %v", size, len(answer), err)
		}
		if all := <-got; !bytes.Equal(all, up) {
			t.Errorf("%d bytes: up came %d", size, len(all))
		}
		n := b.note(t, 0)
		if !bytes.Equal(n.up.Bytes(), up) || !bytes.Equal(n.down.Bytes(), down) || n.ended != 1 {
			t.Errorf("%d bytes: seen were %d and %d, with %d ends", size, n.up.Len(), n.down.Len(), n.ended)
		}
	}
}

// The server may end first.
func TestServerEndsFirst(t *testing.T) {
	got := make(chan []byte, 1)
	b := begin(t, func(c *net.TCPConn) {
		_, _ = c.Write([]byte("bye"))
		_ = c.CloseWrite()
		all, _ := io.ReadAll(c)
		got <- all
	})
	c := b.call(t)
	if all, err := io.ReadAll(c); err != nil || string(all) != "bye" {
		t.Fatalf("%q, %v", all, err)
	}
	_, _ = c.Write([]byte("one more thing"))
	_ = c.CloseWrite()
	if all := <-got; string(all) != "one more thing" {
		t.Errorf("after its end the server got %q", all)
	}
}

// Many at once do not disturb each other, and no answer is seen before its
// question.
func TestOrder(t *testing.T) {
	b := begin(t, func(c *net.TCPConn) { _, _ = io.Copy(c, c) })
	var all sync.WaitGroup
	for range 20 {
		c := b.call(t)
		all.Go(func() {
			p := make([]byte, 5)
			for range 50 {
				if _, err := c.Write([]byte("hello")); err != nil {
					t.Error(err)
				}
				if _, err := io.ReadFull(c, p); err != nil || string(p) != "hello" {
					t.Errorf("%q, %v", p, err)
				}
			}
			c.Close()
		})
	}
	all.Wait()
	for i := range 20 {
		n := b.note(t, i)
		ahead := 0
		for _, up := range n.order {
			if up {
				ahead++
			} else if ahead--; ahead < 0 {
				t.Fatal("an answer was seen before its question")
			}
		}
	}
}

// Who is cut off is seen cut off from the other side.
func TestCut(t *testing.T) {
	t.Run("by the server", func(t *testing.T) {
		b := begin(t, func(c *net.TCPConn) {
			_, _ = io.ReadFull(c, make([]byte, 1))
			_ = c.SetLinger(0)
		})
		c := b.call(t)
		_, _ = c.Write([]byte("x"))
		if _, err := io.ReadAll(c); err == nil {
			t.Error("a reset came as a proper end")
		}
	})
	t.Run("by the caller", func(t *testing.T) {
		got := make(chan error, 1)
		b := begin(t, func(c *net.TCPConn) {
			_, _ = c.Write([]byte("x"))
			_, err := io.ReadAll(c)
			got <- err
		})
		c := b.call(t)
		_, _ = io.ReadFull(c, make([]byte, 1))
		_ = c.SetLinger(0)
		c.Close()
		if err := <-got; err == nil {
			t.Error("a reset came as a proper end")
		}
	})
	t.Run("no server", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close() // so nobody is there
		g, err := Listen(l.Addr(), func(int) Watcher { return &notes{} })
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- g.Serve(ctx) }()
		defer func() { cancel(); <-ended }()
		c, err := net.Dial("tcp", g.Addr().String())
		if err != nil {
			return // the reset was quicker than we are
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("who calls sees %v, want a reset", err)
		}
	})
}

// There is room for so many and no more; when they are gone, there is again.
func TestConnectionsAreBounded(t *testing.T) {
	b := begin(t, func(c *net.TCPConn) { _, _ = io.Copy(c, c) })
	ping := func(c net.Conn) bool {
		_, _ = c.Write([]byte("x"))
		n, _ := io.ReadFull(c, make([]byte, 1))
		return n == 1
	}
	var open []net.Conn
	for i := range maxConns {
		c := b.call(t)
		if open = append(open, c); !ping(c) {
			t.Fatalf("connection %d is refused", i+1)
		}
	}
	if ping(b.call(t)) || b.Refused() != 1 {
		t.Errorf("one too many is let in; refused are %d", b.Refused())
	}
	for _, c := range open {
		c.Close()
	}
	for i := range maxConns {
		b.note(t, i)
	}
	for deadline := time.Now().Add(20 * time.Second); !ping(b.call(t)); {
		if time.Now().After(deadline) {
			t.Fatal("there is no room for ever")
		}
	}
}

func (n *notes) over() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ended
}

// Serve ends all that is open.
func TestEnd(t *testing.T) {
	b := begin(t, func(c *net.TCPConn) { _, _ = io.Copy(c, c) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &notes{}
	g := newGlass(l, b.Addr(), func(int) Watcher { return n })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Serve(ctx) }()
	c, err := net.Dial("tcp", g.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = c.Write([]byte("x"))
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil || n.over() != 1 {
		t.Errorf("it ended with %v, and %d of 1 connections", err, n.over())
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection goes on")
	}
}
