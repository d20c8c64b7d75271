package hub_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newHub runs a hub until the test ends.
func newHub(t testing.TB, l hub.Limits) *hub.Hub { return newHubOn(t, memory.New(), l) }

func newHubOn(t testing.TB, b hub.Broker, l hub.Limits) *hub.Hub {
	t.Helper()
	return newHubWith(t, b, hub.Config{Limits: l})
}

// newHubWith makes the keys by itself.
func newHubWith(t testing.TB, b hub.Broker, cfg hub.Config) *hub.Hub {
	t.Helper()
	var mu sync.Mutex
	n := 0
	cfg.NewKey = func() string {
		mu.Lock()
		defer mu.Unlock()
		n++
		return fmt.Sprintf("key-%d", n)
	}
	h := hub.New(cfg, b)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); h.Run(ctx) }()
	<-h.Ready()
	t.Cleanup(func() { cancel(); <-done })
	return h
}

func create(t testing.TB, h *hub.Hub, id string, channels ...string) hub.Credentials {
	t.Helper()
	key, _, err := h.CreateClient(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, ch := range channels {
		subscribe(t, h, id, ch)
	}
	return hub.Credentials{ID: id, Key: key}
}

func subscribe(t testing.TB, h *hub.Hub, id, channel string) {
	t.Helper()
	if _, err := h.Subscribe(context.Background(), []hub.Pair{{Client: id, Channel: channel}}); err != nil {
		t.Fatal(err)
	}
}

func publish(t testing.TB, h *hub.Hub, channel, text string) hub.Published {
	t.Helper()
	p, err := h.Publish(context.Background(), publication(channel, text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func publication(channel, text string) hub.Publication {
	data, _ := json.Marshal(text)
	return hub.Publication{Channel: channel, Sender: json.RawMessage(`"test"`), Data: data}
}

// attach begins a session. One that begins now has been told already where its
// channels begin, and waits.
func attach(t testing.TB, h *hub.Hub, start hub.Start, creds ...hub.Credentials) *hub.Session {
	t.Helper()
	s, err := h.Attach(context.Background(), creds, start)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if start.Now {
		if b := s.Collect(); len(b.Messages) > 0 || len(b.Signals) != 1 || b.Signals[0].Type != hub.SignalChannels {
			t.Fatalf("the session begins with %+v; want nothing but its channels", b)
		}
		s.Commit()
	}
	return s
}

// said returns the texts of the messages, without the notices.
func said(messages []*hub.Message) (texts []string) {
	for _, m := range messages {
		if m.Notice == 0 {
			texts = append(texts, strings.Trim(string(m.Data), `"`))
		}
	}
	return texts
}

func want(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestNextWaitsForNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, hub.Limits{})
		a := create(t, h, "a", "room")
		s := attach(t, h, hub.Start{Now: true}, a)
		time.AfterFunc(7*time.Second, func() { publish(t, h, "room", "hello") })
		began := time.Now()
		b, err := s.Next(t.Context())
		if err != nil || time.Since(began) != 7*time.Second {
			t.Fatalf("after %v: %v", time.Since(began), err)
		}
		want(t, "batch", said(b.Messages), []string{"hello"})
	})
}

func TestNextEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, hub.Limits{})
		s := attach(t, h, hub.Start{Now: true}, create(t, h, "a", "room"))
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
		defer cancel()
		b, err := s.Next(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !b.Empty() || b.Position != h.Position() {
			t.Errorf("%+v, %v; want an empty batch that says where the session is", b, err)
		}
	})
}

// A reader that waits hears of a channel it is put on meanwhile.
func TestSubscribingWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, hub.Limits{})
		s := attach(t, h, hub.Start{Now: true}, create(t, h, "a"))
		time.AfterFunc(time.Second, func() { subscribe(t, h, "a", "room") })
		b, err := s.Next(t.Context())
		if err != nil || len(b.Signals) != 1 || b.Signals[0].Type != hub.SignalChannels {
			t.Fatalf("%+v, %v; want the channels", b, err)
		}
		if m, ok := b.Signals[0].Channels["room"]; !ok || m.ID != 0 {
			t.Errorf("channels: %+v", b.Signals[0].Channels)
		}
	})
}

func TestKillingWakesAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, hub.Limits{})
		s := attach(t, h, hub.Start{Now: true}, create(t, h, "a", "room"))
		time.AfterFunc(time.Second, func() { h.KillClient(context.Background(), "a") })
		b, err := s.Next(t.Context())
		if err != nil || len(b.Signals) != 1 || b.Signals[0].Type != hub.SignalGone || b.Signals[0].Client != "a" {
			t.Fatalf("%+v, %v; want that a is gone", b, err)
		}
		s.Commit()
		if !s.Ended() {
			t.Error("the session has nobody to read for and has not ended")
		}
	})
}

func TestTakeOverOnlyUnderTheSameSessionID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, hub.Limits{})
		a := create(t, h, "a", "room")
		tab := attach(t, h, hub.Start{Now: true, Session: "tab"}, a)
		other := attach(t, h, hub.Start{Now: true, Session: "other"}, a)
		nameless := attach(t, h, hub.Start{Now: true}, a)
		again := attach(t, h, hub.Start{Now: true, Session: "tab"}, a)
		b, err := tab.Next(t.Context())
		if err != nil || len(b.Signals) != 1 || b.Signals[0].Type != hub.SignalSuperseded || tab.Ended() {
			t.Fatalf("the older tab: %+v, %v; want to be told, and then the end", b, err)
		}
		if tab.Commit(); !tab.Ended() {
			t.Error("a superseded session that has said so has not ended")
		}
		publish(t, h, "room", "hello")
		for _, s := range []*hub.Session{other, nameless, again} {
			b, err := s.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want(t, "each of the others", said(b.Messages), []string{"hello"})
		}
		if b := tab.Collect(); len(b.Messages) != 0 {
			t.Error("a superseded session still gets messages")
		}
	})
}

// Several clients of one session are merged, and what several of them are owed
// comes once.
func TestSessionOfSeveralClients(t *testing.T) {
	h := newHub(t, hub.Limits{})
	a := create(t, h, "a", "both", "only a")
	publish(t, h, "both", "before b")
	b := create(t, h, "b", "both", "only b")
	for _, ch := range []string{"only b", "both", "only a"} {
		publish(t, h, ch, ch)
	}
	s := attach(t, h, hub.Start{}, b, a)
	want(t, "batch", said(s.Collect().Messages), []string{"before b", "only b", "both", "only a"})
}

func TestBadCredentialsChangeNothing(t *testing.T) {
	h := newHub(t, hub.Limits{})
	a := create(t, h, "a", "room")
	for _, creds := range [][]hub.Credentials{
		nil, {{ID: "a", Key: "x"}}, {{ID: "a"}}, {{ID: "nobody", Key: a.Key}}, {{}}, {a, {ID: "nobody"}}, {{ID: "nobody"}, a},
	} {
		if _, err := h.Attach(t.Context(), creds, hub.Start{}); !errors.Is(err, hub.ErrBadCredentials) {
			t.Errorf("%v: %v", creds, err)
		}
		if _, err := h.AttachPoll(t.Context(), creds, nil); !errors.Is(err, hub.ErrBadCredentials) {
			t.Errorf("poll of %v: %v", creds, err)
		}
	}
	if n := h.Stats().Sessions; n != 0 {
		t.Errorf("%d sessions", n)
	}
}

