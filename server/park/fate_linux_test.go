package park_test

// What becomes of requests that the crew serves where something is unusual: the
// same as with net/http, which reads them if they have a header that the crew does
// not know.

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/park"
)

// known and strange are headers of requests that the crew reads, and leaves to
// net/http.
const (
	known   = "X-Y: 1\r\n"
	strange = "X_Y: 1\r\n"
)

// Who says that nothing more will come is told what there is already.
func TestHalfClosedBehindARequest(t *testing.T) {
	h := newHouse(t, 100, nil)
	for _, path := range []string{"/poll", "/held", "/quick"} {
		for range 50 {
			c, in := h.dial()
			fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
			c.(*net.TCPConn).CloseWrite()
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if _, err := io.ReadFull(resp.Body, make([]byte, 4)); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			c.Close()
		}
	}
}

// A server that has been closed serves nothing more, also where a poll has been
// held.
func TestNothingAfterClose(t *testing.T) {
	for _, portable := range []bool{false, true} {
		lot := park.New(park.Options{Portable: portable, Quick: func(string, bool) bool { return true }})
		calls := make(chan *speaker, 1)
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/after" {
				t.Error("it is served")
				return
			}
			sp := newSpeaker()
			lot.Answer(&sp.Conn, w, r, sp, time.Minute)
			calls <- sp
		})}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error)
		go func() { served <- lot.Serve(srv, l) }()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(c, "GET /poll HTTP/1.1\r\nHost: x\r\n\r\n")
		sp := <-calls
		srv.Close()
		<-served
		sp.say("news")
		io.WriteString(c, "GET /after HTTP/1.1\r\nHost: x\r\n\r\n")
		if all, _ := io.ReadAll(c); strings.Count(string(all), "HTTP/1.1") > 1 {
			t.Errorf("%q", all)
		}
		c.Close()
		wantEmpty(t, lot)
	}
}

// What a handler may not write does not go out, and no answer can pass for the rest
// of another.
func TestBodiesThatDoNotFit(t *testing.T) {
	for name, write := range map[string]func(w http.ResponseWriter){
		"with 204":           func(w http.ResponseWriter) { w.WriteHeader(204); io.WriteString(w, "HTTP/1.1 200 OK\r\n\r\n") },
		"with 304":           func(w http.ResponseWriter) { w.WriteHeader(304); io.WriteString(w, "x") },
		"longer than told":   func(w http.ResponseWriter) { w.Header().Set("Content-Length", "1"); io.WriteString(w, "more") },
		"shorter than told":  func(w http.ResponseWriter) { w.Header().Set("Content-Length", "9"); io.WriteString(w, "more") },
		"as long as is told": func(w http.ResponseWriter) { w.Header().Set("Content-Length", "4"); io.WriteString(w, "more") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, 10, func(s *http.Server) {
				s.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { write(w) })
			})
			var both []string
			for _, header := range []string{known, strange} {
				c, in := h.dial()
				c.SetDeadline(time.Now().Add(500 * time.Millisecond))
				io.WriteString(c, "GET /quick HTTP/1.1\r\nHost: x\r\n"+header+"\r\n")
				all, err := io.ReadAll(in)
				_, body, _ := strings.Cut(string(all), "\r\n\r\n")
				both = append(both, fmt.Sprintf("%q, and it goes on: %v", body, err != nil))
				c.Close()
			}
			if both[0] != both[1] {
				t.Errorf("by the crew: %s; by net/http: %s", both[0], both[1])
			}
		})
	}
}

// The time for a head begins once, whoever waits for it.
func TestTimeForAHead(t *testing.T) {
	const limit = 600 * time.Millisecond
	h := newHouse(t, 10, func(s *http.Server) { s.ReadHeaderTimeout = limit })
	c, in := h.dial()
	began := time.Now()
	time.Sleep(limit * 5 / 6)
	io.WriteString(c, "G")
	io.ReadAll(in)
	if took := time.Since(began); took > limit*3/2 {
		t.Errorf("it took %v, and may take %v", took, limit)
	}
}

