package original_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/original"
)

// TestPollBrokenBeforeItsAnswer: what is said after a held connection has gone
// is for the next poll. The connection goes with a reset, as when a process
// dies, or properly.
func TestPollBrokenBeforeItsAnswer(t *testing.T) {
	p := newPlace(t, original.Options{})
	p.client("a", "ch")
	p.get(p.query("a"))
	left := make(chan struct{}, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.poll.ServeHTTP(w, r)
		left <- struct{}{}
	}))
	defer srv.Close()
	for i := range rounds(20, 500) {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET /message_updates?%s HTTP/1.1\r\nHost: x\r\n\r\n", p.query("a"))
		if i%2 == 0 {
			conn.(*net.TCPConn).SetLinger(0)
		}
		conn.Close()
		<-left // the server has seen it
		p.say("ch", fmt.Sprint(i))
		if got := said(news(t, p.get(p.query("a")).Body.String()), "ch"); !slices.Equal(got, []string{fmt.Sprint(i)}) {
			t.Fatalf("round %d: got %q", i, got)
		}
	}
}

// brittle is a writer whose connection takes only so many bytes. A real one
// has a buffer, so it is the flush that fails.
type brittle struct {
	*httptest.ResponseRecorder
	left  int
	early bool // Write fails; otherwise Flush does
}

func (b *brittle) Write(p []byte) (int, error) {
	n := min(b.left, len(p))
	b.left -= n
	if n < len(p) && b.early {
		return n, io.ErrClosedPipe
	}
	return len(p), nil
}

func (b *brittle) FlushError() error {
	return io.ErrClosedPipe
}

// TestPollBrokenInItsAnswer: wherever the answer breaks off, the next poll
// gets all of it, and an answer that was taken whole is not told again.
func TestPollBrokenInItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, original.Options{})
		p.client("a", "one", "two")
		p.client("b", "two")
		p.say("one", "x")
		p.say("two", "y")
		const want = `{"one": [[1, "{\"type\": \"subscribe\"}", "a"], [2, "x", "bob"]], ` +
			`"two": [[1, "{\"type\": \"subscribe\"}", "a"], [2, "{\"type\": \"subscribe\"}", "b"], [3, "y", "bob"]]}`
		for limit := range len("/**/cb(" + want + ");") {
			for _, early := range []bool{true, false} {
				w := &brittle{httptest.NewRecorder(), limit, early}
				p.poll.ServeHTTP(w, httptest.NewRequest("GET", "/message_updates?"+p.query("a", "b"), nil))
			}
		}
		p.wantPoll(want, "a", "b")
		p.say("two", "z")
		p.wantPoll(`{"two": [[4, "z", "bob"]]}`, "a", "b")
	})
}

// TestPollBrokenAsItsAnswerLeaves: the kernel took all of the answer, but the
// connection had gone by then.
func TestPollBrokenAsItsAnswerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, original.Options{})
		p.client("a", "ch")
		ctx, cancel := context.WithCancel(t.Context())
		w := &hangUp{httptest.NewRecorder(), cancel}
		p.poll.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/message_updates?"+p.query("a"), nil))
		p.wantPoll(joined("ch", "a"), "a")
	})
}

// hangUp is a writer whose connection goes with the last byte.
type hangUp struct {
	*httptest.ResponseRecorder
	cancel func()
}

func (h *hangUp) FlushError() error { h.cancel(); return nil }

// TestBrokenAnswerGoesToAWaitingPoll: with two polls under way, what one could
// not deliver the other does, at once.
func TestBrokenAnswerGoesToAWaitingPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, original.Options{})
		p.client("a", "ch")
		ours, theirs := net.Pipe()
		srv := &http.Server{Handler: p.poll}
		l := &oneConn{conn: make(chan net.Conn, 1), closed: make(chan struct{})}
		l.conn <- theirs
		served := make(chan struct{})
		go func() { defer close(served); srv.Serve(l) }()
		defer func() { srv.Close(); <-served }()

		io.WriteString(ours, "GET /message_updates?"+p.query("a")+" HTTP/1.1\r\nHost: x\r\n\r\n")
		line, err := bufio.NewReaderSize(ours, 16).ReadString('\n')
		if err != nil || line != "HTTP/1.1 200 OK\r\n" {
			t.Fatalf("%q, %v", line, err)
		}
		h := p.hold("a")
		wantHeld(t, "while the first answer is on its way", h)
		ours.Close()
		wantAnswer(t, "after it has broken", h, "/**/cb("+joined("ch", "a")+");")
	})
}

// TestMessageDuringAnAnswer: what is said while one poll's answer is on its way
// is for the other poll, as soon as the answer has been taken.
func TestMessageDuringAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, original.Options{})
		p.client("a", "ch")
		w := &slow{httptest.NewRecorder(), make(chan struct{})}
		answering := make(chan struct{})
		go func() {
			defer close(answering)
			p.poll.ServeHTTP(w, httptest.NewRequest("GET", "/message_updates?"+p.query("a"), nil))
		}()
		synctest.Wait()
		h := p.hold("a")
		wantHeld(t, "the other poll", h)
		p.say("ch", "meanwhile")
		wantHeld(t, "before the answer has been taken", h)
		close(w.taken)
		<-answering
		wantAnswer(t, "afterwards", h, `/**/cb({"ch": [[2, "meanwhile", "bob"]]});`)
		if got := w.Body.String(); got != "/**/cb("+joined("ch", "a")+");" {
			t.Errorf("the first answer: %s", got)
		}
	})
}

// slow is a writer whose connection takes its time.
type slow struct {
	*httptest.ResponseRecorder
	taken chan struct{}
}

func (s *slow) FlushError() error { <-s.taken; return nil }

// TestMoreThanOneAnswerHolds: a long absence is told in pieces of bounded size,
// in order and whole.
func TestMoreThanOneAnswerHolds(t *testing.T) {
	const channels, size = 20, 1000
	each := rounds(100, 500)
	p := newPlace(t, original.Options{})
	p.client("a")
	for c := range channels {
		p.call("subscribe", "a", fmt.Sprint("ch", c))
	}
	text := func(i int) string { return fmt.Sprintf("%0*d", size, i) }
	for i := range each {
		for c := range channels {
			pub := hub.Publication{Channel: fmt.Sprint("ch", c), Sender: []byte(`"bob"`), Data: []byte(`"` + text(i) + `"`)}
			if _, err := p.hub.Publish(t.Context(), pub); err != nil {
				t.Fatal(err)
			}
		}
	}
	seen := make(map[string]int)
	answers, total := 0, 0
	for total < channels*each {
		body := p.get(p.query("a")).Body.String()
		answers++
		// Data is bounded; around it stand ids, senders and names.
		if limit := 512<<10 + 1000*100; len(body) > limit {
			t.Errorf("an answer of %d bytes", len(body))
		}
		for channel, lines := range news(t, body) {
			if len(lines) > 1000 {
				t.Errorf("%d messages in one answer", len(lines))
			}
			for _, l := range said(map[string][]line{channel: lines}, channel) {
				if l != text(seen[channel]) {
					t.Fatalf("%s: %q where %d belongs", channel, l, seen[channel])
				}
				seen[channel]++
				total++
			}
		}
	}
	if answers < channels*each*size/(512<<10) {
		t.Errorf("%d messages came in %d answers", total, answers)
	}
}

// TestWindowBoundsWhatIsKept: who was away for longer than a channel
// remembers gets the newest; the ids tell that something is missing.
func TestWindowBoundsWhatIsKept(t *testing.T) {
	p := newPlace(t, original.Options{}, hub.Limits{ChannelMessages: 10})
	p.client("a", "ch")
	for i := range 15 {
		p.say("ch", fmt.Sprint(i))
	}
	all := news(t, p.get(p.query("a")).Body.String())["ch"]
	if len(all) != 11 || all[1].ID != 7 || all[1].Text != "5" || all[10].ID != 16 || all[10].Text != "14" {
		t.Errorf("got %v", all)
	}
}
