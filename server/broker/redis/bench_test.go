package redis_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/broker/redis"
	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/tests/redistest"
)

// BenchmarkPublish publishes 200 bytes from 64 goroutines at a time: to a hub
// whose log is in Redis, with so many others that follow it. It tells the
// messages a second, and the CPU that Redis took for one, in µs.
func BenchmarkPublish(b *testing.B) {
	for _, others := range []int{0, 2} {
		b.Run(map[int]string{0: "one node", 2: "three nodes"}[others], func(b *testing.B) {
			server := redistest.Start(b)
			first := benchNode(b, server)
			for range others {
				benchNode(b, server)
			}
			data := json.RawMessage(`"` + strings.Repeat("x", 198) + `"`)
			before := server.CPU()
			b.ResetTimer()
			var left atomic.Int64
			left.Store(int64(b.N))
			var all sync.WaitGroup
			began := time.Now()
			for range 64 {
				all.Go(func() {
					for left.Add(-1) >= 0 {
						if _, err := first.Publish(b.Context(), hub.Publication{Channel: "news", Sender: json.RawMessage(`"x"`), Data: data}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "msg/s")
			b.ReportMetric(float64((server.CPU()-before).Microseconds())/float64(b.N), "redis-µs/msg")
		})
	}
}

// BenchmarkPublishAll publishes 200 bytes a hundred at a time, as publish_many
// does, from one goroutine.
func BenchmarkPublishAll(b *testing.B) {
	server := redistest.Start(b)
	h := benchNode(b, server)
	all := make([]hub.Publication, 100)
	for i := range all {
		all[i] = hub.Publication{Channel: "news", Sender: json.RawMessage(`"x"`), Data: json.RawMessage(`"` + strings.Repeat("x", 198) + `"`)}
	}
	before := server.CPU()
	for b.Loop() {
		h.PublishAll(b.Context(), all, func(_ hub.Published, err error) {
			if err != nil {
				b.Error(err)
			}
		})
	}
	n := float64(b.N * len(all))
	b.ReportMetric(n/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(float64((server.CPU()-before).Microseconds())/n, "redis-µs/msg")
}

// BenchmarkSync asks a node to catch up, one caller at a time: a round trip.
func BenchmarkSync(b *testing.B) {
	h := benchNode(b, redistest.Start(b))
	for b.Loop() {
		if err := h.Sync(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func benchNode(b *testing.B, server *redistest.Server) *hub.Hub {
	b.Helper()
	broker := open(b, redis.Options{URL: server.URL()})
	h := hub.New(hub.Config{NewKey: func() string { return "key" }}, broker)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	b.Cleanup(func() { cancel(); <-done })
	<-h.Ready()
	return h
}
