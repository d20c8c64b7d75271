package park_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/park"
)

const beat = 20 * time.Second

func streams(l *park.Lot, w http.ResponseWriter, r *http.Request, s *speaker) {
	w.Header().Set("Content-Type", "text/x-stream")
	l.Stream(&s.Conn, w, r, s, beat)
}

func keptStreams(l *park.Lot, w http.ResponseWriter, r *http.Request, s *speaker) {
	streams(l, kept{w}, r, s)
}

// take reads n bytes.
func take(t *testing.T, in io.Reader, n int) string {
	t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(in, b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A stream says what there is when there is something, beats, and ends well.
func TestStream(t *testing.T) {
	for name, hold := range map[string]func(*park.Lot, http.ResponseWriter, *http.Request, *speaker){"taken": streams, "kept": keptStreams} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, park.Options{}, hold)
				c, in := s.connect()
				sp := s.expect()
				sp.due = "beat\n"
				ask(c, "/")
				resp, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatal(err)
				}
				if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/x-stream" || resp.Header.Get("Date") == "" {
					t.Errorf("%+v", resp)
				}
				sp.say("one\n")
				if got := take(t, resp.Body, 4); got != "one\n" {
					t.Errorf("%q", got)
				}
				for range 3 {
					began := time.Now()
					if got := take(t, resp.Body, 5); got != "beat\n" || time.Since(began) != beat {
						t.Errorf("%q after %v", got, time.Since(began))
					}
				}
				long := strings.Repeat("long ", 100_000) + "\n"
				sp.say(long)
				if got := take(t, resp.Body, len(long)); got != long {
					t.Error("what is long does not come")
				}
				sp.bye()
				rest, err := io.ReadAll(resp.Body)
				if len(rest) > 0 || err != nil {
					t.Errorf("then %q, %v", rest, err)
				}
				wantClosed(t, sp, nil)
			})
		})
	}
}

// The head and what there is at first are one piece.
func TestFirstPiece(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, park.Options{}, streams)
		c, _ := s.connect()
		sp := s.expect()
		sp.say("hello")
		ask(c, "/")
		piece := make([]byte, 4096)
		n, err := c.Read(piece) // a pipe gives what was written at once
		if got := string(piece[:n]); err != nil || !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(got, "\r\n\r\n5\r\nhello\r\n") {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// Old clients know no chunks.
func TestStreamToHTTP10(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, park.Options{}, streams)
		c, in := s.connect()
		sp := s.expect()
		go io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
		synctest.Wait()
		sp.say("hello")
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		sp.bye()
		body, err := io.ReadAll(resp.Body)
		if string(body) != "hello" || err != nil || len(resp.TransferEncoding) != 0 {
			t.Errorf("%q, %v, %v", body, err, resp.TransferEncoding)
		}
	})
}

// A drain's last words come, and then the end.
func TestDrainOfStreams(t *testing.T) {
	for name, hold := range map[string]func(*park.Lot, http.ResponseWriter, *http.Request, *speaker){"taken": streams, "kept": keptStreams} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, park.Options{}, hold)
				c, in := s.connect()
				sp := s.expect()
				sp.drain = "go"
				ask(c, "/")
				s.drain()
				if _, body := read(t, in); body != "go" {
					t.Errorf("%q", body)
				}
				wantClosed(t, sp, nil)
			})
		})
	}
}

// What was not the end does not look like one.
func TestCutOff(t *testing.T) {
	for name, hold := range map[string]func(*park.Lot, http.ResponseWriter, *http.Request, *speaker){"taken": streams, "kept": keptStreams} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, park.Options{}, hold)
				c, in := s.connect()
				sp := s.expect()
				sp.say("x")
				ask(c, "/")
				over, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				go s.lot.Wait(over)
				resp, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				if string(body) != "x" || err == nil {
					t.Errorf("%q, %v", body, err)
				}
				wantClosed(t, sp, park.ErrCut)
			})
		})
	}
}

