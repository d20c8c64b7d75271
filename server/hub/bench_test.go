package hub_test

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
)

// BenchmarkPublish is one publish in process, to channels of several sizes.
// Nobody reads: what members cost the publisher must not depend on how many
// there are.
func BenchmarkPublish(b *testing.B) {
	for _, members := range []int{0, 1, 1000} {
		b.Run(fmt.Sprint("members=", members), func(b *testing.B) {
			h := newHub(b, hub.Limits{})
			for i := range members {
				create(b, h, fmt.Sprint("c", i), "room")
			}
			p := hub.Publication{Channel: "room", Sender: json.RawMessage(`"bench"`), Data: json.RawMessage(`"` + string(make([]byte, 126)) + `"`)}
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				if _, err := h.Publish(context.Background(), p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPublishParallel has several goroutines publish to channels of their
// own.
func BenchmarkPublishParallel(b *testing.B) {
	h := newHub(b, hub.Limits{})
	var n atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		p := hub.Publication{Channel: fmt.Sprint("room", n.Add(1)), Sender: json.RawMessage(`"bench"`), Data: json.RawMessage(`"hello"`)}
		for pb.Next() {
			if _, err := h.Publish(context.Background(), p); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkCollect is a session taking one message, with other channels that
// have no news.
func BenchmarkCollect(b *testing.B) {
	for _, channels := range []int{1, 100} {
		b.Run(fmt.Sprint("channels=", channels), func(b *testing.B) {
			h := newHub(b, hub.Limits{})
			cr := create(b, h, "a")
			for i := range channels {
				subscribe(b, h, "a", fmt.Sprint("room", i))
			}
			s := attach(b, h, hub.Start{Now: true}, cr)
			p := publication("room0", "hello")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.Publish(context.Background(), p); err != nil {
					b.Fatal(err)
				}
				if got := s.Collect(); len(got.Messages) != 1 {
					b.Fatal(len(got.Messages))
				}
				s.Commit()
			}
		})
	}
}

// BenchmarkSweep is one sweep of a hub with 1,000,000 clients on 1,000
// channels, of whom 10 % are let go, each with its notice, while publishers
// run. How to read it: hold-max-µs is the longest time, in CPU time of the
// thread, for which the log's lock was held by any one command, the sweep's or
// a publisher's; let-go/s is the sweep's pace; publish-p99-µs is what the
// publishers saw, in wall time, on however many cores are there.
func BenchmarkSweep(b *testing.B) {
	const clients, idleOnes, channels = 1_000_000, 100_000, 1000
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for range b.N {
		b.StopTimer()
		timed := &timedBroker{Broker: memory.New()}
		h := newHubOn(b, timed, hub.Limits{Channels: 2 * channels})
		seen := fill(b, h, clients, idleOnes, channels)
		stop := publishers(b, h, channels)
		time.Sleep(50 * time.Millisecond)
		timed.holds = make([]time.Duration, 0, 1<<24)
		b.StartTimer()

		swept := time.Now()
		idle := hub.Idle{After: time.Since(seen) + gap/2}
		gone, more, err := h.Expire(context.Background(), idle, 2*clients)
		took := time.Since(swept)

		b.StopTimer()
		latencies := stop()
		if err != nil || more || gone != idleOnes {
			b.Fatalf("%d let go, more %v, %v; want %d", gone, more, err, idleOnes)
		}
		holds := timed.sorted()
		b.ReportMetric(float64(holds[len(holds)-1].Nanoseconds())/1e3, "hold-max-µs")
		b.ReportMetric(float64(holds[len(holds)*9999/10000].Nanoseconds())/1e3, "hold-p99.99-µs")
		b.ReportMetric(float64(gone)/took.Seconds(), "let-go/s")
		b.ReportMetric(float64(latencies[len(latencies)*99/100].Nanoseconds())/1e3, "publish-p99-µs")
		b.StartTimer()
	}
}

// gap lies between when the idle clients were last seen and when the others
// were; the sweep must be done in half of it.
const gap = 10 * time.Second

// fill creates the clients, has all but the first idleOnes seen again, and
// returns the time before which none of these was.
func fill(b *testing.B, h *hub.Hub, clients, idleOnes, channels int) (seen time.Time) {
	ctx := context.Background()
	creds := make([]hub.Credentials, clients)
	for i := range creds {
		creds[i] = create(b, h, fmt.Sprint("client", i), fmt.Sprint("room", i%channels))
	}
	time.Sleep(gap)
	seen = time.Now()
	for _, cr := range creds[idleOnes:] {
		s, err := h.Attach(ctx, []hub.Credentials{cr}, hub.Start{Now: true})
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
	return seen
}

// publishers publish until the function it returns is called, which returns
// how long each call took, sorted.
func publishers(b *testing.B, h *hub.Hub, channels int) (stop func() []time.Duration) {
	var quiet atomic.Bool
	var wg sync.WaitGroup
	all := make([][]time.Duration, 2)
	for i := range all {
		wg.Go(func() {
			runtime.LockOSThread()
			for n := 0; !quiet.Load(); n++ {
				began := time.Now()
				publish(b, h, fmt.Sprint("room", n%channels), "hello")
				all[i] = append(all[i], time.Since(began))
			}
		})
	}
	return func() []time.Duration {
		quiet.Store(true)
		wg.Wait()
		sorted := slices.Concat(all...)
		slices.Sort(sorted)
		return sorted
	}
}

// A timedBroker measures how long its log's lock is held, in CPU time: from
// the check of a command until it has been applied. The goroutines that append
// must own their threads, or the time of others is counted too.
type timedBroker struct {
	hub.Broker
	state hub.State

	// Guarded by the log's lock.
	began time.Duration
	holds []time.Duration
}

func (t *timedBroker) Run(ctx context.Context, s hub.State) error {
	t.state = s
	return t.Broker.Run(ctx, t)
}

func (t *timedBroker) Check(cmd *hub.Command) (hub.Result, error) {
	t.began = threadTime()
	return t.state.Check(cmd)
}

func (t *timedBroker) Apply(e hub.Entry) (id uint64) {
	id = t.state.Apply(e)
	if e.Op != 0 {
		t.holds = append(t.holds, threadTime()-t.began)
	}
	return id
}

// sorted returns the holds measured since the last reset. Nobody may append.
func (t *timedBroker) sorted() []time.Duration {
	slices.Sort(t.holds)
	return t.holds
}
