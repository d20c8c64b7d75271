package backend

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test outside a bubble waits for what should come at
// once.
const patience = 30 * time.Second

// A place is a server with doors in memory, and notes of what it was asked.
type place struct {
	t      testing.TB
	server *Server
	door   *door
	stop   func() // ends the HTTP server, and returns when it has ended

	mu    sync.Mutex // guards all below
	asked []string   // the bodies, in the order in which they were begun
	lines bytes.Buffer
	holds map[string]chan struct{} // bodies with such a text wait for that
}

// newPlace returns a place whose server answers requests as echo does.
func newPlace(t testing.TB, opts Options) *place {
	t.Helper()
	p := &place{t: t, holds: make(map[string]chan struct{})}
	if opts.Handle == nil {
		opts.Handle = func(ctx context.Context, b, body []byte) []byte { return append(b, p.echo(ctx, body)...) }
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.NewTextHandler(p, nil))
	}
	p.server = New(opts)
	p.door = &door{conns: make(chan net.Conn), closed: make(chan struct{})}
	srv := &http.Server{Handler: p.server.Or(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s elsewhere", r.Method)
	}))}
	var serving sync.WaitGroup
	serving.Go(func() { srv.Serve(p.door) })
	p.stop = sync.OnceFunc(func() { srv.Close(); serving.Wait() })
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := p.server.Close(ctx); err != nil {
			t.Error(err)
		}
		p.stop()
	})
	return p
}

// Write is for the logger.
func (p *place) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lines.Write(b)
}

func (p *place) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lines.String()
}

// hold has bodies with this text wait until release.
func (p *place) hold(text string) (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ch := make(chan struct{})
	p.holds[text] = ch
	return sync.OnceFunc(func() { close(ch) })
}

// echo answers a request with its params, a batch with its length, and what is
// none of these with an error.
func (p *place) echo(ctx context.Context, body []byte) []byte {
	p.mu.Lock()
	p.asked = append(p.asked, string(body))
	var hold chan struct{}
	for text, ch := range p.holds {
		if bytes.Contains(body, []byte(text)) {
			hold = ch
		}
	}
	p.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return []byte(`"cut"` + "\n")
		}
	}
	var batch []json.RawMessage
	if json.Unmarshal(body, &batch) == nil {
		return fmt.Appendf(nil, `[%d]`+"\n", len(batch))
	}
	var r struct {
		Method     string
		Params, ID json.RawMessage
	}
	switch {
	case json.Unmarshal(body, &r) != nil:
		return []byte(`"nonsense"` + "\n")
	case r.Method == "panic":
		panic("as it was told")
	case r.Method == "large":
		return append(bytes.Repeat([]byte("x"), 1<<20), '\n')
	case r.ID == nil:
		return nil
	}
	return fmt.Appendf(nil, `{"id":%s,"result":%s}`+"\n", r.ID, r.Params)
}

// heard is what was asked until now.
func (p *place) heard() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.asked...)
}

// A door is a listener in memory.
type door struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

func (d *door) Close() error   { d.once.Do(func() { close(d.closed) }); return nil }
func (d *door) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

func (d *door) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case d.conns <- theirs:
		return ours, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

// A peer is a backend's side of a connection, by another library.
type peer struct {
	*place
	ws *websocket.Conn
}

// dial opens a WebSocket.
func (p *place) dial() *peer {
	p.t.Helper()
	ws, _, err := p.tryDial(nil)
	p.must(err)
	return &peer{p, ws}
}

func (p *place) tryDial(opts *websocket.DialOptions) (*websocket.Conn, *http.Response, error) {
	if opts == nil {
		opts = &websocket.DialOptions{}
	}
	t := &http.Transport{DialContext: p.door.dial}
	p.t.Cleanup(t.CloseIdleConnections)
	opts.HTTPClient = &http.Client{Transport: t}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ws, resp, err := websocket.Dial(ctx, "ws://backend/rpc", opts)
	if err == nil {
		ws.SetReadLimit(64 << 20)
		p.t.Cleanup(func() { ws.CloseNow() })
	}
	return ws, resp, err
}

