package namespace_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/shaveet/shaveet/namespace"
	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/transport/socketio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long anything may take that has to happen.
const patience = 20 * time.Second

// silent is for namespaces whose functions fail on purpose.
var silent = slog.New(slog.DiscardHandler)

// A world is a server with namespaces.
type world struct {
	t    testing.TB
	hub  *hub.Hub
	addr string
}

func newWorld(t testing.TB, recovery time.Duration, all ...*namespace.Namespace) *world {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	drain, let := context.WithCancel(context.Background())
	var keys atomic.Int64
	h := hub.New(hub.Config{NewKey: func() string { return fmt.Sprintf("%032d", keys.Add(1)) }, Limits: hub.DefaultLimits()}, memory.New())
	lot := park.New(park.Options{Drain: drain})
	o := socketio.Options{RecoveryTime: recovery}
	o.Lot, o.Drain, o.Logger = lot, drain, silent
	for _, n := range all {
		o.Namespaces = append(o.Namespaces, n.SocketIO())
	}
	sv := socketio.New(h, o)
	for _, n := range all {
		n.Attach(sv)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: sv}
	parts := make(chan error, 3)
	go func() { parts <- h.Run(ctx) }()
	go func() { parts <- sv.Run(ctx) }()
	go func() { lot.Serve(srv, ln); parts <- nil }()
	<-h.Ready()
	t.Cleanup(func() {
		let()
		srv.Close()
		end, stop := context.WithTimeout(context.Background(), patience)
		defer stop()
		if err := errors.Join(lot.Wait(end), sv.Drain(end)); err != nil {
			t.Error(err)
		}
		cancel()
		for range cap(parts) {
			<-parts
		}
	})
	return &world{t: t, hub: h, addr: ln.Addr().String()}
}

// until waits for something that has to become true.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came that %s", what)
		}
	}
}

// A page is a client by WebSocket, in one namespace.
type page struct {
	t    testing.TB
	conn *websocket.Conn
	name string // of the namespace, and a comma
	sid  string
	pid  string
}

// dial connects, but joins nothing yet.
func (w *world) dial(name string) *page {
	w.t.Helper()
	header := http.Header{"User-Agent": {"a test"}}
	conn, _, err := websocket.Dial(w.t.Context(), "ws://"+w.addr+"/socket.io/?EIO=4&transport=websocket", &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.CloseNow() })
	p := &page{t: w.t, conn: conn, name: name + ","}
	if open := p.read(); !strings.HasPrefix(open, "0{") {
		w.t.Fatalf("it began with %q", open)
	}
	return p
}

// open connects and joins a namespace. auth is JSON, or nothing.
func (w *world) open(name, auth string) *page {
	w.t.Helper()
	p := w.dial(name)
	p.connect(auth)
	return p
}

func (p *page) connect(auth string) {
	p.t.Helper()
	p.send("40" + p.name + auth)
	text := p.read()
	var g struct{ SID, PID string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(text, "40"+p.name)), &g); err != nil {
		p.t.Fatalf("it was not let in: %s", text)
	}
	p.sid, p.pid = g.SID, g.PID
}

func (p *page) send(packets ...string) {
	p.t.Helper()
	for _, one := range packets {
		kind := websocket.MessageText
		if data, ok := strings.CutPrefix(one, "binary:"); ok {
			kind, one = websocket.MessageBinary, data
		}
		if err := p.conn.Write(p.t.Context(), kind, []byte(one)); err != nil {
			p.t.Fatal(err)
		}
	}
}

// read returns the next message; "closed" if there is none.
func (p *page) read() string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	kind, data, err := p.conn.Read(ctx)
	switch {
	case ctx.Err() != nil:
		p.t.Fatal("nothing came")
	case err != nil:
		return "closed"
	case kind == websocket.MessageBinary:
		return "binary:" + string(data)
	}
	return string(data)
}

// hears reads messages, which are what is wanted.
func (p *page) hears(want ...string) {
	p.t.Helper()
	for _, one := range want {
		if got := p.read(); got != one {
			p.t.Fatalf("got %q, want %q", got, one)
		}
	}
}

// hearsEvent reads an event: ["name",…].
func (p *page) hearsEvent(want string) {
	p.t.Helper()
	p.hears("42" + p.name + want)
}

// ask says an event and returns the answer, with what is binary behind it. All
// before that must be none.
func (p *page) ask(event string, attached ...string) string {
	p.t.Helper()
	const id = "7"
	head := "42" + p.name
	if len(attached) > 0 {
		head = fmt.Sprintf("45%d-%s", len(attached), p.name)
	}
	p.send(append([]string{head + id + event}, attached...)...)
	got := p.read()
	rest, plain := strings.CutPrefix(got, "43"+p.name+id)
	if plain {
		return rest
	}
	count, rest, _ := strings.Cut(strings.TrimPrefix(got, "46"), "-")
	rest, ok := strings.CutPrefix(rest, p.name+id)
	if !ok || len(count) != 1 {
		p.t.Fatalf("%s was answered with %q", event, got)
	}
	for range count[0] - '0' {
		rest += " " + p.read()
	}
	return rest
}

// lines is a writer that hands over what a logger writes.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	l <- string(b)
	return len(b), nil
}

func (l lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
