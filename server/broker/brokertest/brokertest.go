// Package brokertest is the table of promises that every [hub.Broker] keeps.
// A broker's own test calls Run.
package brokertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
		{"an event is one entry, as it was resolved", testEmit},
		{"what an event was before is answered", testEmitAgain},
		{"sockets begin and end", testSockets},
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
// channel called "refused" is refused, to one called "nothing" has no effect. An
// event goes to its rooms: "new" begins with it, and "client:c" is joined for
// it; to no room at all it is said to nobody. What has the publish id "again"
// was said before. To forget the socket "nobody" has no effect.
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
	switch {
	case cmd.Op == hub.OpForgetSocket && cmd.Client == "nobody":
		*cmd = hub.Command{}
	case cmd.Op == hub.OpEmit && cmd.Retry != nil && cmd.Retry.ID == "again":
		*cmd = hub.Command{}
		return hub.Result{Earlier: []hub.Published{{ID: 7}}}, nil
	case cmd.Op == hub.OpEmit && slices.Contains(cmd.Emit.Rooms, "refused"):
		return hub.Result{}, errRefused
	case cmd.Op == hub.OpEmit:
		resolve(cmd)
	}
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

// resolve makes an event what will happen.
func resolve(cmd *hub.Command) {
	for _, room := range cmd.Emit.Rooms {
		switch room {
		case "new":
			cmd.Creates = append(cmd.Creates, room)
		case "client:c":
			cmd.Pairs = append(cmd.Pairs, hub.Pair{Client: "c", Channel: "@/#c"})
		}
		cmd.Messages = append(cmd.Messages, &hub.Message{Event: cmd.Emit.Event})
	}
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
		m.Seq = e.First + uint64(len(e.Creates)+len(e.Pairs)+i)
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

func emission(id string, rooms ...string) hub.Command {
	cmd := hub.Command{Op: hub.OpEmit, Emit: &hub.Emission{Event: "e", Rooms: rooms}}
	if id != "" {
		cmd.Retry = &hub.PublishKey{ID: id}
	}
	return cmd
}

// An event takes a number for each channel that begins with it, one for each who
// joins for it, and one for each copy, in this order and with none between.
func testEmit(t *testing.T, b hub.Broker) {
	r := start(t, b)
	next := uint64(1)
	for _, tt := range []struct {
		rooms         []string
		before, after uint64 // numbers before the copies, and copies
	}{
		{[]string{"room"}, 0, 1},
		{[]string{"room", "client:c"}, 1, 2},
		{[]string{"client:c", "new", "room"}, 2, 3},
	} {
		res, err := b.Append(t.Context(), emission("", tt.rooms...))
		last := next + tt.before + tt.after - 1
		if want := (hub.Position{Epoch: r.epoch, Seq: last}); err != nil || res.Position != want || len(res.Messages) != len(tt.rooms) {
			t.Fatalf("to %q: %+v, %v; want %d copies up to %v", tt.rooms, res, err, len(tt.rooms), want)
		}
		for i, m := range res.Messages {
			if want := next + tt.before + uint64(i); m.Seq != want || m.Event != "e" {
				t.Errorf("to %q: copy %d is %q with seq %d, want %d", tt.rooms, i, m.Event, m.Seq, want)
			}
		}
		all := r.all()
		if e := all[len(all)-1]; e.Op != hub.OpEmit || e.First != next || e.Last != last || len(e.Messages) != len(tt.rooms) {
			t.Errorf("to %q: entry %d covers %d to %d with %d copies, want %d to %d", tt.rooms, e.Op, e.First, e.Last, len(e.Messages), next, last)
		}
		next = last + 1
	}
}

// An event that is refused, for nobody, or one that was said before, is no
// entry; for the last the caller is told where it went.
func testEmitAgain(t *testing.T, b hub.Broker) {
	r := start(t, b)
	if _, err := b.Append(t.Context(), emission("", "room", "refused")); !errors.Is(err, hub.ErrLimitReached) {
		t.Errorf("error %v, want the state's", err)
	}
	if res, err := b.Append(t.Context(), emission("")); err != nil || len(res.Messages) != 0 {
		t.Errorf("to nobody: %+v, %v", res, err)
	}
	if res, err := b.Append(t.Context(), emission("again", "room")); err != nil || len(res.Earlier) != 1 || res.Earlier[0].ID != 7 {
		t.Errorf("said before: %+v, %v; want the state's answer", res, err)
	}
	if n := len(r.all()); n != 0 {
		t.Errorf("%d entries, want none", n)
	}
	res, err := b.Append(t.Context(), emission("once", "room"))
	if all := r.all(); err != nil || res.Position.Seq != 1 || len(all) != 1 || all[0].Retry == nil || all[0].Retry.ID != "once" {
		t.Errorf("%+v, %v; want seq 1, and an entry that has the id", res, err)
	}
}

func testSockets(t *testing.T, b hub.Broker) {
	r := start(t, b)
	everybody := []hub.Pair{{Client: "s", Channel: "/#"}}
	for i, tt := range []struct {
		cmd  hub.Command
		last uint64
	}{
		{hub.Command{Op: hub.OpSocket, Client: "s", Key: "k", Owner: "alice", Pairs: everybody, Creates: []string{"/#"}}, 2},
		{hub.Command{Op: hub.OpForgetSocket, Client: "nobody", Key: "k"}, 2},
		{hub.Command{Op: hub.OpForgetSocket, Client: "s", Key: "k", Pairs: everybody}, 3},
		{hub.Command{Op: hub.OpSocket, Client: "s"}, 4},
		{hub.Command{Op: hub.OpData, Client: "s", Data: []byte("1")}, 5},
		{hub.Command{Op: hub.OpForgetSocket, Client: "s"}, 6},
	} {
		if _, err := b.Append(t.Context(), tt.cmd); err != nil {
			t.Fatal(err)
		}
		if all := r.all(); all[len(all)-1].Last != tt.last {
			t.Errorf("after command %d the log is at %d, want %d", i, all[len(all)-1].Last, tt.last)
		}
	}
	all := r.all()
	if len(all) != 5 {
		t.Fatalf("%d entries, want 5", len(all))
	}
	if e := all[0]; e.Client != "s" || e.Key != "k" || e.Owner != "alice" || len(e.Pairs) != 1 || len(e.Creates) != 1 {
		t.Errorf("a socket began as %+v", e.Command)
	}
	if e := all[1]; e.Op != hub.OpForgetSocket || e.Client != "s" || e.Key != "k" || len(e.Pairs) != 1 {
		t.Errorf("it ended as %+v", e.Command)
	}
	if e := all[3]; e.Client != "s" || string(e.Data) != "1" {
		t.Errorf("it was given %+v", e.Command)
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
