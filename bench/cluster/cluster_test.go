package cluster_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/shaveet/shaveet/bench"
	"github.com/shaveet/shaveet/tests/live"
	"github.com/shaveet/shaveet/tests/redistest"
)

func TestMain(m *testing.M) { live.Main(m) }

// A setup is a Redis and nodes; without a Redis one node with its log in memory.
type setup struct {
	redis *redistest.Server
	nodes []*live.Server
}

func start(b *testing.B, nodes int) setup {
	b.Helper()
	own := []string{"--public-listen", "127.0.0.1:0", "--drain-delay", "0s", "--idle-time", "1h", "--min-age", "1h"}
	if nodes == 0 {
		return setup{nodes: []*live.Server{live.Start(b, own...)}}
	}
	s := setup{redis: redistest.Start(b)}
	for range nodes {
		s.nodes = append(s.nodes, live.Start(b, append(own, "--redis", s.redis.URL())...))
	}
	for _, n := range s.nodes {
		live.Until(b, "a node is ready", time.Minute, func() bool { return live.Ready(n.Main) })
	}
	return s
}

// A part is a process of a setup.
type part struct {
	name string
	pid  int
}

// parts are those whose CPU time is told: where messages come in, one that
// follows, and Redis.
func (s setup) parts(b *testing.B) []part {
	all := []part{{"node", s.nodes[0].Pid()}}
	if len(s.nodes) > 1 {
		all = append(all, part{"other", s.nodes[1].Pid()})
	}
	if s.redis != nil {
		pid, err := strconv.Atoi(s.redis.Info("server", "process_id"))
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, part{"redis", pid})
	}
	return all
}

// run says things at the first node, to readers of the last, and watches p.
func (s setup) run(b *testing.B, plan bench.Plan, p part) bench.Result {
	b.Helper()
	var out bytes.Buffer
	o := bench.Options{Plan: plan, URL: s.nodes[0].Main, Public: s.nodes[len(s.nodes)-1].Public, PID: p.pid,
		JSON: true, Quiet: true, Stdout: &out, Stderr: io.Discard}
	if err := bench.Run(b.Context(), o); err != nil {
		b.Fatalf("%v\n%s", err, out.String())
	}
	var r bench.Result
	if err := json.NewDecoder(&out).Decode(&r); err != nil {
		b.Fatal(err)
	}
	return r
}

// measure runs the plan once for each part, and tells the CPU time that it took
// for one of what counts, and how many there were in a second.
func (s setup) measure(b *testing.B, plan bench.Plan, unit string, count func(bench.Result) int64) {
	b.Helper()
	plan.Duration = 4 * time.Second
	var perSecond, p50, p99 float64
	all := s.parts(b)
	for b.Loop() {
		for _, p := range all {
			r := s.run(b, plan, p)
			n := float64(count(r))
			b.ReportMetric(r.ServerCPU*1e6/n, p.name+"-µs/"+unit)
			perSecond = max(perSecond, n/r.Seconds)
			p50, p99 = r.Latency.P50, r.Latency.P99
		}
	}
	b.ReportMetric(perSecond, unit+"/s")
	if p50 > 0 {
		b.ReportMetric(p50, "p50-ms")
		b.ReportMetric(p99, "p99-ms")
	}
	b.ReportMetric(0, "ns/op") // says nothing
}

func messages(r bench.Result) int64   { return r.Messages }
func deliveries(r bench.Result) int64 { return r.Deliveries }

func nameOf(nodes int) string {
	return map[int]string{0: "memory", 1: "one node", 2: "two nodes", 3: "three nodes", 4: "four nodes"}[nodes]
}

// BenchmarkAppend says as much as can be said, 200 bytes each, to nobody: what
// the log carries, and what it costs each node to follow it.
func BenchmarkAppend(b *testing.B) {
	for _, by := range []string{bench.ByCall, bench.ByMany} {
		for nodes := range 5 {
			b.Run(by+"/"+nameOf(nodes), func(b *testing.B) {
				plan := bench.Plan{Workload: bench.Publish, Publish: by, Size: 200, Channels: 100, Window: 64, Publishers: 16}
				if by == bench.ByMany {
					plan.Window = 800
				}
				start(b, nodes).measure(b, plan, "msg", messages)
			})
		}
	}
}

// BenchmarkDeliver says things at one node to 1,000 readers of another.
func BenchmarkDeliver(b *testing.B) {
	for _, transport := range []string{"websocket", "longpoll", "socketio"} {
		for _, window := range []int{1, 16} {
			for _, nodes := range []int{0, 1, 2} {
				b.Run(fmt.Sprintf("%s/w=%d/%s", transport, window, nameOf(nodes)), func(b *testing.B) {
					plan := bench.Plan{Workload: bench.FanOut, Transport: transport, Readers: 1000, Window: window}
					start(b, nodes).measure(b, plan, "delivery", deliveries)
				})
			}
		}
	}
}

// BenchmarkLatency says 50 things a second at one node to 100 readers of
// another: from the call to each reader.
func BenchmarkLatency(b *testing.B) {
	for _, readers := range []int{100, 1000} {
		for _, nodes := range []int{0, 1, 2, 3} {
			b.Run(fmt.Sprintf("%d/%s", readers, nameOf(nodes)), func(b *testing.B) {
				plan := bench.Plan{Workload: bench.Latency, Readers: readers}
				start(b, nodes).measure(b, plan, "delivery", deliveries)
			})
		}
	}
}
