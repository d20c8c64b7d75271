package main

import (
	"fmt"
	"time"

	"github.com/shaveet/shaveet/bench/storm"
	"github.com/shaveet/shaveet/bench/storm/chart"
)

// charts are all plots, by the names of their files.
func (s *study) charts() map[string]*chart.Chart {
	return map[string]*chart.Chart{
		"back":     s.whoIsBack(),
		"arrivals": s.arrivals(),
		"line":     s.lines(),
		"rule":     s.rule(),
		"drain":    s.drains(),
		"cliff":    s.cliff(),
		"history":  s.history(),
	}
}

func (s *study) whoIsBack() *chart.Chart {
	c := &chart.Chart{
		Title: "Readers that are back: 1 million on 4 nodes of 2 processors",
		X:     chart.Axis{Label: "time since it happened, s", Max: 120},
		Y:     chart.Axis{Label: "readers back, % of those concerned", Max: 100},
	}
	add := func(name string, colour int, dashed bool, of storm.Scenario) {
		c.Lines = append(c.Lines, chart.Line{Name: name, Colour: colour, Dashed: dashed, Points: share(s.result(of), 120)})
	}
	for i, which := range []struct {
		name  string
		cause storm.Cause
	}{{"a node is killed", storm.Kill}, {"a node drains", storm.Drain}, {"Redis is emptied", storm.Gone}, {"the balancer fails", storm.Balancer}} {
		add(which.name, i, false, base(cause(which.cause)))
		add(which.name+", TLS in the nodes", i, true, base(cause(which.cause), overTLS))
	}
	return c
}

// share is how many of a hundred are back, at some moments of the first seconds.
func share(r *storm.Result, until int) (points []chart.Point) {
	back := 0
	every := max(1, until*int(time.Second/storm.Step)/200)
	for i := range until * int(time.Second/storm.Step) {
		if i < len(r.Moments) {
			back += r.Moments[i].Back
		}
		if (i+1)%every == 0 {
			points = append(points, chart.Point{X: at(i + 1), Y: 100 * float64(back) / float64(max(r.Displaced, 1))})
		}
	}
	return points
}

func at(step int) float64 { return float64(step) * storm.Step.Seconds() }

func (s *study) arrivals() *chart.Chart {
	c := &chart.Chart{
		Title: "A node is killed: who comes to each of the three others",
		X:     chart.Axis{Label: "time since it was killed, s", Max: 10},
		Y:     chart.Axis{Label: "arrivals a second at the busiest node", Log: true, Min: 1000, Max: 1_000_000},
	}
	for i, h := range habits() {
		c.Lines = append(c.Lines, chart.Line{Name: h.name, Colour: i, Points: s.busiest(s.result(base(by(h.habit))), 10)})
	}
	of := base()
	lets := of.LetsIn()
	c.Lines = append(c.Lines, chart.Line{Name: "what a node lets in", Colour: 5, Dashed: true, Points: []chart.Point{{X: 0, Y: lets}, {X: 10, Y: lets}}})
	return c
}

type named struct {
	name  string
	habit storm.Habit
}

func habits() []named {
	return []named{
		{"shaveet.js: up to 1 s, random", storm.Shaveet{}},
		{"EventSource: retry of 2 to 4 s", eventSource},
		{"Socket.IO: 0.5 to 1.5 s", storm.SocketIO{}},
		{"3 s for all, which one must not", fixed},
		{"shaveet.js, if told to spread over 12 s", storm.Shaveet{First: 12 * time.Second}},
	}
}

func (s *study) busiest(r *storm.Result, until int) (points []chart.Point) {
	for i := range until * int(time.Second/storm.Step) {
		y := 0.0
		if i < len(r.Moments) {
			y = float64(s.count(r.Moments[i].Busiest)) / storm.Step.Seconds()
		}
		points = append(points, chart.Point{X: at(i), Y: y})
	}
	return points
}

func (s *study) lines() *chart.Chart {
	c := &chart.Chart{
		Title: "A node drains: the line before each of the three others",
		X:     chart.Axis{Label: "time since readers were told, s", Max: 20},
		Y:     chart.Axis{Label: "readers in the longest line"},
	}
	for i, retryTime := range []int{0, 1, 2, 5, 10} {
		name := fmt.Sprintf("retry_time = %d s", retryTime)
		if retryTime == 2 {
			name += " (the default)"
		}
		r := s.result(base(retry(time.Duration(retryTime) * time.Second)))
		c.Lines = append(c.Lines, chart.Line{Name: name, Colour: i, Points: s.queue(r, 20)})
	}
	c.Lines = append(c.Lines, chart.Line{Name: "told one after the other, over 12 s", Colour: 5, Dashed: true, Points: s.queue(s.result(base(stagger(12*time.Second))), 20)})
	return c
}

func (s *study) queue(r *storm.Result, until int) (points []chart.Point) {
	for i := range until * int(time.Second/storm.Step) {
		y := 0.0
		if i < len(r.Moments) {
			y = float64(s.count(r.Moments[i].Queue))
		}
		points = append(points, chart.Point{X: at(i), Y: y})
	}
	return points
}

// ratios are those of spread and work that the rule is looked at with.
var ratios = []float64{0.1, 0.25, 0.5, 0.75, 0.9, 1, 1.1, 1.25, 1.5, 2, 2.5, 3}

func (s *study) rule() *chart.Chart {
	c := &chart.Chart{
		Title: "The rule: spread divided by readers of each node left ÷ what it lets in",
		X:     chart.Axis{Label: "spread ÷ work (both in s)", Max: 3},
		Y:     chart.Axis{Label: "wait of the 99th of 100, ms", Log: true, Min: 0.1, Max: 100_000},
	}
	for i, which := range ruled() {
		line := chart.Line{Name: which.name, Colour: i}
		for _, ratio := range ratios {
			r := s.result(base(which.change, spread(ratio)))
			line.Points = append(line.Points, chart.Point{X: ratio, Y: float64(r.Wait(99)) / 1e6})
		}
		c.Lines = append(c.Lines, line)
	}
	return c
}

