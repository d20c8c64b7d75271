package park_test

// What happens in the moments in which a connection changes hands, or ends.

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/park"
)

// wantEmpty wants everybody to have left the lot soon.
func wantEmpty(t *testing.T, lot *park.Lot) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); lot.Held() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d are still held", lot.Held())
		}
	}
}

// Whatever comes of a peer in the instant of its last answer, its connection
// ends.
func TestConcurrentLastAnswers(t *testing.T) {
	lot := park.New(park.Options{})
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sp := newSpeaker()
		sp.due = "due"
		lot.Answer(&sp.Conn, w, r, sp, time.Millisecond)
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() { lot.Serve(srv, l) })
	defer func() { srv.Close(); served.Wait() }()
	var clients sync.WaitGroup
	for k := range 8 {
		clients.Go(func() {
			for i := range 200 {
				c, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Error(err)
					return
				}
				io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
				c.Read(make([]byte, 4096))
				if (i+k)%2 == 0 {
					io.WriteString(c, "x")
				}
				c.(*net.TCPConn).SetLinger(0)
				c.Close()
			}
		})
	}
	clients.Wait()
	wantEmpty(t, lot)
}

// Over HTTP/2 a poll is held for longer than the server lets other answers take.
func TestHTTP2PollIsHeld(t *testing.T) {
	lot := park.New(park.Options{})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sp := newSpeaker()
		sp.due = "due"
		lot.Answer(&sp.Conn, w, r, sp, 300*time.Millisecond)
	}))
	srv.EnableHTTP2 = true
	srv.Config.WriteTimeout = 100 * time.Millisecond
	srv.StartTLS()
	defer srv.Close()
	resp, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); string(body) != "due" || err != nil || resp.ProtoMajor != 2 {
		t.Errorf("%q, %v by %s", body, err, resp.Proto)
	}
}

// hooked is a connection whose writes somebody sees.
type hooked struct {
	net.Conn
	wrote func()
}

func (h *hooked) Write(p []byte) (int, error) {
	n, err := h.Conn.Write(p)
	if h.wrote != nil {
		h.wrote()
	}
	return n, err
}

// A drain that begins while a poll is being answered leaves no connection that
// waits for another request.
func TestDrainDuringAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, park.Options{}, answers)
		ours, theirs := net.Pipe()
		h := &hooked{Conn: theirs}
		s.pipes.conns <- h
		s.pipes.all = append(s.pipes.all, ours)
		sp := s.expect()
		ask(ours, "/")
		h.wrote = func() { s.drain(); time.Sleep(time.Millisecond) }
		sp.say("x")
		if _, body := read(t, bufio.NewReader(ours)); body != "x" {
			t.Errorf("%q", body)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		if err := s.lot.Wait(ctx); err != nil {
			t.Error(err)
		}
	})
}

// A peer without room has all the time that a write may take, however often it
// wants to hear something.
func TestZeroWindowHasItsTime(t *testing.T) {
	began := time.Now()
	slow := make(chan struct{}, 1)
	lot := park.New(park.Options{WriteTimeout: 3 * time.Second, TooSlow: func() { slow <- struct{}{} }})
	sp := newSpeaker()
	sp.due = strings.Repeat("beat", 64<<10)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lot.Stream(&sp.Conn, w, r, sp, 50*time.Millisecond)
	}))
	defer srv.Close()
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if err := <-sp.closed; err != park.ErrTooSlow || time.Since(began) < 3*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	<-slow
	wantEmpty(t, lot)
}

// Line breaks between two requests are passed over, as net/http does.
func TestLineBreaksBetweenRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, park.Options{}, answers)
		c, in := s.connect()
		for range 3 {
			sp := s.expect()
			ask(c, "/")
			go io.WriteString(c, "\r\n")
			synctest.Wait()
			sp.say("x")
			if _, body := read(t, in); body != "x" {
				t.Errorf("%q", body)
			}
			go io.WriteString(c, "\r\n")
			synctest.Wait()
		}
		for range 100 {
			c.SetWriteDeadline(time.Now().Add(time.Second))
			if _, err := io.WriteString(c, "\n"); err != nil {
				return // enough of that
			}
		}
		t.Error("line breaks without an end are taken")
	})
}

// A nervous tenant panics.
type nervous struct {
	*speaker
	when string
}

func (n nervous) Next(dst []byte, why park.Event) ([]byte, bool) {
	out, end := n.speaker.Next(dst, why)
	if n.when == "Next" && len(out) > len(dst) {
		panic(n.when)
	}
	return out, end
}

func (n nervous) Sent() {
	if n.when == "Sent" {
		panic(n.when)
	}
}

func (n nervous) Received(p []byte) {
	if n.when == "Received" {
		panic(n.when)
	}
}

func (n nervous) Closed(err error) {
	n.speaker.Closed(err)
	if n.when == "Closed" {
		panic(n.when)
	}
}

