package redis_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
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
	until(t, "what it has sent is remembered again for good", func() bool {
		return strings.TrimSpace(server.Do("TTL", keysOf(server)+"lanes:"+a.broker.NodeID())) == "-1"
	})
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
