package engine_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/transport/socketio/engine"
	"github.com/shaveet/shaveet/server/transport/socketio/engineio"
	"github.com/shaveet/shaveet/server/wsframe"
)

// A crier says one thing each time it is asked to.
type crier struct {
	session *engine.Session
	raw     []byte
	asked   bool
	sent    chan struct{}
}

func (a *crier) Received(engineio.Packet) {}

func (a *crier) Next(out *engine.Writer) {
	if a.asked {
		a.asked = false
		out.Raw(a.raw)
	}
}

func (a *crier) Sent()                { a.sent <- struct{}{} }
func (a *crier) Ready()               {}
func (a *crier) Due()                 {}
func (a *crier) Closed(engine.Reason) {}

// A stub is a connection of which nothing comes, and into which everything goes.
type stub struct {
	net.Conn
	closed chan struct{}
}

func (s *stub) Read([]byte) (int, error)         { <-s.closed; return 0, io.EOF }
func (s *stub) Write(p []byte) (int, error)      { return len(p), nil }
func (s *stub) SetDeadline(time.Time) error      { return nil }
func (s *stub) SetReadDeadline(time.Time) error  { return nil }
func (s *stub) SetWriteDeadline(time.Time) error { return nil }
func (s *stub) Close() error                     { return nil }
func (s *stub) RemoteAddr() net.Addr             { return nil }

// A taker is a response whose connection can be taken.
type taker struct {
	stub   *stub
	header http.Header
}

func (w taker) Header() http.Header         { return w.header }
func (w taker) Write(p []byte) (int, error) { return len(p), nil }
func (w taker) WriteHeader(int)             {}
func (w taker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.stub, bufio.NewReadWriter(bufio.NewReaderSize(w.stub, 16), bufio.NewWriterSize(w.stub, 16)), nil
}

// A hall is a server without a network.
type hall struct {
	server *engine.Server
	stub   *stub
	lot    *park.Lot
	last   *crier
}

func newHall() *hall {
	h := &hall{lot: park.New(park.Options{}), stub: &stub{closed: make(chan struct{})}}
	raw := wsframe.AppendText(nil, []byte(`42["message",{"channel":"a","id":1,"pos":"x.1","sender":"bob","data":"hello, all of you"}]`))
	h.server = engine.New(engine.Options{Lot: h.lot, MaxSessions: 1 << 20, Open: func(s *engine.Session, _ *http.Request, _ url.Values) engine.App {
		h.last = &crier{session: s, raw: raw, sent: make(chan struct{}, 1)}
		return h.last
	}})
	return h
}

func (h *hall) enter() {
	r, _ := http.NewRequest("GET", "/?EIO=4&transport=websocket", nil)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-WebSocket-Version", "13")
	r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	h.server.ServeHTTP(taker{h.stub, make(http.Header)}, r)
}

func (h *hall) empty() {
	close(h.stub.closed)
	for h.lot.Held() > 0 {
		runtime.Gosched()
	}
}

// BenchmarkIdle measures what a WebSocket that has nothing to say takes, without
// the connection itself.
func BenchmarkIdle(b *testing.B) {
	h := newHall()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for b.Loop() {
		h.enter()
	}
	time.Sleep(100 * time.Millisecond) // the first packets are on their way
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(b.N), "heap-B/session")
	b.ReportMetric(float64(after.StackInuse-before.StackInuse)/float64(b.N), "stack-B/session")
	h.empty()
}

// BenchmarkWake measures how long it takes from a Wake until the connection has
// what was made before.
func BenchmarkWake(b *testing.B) {
	h := newHall()
	h.enter()
	a := h.last
	b.ReportAllocs()
	for b.Loop() {
		a.asked = true
		a.session.Wake()
		<-a.sent
	}
	h.empty()
}