// The wrong key of a client that was let go does not bring it back.
func TestRevivalNeedsTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, hub.Limits{})
		a := create(t, h, "a", "room")
		time.Sleep(2 * time.Minute)
		if n, _, err := h.Expire(t.Context(), idle, 10); n != 1 || err != nil {
			t.Fatalf("%d let go, %v", n, err)
		}
		top := h.Position()
		if _, err := h.Attach(t.Context(), []hub.Credentials{{ID: "a", Key: "x"}}, hub.Start{}); !errors.Is(err, hub.ErrBadCredentials) {
			t.Error(err)
		}
		if h.Position() != top || len(h.Members("room")) != 0 {
			t.Error("something happened")
		}
		publish(t, h, "room", "while away")
		s := attach(t, h, hub.Start{}, a)
		b := s.Collect()
		want(t, "after the revival", said(b.Messages), []string{"while away"})
		want(t, "members", h.Members("room"), []string{"a"})
	})
}

func TestLimits(t *testing.T) {
	ctx := context.Background()
	pair := func(c, ch string) []hub.Pair { return []hub.Pair{{Client: c, Channel: ch}} }
	call := func(f func(h *hub.Hub) error) func(h *hub.Hub) error { return f }
	for _, tt := range []struct {
		name   string
		limits hub.Limits
		fits   func(h *hub.Hub) error
		over   func(h *hub.Hub) error
		want   error
		names  string
	}{
		{"clients", hub.Limits{Clients: 2},
			call(func(h *hub.Hub) error { _, _, err := h.CreateClient(ctx, "second"); return err }),
			call(func(h *hub.Hub) error { _, _, err := h.CreateClient(ctx, "third"); return err }), hub.ErrLimitReached, "clients = 2"},
		{"channels", hub.Limits{Channels: 2},
			call(func(h *hub.Hub) error { _, err := h.Subscribe(ctx, pair("a", "one")); return err }),
			call(func(h *hub.Hub) error { _, err := h.Publish(ctx, publication("two", "x")); return err }), hub.ErrLimitReached, "channels = 2"},
		{"subscriptions", hub.Limits{SubscriptionsPerClient: 2},
			call(func(h *hub.Hub) error {
				_, err := h.Subscribe(ctx, []hub.Pair{{Client: "a", Channel: "1"}, {Client: "a", Channel: "2"}, {Client: "a", Channel: "2"}})
				return err
			}),
			call(func(h *hub.Hub) error { _, err := h.Subscribe(ctx, pair("a", "3")); return err }), hub.ErrLimitReached, "subscriptions_per_client = 2"},
		{"pairs", hub.Limits{PairsPerCall: 1},
			call(func(h *hub.Hub) error { _, err := h.Subscribe(ctx, pair("a", "1")); return err }),
			call(func(h *hub.Hub) error {
				_, err := h.Unsubscribe(ctx, append(pair("a", "1"), pair("a", "2")...))
				return err
			}), hub.ErrLimitReached, "pairs_per_call = 1"},
		{"message", hub.Limits{MessageBytes: 10},
			call(func(h *hub.Hub) error { _, err := h.Publish(ctx, publication("c", "12")); return err }),
			call(func(h *hub.Hub) error { _, err := h.Publish(ctx, publication("c", "123")); return err }), hub.ErrTooLarge, "message_bytes"},
		{"name", hub.Limits{NameBytes: 5},
			call(func(h *hub.Hub) error { _, err := h.Subscribe(ctx, pair("a", "12345")); return err }),
			call(func(h *hub.Hub) error { _, err := h.Subscribe(ctx, pair("a", "123456")); return err }), hub.ErrInvalid, "5 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHub(t, tt.limits)
			create(t, h, "a")
			if err := tt.fits(h); err != nil {
				t.Errorf("at the limit: %v", err)
			}
			top := h.Position()
			err := tt.over(h)
			if !errors.Is(err, tt.want) || !strings.Contains(fmt.Sprint(err), tt.names) {
				t.Errorf("over the limit: %v, want one that names %q", err, tt.names)
			}
			if h.Position() != top {
				t.Error("a refused call has changed the log")
			}
		})
	}
}

