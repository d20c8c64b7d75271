package websocket_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"go.uber.org/goleak"

	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/transport/websocket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A place is a hub with its handler, in a bubble.
type place struct {
	t       testing.TB
	hub     *hub.Hub
	log     *slowLog
	lot     *park.Lot
	drain   context.CancelFunc
	stop    func() // ends the hub's log
	keys    map[string]string
	handler http.Handler
	what    string // is tested, for messages
}

// A slowLog waits at its gate, if there is one, before it appends anything.
type slowLog struct {
	hub.Broker
	gate atomic.Pointer[chan struct{}]
}

func (l *slowLog) Append(ctx context.Context, c hub.Command) (hub.Result, error) {
	if gate := l.gate.Load(); gate != nil {
		select {
		case <-*gate:
		case <-ctx.Done():
			return hub.Result{}, ctx.Err()
		}
	}
	return l.Broker.Append(ctx, c)
}

func newPlace(t testing.TB, opts websocket.Options, limits hub.Limits) *place {
	t.Helper()
	p := &place{t: t, keys: map[string]string{}, log: &slowLog{Broker: memory.New()}}
	newKey := func() string { return fmt.Sprintf("%032x", len(p.keys)) }
	p.hub = hub.New(hub.Config{NewKey: newKey, Limits: limits}, p.log)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { p.hub.Run(ctx) })
	p.stop = func() { cancel(); running.Wait() }
	t.Cleanup(p.stop)
	<-p.hub.Ready()
	var drained context.Context
	drained, p.drain = context.WithCancel(context.Background())
	t.Cleanup(p.drain)
	p.lot = park.New(park.Options{Drain: drained})
	opts.Lot = p.lot
	if opts.Jitter == nil {
		opts.Jitter = func(d time.Duration) time.Duration { return 3 * d }
	}
	p.handler = websocket.New(p.hub, opts)
	return p
}

func (p *place) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// client makes a client on the channels; its key is p.keys[id].
func (p *place) client(id string, channels ...string) {
	p.t.Helper()
	key, _, err := p.hub.CreateClient(p.t.Context(), id)
	p.must(err)
	p.keys[id] = key
	for _, ch := range channels {
		_, err := p.hub.Subscribe(p.t.Context(), []hub.Pair{{Client: id, Channel: ch}})
		p.must(err)
	}
}

func (p *place) say(channel, text string) {
	p.t.Helper()
	data, err := json.Marshal(text)
	p.must(err)
	_, err = p.hub.Publish(p.t.Context(), hub.Publication{Channel: channel, Sender: json.RawMessage(`"bob"`), Data: data})
	p.must(err)
}

// hello is a client's hello, at the top of the log.
func (p *place) hello(id string) string {
	return fmt.Sprintf(`{"clients":[{"id":%q,"key":%q}],"cursor":"%v"}`, id, p.keys[id], p.hub.Position())
}

// query says the same by the query.
func (p *place) query(id string) string {
	return fmt.Sprintf("client_id=%s&cursor=%v", url.QueryEscape(id+hub.Delimiter+p.keys[id]), p.hub.Position())
}

// token is the client's as part of the name of a subprotocol.
func (p *place) token(id string) string {
	return "shaveet.auth." + base64.RawURLEncoding.EncodeToString([]byte(url.PathEscape(id)+hub.Delimiter+p.keys[id]))
}

// empty is the batch for who has heard everything.
func (p *place) empty() string {
	return p.short(fmt.Sprintf(`text {"cursor":"%v","signals":[],"messages":[]}`, p.hub.Position()))
}

// short writes E for the epoch, which is another one each time, and T for
// times.
func (p *place) short(s string) string {
	epoch, _, _ := strings.Cut(p.hub.Position().String(), ".")
	s = strings.ReplaceAll(s, epoch, "E")
	for i := strings.Index(s, `"time":9`); i >= 0; i = strings.Index(s, `"time":9`) {
		s = s[:i+7] + "T" + strings.TrimLeft(s[i+7:], "0123456789")
	}
	return s
}

// connect returns a connection to a server with the handler.
func (p *place) connect() net.Conn {
	ours, theirs := net.Pipe()
	l := &oneConn{conn: make(chan net.Conn, 1), closed: make(chan struct{})}
	l.conn <- theirs
	srv := &http.Server{Handler: p.handler}
	served := make(chan struct{})
	go func() { defer close(served); srv.Serve(l) }()
	p.t.Cleanup(func() { srv.Close(); ours.Close(); <-served })
	return ours
}