// Who takes nothing is given up after the time for a write, and harms nobody.
func TestTooSlow(t *testing.T) {
	for name, hold := range map[string]func(*park.Lot, http.ResponseWriter, *http.Request, *speaker){"taken": streams, "kept": keptStreams} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var behind, tooSlow atomic.Int64
				s := newSite(t, park.Options{
					WriteTimeout: 3 * time.Second,
					Behind:       func() { behind.Add(1) },
					TooSlow:      func() { tooSlow.Add(1) },
				}, hold)
				c, in := s.connect()
				sp := s.expect()
				ask(c, "/")
				head, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatal(err)
				}
				sp.say("slowly")
				time.Sleep(2 * time.Second)
				if got := take(t, head.Body, 6); got != "slowly" {
					t.Errorf("%q", got)
				}
				synctest.Wait()
				if behind.Load() != 1 || tooSlow.Load() != 0 {
					t.Errorf("behind %d, too slow %d", behind.Load(), tooSlow.Load())
				}
				sp.say("never read")
				time.Sleep(3*time.Second + 1)
				wantClosed(t, sp, park.ErrTooSlow)
				if tooSlow.Load() != 1 {
					t.Errorf("too slow: %d", tooSlow.Load())
				}
			})
		})
	}
}

// A peer with a window of nothing is given up too, by whatever the kernel says;
// and what the kernel holds for it is bounded.
func TestZeroWindow(t *testing.T) {
	tooSlow := make(chan struct{}, 1)
	lot := park.New(park.Options{WriteTimeout: 50 * time.Millisecond, TooSlow: func() { tooSlow <- struct{}{} }})
	var said atomic.Int64
	sp := newSpeaker()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { streams(lot, w, r, sp) }))
	defer srv.Close()
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	piece := strings.Repeat("x", 64<<10)
	for over := false; !over; {
		select {
		case err := <-sp.closed:
			if err != park.ErrTooSlow {
				t.Error(err)
			}
			over = true
		default:
			if before := sp.count(); int64(before) == said.Load() {
				said.Add(1)
				sp.say(piece)
			}
		}
	}
	<-tooSlow
	// The rest is in the peer's own buffer.
	t.Logf("the kernels took %d KiB", said.Load()*64)
	if err := lot.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// What a peer of a stream says is passed over, up to a limit.
func TestNoise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, park.Options{}, streams)
		c, in := s.connect()
		sp := s.expect()
		ask(c, "/")
		if _, err := http.ReadResponse(in, nil); err != nil {
			t.Fatal(err)
		}
		go io.WriteString(c, strings.Repeat("noise ", 10_000))
		synctest.Wait()
		select {
		case err := <-sp.closed:
			t.Fatalf("ended with %v", err)
		default:
		}
		go io.WriteString(c, strings.Repeat("noise ", 10_000))
		wantClosed(t, sp, park.ErrGone)
	})
}

// An upgraded connection carries bytes both ways, also those that came with the
// request.
func TestUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, park.Options{}, func(l *park.Lot, w http.ResponseWriter, r *http.Request, sp *speaker) {
			w.Header().Set("Upgrade", "echo")
			w.Header().Set("Connection", "Upgrade")
			if err := l.Upgrade(&sp.Conn, w, r, sp, beat); err != nil {
				t.Error(err)
			}
		})
		c, in := s.connect()
		sp := s.expect()
		go io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\nearly ")
		resp, err := http.ReadResponse(in, nil)
		if err != nil || resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "echo" || resp.Header.Get("Date") == "" {
			t.Fatalf("%+v, %v", resp, err)
		}
		sp.say("hello")
		if got := take(t, in, 5); got != "hello" {
			t.Errorf("%q", got)
		}
		long := strings.Repeat("long ", 50_000)
		io.WriteString(c, "x")
		io.WriteString(c, long)
		synctest.Wait()
		sp.mu.Lock()
		if sp.heard != "early x"+long {
			t.Errorf("%d bytes were heard", len(sp.heard))
		}
		sp.mu.Unlock()
		sp.say("bye")
		sp.bye()
		if got, err := io.ReadAll(in); string(got) != "bye" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		wantClosed(t, sp, nil)
	})
}

