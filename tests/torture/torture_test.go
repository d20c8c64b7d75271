// Package torture reads over real TCP while everything goes wrong that can:
// answers are cut at random bytes, the server is restarted, clients leave and
// come back, windows are too small. Readers come by long poll, script, events,
// lines or WebSocket, and many by another each time. Every message must come
// once and in order, or lie in a hole that was announced.
//
// A run follows from its seed. SHAVEET_SEED=n runs that seed alone;
// SHAVEET_LONG=1 runs a thousand, and SHAVEET_SEEDS=n so many, with
// SHAVEET_SEEDS=m-n those from m to n.
package torture

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shaveet/shaveet/tests/live"
	"github.com/shaveet/shaveet/tests/torture/faultproxy"
)

func TestMain(m *testing.M) { live.Main(m) }

// noLeaks has the test fail if it leaves anything running. It is called before
// all else, so that it looks when everything is tidied up.
func noLeaks(t *testing.T) { t.Cleanup(func() { goleak.VerifyNone(t) }) }

// sum is what many runs have gone through together: if there was no gap in
// them, nothing has been said about gaps.
type sum struct {
	mu    sync.Mutex // guards all below
	count map[string]int
}

func (s *sum) add(w *world) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count == nil {
		s.count = make(map[string]int)
	}
	s.count["connections"] += int(w.front.Connections())
	for _, r := range w.readers {
		s.count["kept"] += len(r.ledger.kept)
		s.count["repeats"] += r.ledger.repeats
		s.count["answers"] += len(r.ledger.answers)
		for what, n := range r.count {
			s.count[what] += n
		}
		for _, a := range r.ledger.answers {
			for _, sig := range a.Signals {
				s.count[sig.Type]++
			}
		}
	}
}

func runSeed(t *testing.T, seed uint64, p *plan, all *sum) {
	t.Helper()
	w, findings := torture(t, seed, p, &inside{cfg: settings(p)}, nil, right)
	for _, f := range findings {
		t.Error(f)
	}
	if t.Failed() {
		t.Logf("to see it again, as far as timing allows: SHAVEET_SEED=%d; the plan: %v", seed, p)
	}
	all.add(w)
}

// long is the full test; longest is what it may take.
var long = os.Getenv("SHAVEET_LONG") != ""

const longest = 40 * time.Minute

// perSeed is how many messages most seeds have.
const perSeed = 2500

// TestEverythingArrives is the promise, for a few seeds or many.
func TestEverythingArrives(t *testing.T) {
	noLeaks(t)
	var all sum
	if text := os.Getenv("SHAVEET_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		runSeed(t, seed, newPlan(seed, perSeed), &all)
		t.Log(all.count)
		return
	}
	from, to, large := 0, 12, 1
	if long {
		to, large = 1000, 10
	}
	if text := os.Getenv("SHAVEET_SEEDS"); text != "" {
		from, to = someSeeds(t, text)
	}
	begun := time.Now()
	t.Run("seeds", func(t *testing.T) {
		each := func(name string, from, to int, run func(*testing.T, uint64)) {
			for seed := uint64(from); seed < uint64(to); seed++ {
				t.Run(fmt.Sprint(name, seed), func(t *testing.T) {
					t.Parallel()
					if time.Since(begun) > longest {
						t.Fatal("there was no time left for this seed")
					}
					run(t, seed)
				})
			}
		}
		each("100000 messages, ", 0, large, func(t *testing.T, seed uint64) { runSeed(t, seed, aHundredThousand(seed), &all) })
		each("hanging, ", 0, 1, func(t *testing.T, seed uint64) { runSeed(t, seed, hanging(), &all) })
		each("", from, to, func(t *testing.T, seed uint64) { runSeed(t, seed, newPlan(seed, perSeed), &all) })
	})
	t.Logf("%d seeds in %v: %v", to-from, time.Since(begun).Round(time.Second), all.count)
	for _, what := range []string{"gap", "channels", "presence", "skip", "reset", "gone", "drain", "repeats", "broken answers",
		"polls", "scripts", "events", "lines", "frames", "moves", "half batches", "ends told", "deflated", "heartbeats", "silences"} {
		if all.count[what] == 0 {
			t.Errorf("in all runs there was no %s: they have not tested it", what)
		}
	}
}

// someSeeds reads a number of seeds, or a range of them.
func someSeeds(t *testing.T, text string) (from, to int) {
	t.Helper()
	first, last, isRange := strings.Cut(text, "-")
	var err error
	if !isRange {
		first, last = "0", first
	}
	if from, err = strconv.Atoi(first); err == nil {
		to, err = strconv.Atoi(last)
	}
	if err != nil {
		t.Fatal(err)
	}
	if isRange {
		to++
	}
	return from, to
}

// hanging is a plan in which connections fall silent and stay so. Nothing but
// the silence tells a reader.
func hanging() *plan {
	return &plan{
		messages: 100, publishers: 1, burst: 5, batch: 7, notices: 100, channels: []string{"ch0"},
		readers: [][]string{{"alice"}, {"alice"}}, ways: []way{byEvents, byLines, byFrames}, hangs: true,
		faults: faultproxy.Faults{Stall: 500, Reach: 1 << 13, StallTime: time.Hour},
	}
}

// aHundredThousand is a plan in which all that can happen does. In every other
// one the reader has everything before it does, so that it gets every message.
func aHundredThousand(seed uint64) *plan {
	return &plan{
		messages: 100_000, publishers: 2, burst: 500, batch: 200, notices: 100, troubled: true, lulls: seed%2 == 0,
		channels: []string{"ch0", "ch1", "ch2"}, readers: [][]string{{"alice"}},
		deeds: []deed{leaveAndJoin, disconnect, powerCut, rotateKey, leaveAndJoin, restart, deleteChannel, killClient},
		faults: faultproxy.Faults{Cut: 300, Reset: 200, Half: 150, Stall: 50, Requests: 200,
			Pieces: 100, Pauses: 100, Reach: 1 << 18, StallTime: 5 * time.Millisecond},
	}
}

// TestTheRealProgram is killed and stopped like any other.
func TestTheRealProgram(t *testing.T) {
	noLeaks(t)
	p := &plan{
		messages: 4000, publishers: 2, burst: 50, batch: 100, keepMessages: 500, notices: 20, excludes: true, troubled: true,
		channels: []string{"ch0", "ch1"}, readers: [][]string{{"alice"}, {"alice", "bob"}},
		deeds: []deed{leaveAndJoin, powerCut, rotateKey, restart, disconnect, powerCut, killClient},
		faults: faultproxy.Faults{Cut: 300, Reset: 200, Half: 150, Stall: 50, Requests: 200,
			Pieces: 100, Pauses: 100, Reach: 1 << 16, StallTime: 5 * time.Millisecond},
	}
	w, findings := torture(t, 1, p, newProcess(t, p), nil, right)
	for _, f := range findings {
		t.Error(f)
	}
	var all sum
	all.add(w)
	t.Log(all.count)
}
