package park_test

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/park"
)

const wait = 25 * time.Second

// answers holds polls.
func answers(l *park.Lot, w http.ResponseWriter, r *http.Request, s *speaker) {
	w.Header().Set("Content-Type", "text/x-poll")
	l.Answer(&s.Conn, w, r, s, wait)
}

// keptAnswers holds them where the connection cannot be taken.
func keptAnswers(l *park.Lot, w http.ResponseWriter, r *http.Request, s *speaker) {
	answers(l, kept{w}, r, s)
}

// read reads an answer.
func read(t *testing.T, in *bufio.Reader) (resp *http.Response, body string) {
	t.Helper()
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// wantClosed wants the tenant to be told that it is over, and why.
func wantClosed(t *testing.T, s *speaker, want error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-s.closed:
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("it ended with %v, want %v", err, want)
		}
	default:
		t.Error("it has not ended")
	}
}

// Polls are answered one after the other on one connection, whether there is
// something to say at once, later, or only that the time is up.
func TestPolls(t *testing.T) {
	for name, hold := range map[string]func(*park.Lot, http.ResponseWriter, *http.Request, *speaker){"taken": answers, "kept": keptAnswers} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, park.Options{}, hold)
				c, in := s.connect()
				for i := range 6 {
					sp := s.expect()
					sp.due = "nothing"
					want, took := "nothing", wait
					switch i % 3 {
					case 0:
						sp.say("at once")
						want, took = "at once", 0
					case 1:
						time.AfterFunc(3*time.Second, func() { sp.say("later") })
						want, took = "later", 3*time.Second
					}
					began := time.Now()
					ask(c, "/")
					resp, body := read(t, in)
					if body != want || resp.StatusCode != 200 || resp.Close || resp.ContentLength != int64(len(want)) ||
						resp.Header.Get("Content-Type") != "text/x-poll" || resp.Header.Get("Date") == "" {
						t.Errorf("got %+v %q, want %q", resp, body, want)
					}
					if d := time.Since(began); d != took {
						t.Errorf("it took %v, want %v", d, took)
					}
					wantClosed(t, sp, nil)
					if sp.count() != 1 {
						t.Errorf("Sent was called %d times", sp.count())
					}
					ask(c, "/plain")
					if _, body := read(t, in); body != "plain" {
						t.Errorf("between polls: %q", body)
					}
				}
			})
		})
	}
}

// What a tenant says twice before anybody looks is one answer.
func TestOneAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, park.Options{}, answers)
		c, in := s.connect()
		sp := s.expect()
		ask(c, "/")
		sp.mu.Lock()
		sp.text = "one, "
		sp.mu.Unlock()
		sp.say("two")
		if _, body := read(t, in); body != "one, two" {
			t.Errorf("%q", body)
		}
		sp.say("too late")
		wantClosed(t, sp, nil)
	})
}

// Requests that are sent ahead are answered in their order.
func TestPipelined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, park.Options{}, answers)
		c, in := s.connect()
		first, second, third := s.expect(), s.expect(), s.expect()
		const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
		go io.WriteString(c, get+get)
		synctest.Wait()
		go io.WriteString(c, get)
		synctest.Wait()
		third.say("3")
		second.say("2")
		synctest.Wait()
		first.say("1")
		for _, want := range []string{"1", "2", "3"} {
			if _, body := read(t, in); body != want {
				t.Errorf("got %q, want %q", body, want)
			}
		}
	})
}

// A request that comes while a poll is held is the next one.
func TestNextComesEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, park.Options{}, answers)
		c, in := s.connect()
		first, second := s.expect(), s.expect()
		ask(c, "/")
		ask(c, "/second/with/a/path/that/does/not/fit/into/what/is/kept/for/early/bytes")
		first.say("1")
		second.say("2")
		for _, want := range []string{"1", "2"} {
			if _, body := read(t, in); body != want {
				t.Errorf("got %q, want %q", body, want)
			}
		}
	})
}

// Who cannot be answered on the same connection again is told so.
func TestLastAnswer(t *testing.T) {
	for _, head := range []string{"GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"} {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, park.Options{}, answers)
			c, in := s.connect()
			sp := s.expect()
			go io.WriteString(c, head)
			synctest.Wait()
			sp.say("bye")
			resp, body := read(t, in)
			if _, err := in.ReadByte(); body != "bye" || !resp.Close || err != io.EOF {
				t.Errorf("%+v, %q, then %v", resp, body, err)
			}
		})
	}
}

func TestPeerGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, park.Options{}, answers)
		c, _ := s.connect()
		sp := s.expect()
		ask(c, "/")
		c.Close()
		wantClosed(t, sp, park.ErrGone)
		if n := s.lot.Held(); n != 0 {
			t.Errorf("%d are held", n)
		}
	})
}

// An answered connection waits for its next request as long as it may.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, park.Options{IdleTimeout: time.Minute}, answers)
		c, in := s.connect()
		for range 3 {
			sp := s.expect()
			ask(c, "/")
			sp.say("x")
			read(t, in)
			time.Sleep(time.Minute - 1)
		}
		began := time.Now()
		_, err := in.ReadByte()
		if d := time.Since(began); err != io.EOF || d != 1 {
			t.Errorf("%v after %v", err, d)
		}
	})
}

// A drain answers what is held, and closes what only waits for a request.
func TestDrainOfPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, park.Options{}, answers)
		idle, idleIn := s.connect()
		sp := s.expect()
		ask(idle, "/")
		sp.say("x")
		read(t, idleIn)

		c, in := s.connect()
		sp = s.expect()
		sp.drain = "go"
		ask(c, "/")
		s.drain()
		if resp, body := read(t, in); body != "go" || !resp.Close {
			t.Errorf("%q, closed: %t", body, resp.Close)
		}
		if _, err := idleIn.ReadByte(); err != io.EOF {
			t.Errorf("who waits for a request: %v", err)
		}
		c, in = s.connect()
		sp = s.expect()
		sp.drain = "go too"
		ask(c, "/")
		if resp, body := read(t, in); body != "go too" || !resp.Close {
			t.Errorf("who comes late: %q, closed: %t", body, resp.Close)
		}
		if err := s.lot.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Headers with line breaks in them break nothing.
func TestHeadersAreClean(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, park.Options{}, func(l *park.Lot, w http.ResponseWriter, r *http.Request, sp *speaker) {
			w.Header().Set("X-Strange", "a\r\nX-Injected: b")
			answers(l, w, r, sp)
		})
		c, in := s.connect()
		sp := s.expect()
		ask(c, "/")
		sp.say("x")
		resp, _ := read(t, in)
		if resp.Header.Get("X-Injected") != "" || !strings.Contains(resp.Header.Get("X-Strange"), "a") {
			t.Errorf("%v", resp.Header)
		}
	})
}
