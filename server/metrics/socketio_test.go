package metrics_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/shaveet/shaveet/server/metrics"
)

// Every count of Socket.IO is told, and each by its own name.
func TestSocketIO(t *testing.T) {
	t.Parallel()
	m := metrics.New(&counts{}, metrics.Options{})
	if strings.Contains(scrape(m), "shaveet_socketio") {
		t.Error("something is told though there is none")
	}
	m.SocketIO(func() metrics.SocketIO {
		return metrics.SocketIO{
			Sessions: map[string]int{"polling": 1, "websocket": 2}, Closed: map[string]uint64{"ping timeout": 3, "drain": 4},
			Sockets: 5, Waiting: 6, Handshakes: 7, HandshakesRefused: 8, BadRequests: 9,
			UpgradesBegun: 10, UpgradesDone: 11, UpgradesFailed: 12, PacketsReceived: 13, PacketsSent: 14,
			Connects: 15, ConnectsRefused: 16, Recovered: 17, NotRecovered: 18, Holes: 19, Events: 20, EventsDropped: 21, Acks: 22,
		}
	})
	text := scrape(m)
	if problems, err := promlint.New(strings.NewReader(text)).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	want(t, text,
		`shaveet_socketio_sessions{transport="polling"} 1`,
		`shaveet_socketio_sessions{transport="websocket"} 2`,
		`shaveet_socketio_sessions_closed_total{reason="ping timeout"} 3`,
		`shaveet_socketio_sessions_closed_total{reason="drain"} 4`,
		"shaveet_socketio_sockets 5",
		"shaveet_socketio_sockets_waiting 6",
		"shaveet_socketio_handshakes_total 7",
		"shaveet_socketio_handshakes_refused_total 8",
		"shaveet_socketio_bad_requests_total 9",
		"shaveet_socketio_upgrades_begun_total 10",
		"shaveet_socketio_upgrades_done_total 11",
		"shaveet_socketio_upgrades_failed_total 12",
		"shaveet_socketio_packets_received_total 13",
		"shaveet_socketio_packets_sent_total 14",
		"shaveet_socketio_connects_total 15",
		"shaveet_socketio_connects_refused_total 16",
		"shaveet_socketio_recovered_total 17",
		"shaveet_socketio_not_recovered_total 18",
		"shaveet_socketio_holes_total 19",
		"shaveet_socketio_events_total 20",
		"shaveet_socketio_events_dropped_total 21",
		"shaveet_socketio_acks_total 22",
		"# TYPE shaveet_socketio_sockets gauge",
		"# TYPE shaveet_socketio_sockets_waiting gauge",
		"# TYPE shaveet_socketio_sessions gauge",
		"# TYPE shaveet_socketio_sessions_closed_total counter",
		"# TYPE shaveet_socketio_acks_total counter")
}
