package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/shaveet/shaveet/bench/storm"
)

//go:embed storm.md.tmpl
var pageText string

// page is docs/storm.md.
func (s *study) page() ([]byte, error) {
	t, err := template.New("page").Option("missingkey=error").Parse(pageText)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, s)
	return b.Bytes(), err
}

// What the template calls.

// A rowCase is a line of the big table.
type rowCase struct {
	name   string
	change change
}

// Storms is the big table.
func (s *study) Storms() string {
	head := []string{"storm", "work, s", "50, 99, 100 % back, s", "peak / s", "longest line", "wait p99, most, s", "wasted", "catch-up, MB/s", "away > 25 s"}
	var rows [][]string
	for _, c := range rowCases() {
		of := base(c.change)
		rows = append(rows, s.row(c.name, of, s.result(of)))
	}
	return table(head, rows)
}

func (s *study) row(name string, of storm.Scenario, r *storm.Result) []string {
	work := decimals(of.Work())
	if of.Cause == storm.Reset {
		work = "–" // nobody comes
	}
	return []string{
		name, work,
		s.until(r, 50) + ", " + s.until(r, 99) + ", " + s.until(r, 100),
		thousands(float64(s.count(1)) * r.PeakArrivals()),
		thousands(float64(s.count(r.LongestQueue()))),
		whole(r.Wait(99)) + ", " + whole(r.Wait(100)),
		thousands(float64(s.count(r.Wasted))),
		fmt.Sprintf("%.1f", float64(s.count(1))*r.PeakCatchUp()/1e6),
		thousands(float64(s.count(r.AwayLonger(letGo)))),
	}
}

// until is when so many of a hundred are back.
func (s *study) until(r *storm.Result, percent float64) string { return whole(r.BackAt(percent)) }

func rowCases() []rowCase {
	same := func(*storm.Scenario) {}
	killed := func(nodes int) change { return on(nodes, 2) }
	return []rowCase{
		{"**a node is killed**", same},
		{"… 2 nodes left, of 3", killed(3)},
		{"… 10 nodes left, of 11", killed(11)},
		{"… TLS in the nodes", overTLS},
		{"… doors with room for 30,000 more each", room(280_000)},
		{"… readers by EventSource", by(eventSource)},
		{"… readers by Socket.IO", by(storm.SocketIO{})},
		{"… the same behind one proxy, `socketio_max_handshakes` 500", all(by(storm.SocketIO{}), perAddress(500))},
		{"… readers that all wait 3 s", by(fixed)},
		{"… *if shaveet.js were told to spread over 12 s*", firstWait(12 * time.Second)},
		{"… *the same, over 31 s, TLS in the nodes*", all(overTLS, firstWait(31*time.Second))},
		{"**a node drains**, `retry_time` 2 s", cause(storm.Drain)},
		{"… `retry_time` 0, of which there is none", retry(0)},
		{"… `retry_time` 1 s", retry(time.Second)},
		{"… `retry_time` 5 s", retry(5 * time.Second)},
		{"… `retry_time` 12 s", retry(12 * time.Second)},
		{"… `retry_time` 25 s", retry(25 * time.Second)},
		{"… TLS in the nodes, `retry_time` 2 s", all(cause(storm.Drain), overTLS)},
		{"… *if readers were told one after the other, over 12 s*", stagger(12 * time.Second)},
		{"… *the same, over 31 s, TLS in the nodes*", all(overTLS, stagger(31*time.Second))},
		{"**another primary of Redis**, all hear `reset`", cause(storm.Reset)},
		{"… and each page asks the backend, 5,000 / s", all(cause(storm.Reset), asksBackend)},
		{"**Redis is emptied**, all hear `gone`", cause(storm.Gone)},
		{"… and each page asks the backend, 5,000 / s", all(cause(storm.Gone), asksBackend)},
		{"**the balancer fails**, all are cut off", cause(storm.Balancer)},
		{"… and is away for 30 s", all(cause(storm.Balancer), outage(30*time.Second))},
		{"… TLS in the nodes", all(cause(storm.Balancer), overTLS)},
		{"… TLS, a node takes in 4,096 at most at a time", all(cause(storm.Balancer), overTLS, inside(4096))},
		{"**10 million** on 11 nodes of 16 processors: one is killed", tenMillion()},
		{"… one drains", all(tenMillion(), cause(storm.Drain))},
		{"… the balancer fails", all(tenMillion(), cause(storm.Balancer))},
	}
}

// Rule is the table in which the rule is tried.
func (s *study) Rule() string {
	head := []string{"readers, nodes", "come to each node left", "it lets in / s", "work, s", "rule: spread, s", "wait p99 with none", "with 0.5 × work", "with 1 ×", "with 1.5 ×", "line with 1.5 ×", "99 % back with 1.5 ×"}
	var rows [][]string
	for _, c := range ruled() {
		of := base(c.change)
		row := []string{c.name, thousands(of.PerNode()), thousands(of.LetsIn()), decimals(of.Work()), decimals(of.Work() * 3 / 2)}
		for _, ratio := range []float64{0, 0.5, 1, 1.5} {
			row = append(row, millis(s.spreadBy(c.change, ratio).Wait(99)))
		}
		r := s.spreadBy(c.change, 1.5)
		rows = append(rows, append(row, thousands(float64(s.count(r.LongestQueue()))), decimals(r.BackAt(99))+" s"))
	}
	return table(head, rows)
}

