package longpoll_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/transport/longpoll"
)

func TestHeldForItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, longpoll.Options{}, hub.Limits{})
		p.client("a", "ch")
		held := func(wait string, want time.Duration) {
			t.Helper()
			start := time.Now()
			w := p.get(p.query("a") + wait)
			if w.Code != 200 || w.Body.String() != p.empty() {
				t.Errorf("%q: %d %s", wait, w.Code, w.Body)
			}
			if d := time.Since(start); d != want {
				t.Errorf("%q: held %v, want %v", wait, d, want)
			}
		}
		held("", 25*time.Second)
		held("&wait=0", 0)
		held("&wait=1", time.Millisecond)
		held("&wait=3000", 3*time.Second)
		held("&wait=25001", 25*time.Second)
		held("&wait=100000000000000000000", 25*time.Second)
		p = newPlace(t, longpoll.Options{Timeout: time.Minute}, hub.Limits{})
		p.client("a", "ch")
		held("", time.Minute)
		held("&wait=25001", 25001*time.Millisecond)
	})
}

// TestNoWaitTellsAll that there is.
func TestNoWaitTellsAll(t *testing.T) {
	p := newPlace(t, longpoll.Options{}, hub.Limits{})
	p.client("a", "ch")
	for range 1000 {
		query := p.query("a")
		message := p.say("ch", "x")
		if w := p.get(query + "&wait=0"); !strings.Contains(w.Body.String(), message) {
			t.Fatalf("got %s, want %s", w.Body, message)
		}
	}
}

// TestHeldLongerThanABodyMayTake: the time for the request's body does not
// count while the poll is held.
func TestHeldLongerThanABodyMayTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, longpoll.Options{}, hub.Limits{})
		p.client("a", "ch")
		conn := p.connect()
		answers := bufio.NewReader(conn)
		for i := range 6 {
			request := p.post("a")
			if i%2 == 1 {
				request = "GET /longpoll?" + p.query("a") + " HTTP/1.1\r\nHost: x\r\n\r\n"
			}
			start := time.Now()
			io.WriteString(conn, request)
			if status, body := answer(t, answers); status != 200 || body != p.empty() {
				t.Fatalf("%d %s", status, body)
			}
			if d := time.Since(start); d != 25*time.Second {
				t.Fatalf("held %v", d)
			}
		}
	})
}

func answer(t *testing.T, answers *bufio.Reader) (status int, body string) {
	t.Helper()
	resp, err := http.ReadResponse(answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// TestSlowBody is not waited for longer than bodies are, and holds nobody.
func TestSlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, longpoll.Options{}, hub.Limits{})
		p.client("a", "ch")
		conn := p.connect()
		start := time.Now()
		request := p.post("a")
		io.WriteString(conn, request[:len(request)-1])
		status, body := answer(t, bufio.NewReader(conn))
		if status != 400 || !strings.Contains(body, "the body has not come whole") {
			t.Errorf("%d %s", status, body)
		}
		if d := time.Since(start); d != 10*time.Second {
			t.Errorf("it took %v", d)
		}
		if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the connection is kept: %v", err)
		}
		if s := p.hub.Stats(); s.Attached != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestHangUpIsNoticed while a poll is held, however it was asked.
func TestHangUpIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, longpoll.Options{}, hub.Limits{})
		p.client("a", "ch")
		for name, request := range map[string]string{
			"GET":  "GET /longpoll?" + p.query("a") + " HTTP/1.1\r\nHost: x\r\n\r\n",
			"POST": p.post("a"),
			"in chunks": "POST /longpoll?" + p.query("a") + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" +
				"2\r\n{}\r\n0\r\n\r\n",
		} {
			conn := p.connect()
			io.WriteString(conn, request)
			synctest.Wait()
			if n := p.hub.Stats().Sessions; n != 1 {
				t.Fatalf("%s: %d sessions are held", name, n)
			}
			conn.Close()
			synctest.Wait()
			if n := p.hub.Stats().Sessions; n != 0 {
				t.Errorf("%s: %d sessions are left", name, n)
			}
		}
	})
}

