package zeromq

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/zmtp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test outside a bubble waits for what should come at
// once.
const patience = 30 * time.Second

func newHub(t testing.TB, l hub.Limits) *hub.Hub {
	t.Helper()
	h := hub.New(hub.Config{NewKey: func() string { return "key" }, Limits: l}, memory.New())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); h.Run(ctx) }()
	<-h.Ready()
	t.Cleanup(func() { cancel(); <-done })
	return h
}

// A world is a hub with sockets, whose listeners are in memory.
type world struct {
	t    testing.TB
	hub  *hub.Hub
	s    *Sockets
	log  *logBuffer
	stop func() // ends the sockets, and returns when they are gone

	asked []string // what the admin API was asked: tokens and requests
}

// socketOf returns a configuration of this type as a file would have it.
func socketOf(kind string, change ...func(*Config)) Config {
	c := DefaultConfig()
	c.Type, c.Bind = kind, "ipc:///in/memory/"+kind
	switch kind {
	case "sub", "pull":
		c.Channel = "room"
	case "pub":
		c.Channels = []string{"*"}
	}
	for _, f := range change {
		f(&c)
	}
	return c
}

// newWorld runs sockets. It is for bubbles.
func newWorld(t testing.TB, limits hub.Limits, configs ...Config) *world {
	t.Helper()
	if err := Check(configs); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, hub: newHub(t, limits), log: new(logBuffer)}
	w.s = New(w.hub, configs, Options{
		Encode: func(b []byte, m *hub.Message) []byte { return append(b, m.Data...) },
		Ask:    w.ask,
		MaxAsk: 1000,
		Logger: newLogger(w.log),
	})
	for _, k := range w.s.all {
		if k.Bind != "" {
			k.listener = newPipes()
		}
	}
	w.run()
	return w
}

func (w *world) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.s.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Run: %v", err)
		}
	})
	w.t.Cleanup(w.stop)
	synctest.Wait() // a pub socket listens to its channels now
}

// ask is an admin API that answers a request by itself, and none that begins
// with a !.
func (w *world) ask(_ context.Context, token string, request []byte) []byte {
	w.asked = append(w.asked, token+"|"+string(request))
	if bytes.HasPrefix(request, []byte("!")) {
		return nil
	}
	return append([]byte("answer to "), request...)
}

func (w *world) stats() Stats { return w.s.Stats()[0] }

// counts wants these drops, and no others.
func (w *world) dropped(want map[reason]uint64) {
	w.t.Helper()
	for r, n := range w.stats().Dropped {
		if n != want[reason(r)] {
			w.t.Errorf("dropped by %s: %d, want %d", r, n, want[reason(r)])
		}
	}
}

// dial connects to the first socket.
func (w *world) dial() net.Conn {
	w.t.Helper()
	c := w.s.all[0].listener.(*pipes).dial()
	w.t.Cleanup(func() { c.Close() })
	return c
}

// A peer is the other side of a connection.
type peer struct {
	*zmtp.Conn
	t testing.TB
}

// peer connects to the first socket and shakes hands.
func (w *world) peer(kind zmtp.SocketType) *peer {
	w.t.Helper()
	c, err := zmtp.NewConn(w.dial(), zmtp.Options{Type: kind, MaxFrames: 100})
	if err != nil {
		w.t.Fatal(err)
	}
	return &peer{c, w.t}
}

func (p *peer) send(frames ...string) {
	p.t.Helper()
	var all [][]byte
	for _, f := range frames {
		all = append(all, []byte(f))
	}
	if err := p.Send(all...); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) subscribe(prefix string) {
	p.t.Helper()
	if err := p.Subscribe([]byte(prefix)); err != nil {
		p.t.Fatal(err)
	}
	synctest.Wait()
}

// receive wants the next message to be this.
func (p *peer) receive(want ...string) {
	p.t.Helper()
	frames, err := p.Receive()
	if err != nil {
		p.t.Fatalf("%v, where %q should come", err, want)
	}
	if got := texts(frames); !slices.Equal(got, want) {
		p.t.Fatalf("received %.200q, want %.200q", got, want)
	}
}

// gone wants the connection to be closed by the other side.
func (p *peer) gone() {
	p.t.Helper()
	if frames, err := p.Receive(); err == nil || errors.Is(err, net.ErrClosed) {
		p.t.Fatalf("received %q, %v; want the other side to have hung up", frames, err)
	}
}

func texts(frames [][]byte) (all []string) {
	for _, f := range frames {
		all = append(all, string(f))
	}
	return all
}

// publish publishes a text.
func (w *world) publish(channel, text string) {
	w.t.Helper()
	data, _ := json.Marshal(text)
	if _, err := w.hub.Publish(context.Background(), hub.Publication{Channel: channel, Sender: json.RawMessage(`"s"`), Data: data}); err != nil {
		w.t.Fatal(err)
	}
}

// said collects what is said on all channels from now on: in a bubble, to be
// called when everything has settled.
func (w *world) said() func() []string {
	tap := w.hub.Tap([]string{"*"}, func() {})
	w.t.Cleanup(tap.Close)
	return func() (all []string) {
		for {
			messages, lost := tap.Collect()
			if lost > 0 {
				w.t.Errorf("something of %d channels is lost", lost)
			}
			if len(messages) == 0 {
				return all
			}
			for _, m := range messages {
				all = append(all, fmt.Sprintf("%s %s %s", m.Channel(), m.Sender, m.Data))
			}
		}
	}
}

// pipes is a listener in memory.
type pipes struct {
	coming chan net.Conn
	closed chan struct{}
	close  func()
}

func newPipes() *pipes {
	p := &pipes{coming: make(chan net.Conn), closed: make(chan struct{})}
	p.close = sync.OnceFunc(func() { close(p.closed) })
	return p
}

func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	select {
	case p.coming <- theirs:
	case <-p.closed:
		theirs.Close()
	}
	return newEager(ours)
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.coming:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.close(); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "in memory", Net: "unix"} }

// An eager connection takes all that is written at once, as a kernel does, and
// hands it on when the other side reads.
type eager struct {
	net.Conn
	news chan struct{}
	once sync.Once
	end  chan struct{}

	mu    sync.Mutex // guards what follows
	queue []byte
}

func newEager(c net.Conn) *eager {
	e := &eager{Conn: c, news: make(chan struct{}, 1), end: make(chan struct{})}
	go e.hand()
	return e
}

func (e *eager) Write(p []byte) (int, error) {
	e.mu.Lock()
	e.queue = append(e.queue, p...)
	e.mu.Unlock()
	select {
	case e.news <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (e *eager) hand() {
	for {
		select {
		case <-e.end:
			return
		case <-e.news:
		}
		e.mu.Lock()
		p := e.queue
		e.queue = nil
		e.mu.Unlock()
		if _, err := e.Conn.Write(p); err != nil {
			return
		}
	}
}

func (e *eager) Close() error {
	e.once.Do(func() { close(e.end) })
	return e.Conn.Close()
}

// deadlines of eager writes are of no use.
func (e *eager) SetDeadline(t time.Time) error    { return e.Conn.SetReadDeadline(t) }
func (e *eager) SetWriteDeadline(time.Time) error { return nil }

// discard reads what comes until the connection ends, and says how that was.
func discard(c net.Conn) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, c)
		ended <- err
	}()
	return ended
}

type logBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func newLogger(l *logBuffer) *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
