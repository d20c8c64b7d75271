package park_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/park"
)

// A gate counts who goes through it.
type gate struct {
	net.Listener
	room chan struct{}
	all  sync.WaitGroup // who are there

	mu            sync.Mutex // guards all below
	entered, gone int
}

func (g *gate) Inside() net.Listener { return g.Listener }
func (g *gate) Enter() error         { g.room <- struct{}{}; return nil }
func (g *gate) Leave()               { <-g.room }

func (g *gate) Entered() func() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.entered++
	g.all.Add(1)
	return func() {
		defer g.all.Done()
		g.mu.Lock()
		defer g.mu.Unlock()
		g.gone++
		<-g.room
	}
}

// inside returns how many have come in, and how many of them are still there.
func (g *gate) inside() (entered, left int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.entered, g.entered - g.gone
}

// A house is a server whose lot takes in who comes: "/held" is a stream that
// begins with hello, "/poll" a poll with something to say. "/quick" says who has
// served it, "/slow" too.
type house struct {
	*testing.T
	srv  *http.Server
	lot  *park.Lot
	gate *gate
	shut func() // ends the server
	stop func() // and the lot
}

func newHouse(t *testing.T, room int, change func(*http.Server)) *house {
	return newHouseBy(t, true, room, change)
}

func newHouseBy(t *testing.T, multipath bool, room int, change func(*http.Server)) *house {
	h := &house{T: t, lot: park.New(park.Options{Waits: true, Quick: func(path string, upgrade bool) bool { return path != "/slow" || upgrade }})}
	h.srv = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sp := newSpeaker()
		switch r.URL.Path {
		case "/held":
			sp.say("hello")
			h.lot.Stream(&sp.Conn, w, r, sp, 0)
		case "/poll":
			sp.say("news")
			h.lot.Answer(&sp.Conn, w, r, sp, time.Minute)
		default:
			who := "the crew"
			if r.Context().Value(http.ServerContextKey) != nil {
				who = "net/http"
			}
			body, err := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s %s %q %v", who, r.Method, r.RemoteAddr, body, err)
		}
	})}
	if change != nil {
		change(h.srv)
	}
	var by net.ListenConfig
	by.SetMultipathTCP(multipath)
	l, err := by.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.gate = &gate{Listener: l, room: make(chan struct{}, room)}
	served := make(chan error)
	go func() { served <- h.lot.Serve(h.srv, h.gate) }()
	h.shut = sync.OnceFunc(func() {
		h.srv.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serving has ended with %v", err)
		}
	})
	h.stop = sync.OnceFunc(func() {
		h.shut()
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		h.lot.Wait(ctx)
		empty := make(chan struct{})
		go func() { defer close(empty); h.gate.all.Wait() }()
		select {
		case <-empty:
		case <-time.After(10 * time.Second):
			entered, left := h.gate.inside()
			t.Errorf("of %d connections %d are still there", entered, left)
		}
		if n := len(h.gate.room); n != 0 {
			t.Errorf("%d places are taken", n)
		}
	})
	t.Cleanup(h.stop)
	return h
}

func (h *house) dial() (net.Conn, *bufio.Reader) {
	h.Helper()
	c, err := net.Dial("tcp", h.gate.Addr().String())
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c, bufio.NewReader(c)
}

func (h *house) answer(in *bufio.Reader) string {
	h.Helper()
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		h.Error(err)
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		h.Error(err)
	}
	return string(body)
}