// oneConn is a listener that accepts what it is given.
type oneConn struct {
	conn   chan net.Conn
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *oneConn) Close() error   { close(l.closed); return nil }
func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

// A peer is the other side of a WebSocket. It notes what it hears and answers
// nothing.
type peer struct {
	*place
	conn   net.Conn
	answer *http.Response

	mu    sync.Mutex // guards lines
	lines []string
}

// request is a handshake with these headers beside the necessary ones.
func request(query string, headers ...string) string {
	lines := append([]string{"GET /websocket?" + query + " HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: websocket",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}, headers...)
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// dial opens a WebSocket; sent comes with the handshake.
func (p *place) dial(handshake string, sent ...string) *peer {
	p.t.Helper()
	c := &peer{place: p, conn: p.connect()}
	go io.WriteString(c.conn, handshake+strings.Join(sent, ""))
	in := bufio.NewReader(c.conn)
	var err error
	c.answer, err = http.ReadResponse(in, nil)
	p.must(err)
	if c.answer.StatusCode != http.StatusSwitchingProtocols {
		p.t.Fatalf("the answer is %d", c.answer.StatusCode)
	}
	go c.listen(in)
	return c
}

func (c *peer) listen(in io.Reader) {
	for {
		f, err := readFrame(in)
		line := "end"
		if err == nil {
			line = describe(f)
		}
		c.mu.Lock()
		c.lines = append(c.lines, c.short(line))
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

func describe(f ws.Frame) string {
	data := f.Payload
	name := map[ws.OpCode]string{ws.OpText: "text", ws.OpBinary: "binary", ws.OpPing: "ping", ws.OpPong: "pong", ws.OpClose: "close"}[f.Header.OpCode]
	if !f.Header.Fin || f.Header.Masked || name == "" {
		return fmt.Sprintf("a strange frame: %+v", f.Header)
	}
	if f.Header.Rsv1() {
		plain, err := inflate(data)
		if err != nil {
			return err.Error()
		}
		name, data = "deflated", plain
	}
	if f.Header.OpCode == ws.OpClose && len(data) >= 2 {
		code, reason := ws.ParseCloseFrameData(data)
		data = fmt.Appendf(nil, "%d %s", code, reason)
	}
	return strings.TrimSpace(name + " " + string(data))
}

func inflate(data []byte) ([]byte, error) {
	return io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(data), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff"))))
}

// send sends frames, and does not wait until they are taken.
func (c *peer) send(frames ...string) { go io.WriteString(c.conn, strings.Join(frames, "")) }

// heard returns what has been heard since it was called last, as soon as
// nothing more comes without time going by.
func (c *peer) heard() []string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	lines := c.lines
	c.lines = nil
	return lines
}

// hears wants to hear exactly this. A line that ends with … may go on.
func (c *peer) hears(want ...string) {
	c.t.Helper()
	got := c.heard()
	same := slices.EqualFunc(got, want, func(got, want string) bool {
		begin, open := strings.CutSuffix(want, "…")
		return got == want || open && strings.HasPrefix(got, begin)
	})
	if !same {
		c.t.Errorf("%s: heard\n%s\nwant\n%s", c.what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// frame is a frame as clients send it.
func frame(op ws.OpCode, payload string) string { return cutFrame(op, true, payload) }

func cutFrame(op ws.OpCode, fin bool, payload string) string {
	f := ws.NewFrame(op, fin, []byte(payload))
	return string(ws.MustCompileFrame(ws.MaskFrameInPlaceWith(f, [4]byte{1, 2, 3, 4})))
}

func text(payload string) string { return frame(ws.OpText, payload) }

// closing is a close frame.
func closing(code ws.StatusCode, reason string) string {
	return frame(ws.OpClose, string(ws.NewCloseFrameBody(code, reason)))
}

// deflatedText is a text message as clients deflate it.
func deflatedText(payload string) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 6)
	if err != nil {
		panic(err)
	}
	io.WriteString(w, payload)
	w.Flush()
	f := ws.NewTextFrame(bytes.TrimSuffix(b.Bytes(), []byte("\x00\x00\xff\xff")))
	f.Header.Rsv = ws.Rsv(true, false, false)
	return string(ws.MustCompileFrame(ws.MaskFrameInPlaceWith(f, [4]byte{1, 2, 3, 4})))
}

// afterHead reads the answer to a handshake and returns what follows it.
func afterHead(conn net.Conn) io.Reader {
	in := bufio.NewReader(conn)
	if _, err := http.ReadResponse(in, nil); err != nil {
		panic(err)
	}
	return in
}
