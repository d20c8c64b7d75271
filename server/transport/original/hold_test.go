package original_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/transport/original"
)

const nothing = "/**/cb({});"

// joined is what a client that has just joined reads, as JSON.
func joined(channel, id string) string {
	return `{"` + channel + `": [[1, "{\"type\": \"subscribe\"}", "` + id + `"]]}`
}

// read takes what the clients have not read yet, of which there must be some.
func (p *place) read(ids ...string) {
	p.t.Helper()
	h := p.hold(ids...)
	synctest.Wait()
	if !h.answered() || h.w.Code != 200 {
		p.t.Fatalf("%v have nothing to read", ids)
	}
}

// wantHeld fails the test if the poll has been answered.
func wantHeld(t *testing.T, what string, h *held) {
	t.Helper()
	synctest.Wait()
	if h.answered() {
		t.Fatalf("%s: answered %d %s", what, h.w.Code, h.w.Body)
	}
}

// wantAnswer fails the test unless the poll is answered now, with this.
func wantAnswer(t *testing.T, what string, h *held, want string) {
	t.Helper()
	synctest.Wait()
	if !h.answered() {
		t.Fatalf("%s: still held", what)
	}
	if got := h.w.Body.String(); h.w.Code != 200 || got != want {
		t.Fatalf("%s:\ngot  %d %s\nwant 200 %s", what, h.w.Code, got, want)
	}
}

func TestPollHeldForItsTime(t *testing.T) {
	for _, test := range []struct {
		name     string
		channels []string
		timeout  time.Duration
		want     time.Duration
	}{
		{"by default", []string{"ch"}, 0, 25 * time.Second},
		{"without channels", nil, 0, 25 * time.Second},
		{"as told", []string{"ch"}, time.Minute, time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t, original.Options{Timeout: test.timeout})
				p.client("a", test.channels...)
				if len(test.channels) > 0 {
					p.read("a")
				}
				start := time.Now()
				w := p.get(p.query("a"))
				if d := time.Since(start); d != test.want {
					t.Errorf("held %v, want %v", d, test.want)
				}
				if w.Code != 200 || w.Body.String() != nothing {
					t.Errorf("%d %s", w.Code, w.Body)
				}
				wantHeader(t, w, answerHeader(nothing))
			})
		})
	}
}

func TestPollHeldUntilMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, original.Options{})
		p.client("a", "one", "two")
		p.client("stranger", "elsewhere")
		p.read("a")
		for i, want := range []string{`{"two": [[2, "x", "bob"]]}`, `{"two": [[3, "x", "bob"]]}`} {
			h := p.hold("a")
			wantHeld(t, "no news", h)
			time.Sleep(time.Duration(i) * 20 * time.Second)
			p.say("elsewhere", "not for a")
			wantHeld(t, "somebody else's news", h)
			p.say("two", "x")
			wantAnswer(t, "news", h, "/**/cb("+want+");")
		}
	})
}

func TestPollHeldUntilSubscribed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, original.Options{})
		p.client("a")
		p.client("b", "busy")
		h := p.hold("a")
		wantHeld(t, "no channels", h)
		p.say("busy", "x")
		wantHeld(t, "a channel it is not on", h)
		p.call("subscribe", "a", "ch")
		wantAnswer(t, "its first channel", h, "/**/cb("+joined("ch", "a")+");")

		h = p.hold("a")
		wantHeld(t, "nothing new", h)
		p.call("subscribe", "a", "ch")
		wantHeld(t, "subscribed again", h)
		p.call("subscribe_many", map[string][]string{"further": {"a"}})
		wantAnswer(t, "a further channel", h, "/**/cb("+joined("further", "a")+");")
	})
}

// TestUnsubscribingDoesNotEndPoll, not even from the last channel: a client
// without channels is held.
func TestUnsubscribingDoesNotEndPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, original.Options{})
		p.client("a", "one", "two")
		p.client("b", "one")
		p.read("a")
		h := p.hold("a")
		wantHeld(t, "no news", h)
		p.call("unsubscribe", "a", "one")
		wantHeld(t, "off one channel", h)
		p.say("one", "not for a")
		p.call("unsubscribe_all_channel", "two", []string{})
		wantHeld(t, "off the last channel", h)
		time.Sleep(25 * time.Second)
		wantAnswer(t, "time is up", h, nothing)
	})
}

func TestKillEndsPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, original.Options{})
		p.client("a", "ch")
		p.client("b", "ch")
		p.client("c")
		p.read("a")
		p.read("b")
		h, both, other := p.hold("a"), p.hold("c", "a"), p.hold("c")
		wantHeld(t, "no news", h)
		p.call("kill_client", "a")
		wantAnswer(t, "killed", h, nothing)
		wantAnswer(t, "one of two killed", both, nothing)
		wantHeld(t, "somebody else", other)
		for _, q := range []string{p.query("a"), p.query("b", "a")} {
			if w := p.get(q); w.Code != 404 {
				t.Errorf("a poll afterwards: %d", w.Code)
			}
		}
		p.wantPoll(`{"ch": [[3, "{\"type\": \"unsubscribe\", \"gc\": true}", "a"]]}`, "b")
	})
}