// Where a connection cannot be taken over, nothing happens.
func TestUpgradeRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, park.Options{}, func(l *park.Lot, w http.ResponseWriter, r *http.Request, sp *speaker) {
			if err := l.Upgrade(&sp.Conn, kept{w}, r, sp, beat); err != nil {
				http.Error(w, "no", http.StatusNotImplemented)
			}
		})
		c, in := s.connect()
		s.expect()
		ask(c, "/")
		if resp, body := read(t, in); resp.StatusCode != 501 || body != "no\n" {
			t.Errorf("%d %q", resp.StatusCode, body)
		}
	})
}

// Over HTTP/2 the same comes, and the end of one stream is not that of others.
func TestHTTP2(t *testing.T) {
	lot := park.New(park.Options{})
	calls := make(chan *speaker, 2)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/poll" {
			answers(lot, w, r, <-calls)
			return
		}
		streams(lot, w, r, <-calls)
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	open := func(path string, sp *speaker) *bufio.Reader {
		t.Helper()
		calls <- sp
		resp, err := srv.Client().Get(srv.URL + path)
		if err != nil || resp.ProtoMajor != 2 {
			t.Fatalf("%+v, %v", resp, err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return bufio.NewReader(resp.Body)
	}
	first, second, poll := newSpeaker(), newSpeaker(), newSpeaker()
	a, b := open("/", first), open("/", second)
	for i := range 100 {
		line := fmt.Sprintf("%d\n", i)
		first.say(line)
		if got, err := a.ReadString('\n'); got != line || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
	}
	first.bye()
	if rest, err := io.ReadAll(a); len(rest) > 0 || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
	time.AfterFunc(10*time.Millisecond, func() { poll.say("polled") })
	if body, err := io.ReadAll(open("/poll", poll)); string(body) != "polled" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
	second.say("still here\n")
	if got, err := b.ReadString('\n'); got != "still here\n" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	second.bye()
	if err := lot.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// However many wake it, and however its writes are cut, a connection says
// everything once and in order.
func TestConcurrentWakes(t *testing.T) {
	for name, hold := range map[string]func(*park.Lot, http.ResponseWriter, *http.Request, *speaker){"taken": streams, "kept": keptStreams} {
		t.Run(name, func(t *testing.T) {
			lot := park.New(park.Options{})
			sp := newSpeaker()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { hold(lot, w, r, sp) }))
			defer srv.Close()
			const lines = 2000
			var wakers sync.WaitGroup
			for range 4 {
				wakers.Go(func() {
					for range lines {
						sp.Wake()
					}
				})
			}
			wakers.Go(func() {
				for i := range lines {
					sp.say(fmt.Sprintln(i))
				}
			})
			resp, err := http.Get(srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			in := bufio.NewReader(resp.Body)
			for i := range lines {
				if got, err := in.ReadString('\n'); got != fmt.Sprintln(i) || err != nil {
					t.Fatalf("%q where %d belongs, %v", got, i, err)
				}
			}
			wakers.Wait()
			sp.bye()
			if rest, err := io.ReadAll(in); len(rest) > 0 || err != nil {
				t.Errorf("%q, %v", rest, err)
			}
		})
	}
}

// Polls on one real connection, each answered at some moment around the arrival
// of the next request or the end of its time.
func TestConcurrentPolls(t *testing.T) {
	lot := park.New(park.Options{})
	calls := make(chan *speaker, 1)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sp := <-calls
		lot.Answer(&sp.Conn, w, r, sp, time.Millisecond)
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() { lot.Serve(srv, l) })
	defer func() { srv.Close(); served.Wait() }()
	client := &http.Client{}
	defer client.CloseIdleConnections()
	for i := range 500 {
		sp := newSpeaker()
		sp.due = "due"
		calls <- sp
		go func() {
			for range i % 7 {
				sp.Wake()
			}
			sp.say("said")
		}()
		resp, err := client.Get("http://" + l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if got := string(body); err != nil || got != "said" && got != "due" && got != "saiddue" {
			t.Fatalf("%q, %v", body, err)
		}
	}
}