func (p *place) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (c *peer) say(texts ...string) {
	c.t.Helper()
	for _, text := range texts {
		c.must(c.ws.Write(context.Background(), websocket.MessageText, []byte(text)))
	}
}

// next is what comes next, or how the connection was closed.
func (c *peer) next() string {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, text, err := c.ws.Read(ctx)
	if closed, ok := errors.AsType[websocket.CloseError](err); ok {
		return fmt.Sprintf("close %d %s", closed.Code, closed.Reason)
	}
	if err != nil {
		return "lost"
	}
	return string(text)
}

func (c *peer) want(texts ...string) {
	c.t.Helper()
	for _, want := range texts {
		if got := c.next(); got != want {
			c.t.Fatalf("it says %.300s, want %.300s", got, want)
		}
	}
}

// asks is a request.
func asks(method string, params, id any) string {
	p, _ := json.Marshal(params)
	i, _ := json.Marshal(id)
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":%q,"params":%s,"id":%s}`, method, p, i)
}

// tells is a notification.
func tells(method string, params any) string {
	p, _ := json.Marshal(params)
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":%q,"params":%s}`, method, p)
}

// echoed is what echo answers.
func echoed(params, id any) string {
	p, _ := json.Marshal(params)
	i, _ := json.Marshal(id)
	return fmt.Sprintf(`{"id":%s,"result":%s}`, i, p)
}

// A raw peer writes what it likes.
type rawPeer struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

const handshake = "GET /rpc HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// raw opens a WebSocket; sent comes with the handshake.
func (p *place) raw(sent ...string) *rawPeer {
	p.t.Helper()
	conn, err := p.door.dial(context.Background(), "", "")
	p.must(err)
	p.t.Cleanup(func() { conn.Close() })
	go io.WriteString(conn, handshake+strings.Join(sent, ""))
	c := &rawPeer{p.t, conn, bufio.NewReader(conn)}
	answer, err := http.ReadResponse(c.in, nil)
	p.must(err)
	if answer.StatusCode != http.StatusSwitchingProtocols || answer.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		p.t.Fatalf("the answer to the handshake is %s with %v", answer.Status, answer.Header)
	}
	return c
}

// next is the next frame: its opcode and its payload, or why there is none.
func (c *rawPeer) next() string {
	var head [2]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return "lost"
	}
	size := int(head[1])
	switch size {
	case 126:
		io.ReadFull(c.in, head[:])
		size = int(head[0])<<8 | int(head[1])
	case 127:
		var long [8]byte
		io.ReadFull(c.in, long[:])
		size = int(long[4])<<24 | int(long[5])<<16 | int(long[6])<<8 | int(long[7])
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(c.in, payload); err != nil {
		return "lost"
	}
	switch op := head[0]; {
	case size >= 126:
		return string(payload)
	case op == 0x88 && size >= 2:
		return fmt.Sprintf("close %d %s", int(payload[0])<<8|int(payload[1]), payload[2:])
	case op == 0x81:
		return string(payload)
	case op == 0x89:
		return "ping " + string(payload)
	case op == 0x8a:
		return "pong " + string(payload)
	default:
		return fmt.Sprintf("frame %x %s", op, payload)
	}
}

func (c *rawPeer) want(frames ...string) {
	c.t.Helper()
	for _, want := range frames {
		if got := c.next(); got != want {
			c.t.Fatalf("it says %.300q, want %.300q", got, want)
		}
	}
}

// frame is a frame as a client sends it; first is its first byte.
func frame(first byte, payload string) string {
	mask := [4]byte{1, 2, 3, 4}
	var b []byte
	switch n := len(payload); {
	case n < 126:
		b = []byte{first, 0x80 | byte(n)}
	case n < 1<<16:
		b = []byte{first, 0x80 | 126, byte(n >> 8), byte(n)}
	default:
		b = []byte{first, 0x80 | 127, 0, 0, 0, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
	}
	b = append(b, mask[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}
	return string(b)
}

func text(payload string) string { return frame(0x81, payload) }

func inBubble(t *testing.T, f func(t *testing.T)) { t.Helper(); synctest.Test(t, f) }
