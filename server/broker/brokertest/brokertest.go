// Package brokertest is the table of promises that every [hub.Broker] keeps.
// A broker's own test calls Run.
package brokertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/shaveet/shaveet/server/hub"
)

// Run holds the brokers that open makes against the promises. Each call of
// open returns a new log that shares nothing with the others.
func Run(t *testing.T, open func(t *testing.T) hub.Broker) {
	for _, p := range []struct {
		name string
		test func(*testing.T, hub.Broker)
	}{
		{"the first entry names the epoch", testEpoch},
		{"numbers are dense and results say where entries went", testNumbers},
		{"what is refused takes no number", testRefused},
		{"what has no effect is no entry", testNoEffect},
		{"concurrent commands have one order", testConcurrent},
		{"an answered command has been applied", testApplied},
		{"without Run there is no log", testUnavailable},
		{"a cancelled command is not appended", testCancelled},
	} {
		t.Run(p.name, func(t *testing.T) { p.test(t, open(t)) })
	}
}

// start runs b into a fresh recorder until the test ends.
func start(t *testing.T, b hub.Broker) *recorder {
	t.Helper()
	r := &recorder{adopted: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx, r) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v after its context was cancelled", err)
		}
	})
	<-r.adopted
	return r
}

// A recorder is a [hub.State] that remembers the entries. Subscribing to a
// channel called "refused" is refused, to one called "nothing" has no effect.
type recorder struct {
	adopted chan struct{}

	mu      sync.Mutex // guards all below, and finds calls that overlap
	entries []hub.Entry
	epoch   uint64
}

var errRefused = &hub.Error{Kind: hub.LimitReached, Text: "refused"}

func (r *recorder) Check(cmd *hub.Command) (hub.Result, error) {
	if !r.mu.TryLock() {
		panic("Check while another entry is checked or applied")
	}
	defer r.mu.Unlock()
	for _, p := range cmd.Pairs {
		switch p.Channel {
		case "refused":
			return hub.Result{}, errRefused
		case "nothing":
			cmd.Pairs = nil
			return hub.Result{Key: "known"}, nil
		}
	}
	return hub.Result{Key: cmd.Key}, nil
}

func (r *recorder) Apply(e hub.Entry) (id uint64) {
	if !r.mu.TryLock() {
		panic("Apply while another entry is checked or applied")
	}
	defer r.mu.Unlock()
	if e.Op == 0 {
		r.epoch = e.Epoch
		close(r.adopted)
		return 0
	}
	r.entries = append(r.entries, e)
	if e.Op == hub.OpPublish {
		id = uint64(len(r.entries))
	}
	for i, m := range e.Messages {
		m.Seq = e.First + uint64(i)
	}
	return id
}

func (r *recorder) all() []hub.Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]hub.Entry(nil), r.entries...)
}

func subscribe(n int) hub.Command {
	cmd := hub.Command{Op: hub.OpSubscribe}
	for i := range n {
		cmd.Pairs = append(cmd.Pairs, hub.Pair{Client: fmt.Sprint("c", i), Channel: "room"})
	}
	return cmd
}

func testEpoch(t *testing.T, b hub.Broker) {
	if r := start(t, b); r.epoch == 0 {
		t.Error("epoch 0: it must be random and not 0")
	}
}

