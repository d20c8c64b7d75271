package metrics_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/shaveet/shaveet/server/metrics"
)

// Every count of every handler and of the backend's WebSockets is told, and each by
// its own name.
func TestHandlers(t *testing.T) {
	t.Parallel()
	m := metrics.New(&counts{}, metrics.Options{})
	if text := scrape(m); strings.Contains(text, "shaveet_handler") || strings.Contains(text, "shaveet_backend") {
		t.Error("something is told though there is none")
	}
	m.Handlers(func() metrics.Handlers {
		return metrics.Handlers{
			ByName: map[string]metrics.Handler{
				"rpc":  {Waiting: 1, WaitingBytes: 2, UnderWay: 3, Undelivered: 4, GivenUp: 5},
				"a \"": {},
			},
			Backends: 6, Serving: 7, Refused: 8, Requests: 9, Ignored: 10, TooSlow: 11, Dead: 12,
		}
	})
	m.HandlerCalled("rpc", "event", "ok", 3*time.Millisecond)
	m.HandlerCalled("rpc", "event", "timeout", 5*time.Second)
	m.HandlerCalled("rpc", "connect", "ok", 0)
	text := scrape(m)
	if problems, err := promlint.New(strings.NewReader(text)).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	want(t, text,
		`shaveet_handler_waiting{handler="rpc"} 1`,
		`shaveet_handler_waiting_bytes{handler="rpc"} 2`,
		`shaveet_handler_under_way{handler="rpc"} 3`,
		`shaveet_handler_undelivered{handler="rpc"} 4`,
		`shaveet_handler_given_up_total{handler="rpc"} 5`,
		`shaveet_handler_waiting{handler="a \""} 0`,
		"shaveet_backend_connections 6",
		"shaveet_backend_serving 7",
		"shaveet_backend_refused_total 8",
		"shaveet_backend_requests_total 9",
		"shaveet_backend_ignored_total 10",
		"shaveet_backend_too_slow_total 11",
		"shaveet_backend_dead_total 12",
		`shaveet_handler_calls_total{handler="rpc",method="event",result="ok"} 1`,
		`shaveet_handler_calls_total{handler="rpc",method="event",result="timeout"} 1`,
		`shaveet_handler_call_seconds_bucket{handler="rpc",method="event",le="0.001"} 0`,
		`shaveet_handler_call_seconds_bucket{handler="rpc",method="event",le="0.005"} 1`,
		`shaveet_handler_call_seconds_bucket{handler="rpc",method="event",le="5"} 2`,
		`shaveet_handler_call_seconds_count{handler="rpc",method="connect"} 1`,
		"# TYPE shaveet_handler_undelivered gauge",
		"# TYPE shaveet_handler_given_up_total counter",
		"# TYPE shaveet_backend_serving gauge",
		"# TYPE shaveet_backend_dead_total counter",
		"# TYPE shaveet_handler_call_seconds histogram")
}
