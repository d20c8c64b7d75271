package engine_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/transport/socketio/engine"
	"github.com/shaveet/shaveet/server/transport/socketio/engineio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An app notes what happens to it, and says what it is told to. An echo says what
// it hears.
type app struct {
	t       testing.TB
	session *engine.Session
	echo    bool
	on      func(event string) // also told of each event; nil: nobody

	mu      sync.Mutex // guards all below
	queue   []engineio.Packet
	raw     map[engine.Form][]byte // said instead of the queue, once
	sending bool                   // Next has put something that was not Sent
	ended   bool
	events  []string
}

func (a *app) note(event string, args ...any) {
	event = fmt.Sprintf(event, args...)
	if a.ended {
		a.t.Errorf("%s after the end", event)
	}
	a.events = append(a.events, event)
	if a.on != nil {
		a.on(event)
	}
}

func (a *app) Received(m engineio.Packet) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.echo {
		m.Data = append([]byte(nil), m.Data...)
		a.queue = append(a.queue, m)
		a.session.Wake()
	}
	a.note("received %s", describe(m))
}

func (a *app) Next(out *engine.Writer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended || a.sending {
		a.t.Error("Next at a wrong time")
	}
	if raw := a.raw[out.Form()]; raw != nil {
		out.Raw(raw)
		a.raw = nil
	}
	for _, m := range a.queue {
		if m.Binary {
			out.Binary(m.Data)
		} else {
			out.Text(m.Data)
		}
		clear(m.Data) // the writer keeps nothing
	}
	a.queue = nil
	if a.sending = out.Len() > 0; a.sending {
		a.note("next")
	}
}

func (a *app) Sent() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.sending {
		a.t.Error("Sent at a wrong time")
	}
	a.sending = false
	a.note("sent")
}

func (a *app) Ready() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.sending {
		a.t.Error("Ready at a wrong time")
	}
	a.note("ready")
}

func (a *app) Due() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.note("due")
}

func (a *app) Closed(why engine.Reason) {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer func() { a.ended = true }()
	a.note("closed: %v", why)
}

// say has the app say these, as soon as it can.
func (a *app) say(texts ...string) {
	a.mu.Lock()
	for _, text := range texts {
		a.queue = append(a.queue, engineio.Packet{Type: engineio.Message, Data: []byte(text)})
	}
	a.mu.Unlock()
	a.session.Wake()
}

func (a *app) sayBinary(data string) {
	a.mu.Lock()
	a.queue = append(a.queue, engineio.Packet{Type: engineio.Message, Binary: true, Data: []byte(data)})
	a.mu.Unlock()
	a.session.Wake()
}

// saw wants exactly these events since it was called last.
func (a *app) saw(want ...string) {
	a.t.Helper()
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	if !slices.Equal(a.events, want) {
		a.t.Errorf("the app saw %q, want %q", a.events, want)
	}
	a.events = nil
}

func describe(m engineio.Packet) string {
	if m.Binary {
		return fmt.Sprintf("% x", m.Data)
	}
	return string(m.Data)
}

// A place is a server in a bubble.
type place struct {
	t      testing.TB
	opts   engine.Options
	server *engine.Server
	lot    *park.Lot
	drain  context.CancelFunc
	pipes  *pipes
	client *http.Client
	opened []*app
	shape  func(*app) // of each app; nil: an echo
	kept   bool       // the server keeps its connections
	remote string     // where requests come from; "": from here
	mu     sync.Mutex // guards opened
}