// spreadBy is what comes of a kill, if readers spread over so many times the work.
// Without any they come in the same millisecond.
func (s *study) spreadBy(c change, ratio float64) *storm.Result {
	if ratio == 0 {
		return s.result(base(c, firstWait(time.Millisecond)))
	}
	return s.result(base(c, spread(ratio)))
}

// History is how much a channel must keep, and what is lost if it keeps as much
// as it does by default.
func (s *study) History() string {
	head := []string{"storm", "away, 99 %, s", "the longest, s", "1 / s", "10 / s", "100 / s", "1 MiB lasts up to", "lost of 100 / s, each"}
	var rows [][]string
	for _, c := range pasts() {
		r := s.result(base(c.change))
		row := []string{c.name, decimals(r.Away(99)), decimals(r.Away(100))}
		for _, rate := range []float64{1, 10, 100} {
			row = append(row, thousands(float64(r.History(rate, 100))))
		}
		lasts := float64(ring) / max(r.Away(100).Seconds(), 0.1)
		rows = append(rows, append(row, thousands(lasts)+" / s", thousands(r.FellOut(100, ring, window))))
	}
	return table(head, rows)
}

// window is for how long a channel keeps a message by default.
const window = 5 * time.Minute

func pasts() []ruleCase {
	return []ruleCase{
		{"a node is killed", cause(storm.Kill)},
		{"… TLS in the nodes", overTLS},
		{"a node drains", cause(storm.Drain)},
		{"… `retry_time` 12 s", retry(12 * time.Second)},
		{"… *one after the other, over 12 s*", stagger(12 * time.Second)},
		{"Redis is emptied", cause(storm.Gone)},
		{"the balancer fails", cause(storm.Balancer)},
		{"… and is away for 30 s", all(cause(storm.Balancer), outage(30*time.Second))},
	}
}

// Vain says how long 30 s of work take with what somebody who has gone may cost.
func (s *study) Vain() string {
	head := []string{"who has gone costs", "work 10 s", "20 s", "25 s", "30 s", "40 s", "60 s"}
	var rows [][]string
	for _, part := range []float64{1, 0.5, 0.2, 0} {
		costs := func(s *storm.Scenario) { s.Costs.Vain = time.Duration(part * float64(s.Costs.Vain)) }
		row := []string{fmt.Sprintf("%.0f µs", part*float64(storm.Measured().Vain)/1e3)}
		for _, load := range []float64{10, 20, 25, 30, 40, 60} {
			r := s.result(base(cause(storm.Balancer), small, loaded(load), costs))
			row = append(row, whole(r.BackAt(99)))
		}
		rows = append(rows, row)
	}
	return table(head, rows)
}

// LetsIn is what a node of two processors lets in each second.
func (s *study) LetsIn() string {
	of := base()
	return thousands(of.LetsIn())
}

// LetsInTLS is the same with TLS in it.
func (s *study) LetsInTLS() string {
	of := base(overTLS)
	return thousands(of.LetsIn())
}

// In10s is how many readers may come to a node at once without harm.
func (s *study) In10s() string {
	of := base()
	return rough(of.LetsIn() * 10)
}

// In10sTLS is the same with TLS in it.
func (s *study) In10sTLS() string {
	of := base(overTLS)
	return rough(of.LetsIn() * 10)
}

// InRetry is how many drained readers a node can take with a retry_time of 12 s,
// which is the longest that idle_time leaves room for.
func (s *study) InRetry() string {
	of := base()
	return rough(of.LetsIn() * 12 / 1.5)
}

// InRetryTLS is the same with TLS in it.
func (s *study) InRetryTLS() string {
	of := base(overTLS)
	return rough(of.LetsIn() * 12 / 1.5)
}

// Peak is how many come to a node in a second after a kill.
func (s *study) Peak() string {
	return rough(float64(s.count(1)) * s.result(base()).PeakArrivals())
}

// DrainPeak is the same when a node drains.
func (s *study) DrainPeak() string {
	return rough(float64(s.count(1)) * s.result(base(cause(storm.Drain))).PeakArrivals())
}

// Tries is how many attempts a reader makes while the balancer is away for 30 s,
// and until it is back.
func (s *study) Tries() string {
	r := s.result(base(cause(storm.Balancer), outage(30*time.Second)))
	return fmt.Sprintf("%.0f", float64(r.Attempts)/float64(max(r.Displaced, 1)))
}

// Seed is with what the dice began.
func (s *study) Seed() uint64 { return s.seed }

// Horizon is how long a storm is looked at.
func (s *study) Horizon() string { return whole(horizon) + " s" }

// table writes a table. Behind the first column are numbers.
func table(head []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	line(head)
	rule := make([]string, len(head))
	for i := range rule {
		if rule[i] = "--:"; i == 0 {
			rule[i] = "---"
		}
	}
	line(rule)
	for _, r := range rows {
		line(r)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// whole is a time in seconds. What has not happened until the horizon is more.
func whole(d time.Duration) string {
	if d == horizon {
		return "> " + strconv.Itoa(int(horizon.Seconds()))
	}
	return decimals(d)
}

func decimals(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()) }

// millis is a wait: short ones in milliseconds.
func millis(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	}
	return whole(d) + " s"
}

// rough is a number with two digits that count.
func rough(v float64) string {
	unit := 1.0
	for v/unit >= 100 {
		unit *= 10
	}
	return thousands(float64(int(v/unit+0.5)) * unit)
}

func thousands(v float64) string {
	s := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
