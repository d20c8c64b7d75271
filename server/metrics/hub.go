package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/shaveet/shaveet/server/hub"
)

// hubCollector reads a hub's counts when it is asked for them.
type hubCollector struct{ hub Hub }

// A reading is a metric that is one number of a hub.
type reading struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(hub.Stats, hub.Limits) float64
}

func gauge[N int | int64 | uint64](name, help string, of func(hub.Stats) N) reading {
	return reading{prometheus.NewDesc(name, help, nil, nil), prometheus.GaugeValue,
		func(s hub.Stats, _ hub.Limits) float64 { return float64(of(s)) }}
}

func counter(name, help string, of func(hub.Stats) uint64) reading {
	return reading{prometheus.NewDesc(name, help, nil, nil), prometheus.CounterValue,
		func(s hub.Stats, _ hub.Limits) float64 { return float64(of(s)) }}
}

func limit[N int | int64](name, help string, of func(hub.Limits) N) reading {
	return reading{prometheus.NewDesc(name, help, nil, nil), prometheus.GaugeValue,
		func(_ hub.Stats, l hub.Limits) float64 { return float64(of(l)) }}
}

// readings are all metrics of a hub but the one with a label.
var readings = []reading{
	gauge("shaveet_clients", "Live clients.", func(s hub.Stats) int { return s.Clients }),
	gauge("shaveet_sockets", "Sockets of Socket.IO that are kept: connected ones, and those that may come back.", func(s hub.Stats) int { return s.Sockets }),
	gauge("shaveet_clients_waiting", "Clients let go that wait to be revived.", func(s hub.Stats) int { return s.LetGoClients }),
	gauge("shaveet_channels", "Channels that exist.", func(s hub.Stats) int { return s.Channels }),
	gauge("shaveet_sessions", "Readers attached: polls that are held, and connections.", func(s hub.Stats) int { return s.Sessions }),
	gauge("shaveet_kept_messages", "Messages and notices kept.", func(s hub.Stats) int { return s.Messages }),
	gauge("shaveet_kept_bytes", "Bytes charged for what is kept; total_bytes bounds them.", func(s hub.Stats) int64 { return s.Bytes }),
	gauge("shaveet_publish_ids", "Publish ids remembered, a broadcast's once for each channel.", func(s hub.Stats) int { return s.PublishIDs }),
	gauge("shaveet_log_seq", "Highest number of the log; it begins anew with each life of the log.", func(s hub.Stats) uint64 { return s.TopSeq }),

	counter("shaveet_messages_published_total", "Messages published; each channel of a broadcast counts.", func(s hub.Stats) uint64 { return s.Published }),
	counter("shaveet_publishes_repeated_total", "Publishes answered from their publish id, without another message.", func(s hub.Stats) uint64 { return s.Repeated }),
	counter("shaveet_messages_delivered_total", "Messages and notices handed to readers.", func(s hub.Stats) uint64 { return s.Delivered }),
	counter("shaveet_batches_delivered_total", "Batches handed to readers.", func(s hub.Stats) uint64 { return s.Batches }),
	counter("shaveet_attaches_total", "Sessions and polls begun.", func(s hub.Stats) uint64 { return s.Attached }),
	counter("shaveet_attaches_refused_total", "Sessions and polls refused for a wrong key or an unknown client.", func(s hub.Stats) uint64 { return s.BadKeys }),
	counter("shaveet_gaps_total", "Gaps told to readers: messages they can never get.", func(s hub.Stats) uint64 { return s.Gaps }),
	counter("shaveet_resets_total", "Resets told to readers: their position was of another life of the log.", func(s hub.Stats) uint64 { return s.Resets }),
	counter("shaveet_clients_let_go_total", "Clients let go because nobody read for them.", func(s hub.Stats) uint64 { return s.LetGo }),
	counter("shaveet_clients_revived_total", "Clients let go that came back.", func(s hub.Stats) uint64 { return s.Revived }),
	counter("shaveet_commands_refused_total", "Commands and readers refused because of a limit.", func(s hub.Stats) uint64 { return s.Refused }),

	limit("shaveet_clients_max", "The limit clients.", func(l hub.Limits) int { return l.Clients }),
	limit("shaveet_channels_max", "The limit channels.", func(l hub.Limits) int { return l.Channels }),
	limit("shaveet_publish_ids_max", "The limit publish_ids.", func(l hub.Limits) int { return l.PublishIDs }),
	limit("shaveet_kept_bytes_max", "The limit total_bytes.", func(l hub.Limits) int64 { return l.TotalBytes }),
}

var evicted = prometheus.NewDesc("shaveet_messages_evicted_total",
	"Messages and notices dropped, by reason: age is how it should be, count and bytes are a channel's limits, memory is total_bytes.",
	[]string{"reason"}, nil)

// Describe is part of [prometheus.Collector].
func (c hubCollector) Describe(out chan<- *prometheus.Desc) {
	for _, r := range readings {
		out <- r.desc
	}
	out <- evicted
}

// Collect is part of [prometheus.Collector].
func (c hubCollector) Collect(out chan<- prometheus.Metric) {
	stats, limits := c.hub.Stats(), c.hub.Limits()
	for _, r := range readings {
		out <- prometheus.MustNewConstMetric(r.desc, r.kind, r.of(stats, limits))
	}
	for _, reason := range []hub.Reason{hub.ReasonCount, hub.ReasonAge, hub.ReasonBytes, hub.ReasonMemory} {
		out <- prometheus.MustNewConstMetric(evicted, prometheus.CounterValue, float64(stats.Evicted[reason]), reason.String())
	}
}
