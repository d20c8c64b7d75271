package metrics

import "github.com/prometheus/client_golang/prometheus"

// Peers is what is said between the nodes of a log.
type Peers struct {
	UnderWay int // requests that other nodes answer now

	Forwarded, Failed, Served           uint64
	Asked, Unheard, Answered, Strangers uint64
}

// Peers has the counts of what is said between nodes told, which read returns.
func (m *Metrics) Peers(read func() Peers) { m.registry.MustRegister(peers(read)) }

type peers func() Peers

// A peerReading is a metric that is one number of them.
type peerReading struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(*Peers) float64
}

func peerCounter(name, help string, of func(*Peers) uint64) peerReading {
	return peerReading{prometheus.NewDesc("shaveet_cluster_"+name+"_total", help, nil, nil), prometheus.CounterValue,
		func(k *Peers) float64 { return float64(of(k)) }}
}

var peerReadings = []peerReading{
	{prometheus.NewDesc("shaveet_cluster_forwards_under_way", "Requests of Socket.IO that other nodes are answering now.", nil, nil),
		prometheus.GaugeValue, func(k *Peers) float64 { return float64(k.UnderWay) }},
	peerCounter("forwards", "Requests of Socket.IO that were handed on to the node that has the connection.", func(k *Peers) uint64 { return k.Forwarded }),
	peerCounter("forwards_failed", "Those that the other node has not answered: their clients were told that the connection is lost.", func(k *Peers) uint64 { return k.Failed }),
	peerCounter("forwards_served", "Requests of Socket.IO that other nodes have handed on to this one.", func(k *Peers) uint64 { return k.Served }),
	peerCounter("questions", "Questions to other nodes, one for each that was asked.", func(k *Peers) uint64 { return k.Asked }),
	peerCounter("questions_failed", "Those that were not answered.", func(k *Peers) uint64 { return k.Unheard }),
	peerCounter("questions_answered", "Questions of other nodes.", func(k *Peers) uint64 { return k.Answered }),
	peerCounter("strangers", "Requests at the address for nodes that came from none.", func(k *Peers) uint64 { return k.Strangers }),
}

// Describe is part of [prometheus.Collector].
func (p peers) Describe(out chan<- *prometheus.Desc) {
	for _, r := range peerReadings {
		out <- r.desc
	}
}

// Collect is part of [prometheus.Collector].
func (p peers) Collect(out chan<- prometheus.Metric) {
	k := p()
	for _, r := range peerReadings {
		out <- prometheus.MustNewConstMetric(r.desc, r.kind, r.of(&k))
	}
}