func newPlace(t testing.TB, o engine.Options) *place {
	p := &place{t: t, pipes: newPipes()}
	var drained context.Context
	drained, p.drain = context.WithCancel(t.Context())
	p.lot = park.New(park.Options{Drain: drained, Panicked: func(any, []byte) {}})
	o.Lot, o.Drain, o.Open = p.lot, drained, p.open
	p.opts = o
	p.server = engine.New(o)
	srv := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.remote != "" {
			r.RemoteAddr = p.remote
		}
		if p.kept {
			w = keeper{w}
		}
		p.server.ServeHTTP(w, r)
	})}
	served := make(chan struct{})
	go func() { defer close(served); p.lot.Serve(srv, p.pipes) }()
	transport := &http.Transport{MaxIdleConnsPerHost: 10, DialContext: func(context.Context, string, string) (net.Conn, error) { return p.pipes.dial(), nil }}
	p.client = &http.Client{Transport: transport}
	t.Cleanup(func() {
		synctest.Wait() // for handlers that are about to end
		p.server.Close()
		p.drain()
		transport.CloseIdleConnections()
		srv.Close()
		p.pipes.hangUp()
		p.lot.Wait(context.Background())
		<-served
		if s := p.server.Stats(); s.Polling != 0 || s.WebSocket != 0 {
			t.Errorf("at the end there are sessions: %+v", s)
		}
		if n := p.server.Sleepers(); n != 0 {
			t.Errorf("at the end %d sessions are to be rung for", n)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, a := range p.opened {
			a.mu.Lock()
			if !a.ended {
				t.Errorf("an app was not told of the end, after %q", a.events)
			}
			a.mu.Unlock()
		}
	})
	return p
}

// A keeper hides from a handler that its connection could be taken.
type keeper struct{ w http.ResponseWriter }

func (k keeper) Header() http.Header         { return k.w.Header() }
func (k keeper) WriteHeader(status int)      { k.w.WriteHeader(status) }
func (k keeper) Write(p []byte) (int, error) { return k.w.Write(p) }
func (k keeper) FlushError() error           { return http.NewResponseController(k.w).Flush() }

func (p *place) open(s *engine.Session, _ *http.Request, _ url.Values) engine.App {
	a := &app{t: p.t, session: s, echo: true}
	if p.shape != nil {
		p.shape(a)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opened = append(p.opened, a)
	return a
}

// last is the app that was opened last.
func (p *place) last() *app {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opened[len(p.opened)-1]
}

// do sends a request and returns the status and the body.
func (p *place) do(method, query, body string, headers ...string) string {
	return p.doContext(p.t.Context(), method, query, body, headers...)
}

func (p *place) doContext(ctx context.Context, method, query, body string, headers ...string) string {
	p.t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://x/?"+query, in)
	if err != nil {
		p.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := p.client.Do(r)
	if err != nil {
		return "error"
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		return "error"
	}
	return fmt.Sprintf("%d %s", answer.StatusCode, got)
}

// begin begins a polling session and returns what its requests begin with.
func (p *place) begin(extra string) (query string) {
	p.t.Helper()
	answer := p.do("GET", "EIO=4&transport=polling"+extra, "")
	_, rest, ok := strings.Cut(answer, `0{"sid":"`)
	if !ok || len(rest) < 20 {
		p.t.Fatalf("the handshake is answered %s", answer)
	}
	return "EIO=4&transport=polling&sid=" + rest[:20]
}

// get polls, and post says something.
func (p *place) get(query string) string        { p.t.Helper(); return p.do("GET", query, "") }
func (p *place) post(query, body string) string { p.t.Helper(); return p.do("POST", query, body) }

// held is a poll on its way.
func (p *place) held(query string) <-chan string {
	answer := make(chan string, 1)
	go func() { answer <- p.get(query) }()
	synctest.Wait()
	return answer
}

// answered wants the poll to be answered so, without any time going by.
func (p *place) answered(poll <-chan string, want string) {
	p.t.Helper()
	synctest.Wait()
	select {
	case got := <-poll:
		p.is(got, want)
	default:
		p.t.Errorf("a poll is not answered, want %q", want)
	}
}

func (p *place) is(got, want string) {
	p.t.Helper()
	if got != want {
		p.t.Errorf("got %q, want %q", got, want)
	}
}

// unknown is how requests for sessions are answered that are not there.
const unknown = `400 {"code":1,"message":"Session ID unknown"}`

// bad is how requests are answered that make no sense.
const bad = `400 {"code":3,"message":"Bad request"}`

// full is how a handshake is answered when there is no room.
const full = `503 {"code":4,"message":"Too many sessions"}`

// short are the times of the protocols' own test suites.
var short = engine.Options{PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond}
