package metrics_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/goleak"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counts are a hub of which only the counts are there.
type counts struct {
	stats  hub.Stats
	log    *hub.LogStats // nil: it is the hub's own
	limits hub.Limits
}

func (c *counts) Stats() hub.Stats   { return c.stats }
func (c *counts) Limits() hub.Limits { return c.limits }

func (c *counts) LogStats() (s hub.LogStats, ok bool) {
	if c.log == nil {
		return s, false
	}
	return *c.log, true
}

func TestSharedLog(t *testing.T) {
	h := &counts{}
	m := metrics.New(h, metrics.Options{})
	if text := scrape(m); strings.Contains(text, "shaveet_cluster") || strings.Contains(text, "shaveet_log_lag") {
		t.Error("a log of its own is told of as if others shared it")
	}
	h.log = &hub.LogStats{Nodes: 3, InTouch: true, Lag: 1500 * time.Microsecond, Entries: 4, Batches: 5, Conflicts: 6,
		Syncs: 7, Errors: 8, Restored: 9, Epochs: 10, Burnt: 11}
	want(t, scrape(m), "shaveet_cluster_nodes 3", "shaveet_log_in_touch 1", "shaveet_log_lag_seconds 0.0015",
		"shaveet_log_entries_total 4", "shaveet_log_batches_total 5", "shaveet_log_conflicts_total 6", "shaveet_log_syncs_total 7",
		"shaveet_log_errors_total 8", "shaveet_log_restores_total 9", "shaveet_log_epochs_total 10", "shaveet_log_burnt_total 11")
}

func scrape(m *metrics.Metrics) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

// use makes every metric have a value.
func use(m *metrics.Metrics) {
	r := m.Route("/longpoll")
	r.Begin()
	r.Begin()
	r.End(204)
	d := m.Door("public", func() int { return 7 })
	d.Opened()
	d.Opened()
	d.Closed()
	m.Called("publish", -32003, 3*time.Millisecond)
	m.Called("publish", 0, time.Millisecond)
	m.Called("", -32601, 0)
	m.Swept(1500 * time.Millisecond)
	m.LogDropped()
	m.Reloaded(false)
}

func want(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("there is no line %q", line)
		}
	}
	if t.Failed() {
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "shaveet_") {
				t.Log(strings.TrimSpace(line))
			}
		}
	}
}

func TestOwnCounts(t *testing.T) {
	m := metrics.New(&counts{}, metrics.Options{Version: "1.2.3", Ready: func() bool { return false }})
	use(m)
	want(t, scrape(m),
		"shaveet_ready 0",
		`shaveet_http_requests_total{code="2xx",route="/longpoll"} 1`,
		`shaveet_http_requests_total{code="5xx",route="/longpoll"} 0`, // there before it happens
		`shaveet_http_requests_in_flight{route="/longpoll"} 1`,
		`shaveet_connections{door="public"} 1`,
		`shaveet_connections_accepted_total{door="public"} 2`,
		`shaveet_connections_max{door="public"} 7`,
		`shaveet_admin_calls_total{method="publish"} 2`,
		`shaveet_admin_calls_total{method="unknown"} 1`,
		`shaveet_admin_call_errors_total{code="-32003",method="publish"} 1`,
		"shaveet_admin_call_duration_seconds_count 3",
		`shaveet_admin_call_duration_seconds_bucket{le="0.001"} 2`,
		"shaveet_sweeps_total 1",
		"shaveet_sweep_seconds_total 1.5",
		"shaveet_log_lines_dropped_total 1",
		"shaveet_config_last_reload_successful 0",
	)
	if text := scrape(m); !strings.Contains(text, `shaveet_build_info{goversion="go`) || !strings.Contains(text, `version="1.2.3"} 1`) {
		t.Error("it does not say which program it is")
	}
}