// Who comes is answered by the crew what the crew can answer, and by net/http all
// else; the connection goes on in either case.
func TestArrivals(t *testing.T) {
	const crew, server = "the crew", "net/http"
	for name, test := range map[string]struct {
		pieces []string
		by     []string
	}{
		"a request":          {[]string{"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n"}, []string{crew}},
		"a body":             {[]string{"POST /quick HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"}, []string{crew}},
		"an empty line":      {[]string{"\r\n", "GET /quick HTTP/1.1\r\nHost: x\r\n\r\n"}, []string{crew}},
		"another path":       {[]string{"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"}, []string{server}},
		"an upgrade":         {[]string{"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n"}, []string{crew}},
		"pieces":             {[]string{"G", "ET /quick HTTP/1.1\r\nHost", ": x\r\n", "\r\n"}, []string{server}},
		"a body in pieces":   {[]string{"POST /quick HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na", "bc"}, []string{server}},
		"two":                {[]string{"GET /quick HTTP/1.1\r\nHost: x\r\n\r\nGET /quick HTTP/1.1\r\nHost: x\r\n\r\n"}, []string{crew, crew}},
		"two of both":        {[]string{"GET /quick HTTP/1.1\r\nHost: x\r\n\r\nGET /slow HTTP/1.1\r\nHost: x\r\n\r\n"}, []string{crew, server}},
		"two the other way":  {[]string{"GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET /quick HTTP/1.1\r\nHost: x\r\n\r\n"}, []string{server, server}},
		"one and its end":    {[]string{"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n", ""}, []string{crew}},
		"a large head":       {[]string{"GET /quick HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 20<<10) + "\r\n\r\n"}, []string{server}},
		"an older version":   {[]string{"GET /quick HTTP/1.0\r\n\r\n"}, []string{server}},
		"the last of itself": {[]string{"GET /quick HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"}, []string{server}},
	} {
		t.Run(name, func(t *testing.T) {
			back := make(chan bool, 1)
			h := newHouse(t, 10, func(srv *http.Server) {
				srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
					back <- park.CameBack(c)
					return ctx
				}
			})
			c, in := h.dial()
			for _, piece := range test.pieces {
				if piece == "" {
					c.(*net.TCPConn).CloseWrite()
					continue
				}
				io.WriteString(c, piece)
				time.Sleep(time.Duration(len(test.pieces)-1) * 5 * time.Millisecond) // so that they come one by one, mostly
			}
			for i, by := range test.by {
				got := h.answer(in)
				if want := by + " "; !strings.HasPrefix(got, want) && (by == crew || len(test.pieces) == 1) || !strings.Contains(got, c.LocalAddr().String()) {
					t.Errorf("answer %d is %q, want %q and the address %v", i, got, want, c.LocalAddr())
				}
				if wantBody := strings.Contains(test.pieces[0], "POST"); wantBody != strings.Contains(got, `"abc" <nil>`) {
					t.Errorf("answer %d is %q", i, got)
				}
			}
			select {
			case again := <-back:
				if want := test.by[0] == crew; again != want {
					t.Errorf("it has come back: %v, want %v", again, want)
				}
			default:
			}
			if entered, _ := h.gate.inside(); entered != 1 {
				t.Errorf("%d have come", entered)
			}
		})
	}
}

// Who is held from the first request on costs neither a goroutine nor a buffer, and
// gives its place back at its end.
func TestArrivalsAreHeld(t *testing.T) {
	h := newHouse(t, 1, nil)
	for range 3 { // one after the other, since there is one place
		c, in := h.dial()
		io.WriteString(c, "GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		hello := make([]byte, 5)
		if _, err := io.ReadFull(resp.Body, hello); err != nil || string(hello) != "hello" {
			t.Errorf("%q, %v", hello, err)
		}
		if n := h.lot.Parked(); n != 1 {
			t.Errorf("%d are parked", n)
		}
		c.Close()
	}
	c, in := h.dial()
	io.WriteString(c, "GET /poll HTTP/1.1\r\nHost: x\r\n\r\n")
	if got := h.answer(in); got != "news" {
		t.Errorf("a poll: %q", got)
	}
	if entered, left := h.gate.inside(); entered != 4 || left != 1 {
		t.Errorf("%d have come, %d of them are there", entered, left)
	}
}

// Who asks nothing is waited for as long as net/http waits for a request's head.
func TestArrivalsThatAskNothing(t *testing.T) {
	h := newHouse(t, 10, func(srv *http.Server) { srv.ReadHeaderTimeout = 50 * time.Millisecond })
	for _, said := range []string{"", "\r\n", "GET /quick HTT"} {
		c, _ := h.dial()
		io.WriteString(c, said)
		if _, err := io.ReadAll(c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("behind %q: %v", said, err)
		}
	}
	c, in := h.dial() // who has asked has the other times
	io.WriteString(c, "GET /quick HTTP/1.1\r\nHost: x\r\n\r\n")
	h.answer(in)
	c.SetReadDeadline(time.Now().Add(150 * time.Millisecond))
	if _, err := in.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("behind an answer: %v", err)
	}
}

// At the end nobody waits for those who have asked nothing.
func TestArrivalsAtTheEnd(t *testing.T) {
	h := newHouse(t, 10, nil)
	var all []net.Conn
	for _, said := range []string{"", "\r\n", "GET /sl"} {
		c, _ := h.dial()
		io.WriteString(c, said)
		all = append(all, c)
	}
	c, in := h.dial()
	io.WriteString(c, "GET /quick HTTP/1.1\r\nHost: x\r\n\r\n") // and so the others are there, too
	h.answer(in)
	h.shut()
	for i, c := range append(all, c) {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("connection %d: %v", i, err)
		}
	}
	if err := h.lot.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// Connections have the options that package net gives them, and the lot's own,
// whether they have them from the listener or not.
func TestArrivalsAreTuned(t *testing.T) {
	for _, multipath := range []bool{false, true} {
		testTuned(t, multipath)
	}
}

func testTuned(t *testing.T, multipath bool) {
	got := make(chan map[string]int, 1)
	h := newHouseBy(t, multipath, 10, func(srv *http.Server) {
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for {
				outer, ok := c.(interface{ NetConn() net.Conn })
				if !ok {
					break
				}
				c = outer.NetConn()
			}
			raw, err := c.(syscall.Conn).SyscallConn()
			if err != nil {
				t.Error(err)
				return
			}
			raw.Control(func(fd uintptr) { got <- socketOptions(int(fd)) })
		})
	})
	c, _ := h.dial()
	io.WriteString(c, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
	want := map[string]int{
		"no delay": 1, "keep alive": 0, "unsent": 128 << 10, "user timeout": 20000,
	}
	for name, value := range <-got {
		if value != want[name] {
			t.Errorf("multipath %v: %s: %d, want %d", multipath, name, value, want[name])
		}
	}
}

