package browser

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// A wire is the network between the pages and what they ask: a TCP proxy that
// is well until it is told otherwise. Its methods may be called by many
// goroutines at once.
type wire struct {
	listener net.Listener
	target   string
	work     sync.WaitGroup // everything that runs

	mu       sync.Mutex // guards all below
	closed   bool
	links    map[*link]struct{}
	flowing  chan struct{} // closed, but not during a stall
	refusing bool
	banned   string // the transport that does not get through
	count    int    // connections so far
}

// newWire returns one that ends with the test, at an address of its own.
func newWire(t testing.TB, target string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, target: target, links: make(map[*link]struct{}), flowing: make(chan struct{})}
	close(w.flowing)
	w.work.Go(w.accept)
	t.Cleanup(w.close)
	return w
}

func (w *wire) addr() string { return w.listener.Addr().String() }

func (w *wire) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.listener.Close()
	w.cut()
	w.work.Wait()
}

// cut resets all connections.
func (w *wire) cut() { w.each(func(l *link) { l.reset() }) }

// snip resets each connection that some transport has come by, after so many
// more bytes to the page.
func (w *wire) snip(bytes func() int) {
	w.each(func(l *link) {
		if l.carries != "page" {
			l.left = bytes()
		}
	})
}

func (w *wire) each(do func(*link)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for l := range w.links {
		do(l)
	}
}

// refuse cuts all connections and lets none begin, or lets them again.
func (w *wire) refuse(yes bool) {
	w.mu.Lock()
	w.refusing = yes
	w.mu.Unlock()
	if yes {
		w.cut()
	}
}

// stall holds back all bytes, both ways, or lets them flow again.
func (w *wire) stall(yes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if flowing := isClosed(w.flowing); yes && flowing {
		w.flowing = make(chan struct{})
	} else if !yes && !flowing {
		close(w.flowing)
	}
}

// ban cuts off all that comes by a transport, also what is under way; "" is none.
func (w *wire) ban(transport string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.banned = transport
	for l := range w.links {
		if transport != "" && l.carries == transport {
			l.reset()
		}
	}
}

func (w *wire) connections() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}

func (w *wire) accept() {
	for {
		c, err := w.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			w.work.Go(func() { w.serve(c.(*net.TCPConn)) })
		}
	}
}

func (w *wire) serve(page *net.TCPConn) {
	l := &link{wire: w, page: page, left: -1, done: make(chan struct{})}
	w.mu.Lock()
	w.count++
	w.links[l] = struct{}{}
	refused := w.refusing || w.closed
	w.mu.Unlock()
	defer func() {
		l.reset()
		w.mu.Lock()
		delete(w.links, l)
		w.mu.Unlock()
	}()
	if refused {
		return
	}
	c, err := net.DialTimeout("tcp", w.target, 10*time.Second)
	if err != nil {
		return
	}
	defer c.Close()
	server := c.(*net.TCPConn)
	var ways sync.WaitGroup
	ways.Go(func() { l.carry(server, page, l.admits) })
	ways.Go(func() { l.carry(page, server, l.rations) })
	ways.Go(func() { <-l.done; server.SetLinger(0); server.Close() })
	ways.Wait()
}

// A link is one connection through the wire.
type link struct {
	wire    *wire
	page    *net.TCPConn
	once    sync.Once
	done    chan struct{} // closed when it is over
	carries string        // the transport of its last request; guarded by wire.mu
	left    int           // bytes to the page until it is reset; -1: no end; guarded by wire.mu
}

// reset ends both sides without a farewell.
func (l *link) reset() {
	l.once.Do(func() {
		l.page.SetLinger(0)
		l.page.Close()
		close(l.done)
	})
}

// carry hands on what comes from src to dst, as much of it as may is asked.
func (l *link) carry(dst, src *net.TCPConn, may func([]byte) int) {
	buf := make([]byte, 16<<10)
	for {
		n, err := src.Read(buf)
		if !l.flows() {
			return
		}
		part := buf[:may(buf[:n])]
		if _, e := dst.Write(part); e != nil || len(part) < n {
			l.reset()
			return
		}
		if err == io.EOF && dst != l.page {
			dst.CloseWrite() // the other way may go on
			return
		}
		if err != nil {
			l.page.CloseWrite() // what was written is to be read
			l.reset()
			return
		}
	}
}

