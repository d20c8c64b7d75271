package hub_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// Sixteen publishers on one channel, and many readers: one order for all, ids
// dense, each publisher's own order kept, nothing missing, while others come
// and go, are killed and swept.
func TestConcurrentReadersHearOneOrder(t *testing.T) {
	const publishers, each, readers = 16, 200, 12
	h := newHub(t, hub.Limits{ChannelNotices: 10_000})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	var reading, saying, coming sync.WaitGroup
	heard := make([][]string, readers)
	for i := range readers {
		cr := create(t, h, fmt.Sprint("reader", i), "room")
		reading.Go(func() { heard[i] = listen(ctx, t, h, cr, publishers*each) })
	}
	var quiet atomic.Bool
	for i := range 4 {
		coming.Go(func() {
			for n := 0; !quiet.Load(); n++ {
				comeAndGo(ctx, t, h, fmt.Sprint("guest", i), n)
			}
		})
	}
	for p := range publishers {
		saying.Go(func() {
			for n := range each {
				publish(t, h, "room", fmt.Sprint(p, ".", n))
			}
		})
	}
	saying.Wait()
	reading.Wait()
	quiet.Store(true)
	coming.Wait()

	for i := range heard {
		if !slices.Equal(heard[i], heard[0]) {
			t.Fatalf("reader %d heard another order than reader 0", i)
		}
	}
	next := make([]int, publishers)
	for _, text := range heard[0] {
		var p, n int
		fmt.Sscanf(text, "%d.%d", &p, &n)
		if n != next[p] {
			t.Fatalf("publisher %d: heard %d, want %d", p, n, next[p])
		}
		next[p]++
	}
	if len(heard[0]) != publishers*each {
		t.Errorf("%d messages, want %d", len(heard[0]), publishers*each)
	}
}

// listen reads until it has n messages, over sessions that come back with
// their position.
func listen(ctx context.Context, t *testing.T, h *hub.Hub, cr hub.Credentials, n int) (texts []string) {
	var at hub.Position
	var id uint64
	for len(texts) < n {
		s, err := h.Attach(ctx, []hub.Credentials{cr}, hub.Start{At: at})
		if err != nil {
			t.Error(err)
			return nil
		}
		for range 7 {
			b, err := s.Next(ctx)
			if err != nil {
				t.Errorf("after %d messages: %v", len(texts), err)
				s.Close()
				return nil
			}
			for _, m := range b.Messages {
				if id != 0 && m.ID != id+1 {
					t.Errorf("id %d after %d", m.ID, id)
				}
				id = m.ID
			}
			texts = append(texts, said(b.Messages)...)
			s.Commit()
			at = b.Position
			if len(texts) >= n {
				break
			}
		}
		s.Close()
	}
	return texts
}

// comeAndGo is a client's short life.
func comeAndGo(ctx context.Context, t *testing.T, h *hub.Hub, id string, n int) {
	cr := create(t, h, id, "room")
	s, err := h.Attach(ctx, []hub.Credentials{cr}, hub.Start{Now: true})
	if err != nil {
		t.Error(err)
		return
	}
	s.Collect()
	h.Members("room")
	switch n % 3 {
	case 0:
		s.Close()
		h.Expire(ctx, hub.Idle{}, 10)
		h.Tidy(ctx)
	case 1:
		h.Unsubscribe(ctx, []hub.Pair{{Client: id, Channel: "room"}})
		s.Close()
	default:
		s.Close()
	}
	if err := h.KillClient(ctx, id); err != nil && n%3 != 0 {
		t.Error(err)
	}
}

// Whatever is published after subscribe has answered is delivered, and nothing
// that was published before it began.
func TestConcurrentSubscribeIsAnEdge(t *testing.T) {
	h := newHub(t, hub.Limits{ChannelMessages: 100_000, TotalBytes: 1 << 40, ChannelBytes: 1 << 30})
	var quiet atomic.Bool
	var saying sync.WaitGroup
	var last atomic.Uint64 // highest seq that was answered
	saying.Go(func() {
		for n := 0; !quiet.Load(); n++ {
			p, err := h.Publish(context.Background(), publication("room", strconv.Itoa(n)))
			if err != nil {
				t.Error(err)
				return
			}
			last.Store(p.Position.Seq)
		}
	})
	defer saying.Wait()
	defer quiet.Store(true)
	cr := create(t, h, "a")
	for range 300 {
		before := last.Load()
		at, err := h.Subscribe(t.Context(), []hub.Pair{{Client: "a", Channel: "room"}})
		if err != nil {
			t.Fatal(err)
		}
		p := publish(t, h, "room", "after")
		messages, end := readAll(t, h, hub.Start{}, cr)
		first := messages[0]
		if first.Seq != at.Seq || first.Seq <= before {
			t.Fatalf("the first thing heard is seq %d, the subscription was %d", first.Seq, at.Seq)
		}
		if !slices.ContainsFunc(messages, func(m *hub.Message) bool { return m.Seq == p.Position.Seq }) {
			t.Fatalf("seq %d, published after subscribe had answered, is missing", p.Position.Seq)
		}
		if _, err := h.Unsubscribe(t.Context(), []hub.Pair{{Client: "a", Channel: "room"}}); err != nil {
			t.Fatal(err)
		}
		if messages, _ := readAll(t, h, hub.Start{At: end}, cr); len(messages) != 0 {
			t.Fatal("something is heard after unsubscribe has answered")
		}
	}
}

// readAll is a session that reads up to what was the top when it began.
func readAll(t *testing.T, h *hub.Hub, start hub.Start, cr hub.Credentials) (messages []*hub.Message, end hub.Position) {
	t.Helper()
	top := h.Position().Seq
	s := attach(t, h, start, cr)
	defer s.Close()
	for end.Seq < top {
		b := s.Collect()
		messages = append(messages, b.Messages...)
		end = b.Position
		s.Commit()
	}
	return messages, end
}

// Sweeping and killing at once: one notice of the leaving, whoever was first.
func TestConcurrentSweepAndKillTellOnce(t *testing.T) {
	h := newHub(t, hub.Limits{ChannelNotices: 100_000})
	watcher := attach(t, h, hub.Start{Now: true}, create(t, h, "watcher", "room"))
	const rounds = 300
	for i := range rounds {
		id := fmt.Sprint("c", i)
		cr := create(t, h, id, "room")
		var race sync.WaitGroup
		race.Go(func() { h.KillClient(t.Context(), id) })
		race.Go(func() { h.Expire(t.Context(), hub.Idle{}, 100) })
		race.Go(func() {
			if s, err := h.Attach(t.Context(), []hub.Credentials{cr}, hub.Start{}); err == nil {
				s.Close()
			}
		})
		race.Wait()
		h.KillClient(t.Context(), id)
	}
	balance := map[string]int{}
	for more := true; more; {
		b := watcher.Collect()
		more = b.More
		for _, m := range b.Messages {
			switch m.Notice {
			case hub.NoticeJoined:
				balance[string(m.Sender)]++
			case hub.NoticeLeft, hub.NoticeLetGo, hub.NoticeKilled:
				balance[string(m.Sender)]--
			}
		}
		watcher.Commit()
	}
	for id, n := range balance {
		if n != 0 && id != `"watcher"` {
			t.Errorf("%s: joined %+d times more often than it left", id, n)
		}
	}
	if n := len(h.Members("room")); n != 1 {
		t.Errorf("%d members are left, want the watcher", n)
	}
}
