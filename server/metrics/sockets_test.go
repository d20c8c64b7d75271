package metrics_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/shaveet/shaveet/server/metrics"
)

// Every count of every socket is told, under the socket's name, whatever
// characters that has.
func TestSockets(t *testing.T) {
	t.Parallel()
	m := metrics.New(&counts{}, metrics.Options{})
	m.Sockets(func() []metrics.Socket {
		return []metrics.Socket{
			{Name: "in", Type: "pull", Peers: 1, Refused: 2, Received: 3, Bytes: 4, Sent: 5, Dropped: map[string]uint64{"limit": 6, "hub": 7}},
			{Name: "pub ipc:///\"a\"\n"},
		}
	})
	text := scrape(m)
	if problems, err := promlint.New(strings.NewReader(text)).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	want(t, text,
		`shaveet_zeromq_peers{socket="in"} 1`,
		`shaveet_zeromq_refused_total{socket="in"} 2`,
		`shaveet_zeromq_received_total{socket="in"} 3`,
		`shaveet_zeromq_received_bytes_total{socket="in"} 4`,
		`shaveet_zeromq_sent_total{socket="in"} 5`,
		`shaveet_zeromq_dropped_total{reason="limit",socket="in"} 6`,
		`shaveet_zeromq_dropped_total{reason="hub",socket="in"} 7`,
		`shaveet_zeromq_peers{socket="pub ipc:///\"a\"\n"} 0`,
		"# TYPE shaveet_zeromq_peers gauge",
		"# TYPE shaveet_zeromq_dropped_total counter")
}