// A panic of a tenant's is the end of its connection, of which it and somebody
// else are told; others go on.
func TestPanics(t *testing.T) {
	for _, when := range []string{"Next", "Sent", "Received", "Received early"} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				told := make(chan any, 1)
				s := newSite(t, park.Options{Panicked: func(v any, _ []byte) { told <- v }},
					func(l *park.Lot, w http.ResponseWriter, r *http.Request, sp *speaker) {
						p := nervous{sp, strings.TrimSuffix(when, " early")}
						if r.URL.Path == "/calm" {
							p.when = ""
						}
						l.Upgrade(&sp.Conn, w, r, p, beat)
					})
				calm, calmIn := s.connect()
				other := s.expect()
				ask(calm, "/calm")
				http.ReadResponse(calmIn, nil)

				c, in := s.connect()
				sp := s.expect()
				if when == "Received early" {
					go io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\nboo")
				} else {
					ask(c, "/")
					http.ReadResponse(in, nil)
				}
				if when == "Received" {
					go io.WriteString(c, "boo")
				} else {
					sp.say("x")
				}
				if _, err := io.ReadAll(in); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				if len(sp.closed) != 1 || len(told) != 1 {
					t.Errorf("it was told %d times, somebody else %d times", len(sp.closed), len(told))
				}
				other.say("still here")
				if got := take(t, calmIn, 10); got != "still here" {
					t.Errorf("%q", got)
				}
			})
		})
	}
}

// A poll that is cut is not answered, by whatever form it is held.
func TestCutPoll(t *testing.T) {
	for name, hold := range map[string]func(*park.Lot, http.ResponseWriter, *http.Request, *speaker){"taken": answers, "kept": keptAnswers} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, park.Options{}, hold)
				c, in := s.connect()
				sp := s.expect()
				ask(c, "/")
				over, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := s.lot.Wait(over); err != park.ErrCut {
					t.Errorf("Wait: %v", err)
				}
				if resp, err := http.ReadResponse(in, nil); err == nil {
					t.Errorf("it was answered: %+v", resp)
				}
				wantClosed(t, sp, park.ErrCut)
			})
		})
	}
}

// What a poll's peer does not know is not said to be sent, if that is asked for.
func TestCertain(t *testing.T) {
	lot := park.New(park.Options{})
	sp := newSpeaker()
	sp.Certain = true
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answers(lot, w, r, sp) }))
	defer srv.Close()
	for range 50 {
		sp = newSpeaker()
		sp.Certain = true
		c, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		for lot.Held() == 0 {
			time.Sleep(time.Millisecond)
		}
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
		sp.say("x")
		<-sp.closed
		if n := sp.count(); n != 0 {
			t.Fatal("the peer has gone, and it counts as sent")
		}
		wantEmpty(t, lot)
	}
}

// A witnessed request is one of which somebody wants to know how it ends.
type witnessed struct {
	http.ResponseWriter
	outlive func()
	ended   func()
}

func (w witnessed) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w witnessed) Outlive() func(int, int64, time.Duration, fmt.Stringer) {
	w.outlive()
	return func(int, int64, time.Duration, fmt.Stringer) { w.ended() }
}

func (w witnessed) Again() func() { return func() {} }

// The witness is told also where the tenant panics at its end.
func TestWitnessOfAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := 0
		s := newSite(t, park.Options{Panicked: func(any, []byte) {}},
			func(l *park.Lot, w http.ResponseWriter, r *http.Request, sp *speaker) {
				l.Stream(&sp.Conn, witnessed{w, func() {}, func() { ended++ }}, r, nervous{sp, "Closed"}, beat)
			})
		c, in := s.connect()
		sp := s.expect()
		ask(c, "/")
		http.ReadResponse(in, nil)
		sp.bye()
		synctest.Wait()
		if ended != 1 {
			t.Errorf("the witness was told %d times", ended)
		}
	})
}

// Who is about to be held when the lot drains is told, and waited for.
func TestDrainOfWhoIsAboutToBeHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drain, endDrain := context.WithCancel(context.Background())
		lot := park.New(park.Options{Drain: drain})
		sp := newSpeaker()
		sp.drain = "bye"
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			slow := witnessed{w, func() { time.Sleep(time.Second) }, func() {}}
			lot.Answer(&sp.Conn, slow, r, sp, wait)
		})}
		p := newPipes()
		served := make(chan struct{})
		go func() { defer close(served); lot.Serve(srv, p) }()
		c := p.dial()
		defer c.Close()
		go io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		go io.ReadAll(c)
		time.Sleep(100 * time.Millisecond)
		srv.RegisterOnShutdown(endDrain)
		if err := errors.Join(srv.Shutdown(t.Context()), lot.Wait(t.Context())); err != nil {
			t.Error(err)
		}
		wantClosed(t, sp, nil)
		p.hangUp()
		<-served
	})
}
