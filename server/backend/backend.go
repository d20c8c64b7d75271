// Package backend is the backend's own WebSocket: JSON-RPC 2.0 in text messages,
// in both directions.
//
// What the backend calls is answered by [Options.Handle], in the order in which
// it came, and no answer is waited for before the next call is made. Methods
// that may take their time, [Options.Waits], begin in their turn and are
// answered when they are through.
//
// A connection by which the backend calls "serve" gets calls, too:
// [Server.Call] is answered by what the backend replies.
//
// A connection is read only while there is room for what it is to be told: who
// does not read what it is answered is not heard either. At the end, what has
// been read is done and answered; what is not answered before the close frame
// was not done.
package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shaveet/shaveet/server/wsframe"
)

// Options are what a [Server] can be told. Zero fields mean the defaults.
type Options struct {
	// Handle appends to b the answer to one body, a request or a batch, or
	// nothing if nothing is to be answered; it must be set. ctx ends when the
	// server does not wait any longer, see [Server.Close]. The body is only lent.
	Handle func(ctx context.Context, b, body []byte) []byte
	// Waits are the methods that may take their time. A batch with one of them
	// does as a whole.
	Waits []string

	MaxConns   int   // connections at once; default 1000
	MaxWaiting int   // requests of Waits at once on a connection; default 100
	MaxBody    int64 // bytes of a message; default 2 MiB
	MaxUnread  int   // bytes of answers that a peer may leave unread before it is not read either; default 1 MiB

	MaxAnswer func() int // bytes of the message by which the backend answers a call; default 1 MiB

	// Valid says whether who has made the request may still be connected. It is
	// asked once more when LetGo would end the connection. nil: always.
	Valid func(r *http.Request) bool

	WriteTimeout time.Duration        // how long a peer may take for one piece; default 10 s
	Heartbeat    func() time.Duration // how long a peer may be silent before it is pinged, and then until it is given up; default 20 s

	// Logger hears of who begins and ends to serve. nil: slog.Default().
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	for _, n := range []struct {
		of    *int
		value int
	}{{&o.MaxConns, 1000}, {&o.MaxWaiting, 100}, {&o.MaxUnread, 1 << 20}} {
		if *n.of <= 0 {
			*n.of = n.value
		}
	}
	if o.MaxBody <= 0 {
		o.MaxBody = 2 << 20
	}
	if o.MaxAnswer == nil {
		o.MaxAnswer = func() int { return 1 << 20 }
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = 10 * time.Second
	}
	if o.Heartbeat == nil {
		o.Heartbeat = func() time.Duration { return 20 * time.Second }
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// A Server has the connections of the backend. Its methods may be called by
// several goroutines at once.
type Server struct {
	opts   Options
	waits  map[string]bool
	counts counts
	cut    context.Context // ends when nothing is waited for any longer
	cutOff context.CancelFunc

	mu      sync.Mutex // guards all below
	conns   map[*conn]struct{}
	coming  int           // connections that are not among conns yet
	last    uint64        // number of a connection
	serving []*conn       // those that get calls
	homes   homes         // where sockets' calls go
	closed  bool          // no more connections are taken
	empty   chan struct{} // closed when the last one leaves; nil: nobody waits for that
}

// New returns a server without connections.
func New(opts Options) *Server {
	s := &Server{opts: opts.withDefaults(), waits: make(map[string]bool), conns: make(map[*conn]struct{})}
	for _, name := range s.opts.Waits {
		s.waits[name] = true
	}
	s.cut, s.cutOff = context.WithCancel(context.Background())
	return s
}

// Or returns a handler that leads those who want a WebSocket to s and all others
// to next.
func (s *Server) Or(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && wantsWebSocket(r.Header["Upgrade"]) {
			s.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func wantsWebSocket(upgrade []string) bool {
	return slices.ContainsFunc(upgrade, func(line string) bool {
		return slices.ContainsFunc(strings.Split(line, ","), func(name string) bool {
			return strings.EqualFold(strings.TrimSpace(name), "websocket")
		})
	})
}

// protocols are the subprotocols that clients may offer, and all mean the same.
// None need be.
var protocols = []string{"jsonrpc-2.0", "jsonrpc2.0", "jsonrpc"}

// ServeHTTP serves one connection until its end. Who may connect is decided
// before.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	shake, err := wsframe.ReadHandshake(r)
	if bad, ok := errors.AsType[*wsframe.Refusal](err); ok {
		bad.Header(w.Header())
		refuse(w, r, bad.Status, bad.Text)
		return
	}
	if !s.admit() {
		s.counts.refused.Add(1)
		refuse(w, r, http.StatusServiceUnavailable, "there are too many connections, or the server is about to end")
		return
	}
	head := w.Header().Clone()
	selected := slices.IndexFunc(shake.Protocols, func(p string) bool { return slices.Contains(protocols, p) })
	if selected < 0 {
		shake.Accept(head, "", false)
	} else {
		shake.Accept(head, shake.Protocols[selected], false)
	}
	rw, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		s.leave(nil)
		refuse(w, r, http.StatusBadRequest, "this connection cannot become a WebSocket")
		return
	}
	early := make([]byte, buffered.Reader.Buffered())
	io.ReadFull(buffered.Reader, early) // they are there
	c := newConn(s, rw, context.WithoutCancel(r.Context()))
	ended, began := witness(w), time.Now()
	defer func() {
		s.leave(c)
		ended(http.StatusSwitchingProtocols, c.out.sent(), time.Since(began), rw.RemoteAddr())
	}()
	c.out.append(func(b []byte) []byte { return appendHead(b, head) })
	c.out.flush()
	s.enter(c)
	if s.opts.Valid != nil && !s.opts.Valid(r) {
		c.drain() // it came just before its token was void
	}
	c.serve(early)
}

// admit counts a connection that comes, if there is room for it.
func (s *Server) admit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns)+s.coming >= s.opts.MaxConns {
		return false
	}
	s.coming++
	return true
}

