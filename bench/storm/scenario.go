package storm

import (
	"errors"
	"fmt"
	"time"
)

// A Cause is what cuts readers off.
type Cause uint8

const (
	// Kill: a node dies, and its readers come to the others.
	Kill Cause = iota
	// Drain: a node ends in good order, and asks its readers to come again.
	Drain
	// Reset: another primary of Redis takes over. Readers stay, and are told; the
	// page asks its backend for the state.
	Reset
	// Gone: Redis was emptied. Readers are told, ask the backend for another key,
	// and come with it.
	Gone
	// Balancer: what stands before the nodes fails, and all readers are cut off.
	Balancer
)

// String returns a word for it.
func (c Cause) String() string {
	return [...]string{"kill", "drain", "reset", "gone", "balancer"}[c]
}

// A Scenario is one storm. Fields that say "0: no limit" may be left out; so may
// Outage, Stagger, Backend and Retry.
type Scenario struct {
	Cause   Cause
	Readers int
	Nodes   int // before the storm; readers are spread evenly
	Habit   Habit
	Seed    uint64
	Horizon time.Duration // after which nobody looks any more

	// What the server and the balancer say and do.
	Retry   time.Duration // Drain: each reader is asked to wait one to two times this
	Stagger time.Duration // Drain: the time over which readers are told; 0: all at once
	Outage  time.Duration // Balancer: how long it refuses whoever comes

	// What nodes can do.
	Cores          float64 // processors of each
	Costs          Costs
	Inside         int           // connections a node takes in and has not answered; 0: no limit
	Backlog        int           // connections that the kernel keeps beyond
	MaxConnections int           // of a node; 0: no limit
	PerAddress     int           // handshakes a second for each node, where all come from one proxy; 0: no limit
	HeaderTimeout  time.Duration // after which a node closes a connection that it has not got to; 0: never

	// What is said meanwhile.
	Rate  float64       // messages a second that each reader hears
	Bytes int           // of one of them on the wire
	Beat  time.Duration // between two heartbeats

	Backend float64 // pages that the backend answers in a second; 0: nobody asks it
}

// Default is what most of docs/storm.md begins with: a million readers by
// shaveet.js on four nodes of two processors, all limits as the server has them.
func Default() Scenario {
	return Scenario{
		Cause: Kill, Readers: 1_000_000, Nodes: 4, Habit: Shaveet{}, Seed: 1, Horizon: 10 * time.Minute,
		Retry: 2 * time.Second,
		Cores: 2, Costs: Measured(), Backlog: 4096, HeaderTimeout: 10 * time.Second,
		Rate: 0.1, Bytes: 220, Beat: 20 * time.Second,
	}
}

// Left is how many nodes the readers can come to.
func (s *Scenario) Left() int {
	if s.Cause == Kill || s.Cause == Drain {
		return s.Nodes - 1
	}
	return s.Nodes
}

// Displaced is how many readers lose something.
func (s *Scenario) Displaced() int {
	if s.Left() == s.Nodes {
		return s.Readers
	}
	return (s.Readers + s.Nodes - 1) / s.Nodes
}

// Work is how long the nodes that are left need at least to let all in, if they
// do nothing else meanwhile but what they do for those they have at the beginning.
func (s *Scenario) Work() time.Duration {
	return time.Duration(s.PerNode() / s.LetsIn() * 1e9)
}

// PerNode is how many readers come to each node that is left.
func (s *Scenario) PerNode() float64 { return float64(s.Displaced()) / float64(s.Left()) }

// LetsIn is how many readers a node can let in each second, as long as it has only
// those that it had before.
func (s *Scenario) LetsIn() float64 {
	kept := float64(s.Readers-s.Displaced()) / float64(s.Left())
	return s.spare(kept) / s.Costs.Handshake.Seconds()
}

// leastShare is the part of its processors that a node has for who comes, however
// much it has to say to those who are there: the scheduler is fair.
const leastShare = 0.1

// spare is how many processors of a node are free when so many readers are attached.
func (s *Scenario) spare(attached float64) float64 {
	each := s.Rate
	if s.Beat > 0 {
		each += 1 / s.Beat.Seconds()
	}
	return max(s.Cores-attached*each*s.Costs.Delivery.Seconds(), s.Cores*leastShare)
}

func (s *Scenario) check() error {
	switch {
	case s.Habit == nil:
		return errors.New("a scenario needs a habit")
	case s.Readers < 1 || s.Left() < 1 || s.Left() > 1<<15:
		return fmt.Errorf("%d readers and %d nodes make no storm", s.Readers, s.Nodes)
	case s.Cores <= 0 || s.Costs.Handshake <= 0:
		return errors.New("a node that can do nothing lets nobody in")
	case s.Horizon <= 0:
		return errors.New("a scenario needs a horizon")
	}
	return nil
}
