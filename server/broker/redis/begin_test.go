package redis_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/broker/redis"
	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/tests/redistest"
	"github.com/shaveet/shaveet/tests/torture/faultproxy"
)

// keysOf returns what the names of the log's keys begin with.
func keysOf(s *redistest.Server) string {
	return "{shaveet}:" + s.Do("HGET", "{shaveet}:log", "set") + ":"
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		t.Fatalf("%q is no number", text)
	}
	return n
}

// Who begins while others come, go, speak and end, knows in the end what those know
// who have been there all the time. The state is read part by part, so it is of no
// one moment.
func TestBeginsInTheMidst(t *testing.T) {
	rounds := 6
	if os.Getenv("SHAVEET_LONG") != "" {
		rounds = 200
	}
	server := redistest.Start(t)
	opts := redis.Options{URL: server.URL()}
	a := join(t, opts)
	var fill sync.WaitGroup
	for w := range 64 { // so that it takes a while to read them
		fill.Go(func() {
			for i := range 100 {
				a.CreateClient(context.Background(), fmt.Sprint("fill", w, "-", i))
			}
		})
	}
	fill.Wait()
	for round := range rounds {
		stop := churn(t, a)
		b := join(t, opts)
		begun := b.Position().Seq
		until(t, "the others have gone on", func() bool { return a.Position().Seq > begun+100 })
		stop()
		must(t, 0, a.Sync(t.Context()))
		must(t, 0, b.Sync(t.Context()))
		sameState(t, fmt.Sprint("round ", round), a.Hub, b.Hub)
		b.end()
	}
}

// churn has all kinds of things happen, until stop.
func churn(t *testing.T, a *node) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for ctx.Err() == nil {
				id, room := fmt.Sprint("c", rand.IntN(20)), fmt.Sprint("room", rand.IntN(12))
				pair := []hub.Pair{{Client: id, Channel: room}}
				switch rand.IntN(12) {
				case 0, 1:
					a.CreateClient(ctx, id)
				case 2, 3, 4:
					a.Subscribe(ctx, pair)
				case 5, 6:
					a.Unsubscribe(ctx, pair)
				case 7:
					a.KillClient(ctx, id)
				case 8:
					a.DeleteChannel(ctx, room)
				case 9, 10:
					a.Publish(ctx, hub.Publication{Channel: room, Sender: json.RawMessage(`"x"`), Data: json.RawMessage(`1`)})
				case 11:
					a.RotateKey(ctx, id)
				}
			}
		})
	}
	all.Go(func() {
		for ctx.Err() == nil {
			a.Tidy(ctx)
			a.Expire(ctx, hub.Idle{After: time.Millisecond}, 3)
		}
	})
	return func() { cancel(); all.Wait() }
}

// sameState wants two hubs to say the same of everything.
func sameState(t *testing.T, when string, a, b *hub.Hub) {
	t.Helper()
	x, _ := a.ListChannels(hub.Listing{Limit: 1000})
	y, _ := b.ListChannels(hub.Listing{Limit: 1000})
	if len(x) != len(y) {
		t.Errorf("%s: %d channels, and %d", when, len(x), len(y))
	}
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			t.Errorf("%s: a channel is %+v, and %+v", when, x[i], y[i])
		}
	}
	u, _ := a.ListClients(hub.Listing{Limit: 1000, Pattern: "c*"})
	v, _ := b.ListClients(hub.Listing{Limit: 1000, Pattern: "c*"})
	if len(u) != len(v) || a.Stats().Clients != b.Stats().Clients {
		t.Errorf("%s: %d of %d clients, and %d of %d", when, len(u), a.Stats().Clients, len(v), b.Stats().Clients)
	}
	for i := range min(len(u), len(v)) {
		if u[i].ID != v[i].ID || u[i].LetGo != v[i].LetGo || u[i].Channels != v[i].Channels {
			t.Errorf("%s: a client is %+v, and %+v", when, u[i], v[i])
		}
	}
}

// The log stays as long as it may be, also where no node lives long enough to read
// as much.
func TestLogOfShortLives(t *testing.T) {
	const limit, each = 1 << 20, 100_000
	server := redistest.Start(t)
	opts := redis.Options{URL: server.URL(), LogBytes: limit}
	for round := range 8 {
		n := join(t, opts)
		for range limit / each * 9 / 10 {
			_, err := n.Publish(t.Context(), hub.Publication{Channel: "news", Sender: json.RawMessage(`"x"`), Data: json.RawMessage(`"` + strings.Repeat("x", each) + `"`)})
			must(t, 0, err)
		}
		n.end()
		if used := number(t, server.Do("MEMORY", "USAGE", keysOf(server)+"entries")); used > 7*limit/2 {
			t.Fatalf("after %d lives the log has %d bytes", round+1, used)
		}
	}
	if n := number(t, server.Do("XLEN", keysOf(server)+"entries")); n < limit/each/2 {
		t.Errorf("%d entries are left", n)
	}
}

