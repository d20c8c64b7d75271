package socketio_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/transport/socketio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world is a server on a hub of its own.
type world struct {
	t      testing.TB
	hub    *hub.Hub
	server *socketio.Server
	addr   string
}

// patience is how long anything may take that has to happen.
const patience = 20 * time.Second

func newWorld(t testing.TB, o socketio.Options, l hub.Limits) *world {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var keys atomic.Int64
	h := hub.New(hub.Config{NewKey: func() string { return fmt.Sprintf("%032d", keys.Add(1)) }, Limits: l}, memory.New())
	lot := park.New(park.Options{Drain: ctx})
	o.Lot, o.Drain = lot, ctx
	w := &world{t: t, hub: h, server: socketio.New(h, o)}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addr = ln.Addr().String()
	srv := &http.Server{Handler: w.server}
	parts := make(chan error, 3)
	go func() { parts <- h.Run(ctx) }()
	go func() { parts <- w.server.Run(ctx) }()
	go func() { lot.Serve(srv, ln); parts <- nil }()
	<-h.Ready()
	t.Cleanup(func() {
		cancel()
		srv.Close()
		end, stop := context.WithTimeout(context.Background(), patience)
		defer stop()
		if err := lot.Wait(end); err != nil {
			t.Error(err)
		}
		for range cap(parts) {
			<-parts
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return w
}

// client makes a client of the hub on channels.
func (w *world) client(id string, channels ...string) hub.Credentials {
	w.t.Helper()
	key, _, err := w.hub.CreateClient(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, ch := range channels {
		w.subscribe(id, ch)
	}
	return hub.Credentials{ID: id, Key: key}
}

func (w *world) subscribe(id, channel string) {
	w.t.Helper()
	if _, err := w.hub.Subscribe(w.t.Context(), []hub.Pair{{Client: id, Channel: channel}}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) publish(channel, text string) hub.Published {
	w.t.Helper()
	data, _ := json.Marshal(text)
	p, err := w.hub.Publish(w.t.Context(), hub.Publication{Channel: channel, Data: data, Sender: json.RawMessage("null")})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) emit(e hub.Emission) hub.Published {
	w.t.Helper()
	if e.Args == nil {
		e.Args = json.RawMessage("[]")
	}
	e.Sender = json.RawMessage("null")
	p, err := w.hub.Emit(w.t.Context(), e)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// until waits for something that has to become true.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("it never came that %s", what)
		}
	}
}

// A peer is a client by WebSocket.
type peer struct {
	t    testing.TB
	conn *websocket.Conn
}

// dial connects by WebSocket. query is added to that of Engine.IO.
func (w *world) dial(query string) *peer {
	w.t.Helper()
	if !strings.Contains(query, "EIO") {
		query = "EIO=4&" + query
	}
	conn, _, err := websocket.Dial(w.t.Context(), "ws://"+w.addr+"/socket.io/?transport=websocket&"+query, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	conn.SetReadLimit(8 << 20)
	p := &peer{w.t, conn}
	w.t.Cleanup(func() { conn.CloseNow() })
	if open := p.read(); !strings.HasPrefix(open, "0{") {
		w.t.Fatalf("it began with %q", open)
	}
	return p
}

func (p *peer) send(packets ...string) {
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

// read returns the next message; "closed" if there is none. Pings are answered.
func (p *peer) read() string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	for {
		kind, data, err := p.conn.Read(ctx)
		switch {
		case ctx.Err() != nil:
			p.t.Fatal("nothing came")
		case err != nil:
			return "closed"
		case kind == websocket.MessageBinary:
			return "binary:" + string(data)
		case string(data) == "2":
			p.send("3")
		default:
			return string(data)
		}
	}
}

// expect reads messages, of which those with a * at the end are beginnings.
func (p *peer) expect(want ...string) (last string) {
	p.t.Helper()
	for _, one := range want {
		last = p.read()
		begin, open := strings.CutSuffix(one, "*")
		if last != one && !(open && strings.HasPrefix(last, begin)) {
			p.t.Fatalf("got %q, want %q", last, one)
		}
	}
	return last
}

// expectBoth reads two packets that nothing puts in order: an answer and what
// its event has set off.
func (p *peer) expectBoth(one, other string) {
	p.t.Helper()
	first := p.read()
	if begin, _ := strings.CutSuffix(other, "*"); strings.HasPrefix(first, begin) {
		one, other = other, one
	}
	if begin, open := strings.CutSuffix(one, "*"); first != one && !(open && strings.HasPrefix(first, begin)) {
		p.t.Fatalf("got %q, want %q or %q", first, one, other)
	}
	p.expect(other)
}

// A greeting is what CONNECT is answered with.
type greeting struct{ SID, PID string }

// join sends a CONNECT and returns the answer.
func (p *peer) join(namespace, auth string) (g greeting) {
	p.t.Helper()
	name := ""
	if namespace != "/" {
		name = namespace + ","
	}
	p.send("40" + name + auth)
	text := p.expect("40" + name + "{*")
	if err := json.Unmarshal([]byte(strings.TrimPrefix(text, "40"+name)), &g); err != nil || len(g.SID) != 20 {
		p.t.Fatalf("%s: %v", text, err)
	}
	return g
}

// authOf is what a client shows.
func authOf(cr hub.Credentials, more ...string) string {
	b, _ := json.Marshal(map[string]string{"client_id": cr.ID, "key": cr.Key})
	return string(b[:len(b)-1]) + strings.Join(append([]string{""}, more...), ",") + "}"
}

// back is what a client shows that comes back.
func back(g greeting, offset string) string {
	b, _ := json.Marshal(map[string]string{"pid": g.PID, "offset": offset})
	return strings.Trim(string(b), "{}")
}

// offset returns the last argument of an event.
func offset(t testing.TB, event string) string {
	t.Helper()
	var args []json.RawMessage
	var text string
	if err := json.Unmarshal([]byte(event[strings.IndexByte(event, '['):]), &args); err != nil || json.Unmarshal(args[len(args)-1], &text) != nil {
		t.Fatalf("%s has no offset", event)
	}
	return text
}

// A poller is a client by polling.
type poller struct {
	t   testing.TB
	url string
}

func (w *world) poller(query string) *poller {
	w.t.Helper()
	p := &poller{w.t, "http://" + w.addr + "/socket.io/?EIO=4&transport=polling&" + query}
	open := p.get()
	var said struct{ SID string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(open, "0")), &said); err != nil {
		w.t.Fatalf("it began with %q", open)
	}
	p.url += "&sid=" + said.SID
	return p
}

func (p *poller) get() string {
	p.t.Helper()
	r, err := http.Get(p.url)
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(body)
}

func (p *poller) post(body string) {
	p.t.Helper()
	r, err := http.Post(p.url, "text/plain;charset=UTF-8", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Body.Close()
	if answer, _ := io.ReadAll(r.Body); string(answer) != "ok" {
		p.t.Fatalf("%d %s", r.StatusCode, answer)
	}
}
