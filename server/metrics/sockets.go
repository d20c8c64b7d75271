package metrics

import "github.com/prometheus/client_golang/prometheus"

// A Socket is what a ZeroMQ socket has done, and does.
type Socket struct {
	Name, Type string
	Peers      int    // connected now
	Refused    uint64 // connections that failed
	Received   uint64 // messages, whatever became of them
	Bytes      uint64 // of them
	Sent       uint64 // messages
	Dropped    map[string]uint64
}

// Sockets has the counts of ZeroMQ sockets told, which read returns. Their
// names are the operator's.
func (m *Metrics) Sockets(read func() []Socket) { m.registry.MustRegister(sockets(read)) }

type sockets func() []Socket

func socketDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, append([]string{"socket"}, labels...), nil)
}

var (
	socketPeers    = socketDesc("shaveet_zeromq_peers", "Peers connected to a ZeroMQ socket.")
	socketRefused  = socketDesc("shaveet_zeromq_refused_total", "Connections of a ZeroMQ socket that failed: by the handshake, or because there were max_peers.")
	socketReceived = socketDesc("shaveet_zeromq_received_total", "Messages that have come by a ZeroMQ socket, dropped ones too.")
	socketBytes    = socketDesc("shaveet_zeromq_received_bytes_total", "Bytes of the messages that have come by a ZeroMQ socket and were not over its limits.")
	socketSent     = socketDesc("shaveet_zeromq_sent_total", "Messages sent by a ZeroMQ socket, one to each peer that gets it.")
	socketDropped  = socketDesc("shaveet_zeromq_dropped_total", "Messages of a ZeroMQ socket that were dropped, by reason.", "reason")
)

func (s sockets) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{socketPeers, socketRefused, socketReceived, socketBytes, socketSent, socketDropped} {
		out <- d
	}
}

func (s sockets) Collect(out chan<- prometheus.Metric) {
	for _, k := range s() {
		tell := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(d, kind, v, append([]string{k.Name}, labels...)...)
		}
		tell(socketPeers, prometheus.GaugeValue, float64(k.Peers))
		tell(socketRefused, prometheus.CounterValue, float64(k.Refused))
		tell(socketReceived, prometheus.CounterValue, float64(k.Received))
		tell(socketBytes, prometheus.CounterValue, float64(k.Bytes))
		tell(socketSent, prometheus.CounterValue, float64(k.Sent))
		for reason, n := range k.Dropped {
			tell(socketDropped, prometheus.CounterValue, float64(n), reason)
		}
	}
}
