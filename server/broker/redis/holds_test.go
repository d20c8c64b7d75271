package redis_test

import (
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/broker/redis"
	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/tests/redistest"
	"github.com/shaveet/shaveet/tests/torture/faultproxy"
)

// expire has nodes look for idle clients until there are no live ones.
func expire(t *testing.T, nodes ...*node) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		left := 0
		for _, n := range nodes {
			if _, _, err := n.Expire(t.Context(), hub.Idle{After: time.Millisecond}, 100); err != nil {
				t.Fatal(err)
			}
			left += n.Stats().Clients
		}
		if left == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d clients are never let go", left)
		}
	}
}

// TestLetGoAfterNodesHaveGone has clients be let go by whoever is left.
func TestLetGoAfterNodesHaveGone(t *testing.T) {
	server := redistest.Start(t)
	opts := redis.Options{URL: server.URL(), DeadAfter: 3 * time.Second}
	a, b := join(t, opts), join(t, opts)
	for _, id := range []string{"one", "two"} {
		a.create(t, id)
		b.subscribe(t, id, "news")
	}
	a.end()
	expire(t, b)
}

// Who is looked after by others, too, is left to them, and keeps nobody else: not
// in Redis either.
func TestLeftToOthers(t *testing.T) {
	server := redistest.Start(t)
	opts := redis.Options{URL: server.URL()}
	a, b := join(t, opts), join(t, opts)
	var both []hub.Credentials
	ids := []string{"one", "two", "three", "four"}
	for _, id := range ids {
		cr := a.create(t, id)
		if id == "one" || id == "three" {
			both = append(both, cr)
		}
	}
	must(t, 0, b.Sync(t.Context()))
	s, err := b.Attach(t.Context(), both, hub.Start{})
	must(t, 0, err)
	defer s.Close()
	holds := func(n *node) string { return server.Do("ZRANGE", keysOf(server)+"held:"+n.broker.NodeID(), "0", "-1") }
	until(t, "both look after two of them", func() bool { return len(strings.Fields(holds(b))) == 2 && len(strings.Fields(holds(a))) == 4 })
	until(t, "they have been idle", func() bool {
		gone, _, err := a.Expire(t.Context(), hub.Idle{After: time.Millisecond}, 100)
		must(t, 0, err)
		return gone > 0
	})
	if n := a.Stats().Clients; n != 2 {
		t.Errorf("%d clients are left, want the two that the other looks after", n)
	}
	if left := strings.Fields(holds(a)); len(left) > 0 {
		t.Errorf("this one still looks after %v", left)
	}
	if left := strings.Fields(holds(b)); len(left) != 2 {
		t.Errorf("the other looks after %v", left)
	}
}

// TestLetGoAfterAFailover has clients be let go that were, but not for the copy
// that has taken over.
func TestLetGoAfterAFailover(t *testing.T) {
	primary, replica := redistest.Start(t), redistest.Start(t)
	copying := faultproxy.Start(t, primary.Addr, 1, faultproxy.Faults{})
	replica.ReplicaOf(copying.Addr())
	link := faultproxy.Start(t, primary.Addr, 1, faultproxy.Faults{})
	opts := redis.Options{URL: through(primary, link), Timeout: 10 * time.Second}
	a, b := join(t, opts), join(t, opts)
	a.create(t, "one")
	b.create(t, "two")
	replica.InSync(primary)
	copying.Retarget("")
	copying.Sever()
	expire(t, a, b)
	primary.Kill()
	replica.Promote()
	link.Retarget(replica.Addr)
	link.Sever()
	a.create(t, "three") // in the new epoch
	must(t, 0, b.Sync(t.Context()))
	if n := b.Stats().Clients; n != 3 {
		t.Fatalf("%d clients live, want those of before, and the new one", n)
	}
	expire(t, a, b)
}

// TestNobodyLooksAfterThem has the keeper look after clients that no node does.
func TestNobodyLooksAfterThem(t *testing.T) {
	server := redistest.Start(t)
	opts := redis.Options{URL: server.URL()}
	a := join(t, opts)
	a.create(t, "one")
	a.end()
	// Who had it is forgotten, as if Redis had never heard.
	for _, key := range []string{"alive", "nodes"} {
		server.Do("DEL", "{shaveet}:log:"+key)
	}
	b := join(t, opts)
	expire(t, b)
}
