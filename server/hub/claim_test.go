package hub_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/broker/brokertest"
	"github.com/shaveet/shaveet/server/hub"
)

// vague is a node whose takes fail for some time, although some may have been
// done.
type vague struct {
	*brokertest.Node
	until time.Time
	does  func(n int64) bool
	calls atomic.Int64 // that have failed
}

func (v *vague) Append(ctx context.Context, cmd hub.Command) (hub.Result, error) {
	if cmd.Op != hub.OpTake || !time.Now().Before(v.until) {
		return v.Node.Append(ctx, cmd)
	}
	if v.does(v.calls.Add(1)) {
		if _, err := v.Node.Append(ctx, cmd); err != nil {
			return hub.Result{}, err
		}
	}
	return hub.Result{}, hub.ErrUnavailable
}

// A page that holds no position misses nothing of which the log has not said
// whether it was taken: neither who waits for it, nor who comes again elsewhere.
func TestTakenOrNot(t *testing.T) {
	for name, does := range map[string]func(int64) bool{
		"taken":                       func(n int64) bool { return n == 1 },
		"not taken":                   func(int64) bool { return false },
		"taken, and given back":       func(int64) bool { return true },
		"taken, and given back later": func(n int64) bool { return n != 2 },
	} {
		for _, stays := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { testTakenOrNot(t, does, stays) })
			})
		}
	}
}

func testTakenOrNot(t *testing.T, does func(int64) bool, stays bool) {
	log := brokertest.NewLog(7)
	v := &vague{Node: log.Node(false), does: does, until: time.Now().Add(20 * time.Second)}
	a, b := newHubOn(t, v, hub.Limits{}), newHubOn(t, log.Node(false), hub.Limits{})
	bob := create(t, a, "bob", "news")
	publish(t, b, "news", "1")
	publish(t, b, "news", "2")
	p := poll(t, a, bob)
	if !stays {
		if m, err := p.Collect(); len(m) > 0 || err != nil {
			t.Fatalf("got %v, %v", m, err)
		}
		synctest.Wait()
		p.Close()
		time.Sleep(time.Minute)
		p = poll(t, b, bob)
	}
	if m, err := p.Next(t.Context()); len(m) != 3 || err != nil { // and that bob has joined
		t.Fatalf("got %d messages and %v, want 3", len(m), err)
	}
	p.Done(true)
	if v.calls.Load() == 0 {
		t.Error("all was clear")
	}
}

func poll(t *testing.T, h *hub.Hub, cr hub.Credentials) *hub.Poll {
	t.Helper()
	p, err := h.AttachPoll(t.Context(), []hub.Credentials{cr}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}
