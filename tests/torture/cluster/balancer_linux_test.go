package cluster

import (
	"bufio"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A balancer hands each request, and each WebSocket, to another node than the one
// before: nothing of it is sticky. A connection that fails before anything was
// answered is tried at the next node if the request does no harm when it is made
// twice, as balancers do.
type balancer struct {
	listener net.Listener
	pick     func() string // the address of the next node
	mood     atomic.Pointer[mood]
	work     sync.WaitGroup

	mu    sync.Mutex // guards all below
	links map[net.Conn]bool
	idle  map[string][]*line
	over  bool
}

// A mood is what befalls answers on their way.
type mood struct {
	cut, stall int           // of a thousand
	reach      int           // bytes, before it happens
	hold       time.Duration // of a stall
}

func newBalancer(t testing.TB, pick func() string) *balancer {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{listener: l, pick: pick, links: make(map[net.Conn]bool), idle: make(map[string][]*line)}
	b.mood.Store(&mood{})
	b.work.Go(b.accept)
	return b
}

func (b *balancer) addr() string { return b.listener.Addr().String() }

func (b *balancer) accept() {
	for {
		c, err := b.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil && b.keep(c) {
			b.work.Go(func() { (&hop{balancer: b, reader: newLine(c)}).serve() })
		}
	}
}

// keep remembers a connection; it closes it if all is over.
func (b *balancer) keep(c net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		c.Close()
		return false
	}
	b.links[c] = true
	return true
}

func (b *balancer) drop(c net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.links, c)
	c.Close()
}

// resetAll resets a share of all connections, in thousandths.
func (b *balancer) resetAll(share int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.links {
		if rand.IntN(1000) < share {
			reset(c)
		}
	}
}

func (b *balancer) close() {
	b.listener.Close()
	b.mu.Lock()
	b.over = true
	for c := range b.links {
		c.Close()
	}
	b.mu.Unlock()
	b.work.Wait()
}

// dial connects to the next node, fresh or by a connection that is idle.
func (b *balancer) dial(fresh bool) (up *line, addr string, used bool, err error) {
	for range 4 {
		addr = b.pick()
		if up := b.take(addr); up != nil {
			if !fresh {
				return up, addr, true, nil
			}
			b.drop(up.Conn)
		}
		var c net.Conn
		if c, err = net.DialTimeout("tcp", addr, 2*time.Second); err == nil {
			if !b.keep(c) {
				return nil, "", false, net.ErrClosed
			}
			return newLine(c), addr, false, nil
		}
	}
	return nil, "", false, err
}

func (b *balancer) take(addr string) *line {
	b.mu.Lock()
	defer b.mu.Unlock()
	for n := len(b.idle[addr]); n > 0; n-- {
		up := b.idle[addr][n-1]
		b.idle[addr] = b.idle[addr][:n-1]
		if silent(up.Conn) {
			return up
		}
		delete(b.links, up.Conn)
		up.Close()
	}
	return nil
}

// silent reports whether nothing has come by a connection, not even its end.
func silent(c net.Conn) bool {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = raw.Control(func(fd uintptr) {
		_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = err == syscall.EAGAIN
	})
	return err == nil && quiet
}

func (b *balancer) giveBack(addr string, up *line) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.idle[addr] = append(b.idle[addr], up)
}

// A hop is one connection of a reader.
type hop struct {
	*balancer
	reader *line
}

// serve hands on one request after the other.
func (h *hop) serve() {
	defer h.drop(h.reader.Conn)
	for {
		ask, err := readHead(h.reader.in)
		if err != nil {
			return
		}
		text := ask.text
		if ask.length > 0 {
			body := make([]byte, ask.length)
			if _, err := io.ReadFull(h.reader.in, body); err != nil {
				return
			}
			text = append(text, body...)
		}
		if !h.exchange(text, ask) {
			return
		}
	}
}

// exchange hands on a request and what it is answered. It reports whether the
// connection can be used further.
func (h *hop) exchange(text []byte, ask head) bool {
	harmless := text[0] == 'G'
	up, addr, used, err := h.dial(!harmless)
	if err == nil {
		_, err = up.Write(text)
	}
	if err != nil && used {
		h.drop(up.Conn)
		if up, addr, _, err = h.dial(true); err == nil {
			_, err = up.Write(text)
		}
	}
	if err != nil {
		if up != nil {
			h.drop(up.Conn)
		}
		_, _ = io.WriteString(h.reader, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return true
	}
	done := make(chan bool, 1)
	h.work.Go(func() {
		good := h.answer(up)
		if !good {
			h.reader.Close()
		}
		done <- good
	})
	if ask.upgrade {
		_, _ = io.Copy(up, h.reader.in)
	} else if _, err := h.reader.in.Peek(1); err == nil {
		if <-done {
			h.giveBack(addr, up)
			return true
		}
		h.drop(up.Conn)
		return false
	}
	h.drop(up.Conn)
	<-done
	return false
}

// answer hands on an answer. It reports whether both connections can be used
// further.
func (h *hop) answer(up *line) bool {
	a, err := readHead(up.in)
	if err != nil {
		return false
	}
	out := h.spoiled()
	if _, err := out.Write(a.text); err != nil {
		return false
	}
	if a.length < 0 {
		_, _ = copyNow(out, up.in)
		return false
	}
	_, err = io.CopyN(out, up.in, int64(a.length))
	return err == nil && !a.closing
}

// copyNow hands on what comes as it comes.
func copyNow(out io.Writer, in *bufio.Reader) (int, error) {
	buf := make([]byte, 4096)
	for {
		n, err := in.Read(buf)
		if n > 0 {
			if _, err := out.Write(buf[:n]); err != nil {
				return n, err
			}
		}
		if err != nil {
			return n, err
		}
	}
}

// spoiled is the way to the reader, in the mood of the moment.
func (h *hop) spoiled() io.Writer {
	m := h.mood.Load()
	n := rand.IntN(1000)
	if n >= m.cut+m.stall {
		return h.reader
	}
	s := &spoiler{out: h.reader.Conn, left: rand.IntN(m.reach + 1)}
	if n >= m.cut {
		s.hold = m.hold
	}
	return s
}

// A spoiler cuts a connection after some bytes, or holds it up.
type spoiler struct {
	out  net.Conn
	left int
	hold time.Duration
}

func (s *spoiler) Write(p []byte) (int, error) {
	if s.left < 0 || len(p) <= s.left {
		if s.left >= 0 {
			s.left -= len(p)
		}
		return s.out.Write(p)
	}
	n, err := s.out.Write(p[:s.left])
	if err != nil || s.hold == 0 {
		reset(s.out)
		return n, io.ErrClosedPipe
	}
	time.Sleep(s.hold)
	rest := p[s.left:]
	s.left = -1
	m, err := s.out.Write(rest)
	return n + m, err
}
