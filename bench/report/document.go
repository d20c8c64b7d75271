package main

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/shaveet/shaveet/bench"
)

//go:embed performance.md.tmpl
var performanceText string

//go:embed peers.md.tmpl
var peersText string

// A document is what a page is made of. What is written by hand is in the
// templates, with numbers from here, so that it stays true.
type document struct {
	machine  machine
	runs     map[string]*runs
	cells    []cell
	skipped  []string
	faults   []string
	profiles []profile
	traces   []trace
	peers    comparison
	duration time.Duration // of all runs; 0: as the cells say
}

// render makes the page of a template.
func (d *document) render(text string) (string, error) {
	t, err := template.New("page").Option("missingkey=error").Parse(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, d)
	return b.String(), err
}

// table writes a table. Behind the first column are numbers.
func table(head []string, rows [][]string, words int) string {
	var b strings.Builder
	line := func(cells []string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	line(head)
	rule := make([]string, len(head))
	for i := range rule {
		if rule[i] = "---"; i >= words {
			rule[i] = "--:"
		}
	}
	line(rule)
	for _, r := range rows {
		line(r)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// What the templates call.

func (d *document) Machine() machine { return d.machine }
func (d *document) Quiet() bool      { return d.machine.quiet() }
func (d *document) Minutes() string {
	return fmt.Sprint(int(d.machine.Took.Round(time.Minute).Minutes()))
}
func (d *document) Memory() string { return fmt.Sprintf("%.0f", d.machine.Memory) }
func (d *document) Runs() string   { return whole(float64(d.count())) }
func (d *document) Deliveries() string {
	var n float64
	for _, s := range d.runs {
		for _, r := range s.ours {
			n += float64(r.Deliveries)
		}
	}
	return rough(n / 1e6)
}

// Missing says what was to be measured and was not.
func (d *document) Missing() (all []string) {
	for _, c := range d.cells {
		s := d.runs[c.name]
		if s == nil {
			continue // it was skipped
		}
		if why := s.lacks(c); why != "" {
			all = append(all, c.name+": "+why)
		}
	}
	for _, p := range d.profiles {
		if p.err != nil {
			all = append(all, fmt.Sprintf("the profile at w=%d: %s", p.window, oneLine(p.err)))
		}
	}
	for _, t := range d.traces {
		if t.err != nil {
			all = append(all, fmt.Sprintf("the system calls at w=%d: %s", t.window, oneLine(t.err)))
		}
	}
	if len(d.skipped) > 0 {
		all = append(all, fmt.Sprintf("%d parts that were not asked for: %s", len(d.skipped), strings.Join(d.skipped, ", ")))
	}
	return all
}

// lacks says what is missing of a cell; empty: nothing.
func (s *runs) lacks(c cell) string {
	value := mainValue(c.workload)
	n := s.figure(value).Rounds
	if c.yardstick || c.peer != "" {
		n = s.ratio(value).Rounds
	}
	switch {
	case n < c.rounds && anyFaults(s.other):
		return fmt.Sprintf("%d of its rounds are missing: messages to the other's readers were lost or worse", c.rounds-n)
	case n < c.rounds || s.err != nil:
		return fmt.Sprintf("%d of its rounds are missing: %s", c.rounds-n, oneLine(s.err))
	case c.workload == bench.Idle && !c.tls && s.figure(kernel).Rounds < c.rounds:
		return kernelUnknown
	case (c.workload == bench.FanOut || c.workload == bench.Many) && s.figure(p50).missing():
		return "its latency is not known: no message was due and delivered while it was measured"
	}
	return ""
}

// What is told of runs whose figures are not known, though they went well.
const (
	nothingToReckon = "there is nothing to reckon with"
	kernelUnknown   = "the kernel's part of memory is not known" // others have given more back than readers took
)

func oneLine(err error) string {
	if err == nil {
		return nothingToReckon
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	return text[:min(len(text), 300)]
}

// Faults are what was lost or came twice, and where.
func (d *document) Faults() []string { return d.faults }

func (d *document) Goals() string { return goalTable(d.goals()) }

// known are the goals of which something is known.
func (d *document) known() []goal {
	return slices.DeleteFunc(d.goals(), func(g goal) bool { return g.Reached != reached && g.Reached != notReached && g.Reached != reachedOlder })
}

func goalTable(all []goal) string {
	var rows [][]string
	for _, g := range all {
		rows = append(rows, []string{g.Number, g.What, g.Ours, g.Other, g.Ratio, g.Wanted, g.Reached})
	}
	return table([]string{"", "what", "ours", "compared with", "ratio", "goal", "reached"}, rows, 2)
}

// Reached counts the lines of the table of goals by what they have come to.
func (d *document) Reached() string {
	yes, no, open := 0, 0, 0
	for _, g := range d.goals() {
		switch g.Reached {
		case reached, reachedOlder:
			yes++
		case notReached:
			no++
		default:
			open++
		}
	}
	return fmt.Sprintf("%d of its %d lines are reached, %d are not, and of %d it is not known", yes, yes+no+open, no, open)
}

// FanOut is the table of one number of readers.
func (d *document) FanOut(readers int) string {
	var rows [][]string
	for _, t := range bench.Transports() {
		for _, w := range windows {
			s := d.runs[fanOut(t, readers, w)]
			rows = append(rows, []string{t, number(w), s.figure(perCPU).text(whole), s.others(perCPU).text(whole), s.ratio(perCPU).text(hundredths),
				s.figure(perSecond).median(whole), s.figure(p50).median(hundredths), s.figure(p99).median(hundredths)})
		}
	}
	return table([]string{"transport", "w", "deliveries / CPU second", "yardstick's", "ratio", "deliveries / s", "p50, ms", "p99, ms"}, rows, 1)
}

func (d *document) Many() string {
	var rows [][]string
	for _, s := range spreads {
		for _, way := range publishing {
			r := d.runs[many(s.readers, s.channels, way)]
			rows = append(rows, []string{whole(float64(s.readers)), whole(float64(s.channels)), said(way), r.figure(perCPU).text(whole),
				r.figure(perSecond).median(whole), r.figure(p50).median(hundredths), r.figure(p99).median(hundredths)})
		}
	}
	return table([]string{"readers", "channels", "published by", "messages / CPU second", "messages / s", "p50, ms", "p99, ms"}, rows, 3)
}

func (d *document) Latency() string {
	var rows [][]string
	for _, t := range bench.Transports() {
		s := d.runs[latency(t)]
		rows = append(rows, []string{t, s.figure(p50).text(hundredths), s.figure(p99).text(hundredths), s.others(p50).text(hundredths), s.others(p99).text(hundredths), s.ratio(p50).text(hundredths)})
	}
	return table([]string{"transport", "p50, ms", "p99, ms", "yardstick's p50", "its p99", "ratio of p50"}, rows, 1)
}

func (d *document) Idle() string {
	var rows [][]string
	add := func(name string, s *runs, tls bool) {
		half, sum := s.figure(kernel).text(whole), s.figure(both).median(whole)
		if tls { // readers are goroutines of the generator then, and what the kernel has for them is not measured on its own
			half, sum = "as above", "–"
		}
		rows = append(rows, []string{name, s.figure(rss).text(whole), half, sum, s.figure(perCPU).median(whole)})
	}
	for _, t := range bench.Transports() {
		add(t, d.runs[idle(t)], false)
	}
	for _, t := range secure {
		add(t+" over TLS", d.runs[idleTLS(t)], true)
	}
	return table([]string{"transport", "server's memory (RSS) / reader, bytes", "kernel's / connection", "kernel included", "readers let in / CPU second"}, rows, 1)
}

func (d *document) Publish() string {
	var rows [][]string
	for _, way := range bench.Publishing() {
		s := d.runs[publish(way)]
		rows = append(rows, []string{said(way), s.figure(perCPU).text(whole), s.figure(perSecond).text(whole)})
	}
	return table([]string{"published by", "messages / CPU second", "messages / s"}, rows, 1)
}

func (d *document) Churn() string {
	var rows [][]string
	for _, t := range bench.Transports() {
		s := d.runs[churn(t)]
		rows = append(rows, []string{t, s.figure(perCPU).text(whole), s.figure(perSecond).text(whole)})
	}
	return table([]string{"transport", "readers that came and went / CPU second", "/ s"}, rows, 1)
}

// Shares says what part of the time goes to system calls.
func (d *document) Shares() string {
	var rows [][]string
	for _, p := range d.profiles {
		row := []string{number(p.window), notMeasured, notMeasured, notMeasured}
		if p.err == nil {
			row = []string{number(p.window), percent(p.writeShare), percent(max(0, p.callShare-p.writeShare)), percent(1 - max(p.callShare, p.writeShare))}
		}
		rows = append(rows, row)
	}
	return table([]string{"w", "the system call write", "other system calls", "the program itself"}, rows, 0)
}

// Profile is what pprof prints, of the first.
func (d *document) Profile() string {
	if len(d.profiles) == 0 || d.profiles[0].err != nil {
		return "not measured"
	}
	p := d.profiles[0]
	return strings.Join(slices.Concat([]string{p.total}, p.flat, []string{""}, p.cum), "\n")
}

func (d *document) Calls() string {
	var rows [][]string
	for _, t := range d.traces {
		if t.err != nil {
			rows = append(rows, []string{number(t.window), notMeasured, notMeasured, notMeasured, notMeasured})
			continue
		}
		var most []string
		for _, c := range t.calls[:min(4, len(t.calls))] {
			most = append(most, c.name+" "+whole(c.times))
		}
		rows = append(rows, []string{number(t.window), whole(t.deliveries), whole(t.writes), hundredths(t.deliveries / max(t.writes, 1)), strings.Join(most, ", ")})
	}
	return table([]string{"w", "deliveries", "calls that send", "deliveries / such a call", "most frequent calls"}, rows, 0)
}

// Commands are how some of it is measured by hand.
func (d *document) Commands() string {
	var b strings.Builder
	seen := make(map[string]bool)
	r := &runner{duration: d.duration}
	for _, c := range d.cells {
		if !seen[c.workload] && !c.tls {
			seen[c.workload] = true
			fmt.Fprintf(&b, "shaveet bench %s\n", strings.Join(r.flags(c, c.flags), " "))
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Rounds says how many there were.
func (d *document) Rounds() string {
	least, most := d.cells[0].rounds, 0
	for _, c := range d.cells {
		least, most = min(least, c.rounds), max(most, c.rounds)
	}
	switch {
	case most == 1:
		return "here one"
	case least == most:
		return "here " + number(most)
	}
	return fmt.Sprintf("here %d to %d", least, most)
}

// Durations says how long was measured.
func (d *document) Durations() string {
	first := warmUp
	if d.cells[0].peer != "" {
		first = peerWarmUp
	}
	if d.duration > 0 {
		return fmt.Sprintf("A run warms up for %v and measures %v", min(first, d.duration), d.duration)
	}
	least, most := d.cells[0].duration, time.Duration(0)
	for _, c := range d.cells {
		least, most = min(least, c.duration), max(most, c.duration)
	}
	return fmt.Sprintf("A run warms up for %v and measures %v to %v", first, least, most)
}