func socketOptions(fd int) map[string]int {
	all := make(map[string]int)
	for name, at := range map[string][2]int{
		"no delay":     {syscall.IPPROTO_TCP, syscall.TCP_NODELAY},
		"keep alive":   {syscall.SOL_SOCKET, syscall.SO_KEEPALIVE},
		"unsent":       {syscall.IPPROTO_TCP, 25},
		"user timeout": {syscall.IPPROTO_TCP, 18},
	} {
		all[name], _ = syscall.GetsockoptInt(fd, at[0], at[1])
	}
	return all
}

// Many come and go at once, in whatever way, and each place is given back.
func TestConcurrentArrivals(t *testing.T) {
	h := newHouse(t, 8, nil)
	var all sync.WaitGroup
	for k := range 16 {
		all.Go(func() {
			for i := range 40 {
				c, err := net.Dial("tcp", h.gate.Addr().String())
				if err != nil {
					t.Error(err)
					return
				}
				c.SetDeadline(time.Now().Add(20 * time.Second))
				switch (i + k) % 6 {
				case 0: // says nothing
				case 1: // breaks off
					io.WriteString(c, "GET /quick HTTP/1.1\r\n")
					c.(*net.TCPConn).SetLinger(0)
				case 2: // does not wait for the answer
					io.WriteString(c, "GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
				default:
					path := []string{"/quick", "/slow", "/poll"}[i%3]
					io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
					if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
						t.Error(err)
					}
				}
				c.Close()
			}
		})
	}
	all.Wait()
}