// spread has readers come over so many times what the nodes need to let them in.
func spread(ratio float64) change {
	return func(s *storm.Scenario) {
		s.Habit = storm.Shaveet{First: time.Duration(ratio * float64(s.Work()))}
	}
}

type ruleCase struct {
	name   string
	change change
}

// ruled are installations that the rule is tried with.
func ruled() []ruleCase {
	return []ruleCase{
		{"100,000 readers, 2 nodes left", all(readers(100_000), on(3, 2))},
		{"1 million, 2 nodes left, 4 processors", on(3, 4)},
		{"1 million, 3 nodes left", func(*storm.Scenario) {}},
		{"1 million, 3 nodes left, TLS in them", overTLS},
		{"1 million, 10 nodes left", on(11, 2)},
		{"10 million, 10 nodes left, 16 processors", tenMillion()},
	}
}

func (s *study) drains() *chart.Chart {
	c := &chart.Chart{
		Title: "A node drains: for how long its readers are without messages",
		X:     chart.Axis{Label: "spread, s", Max: 20},
		Y:     chart.Axis{Label: "away, s (99 of 100 readers)", Max: 50},
	}
	at := []float64{0.5, 1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 18, 20}
	told := chart.Line{Name: "all told at once, retry_time = spread", Colour: 0}
	turns := chart.Line{Name: "told one after the other over the spread", Colour: 2}
	toldTLS := chart.Line{Name: "all at once, TLS in the nodes", Colour: 0, Dashed: true}
	turnsTLS := chart.Line{Name: "one after the other, TLS in the nodes", Colour: 2, Dashed: true}
	for _, x := range at {
		d := seconds(x)
		for _, which := range []struct {
			line *chart.Line
			of   storm.Scenario
		}{
			{&told, base(small, retry(d))}, {&turns, base(small, stagger(d))},
			{&toldTLS, base(small, overTLS, retry(d))}, {&turnsTLS, base(small, overTLS, stagger(d))},
		} {
			r := s.result(which.of)
			which.line.Points = append(which.line.Points, chart.Point{X: x, Y: r.Away(99).Seconds()})
		}
	}
	idle := chart.Line{Name: "idle_time: clients are let go from here", Colour: 4, Dashed: true, Points: []chart.Point{{X: 0, Y: letGo.Seconds()}, {X: 20, Y: letGo.Seconds()}}}
	c.Lines = []chart.Line{told, turns, toldTLS, turnsTLS, idle}
	return c
}

// loads are how long nodes need to let in all who come, s.
var loads = []float64{2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 35, 40, 50, 60}

func (s *study) cliff() *chart.Chart {
	c := &chart.Chart{
		Title: "Everybody comes at once: when nodes do not recover",
		X:     chart.Axis{Label: "work: readers of each node ÷ what it lets in, s", Max: 60},
		Y:     chart.Axis{Label: "time until 99 of 100 are back, s", Max: horizon.Seconds()},
	}
	for i, which := range cliffs() {
		line := chart.Line{Name: which.name, Colour: i, Dashed: i == 3}
		for _, load := range loads {
			r := s.result(base(cause(storm.Balancer), which.change, small, loaded(load), which.then))
			line.Points = append(line.Points, chart.Point{X: load, Y: r.BackAt(99).Seconds()})
		}
		c.Lines = append(c.Lines, line)
	}
	return c
}

type cliffCase struct {
	name   string
	change change
	then   change // when it is known how many there are
}

func cliffs() []cliffCase {
	same := func(*storm.Scenario) {}
	return []cliffCase{
		{"as it is", same, same},
		{"if those who have gone cost nothing", vainFree, same},
		{"if a node took in 20,000 at most at a time", inside(20_000), same},
		{"if readers were told to spread: 1.5 × work", same, spread(1.5)},
	}
}

// loaded has as many readers come as nodes need so long for.
func loaded(work float64) change {
	return func(s *storm.Scenario) {
		s.Readers = int(work * float64(s.Nodes) * s.LetsIn())
	}
}

func (s *study) history() *chart.Chart {
	const least, most = 0.1, 1000
	c := &chart.Chart{
		Title: "What a channel has to keep, so that nobody misses anything",
		X:     chart.Axis{Label: "messages a second on the channel", Log: true, Min: least, Max: most},
		Y:     chart.Axis{Label: "messages kept", Log: true, Min: 1, Max: 100_000},
	}
	for i, which := range []ruleCase{
		{"a node is killed", cause(storm.Kill)},
		{"a node drains", cause(storm.Drain)},
		{"the balancer fails", cause(storm.Balancer)},
		{"a node is killed, TLS in the nodes", overTLS},
		{"the balancer is away for 30 s", all(cause(storm.Balancer), outage(30*time.Second))},
	} {
		r := s.result(base(which.change))
		line := chart.Line{Name: which.name, Colour: i}
		for rate := least; rate <= most*1.01; rate *= 10 {
			line.Points = append(line.Points, chart.Point{X: rate, Y: float64(r.History(rate, 100))})
		}
		c.Lines = append(c.Lines, line)
	}
	c.Lines = append(c.Lines, chart.Line{Name: "channel_bytes: 1 MiB of 128 bytes each", Colour: 5, Dashed: true, Points: []chart.Point{{X: least, Y: ring}, {X: most, Y: ring}}})
	return c
}

// ring is how many messages of 128 bytes a channel keeps by default: each is
// charged 256 more.
const ring = 1 << 20 / (128 + 256)
