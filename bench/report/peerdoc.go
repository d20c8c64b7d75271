package main

import (
	"strings"

	"github.com/shaveet/shaveet/bench"
)

// peerValue is what is compared with other servers. They have several processes
// or share much with others, so memory is PSS.
func peerValue(workload string) func(*bench.Result) float64 {
	if workload == bench.Idle {
		return pss
	}
	return mainValue(workload)
}

// Against is the table of one other server.
func (d *document) Against(kind string) string {
	var rows [][]string
	for _, c := range d.cells {
		name, ok := strings.CutPrefix(c.name, kind+": ")
		if !ok {
			continue
		}
		s, value, format := d.runs[c.name], peerValue(c.workload), whole
		if c.workload == bench.Latency {
			format = hundredths
		}
		rows = append(rows, []string{name, counts(c.workload), s.figure(value).text(format), s.others(value).text(format), s.ratio(value).text(hundredths), s.lost()})
	}
	return table([]string{"what", "counted", "ours", "theirs", "ratio", "lost or worse: ours, theirs"}, rows, 2)
}

// counts says what the figures of a workload are.
func counts(workload string) string {
	switch workload {
	case bench.Idle:
		return "bytes (PSS) / reader"
	case bench.Latency:
		return "p50, ms"
	case bench.Publish:
		return "messages / CPU second"
	case bench.Churn:
		return "cycles / CPU second"
	}
	return "deliveries / CPU second"
}

// lost is in how many runs something was.
func (s *runs) lost() string {
	if s == nil || len(s.ours) == 0 {
		return notMeasured
	}
	count := func(all []*bench.Result) (n int) {
		for _, r := range all {
			if r.Faults.Any() {
				n++
			}
		}
		return n
	}
	a, b := count(s.ours), count(s.other)
	if a+b == 0 {
		return "0"
	}
	return number(a) + " runs, " + number(b) + " runs"
}

// PeersMeasured is when make bench-peers was run; empty: it was not.
func (d *document) PeersMeasured() string { return d.peers.Date }
