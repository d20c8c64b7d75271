package torture

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/shaveet/shaveet/tests/torture/faultproxy"
)

// A plan is what one run is like. It follows from the seed.
type plan struct {
	messages   int // numbers to publish
	publishers int
	burst      int // most messages in one call
	channels   []string
	readers    [][]string // the clients of each
	ways       []way      // that they read by; nil: any
	deeds      []deed     // of the backend, evenly among the messages
	lulls      bool       // nothing is said during deeds, and readers have everything and wait

	batch        int // batch_messages
	keepMessages int // window; 0: as many as come
	keepBytes    int
	notices      int // channel_notices; 0: no notices, but counts
	excludes     bool
	reloads      bool // pages are loaded again and have no cursor then

	faults   faultproxy.Faults // between readers and server
	troubled bool              // publishers go through faults as well
	hangs    bool              // what stalls does so for ever
	deflates bool              // the server compresses for WebSockets that offer it
}

// A deed is something the backend or the operator does in the middle.
type deed uint8

const (
	leaveAndJoin deed = iota
	rotateKey
	disconnect
	deleteChannel
	killClient
	restart
	powerCut
	deeds // how many there are
)

func (p *plan) String() string {
	return fmt.Sprintf("%d messages by %d publishers, bursts of %d (troubled: %v), channels %v, readers %v, deeds %v (lulls: %v), "+
		"batches of %d, windows of %d messages or %d bytes, notices %d, excludes %v, reloads %v, deflates %v, %+v",
		p.messages, p.publishers, p.burst, p.troubled, p.channels, p.readers, p.deeds, p.lulls,
		p.batch, p.keepMessages, p.keepBytes, p.notices, p.excludes, p.reloads, p.deflates, p.faults)
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// newPlan draws the plan of a seed for so many messages.
func newPlan(seed uint64, messages int) *plan {
	r := rand.New(rand.NewPCG(seed, 0))
	p := &plan{
		messages:     messages,
		publishers:   1 + r.IntN(3),
		burst:        pick(r, 1, 10, 50),
		batch:        pick(r, 1, 7, 1000),
		keepMessages: pick(r, 0, 0, 3, 50, 500),
		notices:      pick(r, 0, 1, 5, 100),
		excludes:     r.IntN(2) == 0,
		reloads:      r.IntN(3) == 0,
		troubled:     r.IntN(2) == 0,
		lulls:        r.IntN(2) == 0,
		faults: faultproxy.Faults{
			// Some connections last: answers that are longer than all others
			// can ever be would never come whole.
			Cut: 200 + r.IntN(200), Reset: 100 + r.IntN(150), Half: 50 + r.IntN(100), Stall: r.IntN(50), Requests: r.IntN(300),
			Pieces: r.IntN(200), Pauses: r.IntN(100),
			Reach: int64(1) << (12 + r.IntN(6)), Pause: time.Millisecond, StallTime: 10 * time.Millisecond,
		},
	}
	if r.IntN(4) == 0 {
		p.keepBytes = 8192
	}
	if p.burst == 1 || p.batch == 1 {
		p.messages /= 4 // each is a round trip
	}
	for i := range 1 + r.IntN(5) {
		p.channels = append(p.channels, fmt.Sprint("ch", i))
	}
	p.readers = pick(r, [][]string{{"alice"}}, [][]string{{"alice"}}, [][]string{{"alice", "bob"}},
		[][]string{{"alice"}, {"alice"}}, [][]string{{"alice"}, {"bob", "carol d'é&,+"}})
	for range r.IntN(8) {
		p.deeds = append(p.deeds, deed(r.IntN(int(deeds))))
	}
	p.deflates = r.IntN(2) == 0
	return p
}
