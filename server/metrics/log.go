package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/shaveet/shaveet/server/hub"
)

// logCollector reads how a hub follows a log that others follow, too. Of a log
// that is the hub's own there is nothing to tell.
type logCollector struct{ hub Hub }

type logReading struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(hub.LogStats) float64
}

func logMetric(kind prometheus.ValueType, name, help string, of func(hub.LogStats) float64) logReading {
	return logReading{prometheus.NewDesc(name, help, nil, nil), kind, of}
}

var logReadings = []logReading{
	logMetric(prometheus.GaugeValue, "shaveet_cluster_nodes", "Nodes that share the log and are alive.", func(s hub.LogStats) float64 { return float64(s.Nodes) }),
	logMetric(prometheus.GaugeValue, "shaveet_log_in_touch", "1 if the log in Redis can be reached.", func(s hub.LogStats) float64 { return number(s.InTouch) }),
	logMetric(prometheus.GaugeValue, "shaveet_log_lag_seconds", "Time from the numbering of the last entry to its having come.", func(s hub.LogStats) float64 { return s.Lag.Seconds() }),
	logMetric(prometheus.CounterValue, "shaveet_log_entries_total", "Entries of the log that were applied.", func(s hub.LogStats) float64 { return float64(s.Entries) }),
	logMetric(prometheus.CounterValue, "shaveet_log_batches_total", "Batches of commands sent to Redis.", func(s hub.LogStats) float64 { return float64(s.Batches) }),
	logMetric(prometheus.CounterValue, "shaveet_log_conflicts_total", "Commands checked again, since another node had changed what they rest on.", func(s hub.LogStats) float64 { return float64(s.Conflicts) }),
	logMetric(prometheus.CounterValue, "shaveet_log_syncs_total", "Times that Redis was asked how far the log is.", func(s hub.LogStats) float64 { return float64(s.Syncs) }),
	logMetric(prometheus.CounterValue, "shaveet_log_errors_total", "Calls of Redis that failed.", func(s hub.LogStats) float64 { return float64(s.Errors) }),
	logMetric(prometheus.CounterValue, "shaveet_log_restores_total", "Times that the whole state was read from Redis.", func(s hub.LogStats) float64 { return float64(s.Restored) }),
	logMetric(prometheus.CounterValue, "shaveet_log_epochs_total", "Lives of the log that this node has begun.", func(s hub.LogStats) float64 { return float64(s.Epochs) }),
	logMetric(prometheus.CounterValue, "shaveet_log_burnt_total", "Holes among the log's numbers that have never been entries.", func(s hub.LogStats) float64 { return float64(s.Burnt) }),
}

// Describe is part of [prometheus.Collector].
func (c logCollector) Describe(out chan<- *prometheus.Desc) {
	for _, r := range logReadings {
		out <- r.desc
	}
}

// Collect is part of [prometheus.Collector].
func (c logCollector) Collect(out chan<- prometheus.Metric) {
	stats, ok := c.hub.LogStats()
	if !ok {
		return
	}
	for _, r := range logReadings {
		out <- prometheus.MustNewConstMetric(r.desc, r.kind, r.of(stats))
	}
}
