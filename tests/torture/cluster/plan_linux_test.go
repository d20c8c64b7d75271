package cluster

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// A plan is how large a run is, and what may happen in it. What happens follows
// from the seed.
type plan struct {
	seed      uint64
	nodes     int
	redis     bool
	peers     bool // nodes hand requests to each other
	sentinels int

	verified, background int // readers
	channels, crowds     int // that verified readers are on, and that the others are on
	publishers, rate     int // messages a second of each
	window               time.Duration
	insist               time.Duration // how long a publisher repeats a message
	idle                 time.Duration // how long a client may be away
	letGo                time.Duration // how long clients that were let go are remembered
	recovery             time.Duration // how long sockets of Socket.IO may come back

	calm      time.Duration // before the first fault
	faults    int           // of each kind one, as far as these go, and then any
	lasts     time.Duration // the faulty part
	most      int           // faults at the same time, in its second half
	settle    time.Duration // after the last fault, until everyone must have everything
	leave     bool          // wait until the server has let everybody go by itself
	memory    int64         // bytes that a node may need at most
	hasty     bool          // do not wait until sockets of dead nodes are forgotten
	kinds     []string      // only these; nil: all
	impatient bool          // it ends as soon as anything is wrong
}

// full is what make torture runs.
func full(seed uint64, lasts time.Duration) *plan {
	return &plan{seed: seed, nodes: 3, redis: true, sentinels: 3, verified: 2000, background: 6000, channels: 200, crowds: 30,
		publishers: 4, rate: 40, window: 45 * time.Second, insist: 30 * time.Second, idle: 10 * time.Second, letGo: time.Minute, recovery: 30 * time.Second, calm: lasts / 12,
		faults: max(12, int(lasts/(7*time.Second))), lasts: lasts * 7 / 10, most: 3, settle: 45 * time.Second, leave: true, memory: 1 << 30}
}

// quickly is for every day.
func quickly(seed uint64) *plan {
	return &plan{seed: seed, nodes: 2, redis: true, verified: 150, background: 150, channels: 20, crowds: 3,
		publishers: 4, rate: 40, window: 45 * time.Second, insist: 20 * time.Second, idle: 5 * time.Second, letGo: 15 * time.Second, recovery: 4 * time.Second, calm: time.Second,
		faults: 7, lasts: 6 * time.Second, most: 2, settle: 20 * time.Second, hasty: true, memory: 1 << 30,
		kinds: []string{"node SIGKILL", "node partition", "Redis SIGKILL, AOF", "Redis FLUSHALL", "Redis CLIENT KILL", "answers cut",
			"connections reset", "clients killed", "publish burst"}}
}

// An appointment is a fault at its time.
type appointment struct {
	at    time.Duration
	fault *fault
	seed  uint64
}

// schedule draws what happens, and when: first of each kind one, alone, then any
// of them, some at once.
func (p *plan) schedule(kinds []*fault) []appointment {
	r := rand.New(rand.NewPCG(p.seed, 77))
	order := r.Perm(len(kinds))
	weights := 0
	for _, k := range kinds {
		weights += k.weight
	}
	var all []appointment
	for i := range p.faults {
		k := kinds[order[i%len(kinds)]]
		if i >= len(kinds) {
			n := r.IntN(weights)
			for _, k = range kinds {
				if n -= k.weight; n < 0 {
					break
				}
			}
		}
		at := p.lasts * time.Duration(i) / time.Duration(p.faults)
		if i >= len(kinds) && r.IntN(2) == 0 {
			at = all[i-1].at + time.Duration(r.IntN(300))*time.Millisecond // together with the last
		}
		all = append(all, appointment{at, k, r.Uint64()})
	}
	return all
}

func (p *plan) String() string {
	return fmt.Sprintf("seed %d: %d nodes, %d verified and %d other readers, %d publishers of %d messages a second", p.seed, p.nodes, p.verified, p.background, p.publishers, p.rate)
}