// TestWhatFollowsAPollWaits: a request sent ahead is answered after it, and
// garbage ends the connection, but not the poll.
func TestWhatFollowsAPollWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, longpoll.Options{}, hub.Limits{})
		p.client("a", "ch")
		conn := p.connect()
		go io.WriteString(conn, p.post("a")+p.post("a")+"garbage\r\n\r\n")
		synctest.Wait()
		if n := p.hub.Stats().Sessions; n != 1 {
			t.Errorf("%d sessions are held", n)
		}
		answers := bufio.NewReader(conn)
		message := p.say("ch", "x")
		for range 2 {
			if status, body := answer(t, answers); status != 200 || !strings.Contains(body, message) {
				t.Errorf("%d %s", status, body)
			}
		}
		if status, _ := answer(t, answers); status != 400 {
			t.Errorf("the garbage: %d", status)
		}
	})
}

// TestStuckReaderIsGivenUp after the time an answer may take.
func TestStuckReaderIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, holding(park.Options{WriteTimeout: 3 * time.Second}), hub.Limits{})
		p.client("a", "ch")
		conn := p.connect()
		io.WriteString(conn, p.post("a"))
		synctest.Wait()
		p.say("ch", "x")
		time.Sleep(3*time.Second - 1)
		synctest.Wait()
		if n := p.hub.Stats().Sessions; n != 1 {
			t.Errorf("%d sessions before the time is up", n)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if n := p.hub.Stats().Sessions; n != 0 {
			t.Errorf("%d sessions after it", n)
		}
	})
}

// TestDrain answers what is held and what still comes, with what is pending,
// and says when to come again.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drain, end := context.WithCancel(t.Context())
		p := newPlace(t, holding(park.Options{Drain: drain}), hub.Limits{})
		p.client("a", "ch")
		query := p.query("a")
		const signal = `"signals":[{"type":"drain","retry_ms":6000}],"messages":[`
		go func() { time.Sleep(time.Second); end() }()
		start := time.Now()
		w := p.get(query)
		want(t, w, 200, fmt.Sprintf(`{"cursor":"%v",%s]}`, p.hub.Position(), signal), with(plain, "Connection", "close"))
		if d := time.Since(start); d != time.Second {
			t.Errorf("held %v", d)
		}
		message := p.say("ch", "x")
		want(t, p.get(query), 200, fmt.Sprintf(`{"cursor":"%v",%s%s`, p.hub.Position(), signal, message), with(plain, "Connection", "close"))
	})
}

// TestConcurrentDrain: what was said before the drain is in the answer.
func TestConcurrentDrain(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			drain, end := context.WithCancel(t.Context())
			p := newPlace(t, holding(park.Options{Drain: drain}), hub.Limits{})
			p.client("a", "ch")
			said := make(chan string, 1)
			go func() {
				time.Sleep(time.Second)
				message := p.say("ch", "x")
				end()
				said <- message
			}()
			body := p.get(p.query("a")).Body.String()
			if message := <-said; !strings.Contains(body, message) {
				t.Fatalf("got %s without %s", body, message)
			}
		})
	}
}

// TestConcurrentDrainAndDisconnect: the reader is told once to come back.
func TestConcurrentDrainAndDisconnect(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			drain, end := context.WithCancel(t.Context())
			p := newPlace(t, holding(park.Options{Drain: drain}), hub.Limits{})
			p.client("a", "ch")
			go func() {
				time.Sleep(time.Second)
				_, err := p.hub.Disconnect(t.Context(), "a", "")
				p.must(err)
				end()
			}()
			if body := p.get(p.query("a")).Body.String(); strings.Count(body, "drain") != 1 {
				t.Fatalf("got %s", body)
			}
		})
	}
}

// TestConcurrentPublishAndTimeout: whatever the poll's answer says that it
// covers it has told.
func TestConcurrentPublishAndTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, longpoll.Options{}, hub.Limits{})
		p.client("a", "ch")
		for range 200 {
			query := p.query("a")
			said := make(chan string)
			go func() { time.Sleep(25 * time.Second); said <- p.say("ch", "x") }()
			body := p.get(query).Body.String()
			message := <-said
			if !strings.Contains(body, message) && strings.Contains(body, p.hub.Position().String()) {
				t.Fatalf("%s covers a message that it does not have", body)
			}
		}
	})
}