// Who is kept by slow handlers keeps not all others, on one processor either, and
// each of those is served at once.
func TestSlowHandlers(t *testing.T) {
	for _, tt := range []struct{ processors, slow int }{{1, 1}, {1, 5}, {2, 1}, {2, 3}} {
		t.Run(fmt.Sprintf("%d of them, %d processors", tt.slow, tt.processors), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(tt.processors))
			gate := make(chan struct{})
			var kept sync.WaitGroup
			h := newHouse(t, 10, func(s *http.Server) {
				s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/kept" {
						kept.Done()
						<-gate
					}
					io.WriteString(w, "ok")
				})
			})
			defer close(gate)
			for range tt.slow {
				kept.Add(1)
				c, _ := h.dial()
				io.WriteString(c, "GET /kept HTTP/1.1\r\nHost: x\r\n\r\n")
				kept.Wait()
			}
			c, in := h.dial()
			c.SetDeadline(time.Now().Add(20 * time.Second)) // were each found to wait after 25 ms, it took longer
			for range 1000 {
				io.WriteString(c, "GET /quick HTTP/1.1\r\nHost: x\r\n\r\n")
				if _, body := read(t, in); body != "ok" {
					t.Fatalf("%q", body)
				}
			}
		})
	}
}

// Whose handlers say that they wait for something, keep nobody: as many as there are
// wait at once, others are served at once, and what they do after it is done.
func TestHandlersThatWait(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const waiting = 200
	gate := make(chan struct{})
	var there sync.WaitGroup
	there.Add(waiting)
	var h *house
	h = newHouse(t, 2*waiting, func(s *http.Server) {
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/quick" {
				io.WriteString(w, "ok")
				return
			}
			for range 2 {
				if !park.MayWait(r.Context()) {
					t.Error("it may not wait")
				}
			}
			there.Done()
			<-gate
			switch r.URL.Path {
			case "/panic":
				panic(http.ErrAbortHandler)
			case "/poll":
				sp := newSpeaker()
				sp.say("news")
				h.lot.Answer(&sp.Conn, w, r, sp, time.Minute)
			default:
				io.WriteString(w, "waited")
			}
		})
	})
	paths := []string{"/waits", "/poll", "/panic"}
	var all []net.Conn
	var answers []*bufio.Reader
	for range waiting {
		c, in := h.dial()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		all, answers = append(all, c), append(answers, in)
	}
	for i, c := range all {
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", paths[i%3])
	}
	there.Wait() // were each found to wait after 25 ms, or one after the other, they never came
	ask := func(c net.Conn, in *bufio.Reader) {
		t.Helper()
		io.WriteString(c, "GET /quick HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, body := read(t, in); body != "ok" {
			t.Fatalf("%q", body)
		}
	}
	c, in := h.dial()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	for range 500 {
		ask(c, in)
	}
	close(gate)
	for i, in := range answers {
		switch i % 3 {
		case 0:
			if _, body := read(t, in); body != "waited" {
				t.Fatalf("%q", body)
			}
			ask(all[i], in)
		case 1:
			if _, body := read(t, in); body != "news" {
				t.Fatalf("%q", body)
			}
			ask(all[i], in)
		default:
			if b, err := in.ReadByte(); err == nil {
				t.Fatalf("a panic is answered by %q", b)
			}
		}
	}
	ask(c, in)
}

// A panicking is a tenant that panics when it is asked what moves in its request.
type panicking struct{ *speaker }

func (panicking) Moving() (name, value string) { panic("moving") }
func (panicking) Again([]byte) bool            { return false }

// Whose tenant panics while its connection is taken is not held.
func TestPanicWhileItIsTaken(t *testing.T) {
	for _, path := range []string{"/quick", "/slow"} {
		t.Run(path, func(t *testing.T) {
			var lot *park.Lot
			h := newHouse(t, 10, func(s *http.Server) {
				s.ErrorLog = log.New(io.Discard, "", 0)
				s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					sp := newSpeaker()
					lot.Answer(&sp.Conn, w, r, panicking{sp}, time.Minute)
				})
			})
			lot = h.lot
			c, in := h.dial()
			c.SetDeadline(time.Now().Add(10 * time.Second))
			fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
			io.ReadAll(in)
			c.Close()
			wantEmpty(t, lot)
		})
	}
}

// The rest of a large answer ends when its lot does.
func TestRestOfAnAnswerIsCut(t *testing.T) {
	large := make([]byte, 64<<20)
	h := newHouse(t, 10, func(s *http.Server) {
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(large) })
	})
	c, in := h.dial()
	io.WriteString(c, "GET /quick HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := in.ReadByte(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	h.lot.Wait(ctx)
	wantEmpty(t, h.lot)
}