func TestSessionsPerClientAreBounded(t *testing.T) {
	h := newHub(t, hub.Limits{SessionsPerClient: 2})
	a := create(t, h, "a")
	attach(t, h, hub.Start{}, a)
	second := attach(t, h, hub.Start{Session: "tab"}, a)
	if _, err := h.Attach(t.Context(), []hub.Credentials{a}, hub.Start{}); !errors.Is(err, hub.ErrLimitReached) {
		t.Errorf("a third: %v", err)
	}
	attach(t, h, hub.Start{Session: "tab"}, a) // in the place of the second
	second.Close()
	if n := h.Stats().Sessions; n != 2 {
		t.Errorf("%d sessions, want 2", n)
	}
}

// All or nothing: one unknown client, and nobody is subscribed.
func TestSubscribeIsAllOrNothing(t *testing.T) {
	h := newHub(t, hub.Limits{})
	create(t, h, "a")
	top := h.Position()
	_, err := h.Subscribe(t.Context(), []hub.Pair{{Client: "a", Channel: "x"}, {Client: "ghost", Channel: "x"}})
	if !errors.Is(err, hub.ErrUnknownClient) || !strings.Contains(err.Error(), "ghost") {
		t.Error(err)
	}
	if h.Position() != top || len(h.Members("x")) != 0 || h.Stats().Channels != 0 {
		t.Error("something was done")
	}
}

// A channel's bytes, and the hub's, are bounded, and who misses something by
// that is told why.
func TestBytesAreBounded(t *testing.T) {
	text := strings.Repeat("x", 1000)
	const charge = 1000 + 2 + 6 + 256 // quotes, sender, overhead
	for _, tt := range []struct {
		name   string
		limits hub.Limits
		reason hub.Reason
	}{
		{"of a channel", hub.Limits{MessageBytes: 2000, ChannelBytes: 5 * charge}, hub.ReasonBytes},
		{"of all channels", hub.Limits{MessageBytes: 2000, ChannelBytes: 5 * charge, TotalBytes: 4 * charge}, hub.ReasonMemory},
		{"by count", hub.Limits{ChannelMessages: 3}, hub.ReasonCount},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHub(t, tt.limits)
			s := attach(t, h, hub.Start{Now: true}, create(t, h, "a", "room"))
			s.Collect()
			s.Commit()
			for range 100 {
				publish(t, h, "room", text)
				if l := tt.limits.TotalBytes; l > 0 && h.Stats().Bytes > l {
					t.Fatalf("%d bytes are kept", h.Stats().Bytes)
				}
			}
			b := s.Collect()
			if len(b.Signals) == 0 || b.Signals[0].Type != hub.SignalGap || b.Signals[0].Reason != tt.reason {
				t.Fatalf("signals %+v, want a gap by %v", b.Signals, tt.reason)
			}
			if n := len(b.Messages); n == 0 || n > 5 || b.Messages[n-1].ID != 101 {
				t.Errorf("%d messages are left", n)
			}
		})
	}
}

// Encodings are charged like messages, and given back with them.
func TestEncodingsAreCharged(t *testing.T) {
	h := newHub(t, hub.Limits{ChannelMessages: 1})
	s := attach(t, h, hub.Start{}, create(t, h, "a", "room"))
	publish(t, h, "room", "one")
	before := h.Stats().Bytes
	calls := 0
	encode := func(*hub.Message) []byte { calls++; return make([]byte, 5000) }
	m := s.Collect().Messages[1]
	m.Encoding(1, encode)
	m.Encoding(1, encode)
	if calls != 1 || h.Stats().Bytes != before+5000 {
		t.Errorf("%d encodings, %d bytes charged", calls, h.Stats().Bytes-before)
	}
	publish(t, h, "room", "two")
	if got := h.Stats().Bytes; got != before {
		t.Errorf("%d bytes after the message went, want %d", got, before)
	}
	m.Encoding(2, encode)
	if got := h.Stats().Bytes; got != before {
		t.Error("an evicted message keeps an encoding")
	}
}