// enter makes c one of the connections. It was admitted.
func (s *Server) enter(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.coming--
	s.last++
	c.number = s.last
	s.conns[c] = struct{}{}
	if s.closed {
		c.drain()
	}
	if s.cut.Err() != nil {
		c.rw.Close()
	}
}

// leave is for c, which is nil if it was admitted and nothing came of it.
func (s *Server) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c == nil {
		s.coming--
	}
	delete(s.conns, c)
	if len(s.conns)+s.coming == 0 && s.empty != nil {
		close(s.empty)
		s.empty = nil
	}
}

// LetGo has all connections end: each when its requests that have been read are
// answered, and so are the calls that were made by it. Their peers may come
// again.
func (s *Server) LetGo() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serving, s.homes = nil, homes{}
	for c := range s.conns {
		c.drain()
	}
}

// Close lets go of all connections for good, and returns when there are none.
// When ctx ends, those that are left are cut off, and the error says so.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	if s.empty == nil {
		s.empty = make(chan struct{})
	}
	empty := s.empty
	if len(s.conns)+s.coming == 0 {
		close(s.empty)
		s.empty = nil
	}
	s.mu.Unlock()
	s.LetGo()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-empty: // there are none, however late it is
		return nil
	default:
	}
	s.cutAll()
	select {
	case <-empty:
	case <-time.After(cutTime):
	}
	return errCut
}

// cutTime is how long those who are cut off may take to notice.
const cutTime = time.Second

var errCut = errors.New("connections of the backend were cut off")

func (s *Server) cutAll() {
	s.cutOff()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.rw.Close()
	}
}

// refuse answers a request of which no WebSocket comes.
func refuse(w http.ResponseWriter, r *http.Request, status int, sentence string) {
	h := w.Header()
	if r.ContentLength != 0 && r.ProtoMajor == 1 {
		h.Set("Connection", "close") // what is left of a body is not worth reading
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-cache, no-store")
	w.WriteHeader(status)
	io.WriteString(w, sentence+"\n")
}

// appendHead appends the head of the answer that agrees to a WebSocket.
func appendHead(b []byte, head http.Header) []byte {
	b = append(b, "HTTP/1.1 101 Switching Protocols\r\n"...)
	var lines strings.Builder
	head.Write(&lines)
	b = append(b, lines.String()...)
	return append(b, "\r\n"...)
}

// witness finds who wants to know how the request of w ends, which outlives what
// net/http knows of it.
func witness(w http.ResponseWriter) (ended func(status int, bytes int64, took time.Duration, peer fmt.Stringer)) {
	for {
		if v, ok := w.(interface {
			Outlive() func(status int, bytes int64, took time.Duration, peer fmt.Stringer)
		}); ok {
			return v.Outlive()
		}
		inner, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return func(int, int64, time.Duration, fmt.Stringer) {}
		}
		w = inner.Unwrap()
	}
}

// counts are of all connections there ever were.
type counts struct {
	refused, requests, calls, replies, ignored, slow, dead atomic.Uint64
}

// Stats are a server's numbers.
type Stats struct {
	Conns, Serving int    // connections now, and those of them that get calls
	Refused        uint64 // connections for which there was no room
	Requests       uint64 // messages that were handled, batches as one
	Calls          uint64 // that were made of the backend
	Replies        uint64 // to them
	Ignored        uint64 // replies to nothing that waits for one
	TooSlow        uint64 // connections that were given up because they were not read
	Dead           uint64 // and because there was no answer to a ping
}

// Stats tells how things are.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := &s.counts
	return Stats{
		Conns: len(s.conns), Serving: len(s.serving), Refused: n.refused.Load(), Requests: n.requests.Load(),
		Calls: n.calls.Load(), Replies: n.replies.Load(), Ignored: n.ignored.Load(), TooSlow: n.slow.Load(), Dead: n.dead.Load(),
	}
}
