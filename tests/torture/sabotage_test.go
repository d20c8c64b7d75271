package torture

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/tests/torture/faultproxy"
)

// A sabotage is a mistake that is made on purpose, in a run that is judged well
// without it.
type sabotage struct {
	name  string
	wrong wrong      // what the reader does wrong
	lie   func() lie // what is done to batches on their way
	plan  func(*plan)
	ways  []way  // each of them by itself; nil: any
	want  string // one of these is found, apart from what the reader finds itself
}

func always(change func(*loose)) func() lie { return func() lie { return each(change) } }

var (
	oneEach = []way{byPoll, byEvents, byLines, byFrames}
	streams = []way{byEvents, byLines, byFrames}
)

var sabotages = []sabotage{
	{name: "the cursor moves with the first bytes", wrong: eager, plan: cutAnswers, ways: oneEach, want: "passed over"},
	{name: "a cut batch is taken", wrong: hasty, plan: cutAnswers, ways: oneEach, want: "missing without a word"},
	{name: "gaps are ignored", wrong: deafToGaps, plan: smallWindow, want: "missing without a word"},
	{name: "skips are ignored", wrong: deafToSkips, plan: withExcludes, want: "missing without a word"},
	{name: "memberships are ignored", wrong: deafToChannels, plan: comingAndGoing, want: "missing without a word"},
	{name: "repeats are kept", wrong: forgetful, plan: withReloads, want: "is kept twice"},
	{name: "a message is dropped", lie: always(drop), ways: oneEach, want: "missing without a word"},
	{name: "a message comes late", lie: always(swap), ways: []way{byPoll, byLines, byFrames}, want: "comes after"},
	{name: "a message comes twice", lie: always(double), ways: oneEach, want: "comes after"},
	{name: "a message is changed", lie: always(change), want: "has been changed"},
	{name: "a message is invented", lie: always(invent), want: "was never said there"},
	{name: "a hole is announced that is none", lie: always(excuse), ways: oneEach, want: "a false gap"},
	{name: "the cursor is ahead", lie: always(hurry), ways: oneEach, want: "missing without a word"},
	{name: "nobody is told of a new life", lie: always(hush), plan: withRestarts, ways: oneEach, want: "and reset is false"},
	{name: "a batch is lost in the middle", lie: lose, ways: streams, want: "missing without a word"},
	{name: "a batch comes again after coming back", lie: again, ways: streams, want: "comes after"},
}

// TestTheVerdictNotices what readers and servers may do wrong. Whether it does
// harm is up to chance, so there are some seeds for it to do so.
func TestTheVerdictNotices(t *testing.T) {
	noLeaks(t)
	for _, tt := range sabotages {
		if tt.ways == nil {
			t.Run(tt.name, func(t *testing.T) { tt.notice(t, nil) })
		}
		for _, w := range tt.ways {
			t.Run(fmt.Sprintf("%s, %v", tt.name, w), func(t *testing.T) { tt.notice(t, []way{w}) })
		}
	}
}

func (s sabotage) notice(t *testing.T, ways []way) {
	t.Parallel()
	var noticed []string
	for seed := range uint64(8) {
		p := calmPlan(seed)
		p.ways = ways
		if s.plan != nil {
			s.plan(p)
		}
		var relay func(string) string
		if s.lie != nil {
			lie := s.lie()
			relay = func(to string) string { return liar(t, to, lie) }
		}
		_, noticed = torture(t, seed, p, &inside{cfg: settings(p)}, relay, s.wrong)
		if slices.ContainsFunc(noticed, func(f string) bool { return strings.Contains(f, s.want) && !strings.Contains(f, "says itself") }) {
			return
		}
	}
	t.Errorf("nobody notices; the last seed's findings: %q", noticed)
}

// TestTheVerdictIsFair: the same runs, with nothing wrong.
func TestTheVerdictIsFair(t *testing.T) {
	noLeaks(t)
	for i, change := range []func(*plan){cutAnswers, smallWindow, withExcludes, comingAndGoing, withReloads, withRestarts} {
		for _, honest := range []lie{nil, each(func(*loose) {})} {
			p := calmPlan(uint64(i))
			change(p)
			_, findings := torture(t, uint64(i), p, &inside{cfg: settings(p)}, func(to string) string { return liar(t, to, honest) }, right)
			for _, f := range findings {
				t.Errorf("plan %d, as it came: %v: %s", i, honest == nil, f)
			}
		}
	}
}

// calmPlan is one in which nothing happens.
func calmPlan(seed uint64) *plan {
	return &plan{messages: 600, publishers: 1, burst: 10, batch: 1000, notices: 100, channels: []string{"ch0", "ch1"},
		readers: [][]string{{"alice"}}, lulls: seed%2 == 0}
}

func cutAnswers(p *plan) {
	p.burst, p.messages = 100, 3000
	p.faults = faultproxy.Faults{Cut: 500, Half: 200, Reach: 1 << 17}
}
func smallWindow(p *plan)  { p.keepMessages, p.burst = 3, 50 }
func withExcludes(p *plan) { p.excludes = true }
func comingAndGoing(p *plan) {
	p.deeds = []deed{leaveAndJoin, leaveAndJoin, leaveAndJoin, leaveAndJoin}
}
func withReloads(p *plan)  { p.reloads = true }
func withRestarts(p *plan) { p.deeds = []deed{restart, powerCut} }