// Every number of the hub is told, under a name of its own, as it is at the
// moment of asking.
func TestHubCounts(t *testing.T) {
	h := &counts{}
	m := metrics.New(h, metrics.Options{})
	h.stats = hub.Stats{
		Clients: 101, Sockets: 125, LetGoClients: 102, Channels: 103, Sessions: 104, Messages: 105, Bytes: 106, PublishIDs: 107,
		Published: 108, Repeated: 109, Delivered: 110, Batches: 111, Attached: 112, BadKeys: 113, Gaps: 114, Resets: 115,
		LetGo: 116, Revived: 117, Refused: 118, TopSeq: 119,
	}
	h.stats.Evicted[hub.ReasonCount], h.stats.Evicted[hub.ReasonAge] = 120, 121
	h.stats.Evicted[hub.ReasonBytes], h.stats.Evicted[hub.ReasonMemory] = 122, 123
	h.limits = hub.Limits{Clients: 201, Channels: 202, TotalBytes: 203, PublishIDs: 204}
	want(t, scrape(m),
		"shaveet_clients 101", "shaveet_sockets 125", "shaveet_clients_waiting 102", "shaveet_channels 103", "shaveet_sessions 104",
		"shaveet_kept_messages 105", "shaveet_kept_bytes 106", "shaveet_publish_ids 107",
		"shaveet_messages_published_total 108", "shaveet_publishes_repeated_total 109", "shaveet_messages_delivered_total 110",
		"shaveet_batches_delivered_total 111", "shaveet_attaches_total 112", "shaveet_attaches_refused_total 113",
		"shaveet_gaps_total 114", "shaveet_resets_total 115", "shaveet_clients_let_go_total 116",
		"shaveet_clients_revived_total 117", "shaveet_commands_refused_total 118", "shaveet_log_seq 119",
		`shaveet_messages_evicted_total{reason="count"} 120`, `shaveet_messages_evicted_total{reason="age"} 121`,
		`shaveet_messages_evicted_total{reason="bytes"} 122`, `shaveet_messages_evicted_total{reason="memory"} 123`,
		"shaveet_clients_max 201", "shaveet_channels_max 202", "shaveet_kept_bytes_max 203", "shaveet_publish_ids_max 204",
	)
}

// Names and help are as Prometheus wants them.
func TestLint(t *testing.T) {
	m := metrics.New(&counts{}, metrics.Options{})
	use(m)
	problems, err := promlint.New(strings.NewReader(scrape(m))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// Callers cannot make series, however many methods they invent.
func TestSeriesAreBounded(t *testing.T) {
	m := metrics.New(&counts{}, metrics.Options{})
	for i := range 10_000 {
		m.Called(fmt.Sprint("method", i), -32601, 0)
	}
	if n := strings.Count(scrape(m), "\nshaveet_admin_calls_total{"); n > 200 {
		t.Errorf("%d series", n)
	}
}

// The end of a request has one class, whatever a handler did.
func TestClassesOfStatus(t *testing.T) {
	m := metrics.New(&counts{}, metrics.Options{})
	r := m.Route("/")
	for status, class := range map[int]string{
		0: "gone", 101: "1xx", 200: "2xx", 304: "3xx", 404: "4xx", 503: "5xx", 599: "5xx", 999: "5xx", -1: "gone",
	} {
		before := scrape(m)
		r.Begin()
		r.End(status)
		value := func(text string) (n int) {
			_, rest, _ := strings.Cut(text, fmt.Sprintf("\nshaveet_http_requests_total{code=%q,route=\"/\"} ", class))
			fmt.Sscan(rest, &n)
			return n
		}
		if value(scrape(m)) != value(before)+1 {
			t.Errorf("%d is not counted as %s", status, class)
		}
	}
}

// Counting and asking may happen at once.
func TestConcurrentUse(t *testing.T) {
	m := metrics.New(&counts{}, metrics.Options{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				use(m)
			}
		})
		all.Go(func() {
			for range 5 {
				scrape(m)
			}
		})
	}
	all.Wait()
	want(t, scrape(m), "shaveet_sweeps_total 200", `shaveet_admin_calls_total{method="publish"} 400`)
}