// What is kept of a client does not grow with the channels that were deleted.
func TestDeletedChannelsAreForgotten(t *testing.T) {
	server := redistest.Start(t)
	n := join(t, redis.Options{URL: server.URL()})
	n.create(t, "bob")
	for i := range 50 {
		name := fmt.Sprint("c", i)
		n.subscribe(t, "bob", name)
		_, err := n.DeleteChannel(t.Context(), name)
		must(t, 0, err)
	}
	if fields := number(t, server.Do("HLEN", keysOf(server)+"c:bob")); fields > 10 {
		t.Errorf("bob's hash has %d fields", fields)
	}
}

// A dead node's clients that have ended are nobody's.
func TestEndedClientsAreNotInherited(t *testing.T) {
	server := redistest.Start(t)
	a := join(t, redis.Options{URL: server.URL(), DeadAfter: time.Second})
	held := keysOf(server) + "held:"
	server.Do("ZADD", "{shaveet}:log:alive", strconv.FormatInt(time.Now().UnixMilli(), 10), "deadnode")
	for i := range 20 {
		id := fmt.Sprint("g", i)
		a.create(t, id)
		server.Do("ZADD", held+"deadnode", "1", id)
		if i > 0 {
			must(t, 0, a.KillClient(t.Context(), id))
		}
	}
	until(t, "the dead node is forgotten", func() bool { return number(t, server.Do("ZCARD", held+"deadnode")) == 0 })
	if n := number(t, server.Do("ZCARD", held+a.broker.NodeID())); n != 1 {
		t.Errorf("the heir looks after %d clients, want the one there is", n)
	}
}

// A batch whose answer is lost is done once, also if its node counts as dead
// meanwhile.
func TestOnceAcrossDeath(t *testing.T) {
	server := redistest.Start(t)
	link := faultproxy.Start(t, server.Addr, 1, faultproxy.Faults{})
	opts := redis.Options{URL: through(server, link), Timeout: 20 * time.Second, DeadAfter: time.Second}
	a := join(t, opts)
	opts.URL = server.URL()
	b := join(t, opts)
	a.create(t, "bob")
	a.subscribe(t, "bob", "news")
	a.say(t, "news", 1)
	key := keysOf(server) + "entries"
	before := server.Do("XLEN", key)
	link.Drop(faultproxy.Answers, true)
	said := make(chan error, 1)
	go func() {
		_, err := a.publish(t.Context(), "news", 2)
		said <- err
	}()
	until(t, "the log has it", func() bool { return server.Do("XLEN", key) != before })
	link.Retarget("")
	link.Sever()
	until(t, "the node is forgotten", func() bool {
		return !strings.Contains(server.Do("ZRANGE", "{shaveet}:log:alive", "0", "-1"), a.broker.NodeID())
	})
	link.Drop(faultproxy.Answers, false)
	link.Retarget(server.Addr)
	err := <-said
	must(t, 0, a.Sync(t.Context()))
	must(t, 0, b.Sync(t.Context()))
	h, _ := b.History(hub.HistoryQuery{Channel: "news", Limit: 10})
	if len(h.Messages) != 2 {
		t.Errorf("it was said once, with %v: the channel has %d messages, want 2", err, len(h.Messages))
	}
}

// A channel with which something is wrong keeps no others from being dropped.
func TestTidyPassesOver(t *testing.T) {
	server := redistest.Start(t)
	a := join(t, redis.Options{URL: server.URL()})
	a.create(t, "bob")
	for i := range 6 {
		room := fmt.Sprint("room", i)
		a.subscribe(t, "bob", room)
		_, err := a.Unsubscribe(t.Context(), []hub.Pair{{Client: "bob", Channel: room}})
		must(t, 0, err)
	}
	server.Do("HSET", keysOf(server)+"joined", "room1", "999999")
	until(t, "this node is the keeper", func() bool { return a.broker.Keeper() })
	until(t, "all others are dropped", func() bool {
		a.Tidy(t.Context())
		return a.Stats().Channels == 2 // that one, and admin
	})
}

// until waits for something to be so.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not yet: %s", what)
		}
	}
}