// flows waits for the end of a stall. It reports whether there is still a link.
func (l *link) flows() bool {
	l.wire.mu.Lock()
	flowing := l.wire.flowing
	l.wire.mu.Unlock()
	select {
	case <-flowing:
		return true
	case <-l.done:
		return false
	}
}

// requests tells transports by how their requests begin. Browsers do not send a
// request before the one before it is answered, so each begins a piece.
var requests = []struct{ begin, transport string }{
	{"GET /websocket", "websocket"}, {"GET /sse", "sse"}, {"POST /stream", "stream"},
	{"POST /longpoll", "longpoll"}, {"GET /longpoll", "jsonp"}, {"GET /", "page"},
}

// admits is how much of what a page sends goes on: all, or nothing of what is
// banned.
func (l *link) admits(piece []byte) int {
	l.wire.mu.Lock()
	defer l.wire.mu.Unlock()
	for _, r := range requests {
		if bytes.HasPrefix(piece, []byte(r.begin)) {
			if l.carries = r.transport; l.carries == "page" {
				l.left = -1 // half a page may wait for the rest
			}
			break
		}
	}
	if l.carries != "" && l.carries == l.wire.banned {
		return 0
	}
	return len(piece)
}

// rations is how much of a piece goes on to the page.
func (l *link) rations(piece []byte) int {
	l.wire.mu.Lock()
	defer l.wire.mu.Unlock()
	if l.left < 0 {
		return len(piece)
	}
	n := min(l.left, len(piece))
	l.left -= n
	return n
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestTheWire: each fault does what its name says, and nothing else.
func TestTheWire(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	w := newWire(t, echo(t))
	for _, fault := range []struct {
		name string
		test func(*testing.T, *wire)
	}{{"ban", banned}, {"stall", stalled}, {"snip", snipped}, {"cut and refuse", refused}} {
		t.Run(fault.name, func(t *testing.T) {
			fault.test(t, w)
			says(t, dial(t, w), "all is well")
		})
	}
	if n := w.connections(); n < 9 {
		t.Errorf("%d connections, want 9 or more", n)
	}
}

func banned(t *testing.T, w *wire) {
	socket, poll, again := dial(t, w), dial(t, w), dial(t, w)
	says(t, socket, "GET /websocket HTTP/1.1")
	says(t, poll, "POST /longpoll HTTP/1.1")
	w.ban("websocket")
	ends(t, socket, 0)
	says(t, poll, "more")
	again.Write([]byte("GET /websocket HTTP/1.1"))
	ends(t, again, 0)
	w.ban("")
}

func stalled(t *testing.T, w *wire) {
	c := dial(t, w)
	says(t, c, "hello")
	w.stall(true)
	c.Write([]byte("late"))
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := c.Read(make([]byte, 1)); n > 0 || !isTimeout(err) {
		t.Errorf("%d bytes, %v", n, err)
	}
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	w.stall(false)
	if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
		t.Errorf("after the stall: %v", err)
	}
}

func snipped(t *testing.T, w *wire) {
	c := dial(t, w)
	says(t, c, "hello")
	w.snip(func() int { return 5 })
	c.Write([]byte("0123456789"))
	ends(t, c, 5)
}

func refused(t *testing.T, w *wire) {
	c := dial(t, w)
	says(t, c, "hello")
	w.refuse(true)
	ends(t, c, 0)
	if c, err := net.Dial("tcp", w.addr()); err == nil { // else it has been refused already
		c.SetDeadline(time.Now().Add(10 * time.Second))
		ends(t, c, 0)
		c.Close()
	}
	w.refuse(false)
}

func dial(t *testing.T, w *wire) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", w.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

// says says something, which comes back.
func says(t *testing.T, c net.Conn, text string) {
	t.Helper()
	c.Write([]byte(text))
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("%q comes back as %q: %v", text, got, err)
	}
}

// ends reads to the end. A reset throws away what has not been read.
func ends(t *testing.T, c net.Conn, most int) {
	t.Helper()
	if got, err := io.ReadAll(c); len(got) > most || isTimeout(err) {
		t.Errorf("%d bytes and %v, want %d at most and the end", len(got), err, most)
	}
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// echo is a server that says what it hears.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() { io.Copy(c, c); c.Close() })
		}
	})
	t.Cleanup(func() { l.Close(); work.Wait() })
	return l.Addr().String()
}
