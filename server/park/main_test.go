package park_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/shaveet/shaveet/server/park"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A speaker is a tenant that says what it is told to.
type speaker struct {
	park.Conn

	mu     sync.Mutex // guards all below
	text   string     // to be said
	end    bool
	due    string // said when due
	drain  string // said at a drain, as the last thing
	sent   int    // times that something has been sent
	asked  int    // times that Next has been called
	heard  string
	events []park.Event
	closed chan error
	by     *speaker // by whose connection it speaks, if not by its own

	// Of one whose peer comes again in the same way: who speaks for that. nil:
	// nobody, so the handler is asked.
	next func() *speaker
	now  *speaker // who speaks now; nil: it does
}

func newSpeaker() *speaker { return &speaker{closed: make(chan error, 1)} }

func (s *speaker) say(text string) {
	s.mu.Lock()
	s.text += text
	s.mu.Unlock()
	s.wake()
}

func (s *speaker) wake() {
	s.mu.Lock()
	by := s.by
	s.mu.Unlock()
	if by == nil {
		by = s
	}
	by.Wake()
}

func (s *speaker) bye() {
	s.mu.Lock()
	s.end = true
	s.mu.Unlock()
	s.wake()
}

// Moving is part of [park.Regular].
func (s *speaker) Moving() (name, value string) { return "", "" }

// Again is part of [park.Regular].
func (s *speaker) Again([]byte) bool {
	if s.next == nil {
		return false
	}
	next := s.next()
	if next == nil {
		return false
	}
	s.now = next
	next.mu.Lock()
	defer next.mu.Unlock()
	next.by = s
	return true
}

func (s *speaker) Next(dst []byte, why park.Event) ([]byte, bool) {
	if s.now != nil {
		return s.now.Next(dst, why)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if why != 0 {
		s.events = append(s.events, why)
	}
	dst = append(dst, s.text...)
	s.text = ""
	if why&park.Due != 0 {
		dst = append(dst, s.due...)
	}
	if why&park.Drain != 0 {
		return append(dst, s.drain...), true
	}
	return dst, s.end
}

func (s *speaker) Sent() {
	if s.now != nil {
		s.now.Sent()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent++
}

func (s *speaker) Received(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard += string(p)
}

func (s *speaker) Closed(err error) {
	if s.now != nil {
		s.now.Closed(err)
		return
	}
	s.closed <- err
}

func (s *speaker) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent
}

// A site is a server whose requests are held in a lot.
type site struct {
	t     *testing.T
	lot   *park.Lot
	drain context.CancelFunc
	pipes *pipes
	calls chan *speaker // one for each request to come
}

// newSite serves in memory, for as long as the test's bubble. hold holds each
// request, with a speaker from calls; "/plain" is answered without.
func newSite(t *testing.T, opts park.Options, hold func(*park.Lot, http.ResponseWriter, *http.Request, *speaker)) *site {
	s := &site{t: t, pipes: newPipes(), calls: make(chan *speaker, 100)}
	opts.Drain, s.drain = context.WithCancel(context.Background())
	s.lot = park.New(opts)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/plain" {
			io.WriteString(w, "plain")
			return
		}
		hold(s.lot, w, r, <-s.calls)
	})}
	served := make(chan struct{})
	go func() { defer close(served); s.lot.Serve(srv, s.pipes) }()
	t.Cleanup(func() {
		s.drain()
		srv.Close()
		s.pipes.hangUp()
		s.lot.Wait(t.Context())
		<-served
	})
	return s
}

// expect returns the speaker of the next request.
func (s *site) expect() *speaker {
	sp := newSpeaker()
	s.calls <- sp
	return sp
}

// connect returns a connection and its reader.
func (s *site) connect() (net.Conn, *bufio.Reader) {
	c := s.pipes.dial()
	return c, bufio.NewReader(c)
}

// ask sends a GET request, with these lines of header.
func ask(c net.Conn, path string, lines ...string) {
	lines = append([]string{"GET " + path + " HTTP/1.1", "Host: x"}, lines...)
	go io.WriteString(c, strings.Join(lines, "\r\n")+"\r\n\r\n")
	synctest.Wait()
}

// pipes are connections in memory, and the listener of their server.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	mu     sync.Mutex
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

// kept hides from a handler that its connection could be taken.
type kept struct{ w http.ResponseWriter }

func (k kept) Header() http.Header         { return k.w.Header() }
func (k kept) WriteHeader(status int)      { k.w.WriteHeader(status) }
func (k kept) Write(p []byte) (int, error) { return k.w.Write(p) }
func (k kept) FlushError() error           { return http.NewResponseController(k.w).Flush() }
func (k kept) SetWriteDeadline(t time.Time) error {
	return http.NewResponseController(k.w).SetWriteDeadline(t)
}
func (k kept) SetReadDeadline(t time.Time) error {
	return http.NewResponseController(k.w).SetReadDeadline(t)
}
