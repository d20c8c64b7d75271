package main

import (
	"time"

	"github.com/shaveet/shaveet/bench/storm"
)

// horizon is how long a storm is looked at.
const horizon = 3 * time.Minute

// letGo is when a client whose node has drained is let go: idle_time.
const letGo = 25 * time.Second

// What a backend is taken to answer: nobody has measured yours.
const backend = 5_000

// A change makes another scenario of one.
type change func(*storm.Scenario)

func base(changes ...change) storm.Scenario {
	s := storm.Default()
	s.Horizon = horizon
	for _, c := range changes {
		c(&s)
	}
	return s
}

func cause(c storm.Cause) change    { return func(s *storm.Scenario) { s.Cause = c } }
func by(h storm.Habit) change       { return func(s *storm.Scenario) { s.Habit = h } }
func overTLS(s *storm.Scenario)     { s.Costs = storm.MeasuredTLS() }
func outage(d time.Duration) change { return func(s *storm.Scenario) { s.Outage = d } }
func asksBackend(s *storm.Scenario) { s.Backend = backend }
func inside(n int) change           { return func(s *storm.Scenario) { s.Inside = n } }
func room(n int) change             { return func(s *storm.Scenario) { s.MaxConnections = n } }
func perAddress(n int) change       { return func(s *storm.Scenario) { s.PerAddress = n } }
func retry(d time.Duration) change {
	return func(s *storm.Scenario) { s.Cause, s.Retry = storm.Drain, d }
}
func vainFree(s *storm.Scenario) { s.Costs.Vain = 0 }
func readers(n int) change       { return func(s *storm.Scenario) { s.Readers = n } }
func on(nodes int, cores float64) change {
	return func(s *storm.Scenario) { s.Nodes, s.Cores = nodes, cores }
}
func tenMillion() change                    { return all(readers(10_000_000), on(11, 16)) }
func firstWait(spread time.Duration) change { return by(storm.Shaveet{First: spread}) }

func all(changes ...change) change {
	return func(s *storm.Scenario) {
		for _, c := range changes {
			c(s)
		}
	}
}

// stagger has readers told one after the other, and come at once.
func stagger(over time.Duration) change {
	return func(s *storm.Scenario) { s.Cause, s.Retry, s.Stagger = storm.Drain, 0, over }
}

// small is the usual scenario with a tenth of its readers on a tenth of its nodes'
// processors, for lines of many points.
func small(s *storm.Scenario) {
	s.Readers, s.Cores, s.Backlog, s.Inside = s.Readers/10, s.Cores/10, s.Backlog/10, s.Inside/10
}

// eventSource is a browser's own, told as the server does; fixed is how it should
// not be done.
var (
	eventSource = storm.EventSource{Retry: 2 * time.Second}
	fixed       = storm.Fixed{Delay: 3 * time.Second, Limit: 20 * time.Second}
)

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