func testNumbers(t *testing.T, b hub.Broker) {
	r := start(t, b)
	next := uint64(1)
	for _, n := range []int{1, 3, 2} {
		res, err := b.Append(t.Context(), subscribe(n))
		if err != nil {
			t.Fatal(err)
		}
		last := next + uint64(n) - 1
		if want := (hub.Position{Epoch: r.epoch, Seq: last}); res.Position != want {
			t.Errorf("position %v, want %v", res.Position, want)
		}
		all := r.all()
		if e := all[len(all)-1]; e.First != next || e.Last != last || e.Epoch != r.epoch {
			t.Errorf("entry covers %d to %d of %x, want %d to %d of %x", e.First, e.Last, e.Epoch, next, last, r.epoch)
		}
		next = last + 1
	}
	for _, e := range r.all() {
		if e.Time.IsZero() {
			t.Error("an entry has no time")
		}
	}
	res, err := b.Append(t.Context(), hub.Command{Op: hub.OpPublish, Message: &hub.Message{}})
	if err != nil || res.ID != 4 || res.Position.Seq != next {
		t.Errorf("publish: %+v, %v; want id 4 at seq %d", res, err, next)
	}
	res, err = b.Append(t.Context(), hub.Command{Op: hub.OpBroadcast, Messages: []*hub.Message{{}, {}, {}}})
	if err != nil || len(res.Messages) != 3 || res.Position.Seq != next+3 {
		t.Fatalf("broadcast: %+v, %v; want three messages up to seq %d", res, err, next+3)
	}
	for i, m := range res.Messages {
		if m.Seq != next+1+uint64(i) {
			t.Errorf("message %d of the broadcast has seq %d, want %d", i, m.Seq, next+1+uint64(i))
		}
	}
}

func testRefused(t *testing.T, b hub.Broker) {
	r := start(t, b)
	_, err := b.Append(t.Context(), hub.Command{Op: hub.OpSubscribe, Pairs: []hub.Pair{{Client: "c", Channel: "refused"}}})
	if !errors.Is(err, hub.ErrLimitReached) {
		t.Errorf("error %v, want the state's", err)
	}
	res, _ := b.Append(t.Context(), subscribe(1))
	if res.Position.Seq != 1 || len(r.all()) != 1 {
		t.Errorf("seq %d after a refusal, %d entries; want 1, 1", res.Position.Seq, len(r.all()))
	}
}

func testNoEffect(t *testing.T, b hub.Broker) {
	r := start(t, b)
	res, err := b.Append(t.Context(), hub.Command{Op: hub.OpSubscribe, Pairs: []hub.Pair{{Client: "c", Channel: "nothing"}}})
	if err != nil || res.Key != "known" {
		t.Errorf("%+v, %v; want the state's answer", res, err)
	}
	if n := len(r.all()); n != 0 {
		t.Errorf("%d entries, want none", n)
	}
}

func testConcurrent(t *testing.T, b hub.Broker) {
	const writers, each = 8, 200
	r := start(t, b)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			last := uint64(0)
			for range each {
				res, err := b.Append(t.Context(), subscribe(1+w%3))
				if err != nil {
					t.Error(err)
					return
				}
				if res.Position.Seq <= last {
					t.Errorf("seq %d after %d by the same caller", res.Position.Seq, last)
				}
				last = res.Position.Seq
			}
		})
	}
	wg.Wait()
	next := uint64(1)
	for _, e := range r.all() {
		if e.First != next {
			t.Fatalf("an entry begins at %d, want %d", e.First, next)
		}
		next = e.Last + 1
	}
	if n := len(r.all()); n != writers*each {
		t.Errorf("%d entries, want %d", n, writers*each)
	}
}

func testApplied(t *testing.T, b hub.Broker) {
	r := start(t, b)
	for i := range 100 {
		if _, err := b.Append(t.Context(), subscribe(1)); err != nil {
			t.Fatal(err)
		}
		if n := len(r.all()); n != i+1 {
			t.Fatalf("%d entries applied after %d answers", n, i+1)
		}
	}
}

func testUnavailable(t *testing.T, b hub.Broker) {
	if _, err := b.Append(t.Context(), subscribe(1)); !errors.Is(err, hub.ErrUnavailable) {
		t.Errorf("before Run: %v, want ErrUnavailable", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &recorder{adopted: make(chan struct{})}
	done := make(chan error)
	go func() { done <- b.Run(ctx, r) }()
	<-r.adopted
	cancel()
	<-done
	if _, err := b.Append(t.Context(), subscribe(1)); !errors.Is(err, hub.ErrUnavailable) {
		t.Errorf("after Run: %v, want ErrUnavailable", err)
	}
}

func testCancelled(t *testing.T, b hub.Broker) {
	r := start(t, b)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := b.Append(ctx, subscribe(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	if n := len(r.all()); n != 0 {
		t.Errorf("%d entries, want none", n)
	}
}
