package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/shaveet/shaveet/bench"
)

// A goal is a line of the table of goals.
type goal struct {
	Number  string // G1
	What    string
	Ours    string
	Other   string // with its figure
	Ratio   string
	Wanted  string
	Reached string
}

// What a goal has come to.
const (
	reached      = "yes"
	reachedOlder = "yes²" // by a figure that was not measured anew
	notReached   = "**no**"
)

func verdict(f figure, good bool) string {
	switch {
	case f.missing():
		return notMeasured
	case good:
		return reached
	}
	return notReached
}

// Figures of Centrifugo 6.5.1 for each CPU second, of a measurement on the same
// kind of machine: other servers than those of make bench-peers are not
// measured anew. The yardstick's of that day says how fast the machine was.
const (
	olderDate      = "21 November 2026"
	olderPublish   = 33_488
	olderMany      = 18_731
	olderYardstick = 222_706 // write(2), 1,000 readers, one message at a time
)

// goals compares what was measured with what is wanted.
func (d *document) goals() (all []goal) {
	all = append(all, d.streamGoals()...)
	all = append(all, d.pollGoals()...)
	all = append(all, d.publishGoals()...)
	all = append(all, d.restGoals()...)
	return all
}

// atLeast is a goal for a ratio.
func atLeast(number, what string, ours figure, other string, its, ratio figure, least float64) goal {
	return goal{number, what, ours.median(whole), other + " " + its.median(whole), ratio.text(hundredths),
		"≥ " + trimmed(least), verdict(ratio, ratio.Median >= least)}
}

func trimmed(v float64) string { return strings.TrimSuffix(hundredths(v), "0") }

// streamGoals are G1 and G2: streams against the yardstick.
func (d *document) streamGoals() (all []goal) {
	streams := []string{"websocket", "sse", "stream"}
	add := func(number, transport string, readers, window int, least float64) {
		s := d.runs[fanOut(transport, readers, window)]
		all = append(all, atLeast(number, fmt.Sprintf("fan-out to %s, %s, w=%d", whole(float64(readers)), transport, window),
			s.figure(perCPU), "write(2)", s.others(perCPU), s.ratio(perCPU), least))
	}
	for _, readers := range crowds {
		for _, t := range streams {
			add("G1", t, readers, 1, 0.90)
		}
	}
	for i, w := range []int{16, 64} {
		for _, t := range streams {
			add("G2", t, 1000, w, []float64{2, 4}[i])
		}
	}
	return all
}

// pollGoals are G3 and G4: polls, and Socket.IO.
func (d *document) pollGoals() (all []goal) {
	s := d.runs[fanOut("longpoll", 1000, 1)]
	all = append(all, atLeast("G3", "fan-out to 1,000, longpoll, w=1", s.figure(perCPU), "epoll long-poll", s.others(perCPU), s.ratio(perCPU), 0.65))
	for _, w := range windows {
		a, b := d.runs[fanOut("socketio", 1000, w)], d.runs[fanOut("websocket", 1000, w)]
		all = append(all, atLeast("G4", fmt.Sprintf("fan-out to 1,000, socketio, w=%d", w),
			a.figure(perCPU), "our websocket", b.figure(perCPU), cross(a, b), 0.90))
	}
	for _, w := range windows[:2] {
		all = append(all, d.peerGoal("G4", "socketio", fanOut("socketio-polling", 1000, w), fmt.Sprintf("fan-out to 1,000, socketio-polling, w=%d", w), 2.5))
	}
	return all
}

// cross compares two of our cells, round by round.
func cross(a, b *runs) figure {
	if a == nil || b == nil {
		return figure{}
	}
	return ratios(a.ours, b.ours, perCPU)
}

var peerNames = map[string]string{"nchan": "Nchan", "socketio": "Socket.IO on Node"}

// peerGoal is one against another server, by what make bench-peers found.
func (d *document) peerGoal(number, kind, name, what string, least float64) goal {
	c := d.peers.Cells[kind+": "+name]
	g := atLeast(number, what, c.Ours, peerNames[kind], c.Other, c.Ratio, least)
	if c.Ratio.missing() {
		g.Ratio, g.Reached = notMeasured, "by `make bench-peers`"
	}
	return g
}

// olderGoal is one against a figure that was not measured anew.
func (d *document) olderGoal(number, what string, ours figure, older, least float64) goal {
	speed := d.runs[fanOut("websocket", 1000, 1)].others(perCPU)
	scaled := figure{}
	if !speed.missing() {
		its := older * speed.Median / olderYardstick
		scaled = figure{its, its, its, 1}
	}
	g := atLeast(number, what, ours, "Centrifugo²", scaled, ours.over(scaled), least)
	if g.Reached == reached {
		g.Reached = reachedOlder
	}
	return g
}

// publishGoals are G5 and G6: many channels, and publishing alone.
func (d *document) publishGoals() (all []goal) {
	at := func(way string) string { return many(5000, 5000, way) }
	for _, way := range publishing[1:] {
		all = append(all, d.peerGoal("G5", "nchan", at(way), "5,000 channels of one reader, "+said(way), 1.2))
	}
	all = append(all, d.olderGoal("G5", "5,000 channels of one reader, "+said(bench.ByCall), d.runs[at(bench.ByCall)].figure(perCPU), olderMany, 1.2))
	for _, way := range publishing {
		all = append(all, d.flatness(way))
	}
	all = append(all, d.olderGoal("G6", "publishing alone, "+said(bench.ByCall), d.runs[publish(bench.ByCall)].figure(perCPU), olderPublish, 1.0))
	for _, way := range publishing[1:] {
		all = append(all, d.peerGoal("G6", "nchan", publish(way), "publishing alone, "+said(way), 2))
	}
	return all
}

// said names a way of publishing.
func said(way string) string {
	return map[string]string{bench.ByCall: "single calls", bench.ByMany: "`publish_many`", bench.ByBatch: "batches of calls", bench.BySocket: "the backend's socket"}[way]
}

// flatness is that many readers and channels cost no more, for each message,
// than few.
func (d *document) flatness(way string) goal {
	middle := d.runs[many(5000, 5000, way)].figure(perCPU)
	worst := figure{Median: 1, Rounds: 1}
	var each []string
	for _, s := range spreads {
		if s.readers == 5000 && s.channels == 5000 {
			continue
		}
		r := d.runs[many(s.readers, s.channels, way)].figure(perCPU).over(middle)
		if r.missing() {
			worst.Rounds = 0
		}
		if math.Abs(r.Median-1) > math.Abs(worst.Median-1) {
			worst.Median = r.Median
		}
		each = append(each, r.median(hundredths))
	}
	return goal{"G5", "500 and 8,000 readers, 50,000 channels, each compared with 5,000, " + said(way), middle.median(whole), "–",
		strings.Join(each, ", "), "0.70 to 1.30", verdict(worst, math.Abs(worst.Median-1) <= 0.3)}
}

// restGoals are G7 to G10.
func (d *document) restGoals() (all []goal) {
	below := func(number, what string, f figure, most float64, wanted string) {
		all = append(all, goal{number, what, f.text(whole) + " bytes", "–", "–", wanted, verdict(f, f.Median <= most)})
	}
	for _, t := range bench.Transports() {
		below("G7", "idle memory of a reader, "+t, d.runs[idle(t)].figure(rss), 2048, "≤ 2,048")
	}
	for _, t := range secure {
		below("G7", "idle memory of a reader over TLS, "+t, d.runs[idleTLS(t)].figure(rss), 14<<10, "≤ 14,336")
	}
	for _, t := range []string{"websocket", "sse"} {
		f := d.runs[churn(t)].figure(perCPU)
		all = append(all, goal{"G8", "connect, subscribe, disconnect, " + t, f.text(whole) + " / CPU second", "–", "–", "≥ 15,000", verdict(f, f.Median >= 15_000)})
	}
	for _, t := range bench.Transports() {
		s := d.runs[latency(t)]
		ratio := s.ratio(p50)
		all = append(all, goal{"G9", "50 messages/s to 1,000, p50, " + t, s.figure(p50).median(hundredths) + " ms (p99 " + s.figure(p99).median(hundredths) + ")",
			yardstickOf(t) + " " + s.others(p50).median(hundredths) + " ms (p99 " + s.others(p99).median(hundredths) + ")",
			ratio.text(hundredths), "≤ 1.3", verdict(ratio, ratio.Median <= 1.3)})
	}
	n := figure{Rounds: d.count()}
	all = append(all, goal{"G10", "lost, twice, out of order, misrouted, damaged, broken off, in all of our runs", d.lost(), "–", "–", "0", verdict(n, len(d.faults) == 0)})
	return all
}

func yardstickOf(transport string) string {
	if transport == "longpoll" || transport == "socketio-polling" {
		return "epoll long-poll"
	}
	return "write(2)"
}

// count is how many runs of ours there were.
func (d *document) count() (n int) {
	for _, s := range d.runs {
		n += len(s.ours)
	}
	return n
}

// lost adds up what should not have been.
func (d *document) lost() string {
	var sum uint64
	for _, s := range d.runs {
		for _, r := range s.ours {
			f := r.Faults
			sum += uint64(f.Lost) + uint64(f.Duplicated) + uint64(f.Reordered) + uint64(f.Misrouted) + uint64(f.Damaged) + uint64(f.Broken)
		}
	}
	return whole(float64(sum))
}
