// Package metrics tells Prometheus how a server does. What the hub counts is
// read when somebody asks and counted nowhere else; what the hub cannot know,
// the server notes here. No metric has a label whose values callers can choose:
// there are as many series for a million clients as for one.
package metrics

import (
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/shaveet/shaveet/server/hub"
)

// A Hub is what is read of a hub. [hub.Hub] is one.
type Hub interface {
	Stats() hub.Stats
	Limits() hub.Limits
	LogStats() (s hub.LogStats, ok bool)
}

// Options say what is told beside the hub's counts.
type Options struct {
	Version string       // of the program
	Ready   func() bool  // whether the server is ready for callers
	Logger  *slog.Logger // hears of failures to gather; default slog.Default()
}

// Metrics are one server's. All methods may be called by many goroutines at
// once.
type Metrics struct {
	registry *prometheus.Registry
	log      *slog.Logger

	routes   routes
	doors    doors
	calls    *prometheus.CounterVec
	faults   *prometheus.CounterVec
	callTime prometheus.Histogram

	handlerCalls *prometheus.CounterVec
	handlerTime  *prometheus.HistogramVec
	byMethod     methods

	sweeps    prometheus.Counter
	sweepTime prometheus.Counter
	lastSweep prometheus.Gauge

	behind  prometheus.Counter
	tooSlow prometheus.Counter

	dropped    prometheus.Counter
	reloadOK   prometheus.Gauge
	reloadTime prometheus.Gauge
}

// New returns the metrics of a server with the hub h.
func New(h Hub, opts Options) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), log: opts.Logger}
	if m.log == nil {
		m.log = slog.Default()
	}
	if opts.Ready == nil {
		opts.Ready = func() bool { return true }
	}
	m.makeOwn()
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		hubCollector{h},
		logCollector{h},
		buildInfo(opts.Version),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "shaveet_ready",
			Help: "1 while new callers are welcome, as /readyz says, else 0.",
		}, func() float64 { return number(opts.Ready()) }),
		m.routes.requests, &m.routes, &m.doors,
		m.calls, m.faults, m.callTime, m.handlerCalls, m.handlerTime,
		m.sweeps, m.sweepTime, m.lastSweep,
		m.behind, m.tooSlow,
		m.dropped, m.reloadOK, m.reloadTime,
	)
	return m
}

func (m *Metrics) makeOwn() {
	m.routes.requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "shaveet_http_requests_total",
		Help: "Requests that have ended, by route and class of status; gone: the caller left before there was an answer.",
	}, []string{"route", "code"})
	m.calls = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "shaveet_admin_calls_total",
		Help: "Calls of the admin API, by method; each call of a batch counts.",
	}, []string{"method"})
	m.faults = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "shaveet_admin_call_errors_total",
		Help: "Calls of the admin API that were answered with an error, by method and error code.",
	}, []string{"method", "code"})
	m.callTime = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "shaveet_admin_call_duration_seconds",
		Help:    "Time a call of the admin API took, its parameters already read.",
		Buckets: []float64{.0001, .0005, .001, .005, .01, .05, .1, .5, 1, 5},
	})
	m.handlerCalls = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "shaveet_handler_calls_total",
		Help: "Calls of handlers that have ended, by handler, method and result; of notices every try.",
	}, []string{"handler", "method", "result"})
	m.handlerTime = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "shaveet_handler_call_seconds",
		Help:    "Time a call of a handler took, with that for which it waited for its turn.",
		Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5, 10},
	}, []string{"handler", "method"})
	m.sweeps = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "shaveet_sweeps_total",
		Help: "Looks for what nobody needs any more; there is one about every second.",
	})
	m.sweepTime = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "shaveet_sweep_seconds_total",
		Help: "Time spent in these looks.",
	})
	m.lastSweep = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "shaveet_sweep_last_timestamp_seconds",
		Help: "When the last look ended, as Unix time; 0: there was none yet.",
	})
	m.behind = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "shaveet_readers_behind_total",
		Help: "Writes for which a held reader took longer than half a second: it is behind, and nobody waits for it.",
	})
	m.tooSlow = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "shaveet_readers_too_slow_total",
		Help: "Held readers that were closed because they did not take a write within write_timeout.",
	})
	m.dropped = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "shaveet_log_lines_dropped_total",
		Help: "Log lines left out because there were too many of their kind in a second.",
	})
	m.reloadOK = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "shaveet_config_last_reload_successful",
		Help: "Whether the configuration was good when it was last read: 1, or 0.",
	})
	m.reloadTime = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "shaveet_config_last_reload_success_timestamp_seconds",
		Help: "When a good configuration was last read, as Unix time.",
	})
	m.Reloaded(true)
}

func buildInfo(version string) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "shaveet_build_info",
		Help:        "Always 1; the labels say which program this is.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	}, func() float64 { return 1 })
}

// Handler answers with all metrics as text.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(m.log.Handler(), slog.LevelError),
		MaxRequestsInFlight: 4,
	})
}

// Swept notes a sweep that has just ended.
func (m *Metrics) Swept(took time.Duration) {
	m.sweeps.Inc()
	m.sweepTime.Add(took.Seconds())
	m.lastSweep.SetToCurrentTime()
}

// LogDropped notes a line that was not logged.
func (m *Metrics) LogDropped() { m.dropped.Inc() }

// Behind notes a reader that took its time.
func (m *Metrics) Behind() { m.behind.Inc() }

// TooSlow notes a reader that was closed for that.
func (m *Metrics) TooSlow() { m.tooSlow.Inc() }

// Reloaded notes that the configuration was read, and whether it was good.
func (m *Metrics) Reloaded(ok bool) {
	m.reloadOK.Set(number(ok))
	if ok {
		m.reloadTime.SetToCurrentTime()
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
