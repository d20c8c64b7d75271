package redis_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/broker/redis"
	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/tests/redistest"
)

// A node is a hub with a broker of its own.
type node struct {
	*hub.Hub
	broker *redis.Broker
	end    func()
}

// join starts a node on the server, and waits until it has found the log.
func join(t *testing.T, opts redis.Options) *node {
	t.Helper()
	var n atomic.Int64
	b := open(t, opts)
	h := hub.New(hub.Config{NewKey: func() string { return b.NodeID() + strconv.FormatInt(n.Add(1), 10) }}, b)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	end := func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
		done <- context.Canceled
	}
	t.Cleanup(end)
	select {
	case <-h.Ready():
	case <-time.After(20 * time.Second):
		t.Fatal("the log was not found")
	}
	return &node{h, b, end}
}

func must[T any](t *testing.T, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (n *node) create(t *testing.T, id string) hub.Credentials {
	t.Helper()
	key, _, err := n.CreateClient(t.Context(), id)
	return hub.Credentials{ID: id, Key: must(t, key, err)}
}

func (n *node) subscribe(t *testing.T, id, channel string) hub.Position {
	t.Helper()
	at, err := n.Subscribe(t.Context(), []hub.Pair{{Client: id, Channel: channel}})
	return must(t, at, err)
}

func (n *node) say(t *testing.T, channel string, what int) hub.Published {
	t.Helper()
	p, err := n.publish(t.Context(), channel, what)
	return must(t, p, err)
}

// insist says something until it is known to be in the log: where an epoch ends,
// nobody knows of what was on its way.
func (n *node) insist(t *testing.T, channel string, what int) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; {
		_, err := n.publish(t.Context(), channel, what)
		if err == nil {
			return
		}
		if !errors.Is(err, hub.ErrUnavailable) || time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func (n *node) publish(ctx context.Context, channel string, what int) (hub.Published, error) {
	return n.Publish(ctx, hub.Publication{Channel: channel, Sender: json.RawMessage(`"x"`), Data: json.RawMessage(strconv.Itoa(what))})
}

// A listener reads with a position of its own, wherever it is.
type listener struct {
	cr      hub.Credentials
	at      hub.Position
	heard   []int
	signals []hub.SignalType
	lost    []hub.Signal
}

// listen reads on a node until the last of what it hears is this.
func (l *listener) listen(t *testing.T, n *node, last int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s, err := n.Attach(ctx, []hub.Credentials{l.cr}, hub.Start{At: l.at})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for {
		b, err := s.Next(ctx)
		if err != nil {
			t.Fatalf("heard %v and %v, still waiting for %d: %v", l.heard, l.signals, last, err)
		}
		l.take(b)
		s.Commit()
		if len(l.heard) > 0 && l.heard[len(l.heard)-1] == last && !b.More {
			return
		}
	}
}

func (l *listener) take(b hub.Batch) {
	for _, sig := range b.Signals {
		l.signals = append(l.signals, sig.Type)
		if sig.Type == hub.SignalGap || sig.Type == hub.SignalReset {
			l.lost = append(l.lost, sig)
		}
	}
	for _, m := range b.Messages {
		if m.Notice != 0 {
			continue
		}
		n, _ := strconv.Atoi(string(m.Data))
		l.heard = append(l.heard, n)
	}
	l.at = b.Position
}

func (l *listener) want(t *testing.T, from, to int) {
	t.Helper()
	var all []int
	for i := from; i <= to; i++ {
		all = append(all, i)
	}
	if fmt.Sprint(l.heard) != fmt.Sprint(all) {
		t.Errorf("heard %v, want %v", l.heard, all)
	}
}

func TestAnyNodeServesAnyClient(t *testing.T) {
	opts := redis.Options{URL: redistest.Start(t).URL()}
	a, b, c := join(t, opts), join(t, opts), join(t, opts)
	l := &listener{cr: a.create(t, "bob")}
	b.subscribe(t, "bob", "news")
	for i := 1; i <= 9; i++ {
		[]*node{a, b, c}[i%3].say(t, "news", i)
		l.listen(t, []*node{c, a, b}[i%3], i)
	}
	l.want(t, 1, 9)
	if len(l.lost) > 0 {
		t.Errorf("holes: %+v", l.lost)
	}
	if key := a.create(t, "bob").Key; key != l.cr.Key || b.create(t, "bob").Key != key {
		t.Error("a client has more than one key")
	}
	if err := b.KillClient(t.Context(), "bob"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Attach(t.Context(), []hub.Credentials{l.cr}, hub.Start{}); c.Sync(t.Context()) != nil || !errors.Is(err, hub.ErrBadCredentials) {
		if _, err := c.Attach(t.Context(), []hub.Credentials{l.cr}, hub.Start{}); !errors.Is(err, hub.ErrBadCredentials) {
			t.Errorf("who was killed comes in: %v", err)
		}
	}
}

func TestNodeThatBeginsLater(t *testing.T) {
	opts := redis.Options{URL: redistest.Start(t).URL()}
	a := join(t, opts)
	l, quiet := &listener{cr: a.create(t, "bob")}, &listener{cr: a.create(t, "eve")}
	a.subscribe(t, "bob", "news")
	a.subscribe(t, "bob", "other")
	a.subscribe(t, "eve", "other")
	for i := 1; i <= 20; i++ {
		a.say(t, "news", i)
	}
	a.say(t, "other", 100)
	quiet.listen(t, a, 100)
	b := join(t, opts)
	b.say(t, "news", 21)
	l.listen(t, b, 21)
	if fmt.Sprint(l.heard[:20]) != fmt.Sprint([]int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}) || len(l.lost) > 0 {
		t.Errorf("heard %v, holes %v", l.heard, l.lost)
	}
	b.say(t, "other", 101)
	quiet.listen(t, b, 101)
	if len(quiet.lost) > 0 || len(quiet.heard) != 2 {
		t.Errorf("heard %v, holes %v", quiet.heard, quiet.lost)
	}
	must(t, 0, a.Sync(t.Context()))
	for _, p := range []string{"news", "other"} {
		ha, err := a.History(hub.HistoryQuery{Channel: p, Limit: 100})
		must(t, 0, err)
		hb, err := b.History(hub.HistoryQuery{Channel: p, Limit: 100})
		must(t, 0, err)
		if len(ha.Messages) != len(hb.Messages) || ha.LastID != hb.LastID {
			t.Errorf("%s: %d messages up to %d here, %d up to %d there", p, len(ha.Messages), ha.LastID, len(hb.Messages), hb.LastID)
		}
	}
}

func TestNewEpochs(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault func(*redistest.Server)
		gone  bool // nothing is left
	}{
		{"started again with what it had", func(s *redistest.Server) { s.Restart() }, false},
		{"emptied", func(s *redistest.Server) { s.Do("FLUSHALL") }, true},
		{"written to by somebody else", func(s *redistest.Server) {
			s.Do("XADD", strings.TrimSpace(s.Do("KEYS", "*:entries")), "*", "b", "junk", "t", "1")
		}, false},
		{"written to, and full of sense but for one thing", func(s *redistest.Server) {
			key := strings.TrimSpace(s.Do("KEYS", "*:entries"))
			s.Do("EVAL", "redis.call('XADD', KEYS[1], '*', 't', 'yesterday') redis.call('XADD', KEYS[1], '*', 'x', 'y')", "1", key)
		}, false},
		{"started again, empty", func(s *redistest.Server) { s.Do("FLUSHALL"); s.Restart() }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := redistest.Start(t, redistest.AOF)
			opts := redis.Options{URL: server.URL(), Timeout: 10 * time.Second}
			a, b := join(t, opts), join(t, opts)
			l := &listener{cr: a.create(t, "bob")}
			before := a.subscribe(t, "bob", "news")
			for i := 1; i <= 5; i++ {
				a.say(t, "news", i)
			}
			l.listen(t, b, 5)
			s, err := b.Attach(t.Context(), []hub.Credentials{l.cr}, hub.Start{At: l.at})
			must(t, 0, err)
			defer s.Close()
			s.Collect()
			s.Commit()
			tt.fault(server)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			batch, err := s.Next(ctx)
			must(t, 0, err)
			if tt.gone {
				if batch.Signals[0].Type != hub.SignalGone {
					t.Fatalf("the reader heard %+v", batch)
				}
				l.cr = a.create(t, "bob")
				a.subscribe(t, "bob", "news")
				for i := 1; i <= 8; i++ {
					b.say(t, "news", 10+i)
				}
				l.heard, l.lost = nil, nil
				l.listen(t, b, 18)
				if len(l.lost) != 1 || l.lost[0].Type != hub.SignalReset {
					t.Errorf("heard of %+v, want one reset", l.lost)
				}
				l.want(t, 11, 18)
				return
			}
			l.take(batch)
			s.Commit()
			if len(l.lost) != 1 || l.lost[0].Type != hub.SignalReset || batch.Position.Epoch == before.Epoch {
				t.Fatalf("the reader heard %+v", batch)
			}
			a.say(t, "news", 6)
			s.Close()
			l.listen(t, a, 6)
			l.want(t, 1, 6)
		})
	}
}
