package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Handlers is how those stand who answer pages.
type Handlers struct {
	ByName map[string]Handler

	Backends, Serving                         int    // WebSockets of the backend now, and those that get calls
	Refused, Requests, Ignored, TooSlow, Dead uint64 // WebSockets, and their messages; see package backend
}

// A Handler is one of them.
type Handler struct {
	Waiting, WaitingBytes int    // calls that wait for their turn
	UnderWay              int    // calls
	Undelivered           int    // notices that have not been heard yet
	GivenUp               uint64 // notices that never were
}

// Handlers has the counts of handlers told, which read returns.
func (m *Metrics) Handlers(read func() Handlers) { m.registry.MustRegister(handlers(read)) }

// HandlerCalled notes a call of a handler: which of its methods, how it ended and
// how long it took. All three are from lists of ours.
func (m *Metrics) HandlerCalled(handler, method, result string, took time.Duration) {
	m.handlerCalls.WithLabelValues(handler, method, result).Inc()
	m.handlerTime.WithLabelValues(handler, method).Observe(took.Seconds())
}

type handlers func() Handlers

// A handlerReading is a metric that is one number of a handler.
type handlerReading struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(*Handler) float64
}

var handlerReadings = []handlerReading{
	{prometheus.NewDesc("shaveet_handler_waiting", "Calls that wait for their turn with a handler.", []string{"handler"}, nil),
		prometheus.GaugeValue, func(h *Handler) float64 { return float64(h.Waiting) }},
	{prometheus.NewDesc("shaveet_handler_waiting_bytes", "Bytes of the calls that wait for their turn with a handler.", []string{"handler"}, nil),
		prometheus.GaugeValue, func(h *Handler) float64 { return float64(h.WaitingBytes) }},
	{prometheus.NewDesc("shaveet_handler_under_way", "Calls of a handler that are not answered yet.", []string{"handler"}, nil),
		prometheus.GaugeValue, func(h *Handler) float64 { return float64(h.UnderWay) }},
	{prometheus.NewDesc("shaveet_handler_undelivered", "Notices of who has left or gone that a handler has not heard yet.", []string{"handler"}, nil),
		prometheus.GaugeValue, func(h *Handler) float64 { return float64(h.Undelivered) }},
	{prometheus.NewDesc("shaveet_handler_given_up_total", "Notices of who has left or gone that a handler was never told.", []string{"handler"}, nil),
		prometheus.CounterValue, func(h *Handler) float64 { return float64(h.GivenUp) }},
}

// A backendReading is a metric of all WebSockets of the backend together.
type backendReading struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(*Handlers) float64
}

func backendMetric(name, help string, kind prometheus.ValueType, of func(*Handlers) float64) backendReading {
	return backendReading{prometheus.NewDesc("shaveet_backend_"+name, help, nil, nil), kind, of}
}

var backendReadings = []backendReading{
	backendMetric("connections", "WebSockets of the backend.", prometheus.GaugeValue, func(k *Handlers) float64 { return float64(k.Backends) }),
	backendMetric("serving", "WebSockets of the backend that get calls.", prometheus.GaugeValue, func(k *Handlers) float64 { return float64(k.Serving) }),
	backendMetric("refused_total", "WebSockets of the backend for which there was no room.", prometheus.CounterValue, func(k *Handlers) float64 { return float64(k.Refused) }),
	backendMetric("requests_total", "Messages of the backend that were handled, batches as one.", prometheus.CounterValue, func(k *Handlers) float64 { return float64(k.Requests) }),
	backendMetric("ignored_total", "Answers of the backend for which nobody waited.", prometheus.CounterValue, func(k *Handlers) float64 { return float64(k.Ignored) }),
	backendMetric("too_slow_total", "WebSockets of the backend that were given up because it did not read.", prometheus.CounterValue, func(k *Handlers) float64 { return float64(k.TooSlow) }),
	backendMetric("dead_total", "WebSockets of the backend that were given up because no ping was answered.", prometheus.CounterValue, func(k *Handlers) float64 { return float64(k.Dead) }),
}

// Describe is part of [prometheus.Collector].
func (s handlers) Describe(out chan<- *prometheus.Desc) {
	for _, r := range handlerReadings {
		out <- r.desc
	}
	for _, r := range backendReadings {
		out <- r.desc
	}
}

// Collect is part of [prometheus.Collector].
func (s handlers) Collect(out chan<- prometheus.Metric) {
	k := s()
	for name, h := range k.ByName {
		for _, r := range handlerReadings {
			out <- prometheus.MustNewConstMetric(r.desc, r.kind, r.of(&h), name)
		}
	}
	for _, r := range backendReadings {
		out <- prometheus.MustNewConstMetric(r.desc, r.kind, r.of(&k))
	}
}