// TestOnePollServesSeveralClients: whichever of them has news, the poll is
// answered, with what each has not read, and nothing twice.
func TestOnePollServesSeveralClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, original.Options{})
		p.client("a", "both", "as")
		p.client("b", "both", "bs")
		p.read("a")
		p.read("b", "a")
		for _, ids := range [][]string{{"a", "b"}, {"b", "a"}, {"a", "b", "a"}} {
			for _, channel := range []string{"as", "bs", "both"} {
				h := p.hold(ids...)
				wantHeld(t, "no news", h)
				p.say(channel, "x")
				synctest.Wait()
				if got := news(t, h.body()); len(got) != 1 || len(got[channel]) != 1 || got[channel][0].Text != "x" {
					t.Fatalf("%v: %v", ids, got)
				}
			}
		}
	})
}

// TestClientsOfOnePollAreMovedEach: where clients of one poll have read their
// common channel up to different messages, nothing is left out, and all have
// read it all then.
func TestClientsOfOnePollAreMovedEach(t *testing.T) {
	for _, ids := range [][]string{{"a", "b"}, {"b", "a"}} {
		synctest.Test(t, func(t *testing.T) {
			p := newPlace(t, original.Options{})
			p.client("a", "ch")
			p.client("b", "ch")
			p.read("a")
			p.read("b")
			p.say("ch", "1")
			p.read("b")
			p.say("ch", "2")
			p.wantPoll(`{"ch": [[3, "1", "bob"], [4, "2", "bob"]]}`, ids...)
			for _, id := range ids {
				wantHeld(t, id, p.hold(id))
			}
		})
	}
}

// TestOverlappingPolls: a page that was set up twice always has two. Each
// message goes to exactly one, the other goes on waiting.
func TestOverlappingPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, original.Options{})
		p.client("a", "ch")
		p.client("b", "ch")
		p.read("a", "b")
		polls := []*held{p.hold("a", "b"), p.hold("b", "a")}
		for i := range 50 {
			wantHeld(t, "first", polls[0])
			wantHeld(t, "second", polls[1])
			time.Sleep(time.Millisecond)
			p.say("ch", "x")
			synctest.Wait()
			if polls[0].answered() == polls[1].answered() {
				t.Fatalf("message %d: both are answered: %t", i, polls[0].answered())
			}
			for j, h := range polls {
				if h.answered() {
					if got := said(news(t, h.body()), "ch"); len(got) != 1 {
						t.Fatalf("message %d: got %q", i, got)
					}
					polls[j] = p.hold("a", "b")
				}
			}
		}
		time.Sleep(25 * time.Second)
		wantAnswer(t, "first", polls[0], nothing)
		wantAnswer(t, "second", polls[1], nothing)
	})
}

// TestConcurrentMessageAndTimeout: a message said in the instant in which a poll's time
// is up is told by this poll or by the next, and once.
func TestConcurrentMessageAndTimeout(t *testing.T) {
	for range rounds(100, 2000) {
		synctest.Test(t, func(t *testing.T) {
			p := newPlace(t, original.Options{})
			p.client("a", "ch")
			p.read("a")
			h := p.hold("a")
			time.Sleep(25 * time.Second)
			p.say("ch", "1") // the answer is under way
			synctest.Wait()
			first := said(news(t, h.body()), "ch")
			p.say("ch", "2")
			all := append(first, said(news(t, p.get(p.query("a")).Body.String()), "ch")...)
			if len(all) != 2 || all[0] != "1" || all[1] != "2" {
				t.Fatalf("got %q, %q of it before the time was up", all, first)
			}
		})
	}
}

// TestDrainAnswersPolls: what is held is answered at once, and connections are
// not kept; polls that come later are too.
func TestDrainAnswersPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drain, end := context.WithCancel(t.Context())
		p := newPlace(t, original.Options{Lot: park.New(park.Options{Drain: drain})})
		p.client("a", "ch")
		p.read("a")
		h := p.hold("a")
		wantHeld(t, "before", h)
		end()
		wantAnswer(t, "drained", h, nothing)
		late := p.hold("a")
		wantAnswer(t, "too late", late, nothing)
		for _, h := range []*held{h, late} {
			if h.w.Header().Get("Connection") != "close" {
				t.Error("the connection is kept")
			}
		}
		p.say("ch", "x")
		p.wantPoll(`{"ch": [[2, "x", "bob"]]}`, "a")
	})
}

// TestQuietPollsKeepTheirConnection: when nothing happens, poll after poll
// takes its time on one and the same connection.
func TestQuietPollsKeepTheirConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, original.Options{})
		p.client("a", "ch")
		p.read("a")
		ours, theirs := net.Pipe()
		srv := &http.Server{Handler: p.poll}
		served := make(chan struct{})
		l := &oneConn{conn: make(chan net.Conn, 1), closed: make(chan struct{})}
		l.conn <- theirs
		go func() { defer close(served); p.lot.Serve(srv, l) }()
		defer func() { srv.Close(); ours.Close(); <-served }()

		answers := bufio.NewReader(ours)
		for range 20 {
			start := time.Now()
			io.WriteString(ours, "GET /message_updates?"+p.query("a")+" HTTP/1.1\r\nHost: x\r\n\r\n")
			resp, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil || string(body) != nothing || resp.Close {
				t.Fatalf("%q, %v, closed: %t", body, err, resp.Close)
			}
			if d := time.Since(start); d != 25*time.Second {
				t.Fatalf("held %v", d)
			}
		}
	})
}

// oneConn is a listener that accepts what it is given.
type oneConn struct {
	conn   chan net.Conn
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *oneConn) Close() error   { close(l.closed); return nil }
func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }
