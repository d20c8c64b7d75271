package original_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/original"
)

// roomy keeps all that a test says, however slow its readers are.
var roomy = hub.Limits{ChannelBytes: 64 << 20, TotalBytes: 1 << 30}

// A collector polls until it has been told to stop, and keeps what it reads.
type collector struct {
	p      *place
	query  string
	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex // guards all below
	lines []line
	more  chan struct{} // closed when lines have come
}

func (p *place) collect(ids ...string) *collector { return p.collectBy(1, ids...) }

// collectBy has so many overlapping polls collect together.
func (p *place) collectBy(polls int, ids ...string) *collector {
	ctx, cancel := context.WithCancel(context.Background())
	c := &collector{p: p, query: p.query(ids...), cancel: cancel, done: make(chan struct{}), more: make(chan struct{})}
	var polling sync.WaitGroup
	for range polls {
		polling.Go(func() { c.poll(ctx) })
	}
	go func() { defer close(c.done); polling.Wait() }()
	p.t.Cleanup(c.stop)
	return c
}

func (c *collector) poll(ctx context.Context) {
	for {
		w := c.p.do(ctx, "GET", c.query)
		if ctx.Err() != nil {
			return
		}
		all, err := parseNews(w.Body.String())
		if err != nil || w.Code != 200 {
			c.p.t.Errorf("status %d, %v", w.Code, err)
			return
		}
		for _, lines := range all {
			c.add(lines)
		}
	}
}

func (c *collector) add(lines []line) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, lines...)
	close(c.more)
	c.more = make(chan struct{})
}

func (c *collector) stop() { c.cancel(); <-c.done }

// until waits until enough reports true of what has come, and returns it.
func (c *collector) until(enough func([]line) bool) []line {
	for {
		c.mu.Lock()
		lines, more := slices.Clone(c.lines), c.more
		c.mu.Unlock()
		if enough(lines) {
			return lines
		}
		select {
		case <-more:
		case <-c.done:
			return lines
		}
	}
}

// ended reports whether the message "end" has come.
func ended(lines []line) bool { return has(lines, "end") }

func has(lines []line, text string) bool {
	return slices.ContainsFunc(lines, func(l line) bool { return l.Text == text })
}

// TestConcurrentPublishersHaveOneOrder: everybody reads the same order, in which no
// number is missing and each publisher's own order is kept.
func TestConcurrentPublishersHaveOneOrder(t *testing.T) {
	const publishers = 16
	each := rounds(100, 1000)
	p := newPlace(t, original.Options{}, roomy)
	var readers []*collector
	for _, id := range []string{"a", "b", "c", "d"} {
		p.client(id, "ch")
	}
	for id := range p.keys {
		readers = append(readers, p.collect(id))
	}
	var saying sync.WaitGroup
	for i := range publishers {
		saying.Go(func() {
			for j := range each {
				p.say("ch", fmt.Sprint(i, " ", j))
			}
		})
	}
	saying.Wait()
	p.say("ch", "end")

	var first []line
	for _, r := range readers {
		lines := r.until(ended)
		next := make([]int, publishers)
		var messages []line
		for i, l := range lines {
			if i > 0 && l.ID != lines[i-1].ID+1 {
				t.Fatalf("%d comes after %d", l.ID, lines[i-1].ID)
			}
			var who, n int
			if _, err := fmt.Sscan(l.Text, &who, &n); err != nil {
				continue // a notice, or the end
			}
			if n != next[who] {
				t.Fatalf("publisher %d: %d comes where %d belongs", who, n, next[who])
			}
			next[who]++
			messages = append(messages, l)
		}
		if len(messages) != publishers*each {
			t.Fatalf("%d messages", len(messages))
		}
		if first == nil {
			first = messages
		}
		if !slices.EqualFunc(messages, first, func(a, b line) bool { return a.ID == b.ID && a.Text == b.Text }) {
			t.Error("two readers read different orders")
		}
	}
}

// TestOnePublisherKeepsItsOrder, who waits for each answer.
func TestOnePublisherKeepsItsOrder(t *testing.T) {
	p := newPlace(t, original.Options{}, roomy)
	p.client("a", "ch")
	r := p.collect("a")
	n := rounds(1000, 10_000)
	for i := range n {
		p.say("ch", fmt.Sprint(i))
	}
	p.say("ch", "end")
	wantCount(t, r.until(ended), n)
}

// TestBatchKeepsItsOrder: the calls of one batch happen one after the other.
func TestBatchKeepsItsOrder(t *testing.T) {
	const batch = 100
	p := newPlace(t, original.Options{}, roomy)
	p.client("a", "ch")
	r := p.collect("a")
	n := rounds(10, 100)
	for i := range n {
		var calls []any
		for j := range batch {
			calls = append(calls, map[string]any{"jsonrpc": "2.0", "method": "new_message",
				"params": []any{"bob", fmt.Sprint(i*batch + j), "ch", false}})
		}
		p.handle(calls)
	}
	p.say("ch", "end")
	wantCount(t, r.until(ended), n*batch)
}

// wantCount fails the test unless bob has counted to n.
func wantCount(t *testing.T, lines []line, n int) {
	t.Helper()
	texts := said(map[string][]line{"ch": lines}, "ch")
	for i, text := range texts {
		if i < n && text != fmt.Sprint(i) {
			t.Fatalf("%s comes where %d belongs", text, i)
		}
	}
	if len(texts) != n+1 {
		t.Errorf("%d messages, want %d", len(texts)-1, n)
	}
}

// TestConcurrentPollsShareExactly: many pollers of the same clients, some of
// whose answers break, read every message once and lose none.
func TestConcurrentPollsShareExactly(t *testing.T) {
	const pollers, publishers = 6, 4
	each := rounds(200, 2000)
	p := newPlace(t, original.Options{}, roomy)
	p.client("a", "ch")
	p.client("b", "ch")
	query := []string{p.query("a", "b"), p.query("b", "a")}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var mu sync.Mutex
	times := map[string]int{}
	var polling, saying sync.WaitGroup
	for i := range pollers {
		polling.Go(func() {
			for ctx.Err() == nil {
				w := &fragile{ResponseRecorder: httptest.NewRecorder(), breaks: rand.IntN(3) == 0}
				p.poll.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/message_updates?"+query[i%2], nil))
				if w.breaks || ctx.Err() != nil {
					continue
				}
				all, err := parseNews(w.Body.String())
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				for _, text := range said(all, "ch") {
					times[text]++
				}
				if len(times) == publishers*each {
					stop()
				}
				mu.Unlock()
			}
		})
	}
	for i := range publishers {
		saying.Go(func() {
			for j := range each {
				p.say("ch", fmt.Sprint(i, " ", j))
			}
		})
	}
	saying.Wait()
	polling.Wait()
	for text, n := range times {
		if n != 1 {
			t.Errorf("%q has come %d times", text, n)
		}
	}
	if n := p.hub.Stats().Sessions; n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

// fragile is a writer whose connection may not stand to the end.
type fragile struct {
	*httptest.ResponseRecorder
	breaks bool
}

func (f *fragile) FlushError() error {
	if f.breaks {
		return io.ErrClosedPipe
	}
	return nil
}

// TestConcurrentPollsAreLimited: as many are held as one client may have, the rest
// is turned away; each message still goes to exactly one.
func TestConcurrentPollsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const polls, limit = 1000, 16
		p := newPlace(t, original.Options{})
		p.client("a", "ch")
		p.read("a")
		all := make([]*held, polls)
		for i := range all {
			all[i] = p.hold("a")
		}
		synctest.Wait()
		if n := p.hub.Stats().Sessions; n != limit {
			t.Errorf("%d polls are held, want %d", n, limit)
		}
		var waiting []*held
		for _, h := range all {
			if !h.answered() {
				waiting = append(waiting, h)
			} else if h.w.Code != 429 {
				t.Errorf("status %d", h.w.Code)
			}
		}
		for i := range limit {
			p.say("ch", fmt.Sprint(i))
			synctest.Wait()
			before := len(waiting)
			waiting = slices.DeleteFunc(waiting, (*held).answered)
			if len(waiting) != before-1 {
				t.Fatalf("message %d went to %d polls", i, before-len(waiting))
			}
		}
		wantHeld(t, "there is room again", p.hold("a"))
	})
}

// TestSubscribedFromTheAnswerOn: what is said after subscribe has answered is
// always read, and what was said before it was asked never.
func TestSubscribedFromTheAnswerOn(t *testing.T) {
	p := newPlace(t, original.Options{})
	p.client("a", "control")
	r := p.collect("a")
	for i := range rounds(500, 5000) {
		p.say("ch", fmt.Sprint("before ", i))
		p.call("subscribe", "a", "ch")
		after := fmt.Sprint("after ", i)
		p.say("ch", after)
		r.until(func(lines []line) bool { return has(lines, after) })
		p.call("unsubscribe", "a", "ch")
	}
	for _, l := range r.until(func([]line) bool { return true }) {
		if strings.HasPrefix(l.Text, "before") {
			t.Errorf("%q was read", l.Text)
		}
	}
}

// TestConcurrentUnsubscribeIsFinal: once the answer is there, nothing that is
// said comes, however many polls are under way; the same for clearing the
// channel.
func TestConcurrentUnsubscribeIsFinal(t *testing.T) {
	for name, leave := range map[string]func(p *place){
		"unsubscribe":             func(p *place) { p.call("unsubscribe", "a", "ch") },
		"unsubscribe_all_channel": func(p *place) { p.call("unsubscribe_all_channel", "ch", []string{"witness"}) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, original.Options{}, roomy)
			p.client("a")
			p.client("witness", "ch")
			r := p.collectBy(2, "a")
			witness := p.collect("witness")
			for range rounds(200, 1000) {
				p.call("subscribe", "a", "ch")
				var saying sync.WaitGroup
				saying.Go(func() { p.say("ch", "may come") })
				leave(p)
				p.say("ch", "must not come")
				saying.Wait()
			}
			p.say("ch", "end")
			witness.until(ended)
			p.call("subscribe", "a", "ch")
			p.say("ch", "end")
			if has(r.until(ended), "must not come") {
				t.Error("it came")
			}
		})
	}
}

// TestConcurrentKillIsFinal: the poll under way ends, nothing that is said afterwards
// comes, and nobody is back on the channel.
func TestConcurrentKillIsFinal(t *testing.T) {
	p := newPlace(t, original.Options{})
	for i := range rounds(200, 1000) {
		p.client("a", "ch")
		h := p.hold("a")
		second := p.hold("a")
		var saying sync.WaitGroup
		saying.Go(func() { p.say("ch", "may come") })
		p.call("kill_client", "a")
		p.say("ch", "must not come")
		for _, h := range []*held{h, second} {
			if body := h.body(); strings.Contains(body, "must not come") || h.w.Code != 200 && h.w.Code != 404 {
				t.Fatalf("round %d: %d %s", i, h.w.Code, body)
			}
		}
		saying.Wait()
		if w := p.get(p.query("a")); w.Code != 404 {
			t.Fatalf("round %d: a later poll: %d %s", i, w.Code, w.Body)
		}
		if members := p.call("get_channel_clients", "ch"); members != "[]" {
			t.Fatalf("round %d: members %s", i, members)
		}
	}
}

// TestConcurrentKillAndCreate: who has the same name is somebody else, with another
// key; the old one's poll hears nothing of it.
func TestConcurrentKillAndCreate(t *testing.T) {
	p := newPlace(t, original.Options{})
	for i := range rounds(100, 500) {
		p.client("a", "ch")
		old := p.query("a")
		h := p.hold("a")
		p.call("kill_client", "a")
		p.client("a", "ch")
		p.say("ch", "for the new one")
		if p.query("a") == old {
			t.Fatal("the same key")
		}
		if body := h.body(); strings.Contains(body, "for the new one") {
			t.Fatalf("round %d: %s", i, body)
		}
		if w := p.get(old); w.Code != 404 {
			t.Fatalf("round %d: the old key: %d %s", i, w.Code, w.Body)
		}
		got := news(t, p.get(p.query("a")).Body.String())
		if texts := said(got, "ch"); !slices.Equal(texts, []string{"for the new one"}) {
			t.Fatalf("round %d: %q", i, texts)
		}
		p.call("kill_client", "a")
	}
}

// TestConcurrentLastCallCounts, however fast they follow one another.
func TestConcurrentLastCallCounts(t *testing.T) {
	p := newPlace(t, original.Options{})
	p.client("a", "control")
	p.collect("a")
	for i := range rounds(500, 5000) {
		p.call("subscribe", "a", "ch")
		p.call("unsubscribe", "a", "ch")
		want := `["control"]`
		if i%2 == 0 {
			p.call("subscribe", "a", "ch")
			want = `["control","ch"]`
		}
		var names []string
		if err := json.Unmarshal([]byte(p.call("get_client_channels", "a")), &names); err != nil {
			t.Fatal(err)
		}
		slices.Sort(names[1:])
		if got, _ := json.Marshal(names); string(got) != want {
			t.Fatalf("round %d: %s, want %s", i, got, want)
		}
	}
}
