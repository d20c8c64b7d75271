package cluster_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
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
	own := []string{"--public-listen", "127.0.0.1:0", "--drain-delay", "0s", "--idle-time", "1h", "--min-age", "1h", "--socketio-ping-interval", "5m"}
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

// BenchmarkDirectory makes clients, each on a channel of its own and on one of
// everybody, and tells what one takes at the node that makes it, at one that
// follows, and in Redis; and how long a node takes that begins then.
func BenchmarkDirectory(b *testing.B) {
	const clients = 100_000
	s := start(b, 2)
	all := s.parts(b)
	for b.Loop() {
		before := memoryOf(b, all)
		s.fill(b, clients)
		after := memoryOf(b, all)
		for i, p := range all {
			b.ReportMetric(float64(after[i]-before[i])/clients, p.name+"-B/client")
		}
		began := time.Now()
		late := live.Start(b, "--redis", s.redis.URL())
		live.Until(b, "the late node is ready", time.Minute, func() bool { return live.Ready(late.Main) })
		b.ReportMetric(time.Since(began).Seconds(), "late-s")
	}
	b.ReportMetric(0, "ns/op")
}

// fill makes so many clients, and waits until the second node has them.
func (s setup) fill(b *testing.B, clients int) {
	b.Helper()
	const atOnce = 500
	for first := 0; first < clients; first += atOnce {
		var batch []map[string]any
		own := make(map[string][]string)
		for i := first; i < first+atOnce; i++ {
			id := fmt.Sprintf("client-%08d", i)
			batch = append(batch, call("create_client", map[string]any{"client_id": id}))
			own["room-"+id], own["everybody"] = []string{id}, append(own["everybody"], id)
		}
		post(b, s.nodes[0].Main, batch)
		post(b, s.nodes[0].Main, call("subscribe_many", map[string]any{"channels": own}))
	}
	post(b, s.nodes[1].Main, call("get_client_channels", map[string]any{"client_id": fmt.Sprintf("client-%08d", clients-1)}))
}

func call(method string, params any) map[string]any {
	return map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
}

// post makes a call, or several, of which none may fail.
func post(b *testing.B, url string, body any) {
	b.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		b.Fatal(err)
	}
	resp, err := http.Post(url, "application/json", bytes.NewReader(text))
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || bytes.Contains(answer, []byte(`"error"`)) {
		b.Fatalf("%v %.300s", err, answer)
	}
}

// memoryOf returns what processes have in memory, when they have given back what
// they do not need.
func memoryOf(b *testing.B, all []part) (bytes []int64) {
	b.Helper()
	time.Sleep(5 * time.Second)
	for _, p := range all {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.pid))
		if err != nil {
			b.Skip(err)
		}
		var size, resident int64
		if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
			b.Fatal(err)
		}
		bytes = append(bytes, resident*int64(os.Getpagesize()))
	}
	return bytes
}

// BenchmarkForwarded has polls of Socket.IO wait at one node for what another one
// has, and tells what each takes at both.
func BenchmarkForwarded(b *testing.B) {
	const polls = 2000
	s := start(b, 2)
	all := s.parts(b)[:2]
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: polls}}
	for b.Loop() {
		begin(b, client, s.nodes[0].Public) // what is made but once
		before := memoryOf(b, all)
		sids := make([]string, polls)
		for i := range sids {
			sids[i] = begin(b, client, s.nodes[0].Public)
		}
		made := memoryOf(b, all)
		ctx, cancel := context.WithCancel(b.Context())
		var waiting sync.WaitGroup
		for _, sid := range sids {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.nodes[1].Public+pollPath+"&sid="+sid, nil)
			if err != nil {
				b.Fatal(err)
			}
			waiting.Go(func() {
				if resp, err := client.Do(req); err == nil {
					resp.Body.Close()
					b.Error("a poll was answered")
				}
			})
		}
		live.Until(b, "all are handed on", time.Minute, func() bool { return under(b, s.nodes[1].Main) == polls })
		after := memoryOf(b, all)
		b.ReportMetric(float64(made[0]-before[0])/polls, "session-B")
		b.ReportMetric(float64(after[0]-made[0])/polls, "owner-B/poll")
		b.ReportMetric(float64(after[1]-made[1])/polls, "front-B/poll")
		cancel()
		waiting.Wait()
	}
	b.ReportMetric(0, "ns/op")
}

const pollPath = "/socket.io/?EIO=4&transport=polling"

// begin begins a connection of Socket.IO by polling, and returns its name.
func begin(b *testing.B, client *http.Client, url string) string {
	b.Helper()
	resp, err := client.Get(url + pollPath)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	var shake struct{ SID string }
	if err == nil {
		err = json.Unmarshal(text[1:], &shake)
	}
	if err != nil || shake.SID == "" {
		b.Fatalf("%s %s: %v", resp.Status, text, err)
	}
	return shake.SID
}

// under returns how many requests a node has handed on that have not ended.
func under(b *testing.B, url string) (n int) {
	b.Helper()
	resp, err := http.Get(url + "/metrics")
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	_, rest, _ := strings.Cut(string(text), "\nshaveet_cluster_forwards_under_way ")
	fmt.Sscan(rest, &n)
	return n
}
