package metrics

import "github.com/prometheus/client_golang/prometheus"

// SocketIO is what the server of Socket.IO has done, and does.
type SocketIO struct {
	Sessions map[string]int    // connections now, by transport
	Closed   map[string]uint64 // of them, by reason
	Sockets  int               // connected now
	Waiting  int               // sockets that may come back

	Handshakes, HandshakesRefused, BadRequests  uint64
	UpgradesBegun, UpgradesDone, UpgradesFailed uint64
	PacketsReceived, PacketsSent                uint64
	Connects, ConnectsRefused                   uint64
	Recovered, NotRecovered, Holes              uint64
	Events, EventsDropped, Acks                 uint64
}

// SocketIO has the counts of Socket.IO told, which read returns.
func (m *Metrics) SocketIO(read func() SocketIO) { m.registry.MustRegister(socketIO(read)) }

type socketIO func() SocketIO

// A socketIOReading is a metric that is one number of Socket.IO.
type socketIOReading struct {
	desc *prometheus.Desc
	of   func(*SocketIO) uint64
}

func socketIOCounter(name, help string, of func(*SocketIO) uint64) socketIOReading {
	return socketIOReading{prometheus.NewDesc("shaveet_socketio_"+name+"_total", help, nil, nil), of}
}

var (
	socketIOSessions = prometheus.NewDesc("shaveet_socketio_sessions",
		"Connections of Socket.IO, by transport; a polling one is counted between two polls, too.", []string{"transport"}, nil)
	socketIOSockets = prometheus.NewDesc("shaveet_socketio_sockets",
		"Sockets that are connected to a namespace; a connection may have several.", nil, nil)
	socketIOWaiting = prometheus.NewDesc("shaveet_socketio_sockets_waiting",
		"Sockets that have lost their connection and may come back as the ones they were.", nil, nil)
	socketIOClosed = prometheus.NewDesc("shaveet_socketio_sessions_closed_total",
		"Connections of Socket.IO that have ended, by reason.", []string{"reason"}, nil)
)

// socketIOReadings are all metrics of Socket.IO that have no label and go up.
var socketIOReadings = []socketIOReading{
	socketIOCounter("handshakes", "Connections of Socket.IO that have begun.", func(k *SocketIO) uint64 { return k.Handshakes }),
	socketIOCounter("handshakes_refused", "Connections refused because of socketio_max_connections or socketio_max_handshakes, or at the end.",
		func(k *SocketIO) uint64 { return k.HandshakesRefused }),
	socketIOCounter("bad_requests", "Requests and WebSockets refused for what they were.", func(k *SocketIO) uint64 { return k.BadRequests }),
	socketIOCounter("upgrades_begun", "WebSockets that clients have opened to go over to.", func(k *SocketIO) uint64 { return k.UpgradesBegun }),
	socketIOCounter("upgrades_done", "Clients that have gone over from polls to a WebSocket.", func(k *SocketIO) uint64 { return k.UpgradesDone }),
	socketIOCounter("upgrades_failed", "WebSockets that have ended before their client had gone over.", func(k *SocketIO) uint64 { return k.UpgradesFailed }),
	socketIOCounter("packets_received", "Packets that have come from clients.", func(k *SocketIO) uint64 { return k.PacketsReceived }),
	socketIOCounter("packets_sent", "Packets sent to clients; what is sent in one piece may count as one.", func(k *SocketIO) uint64 { return k.PacketsSent }),
	socketIOCounter("connects", "Sockets that were let into a namespace.", func(k *SocketIO) uint64 { return k.Connects }),
	socketIOCounter("connects_refused", "Sockets that were not: for their key, or because there is no such namespace.", func(k *SocketIO) uint64 { return k.ConnectsRefused }),
	socketIOCounter("recovered", "Sockets that came back as the ones they were, with all they had missed.", func(k *SocketIO) uint64 { return k.Recovered }),
	socketIOCounter("not_recovered", "Sockets that asked to and could not: they are new ones.", func(k *SocketIO) uint64 { return k.NotRecovered }),
	socketIOCounter("holes", "Connections closed because channels had let go of events before they were sent.", func(k *SocketIO) uint64 { return k.Holes }),
	socketIOCounter("events", "Events that clients have sent.", func(k *SocketIO) uint64 { return k.Events }),
	socketIOCounter("events_dropped", "Events that clients have sent to a namespace where nobody answers.", func(k *SocketIO) uint64 { return k.EventsDropped }),
	socketIOCounter("acks", "Acknowledgements that clients have sent.", func(k *SocketIO) uint64 { return k.Acks }),
}

// Describe is part of [prometheus.Collector].
func (s socketIO) Describe(out chan<- *prometheus.Desc) {
	out <- socketIOSessions
	out <- socketIOSockets
	out <- socketIOWaiting
	out <- socketIOClosed
	for _, r := range socketIOReadings {
		out <- r.desc
	}
}

// Collect is part of [prometheus.Collector].
func (s socketIO) Collect(out chan<- prometheus.Metric) {
	k := s()
	out <- prometheus.MustNewConstMetric(socketIOSockets, prometheus.GaugeValue, float64(k.Sockets))
	out <- prometheus.MustNewConstMetric(socketIOWaiting, prometheus.GaugeValue, float64(k.Waiting))
	for transport, n := range k.Sessions {
		out <- prometheus.MustNewConstMetric(socketIOSessions, prometheus.GaugeValue, float64(n), transport)
	}
	for reason, n := range k.Closed {
		out <- prometheus.MustNewConstMetric(socketIOClosed, prometheus.CounterValue, float64(n), reason)
	}
	for _, r := range socketIOReadings {
		out <- prometheus.MustNewConstMetric(r.desc, prometheus.CounterValue, float64(r.of(&k)))
	}
}
