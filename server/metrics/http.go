package metrics

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// routes counts requests. It is the collector of those under way.
type routes struct {
	requests *prometheus.CounterVec
	mu       sync.Mutex // guards all
	all      map[string]*Route
}

// A Route counts the requests of one URL.
type Route struct {
	underWay atomic.Int64
	ended    [len(classes)]prometheus.Counter
}

// classes are the values of the label code, by the first digit of a status.
var classes = [...]string{"gone", "1xx", "2xx", "3xx", "4xx", "5xx"}

// Route returns the counts of a URL, the same ones for the same name. Names
// become label values: there must be few, and callers must not choose them.
func (m *Metrics) Route(name string) *Route {
	m.routes.mu.Lock()
	defer m.routes.mu.Unlock()
	if r := m.routes.all[name]; r != nil {
		return r
	}
	r := new(Route)
	for i, class := range classes {
		r.ended[i] = m.routes.requests.WithLabelValues(name, class)
	}
	if m.routes.all == nil {
		m.routes.all = make(map[string]*Route)
	}
	m.routes.all[name] = r
	return r
}

// Begin notes a request.
func (r *Route) Begin() { r.underWay.Add(1) }

// End notes that a request was answered with status; 0: it was not answered.
func (r *Route) End(status int) {
	r.underWay.Add(-1)
	class := status / 100
	if class < 0 || class >= len(classes) {
		class = len(classes) - 1
	}
	r.ended[class].Inc()
}

var underWay = prometheus.NewDesc("shaveet_http_requests_in_flight",
	"Requests that have begun and not ended, by route; those of a route for polls are polls that are held.",
	[]string{"route"}, nil)

// Describe is part of [prometheus.Collector].
func (r *routes) Describe(out chan<- *prometheus.Desc) { out <- underWay }

// Collect is part of [prometheus.Collector].
func (r *routes) Collect(out chan<- prometheus.Metric) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, route := range r.all {
		out <- prometheus.MustNewConstMetric(underWay, prometheus.GaugeValue, float64(route.underWay.Load()), name)
	}
}

// doors counts connections.
type doors struct {
	mu  sync.Mutex // guards all
	all map[string]*Door
}

// A Door counts the connections through one listener.
type Door struct {
	max  func() int
	open atomic.Int64
	came atomic.Uint64
}

// Door returns the counts of a listener that lets as many connections in at once as
// max says at that moment; 0: as many as come. They are the same ones for the same
// name.
func (m *Metrics) Door(name string, max func() int) *Door {
	m.doors.mu.Lock()
	defer m.doors.mu.Unlock()
	if d := m.doors.all[name]; d != nil {
		return d
	}
	d := &Door{max: max}
	if m.doors.all == nil {
		m.doors.all = make(map[string]*Door)
	}
	m.doors.all[name] = d
	return d
}

// Opened notes a new connection.
func (d *Door) Opened() {
	d.came.Add(1)
	d.open.Add(1)
}

// Closed notes the end of one.
func (d *Door) Closed() { d.open.Add(-1) }

var (
	doorOpen = prometheus.NewDesc("shaveet_connections", "Connections open, by door.", []string{"door"}, nil)
	doorMax  = prometheus.NewDesc("shaveet_connections_max",
		"Connections a door lets in at once, with what the other doors leave now; further ones wait in the kernel's queue. 0: no such limit.", []string{"door"}, nil)
	doorCame = prometheus.NewDesc("shaveet_connections_accepted_total", "Connections that have come, by door.", []string{"door"}, nil)
)

// Describe is part of [prometheus.Collector].
func (d *doors) Describe(out chan<- *prometheus.Desc) {
	out <- doorOpen
	out <- doorMax
	out <- doorCame
}

// Collect is part of [prometheus.Collector].
func (d *doors) Collect(out chan<- prometheus.Metric) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, door := range d.all {
		out <- prometheus.MustNewConstMetric(doorOpen, prometheus.GaugeValue, float64(door.open.Load()), name)
		out <- prometheus.MustNewConstMetric(doorMax, prometheus.GaugeValue, float64(door.max()), name)
		out <- prometheus.MustNewConstMetric(doorCame, prometheus.CounterValue, float64(door.came.Load()), name)
	}
}
