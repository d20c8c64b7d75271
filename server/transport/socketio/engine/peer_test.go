package engine_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing/synctest"

	"github.com/gobwas/ws"
)

// pipes are connections in memory, and the listener of their server.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	mu     sync.Mutex // guards all
	all    []net.Conn
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, ours)
	return ours
}

func (p *pipes) hangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.all {
		c.Close()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "memory"} }

// A peer is the other side of a WebSocket. It notes what it hears.
type peer struct {
	*place
	conn net.Conn
	what string // is tested, for messages

	mu    sync.Mutex // guards lines
	lines []string
}

// dial opens a WebSocket.
func (p *place) dial(query string, sent ...string) *peer {
	p.t.Helper()
	c := &peer{place: p, conn: p.pipes.dial()}
	go io.WriteString(c.conn, shake(query)+strings.Join(sent, ""))
	in := bufio.NewReader(c.conn)
	answer, err := http.ReadResponse(in, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		p.t.Fatalf("a WebSocket is answered %+v, %v", answer, err)
	}
	go c.listen(in)
	return c
}

func shake(query string) string {
	return "GET /?" + query + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
}

func (c *peer) listen(in io.Reader) {
	for {
		f, err := readFrame(in)
		line := "end"
		if err == nil {
			line = describeFrame(f)
		}
		c.mu.Lock()
		c.lines = append(c.lines, line)
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// readFrame reads a frame by another library.
func readFrame(in io.Reader) (f ws.Frame, err error) {
	if f.Header, err = ws.ReadHeader(in); err != nil {
		return f, err
	}
	f.Payload = make([]byte, f.Header.Length)
	_, err = io.ReadFull(in, f.Payload)
	return f, err
}

func describeFrame(f ws.Frame) string {
	switch f.Header.OpCode {
	case ws.OpText:
		return string(f.Payload)
	case ws.OpBinary:
		return fmt.Sprintf("% x", f.Payload)
	case ws.OpPong:
		return "pong " + string(f.Payload)
	case ws.OpClose:
		code, _ := ws.ParseCloseFrameData(f.Payload)
		return fmt.Sprintf("close %d", code)
	}
	return fmt.Sprintf("a strange frame: %+v", f.Header)
}

// send sends frames and waits until they are looked at.
func (c *peer) send(frames ...string) {
	go io.WriteString(c.conn, strings.Join(frames, ""))
	synctest.Wait()
}

// hears wants to hear exactly this since it was called last. A line that ends
// with … may go on.
func (c *peer) hears(want ...string) {
	c.t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	same := slices.EqualFunc(c.lines, want, func(got, want string) bool {
		begin, open := strings.CutSuffix(want, "…")
		return got == want || open && strings.HasPrefix(got, begin)
	})
	if !same {
		c.t.Errorf("%s: heard %q, want %q", c.what, c.lines, want)
	}
	c.lines = nil
}

// frame is a frame as clients send it.
func frame(op ws.OpCode, payload string) string {
	f := ws.NewFrame(op, true, []byte(payload))
	return string(ws.MustCompileFrame(ws.MaskFrameInPlaceWith(f, [4]byte{1, 2, 3, 4})))
}

func text(payload string) string { return frame(ws.OpText, payload) }

// socket begins a session by WebSocket.
func (p *place) socket(extra string) *peer {
	p.t.Helper()
	c := p.dial("EIO=4&transport=websocket" + extra)
	c.hears(`0{"sid":"…`)
	return c
}

// goOver takes a polling session over to a WebSocket.
func (p *place) goOver(query string) *peer {
	p.t.Helper()
	c := p.probe(query)
	c.send(text("2probe"))
	c.hears("3probe")
	c.send(text("5"))
	return c
}

// probe opens the WebSocket for that.
func (p *place) probe(query string) *peer {
	p.t.Helper()
	return p.dial(strings.Replace(query, "transport=polling", "transport=websocket", 1))
}