// New channels are refused before old messages have to go for them.
func TestFullHubRefusesNewChannels(t *testing.T) {
	h := newHub(t, hub.Limits{MessageBytes: 1000, ChannelBytes: 2000, TotalBytes: 8000})
	var err error
	for i := 0; i < 100 && err == nil; i++ {
		_, err = h.Publish(t.Context(), publication(fmt.Sprint("ch", i), strings.Repeat("x", 500)))
	}
	if !errors.Is(err, hub.ErrLimitReached) || !strings.Contains(err.Error(), "total_bytes") {
		t.Errorf("%v, want that total_bytes is reached", err)
	}
	publish(t, h, "ch0", "the old ones go on")
}

func TestLargeChannelsHaveCountsInsteadOfNotices(t *testing.T) {
	h := newHub(t, hub.Limits{NoticeMembers: 3})
	s := attach(t, h, hub.Start{Now: true}, create(t, h, "a", "room"))
	s.Collect()
	s.Commit()
	for i := range 5 {
		create(t, h, fmt.Sprint("c", i), "room")
	}
	b := s.Collect()
	if len(b.Messages) != 2 || len(b.Signals) != 0 {
		t.Fatalf("%d notices and signals %v; want two notices", len(b.Messages), b.Signals)
	}
	s.Commit()
	if err := h.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	b = s.Collect()
	if len(b.Signals) != 1 || b.Signals[0].Type != hub.SignalCount || b.Signals[0].Count != 6 {
		t.Errorf("signals %+v, want a count of 6", b.Signals)
	}
	s.Commit()
	if b = s.Collect(); !b.Empty() {
		t.Errorf("the count is told again: %+v", b)
	}
}

func TestChannelsThatMatterToNobodyGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, hub.Limits{Window: time.Minute})
		create(t, h, "a", "left", "stays")
		publish(t, h, "said", "x")
		if _, err := h.Unsubscribe(t.Context(), []hub.Pair{{Client: "a", Channel: "left"}}); err != nil {
			t.Fatal(err)
		}
		h.Tidy(t.Context())
		if n := h.Stats().Channels; n != 3 { // admin, said, stays
			t.Errorf("%d channels, want 3", n)
		}
		time.Sleep(2 * time.Minute)
		h.EvictAged(100)
		h.Tidy(t.Context())
		if n := h.Stats().Channels; n != 2 {
			t.Errorf("%d channels, want 2", n)
		}
		if p := publish(t, h, "said", "again"); p.ID != 1 {
			t.Errorf("a channel that begins again has id %d, want 1", p.ID)
		}
		// Reading creates nothing.
		for i := range 1000 {
			h.Members(fmt.Sprint("unknown", i))
		}
		if n := h.Stats().Channels; n != 3 {
			t.Errorf("%d channels after asking for others", n)
		}
	})
}

// A take-over that fails leaves the older session alone.
func TestFailedTakeOverHasNoEffect(t *testing.T) {
	h := newHub(t, hub.Limits{SessionsPerClient: 1})
	a, b := create(t, h, "a", "room"), create(t, h, "b", "room")
	tab := attach(t, h, hub.Start{Now: true, Session: "tab"}, a)
	attach(t, h, hub.Start{Now: true}, b)
	if _, err := h.Attach(t.Context(), []hub.Credentials{a, b}, hub.Start{Session: "tab"}); !errors.Is(err, hub.ErrLimitReached) {
		t.Fatal(err)
	}
	publish(t, h, "room", "hello")
	want(t, "the tab that stays", said(tab.Collect().Messages), []string{"hello"})
}

// What a session of two clients has not read is no hole because one of the
// two is gone.
func TestGoneClientIsNoGapForTheOther(t *testing.T) {
	h := newHub(t, hub.Limits{ChannelMessages: 2})
	a, b := create(t, h, "a", "room"), create(t, h, "b")
	for range 5 {
		publish(t, h, "room", "hello")
	}
	s := attach(t, h, hub.Start{}, a, b)
	if err := h.KillClient(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if got := s.Collect(); len(got.Signals) != 1 || got.Signals[0].Type != hub.SignalGone || !got.Position.IsZero() {
		t.Fatalf("%+v, want only that b is gone, and no position", got)
	}
	s.Commit()
	got := s.Collect()
	if len(got.Messages) != 3 || slices.ContainsFunc(got.Signals, func(s hub.Signal) bool { return s.Type == hub.SignalGap }) {
		t.Errorf("%+v, want what the window has, and no gap", got)
	}
}

// Senders weigh like data.
func TestBatchBytesBoundABatch(t *testing.T) {
	h := newHub(t, hub.Limits{BatchBytes: 10_000})
	s := attach(t, h, hub.Start{Now: true}, create(t, h, "a", "room"))
	sender, _ := json.Marshal(strings.Repeat("x", 4000))
	for range 10 {
		if _, err := h.Publish(t.Context(), hub.Publication{Channel: "room", Sender: sender, Data: json.RawMessage("1")}); err != nil {
			t.Fatal(err)
		}
	}
	if b := s.Collect(); len(b.Messages) != 2 || !b.More {
		t.Errorf("%d messages, more %v; want 2 of 10", len(b.Messages), b.More)
	}
}

// Members who come and go while others walk over the list must not make it
// grow, and who stays is seen by every walk, exactly once.
func TestConcurrentWalksSeeWhoStays(t *testing.T) {
	const stay = 1000
	h := newHub(t, hub.Limits{NoticeMembers: 1})
	for i := range stay {
		create(t, h, fmt.Sprint("stays", i), "room")
	}
	create(t, h, "comes and goes")
	var walks sync.WaitGroup
	var quiet atomic.Bool
	for range 3 {
		walks.Go(func() {
			for !quiet.Load() {
				seen := map[string]int{}
				for _, id := range h.Members("room") {
					seen[id]++
				}
				delete(seen, "comes and goes")
				if len(seen) != stay {
					t.Errorf("a walk has seen %d of %d", len(seen), stay)
					return
				}
				for id, n := range seen {
					if n != 1 {
						t.Errorf("a walk has seen %s %d times", id, n)
						return
					}
				}
			}
		})
	}
	pair := []hub.Pair{{Client: "comes and goes", Channel: "room"}, {Client: "stays0", Channel: "other"}}
	for range 2000 {
		if _, err := h.Subscribe(t.Context(), pair); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Unsubscribe(t.Context(), pair); err != nil {
			t.Fatal(err)
		}
	}
	quiet.Store(true)
	walks.Wait()
	if n := h.Slots("room"); n > stay+10 {
		t.Errorf("the list has %d slots for %d members", n, stay)
	}
}

// Clients that are killed leave nothing behind.
func TestKilledClientsLeaveTheWheel(t *testing.T) {
	h := newHub(t, hub.Limits{})
	for range 1000 {
		create(t, h, "a")
		create(t, h, "b")
		h.KillClient(t.Context(), "a")
		h.KillClient(t.Context(), "b")
	}
	if n := h.Wheeled(); n != 0 {
		t.Errorf("%d clients in the wheel", n)
	}
	create(t, h, "c")
	if n := h.Wheeled(); n != 1 {
		t.Errorf("%d clients in the wheel, want 1", n)
	}
}

// A let-go client that is taken off a channel does not come back to it, even
// if another client of the same call is unknown.
func TestUnsubscribeReachesLetGoClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, hub.Limits{})
		a := create(t, h, "a", "room", "other")
		time.Sleep(2 * time.Minute)
		if n, _, err := h.Expire(t.Context(), idle, 10); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		_, err := h.Unsubscribe(t.Context(), []hub.Pair{{Client: "ghost", Channel: "room"}, {Client: "a", Channel: "room"}})
		if !errors.Is(err, hub.ErrUnknownClient) || !strings.Contains(err.Error(), "ghost") {
			t.Errorf("%v, want that ghost is unknown", err)
		}
		attach(t, h, hub.Start{}, a)
		if names, err := h.ClientChannels("a"); err != nil || !slices.Equal(names, []string{"other"}) {
			t.Errorf("a is on %v, %v", names, err)
		}
	})
}
