package storm

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// small is a storm of the usual shape that is over in no time: a node for each
// processor there would be for a million.
func small() Scenario {
	s := Default()
	s.Readers, s.Cores = 20_000, 0.04
	return s
}

func run(t *testing.T, s Scenario) *Result {
	t.Helper()
	r, err := Run(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// evenly has readers come one after the other, at the same distance.
type evenly struct {
	Fixed
	gap  time.Duration
	came *int
}

func (h evenly) Lost(*Memory, time.Duration, *rand.Rand) time.Duration {
	*h.came++
	return time.Duration(*h.came) * h.gap
}

// uniformly has readers come at random moments of a time.
type uniformly struct {
	Fixed
	over time.Duration
}

func (h uniformly) Lost(_ *Memory, _ time.Duration, dice *rand.Rand) time.Duration {
	return upTo(h.over, dice)
}

// quiet is one node that has nothing else to do, and lets in a thousand a second.
func quiet(readers int, h Habit) Scenario {
	return Scenario{
		Cause: Balancer, Readers: readers, Nodes: 1, Habit: h, Seed: 3, Horizon: time.Hour,
		Cores: 1, Costs: Costs{Handshake: time.Millisecond},
	}
}

func storms() map[string]Scenario {
	all := map[string]Scenario{}
	for _, c := range []Cause{Kill, Drain, Reset, Gone, Balancer} {
		s := small()
		s.Cause = c
		all[c.String()] = s
	}
	add := func(name string, change func(*Scenario)) {
		s := small()
		change(&s)
		all[name] = s
	}
	add("all limits", func(s *Scenario) {
		s.Cause, s.Inside, s.Backlog, s.MaxConnections, s.PerAddress = Balancer, 20, 10, 6_000, 100
	})
	add("a slow backend", func(s *Scenario) { s.Cause, s.Backend = Gone, 1500 })
	add("a backend is asked for the state", func(s *Scenario) { s.Cause, s.Backend = Reset, 300 })
	add("away for long", func(s *Scenario) { s.Cause, s.Outage = Balancer, 20*time.Second })
	add("told one after the other", func(s *Scenario) { s.Cause, s.Stagger = Drain, 10*time.Second })
	add("Socket.IO", func(s *Scenario) { s.Habit = SocketIO{} })
	add("EventSource", func(s *Scenario) { s.Habit = EventSource{2 * time.Second} })
	add("no jitter", func(s *Scenario) { s.Habit = Fixed{3 * time.Second, 20 * time.Second} })
	return all
}

func TestEachReaderIsBackOnce(t *testing.T) {
	for name, s := range storms() {
		t.Run(name, func(t *testing.T) {
			r := run(t, s)
			if r.Back != s.Displaced() {
				t.Errorf("%d of %d are back", r.Back, s.Displaced())
			}
			counted := 0
			for _, m := range r.Moments {
				counted += m.Back
			}
			if counted != r.Back || len(r.away) != r.Back || len(r.waits) != r.Back {
				t.Errorf("%d are back, %d of them at a moment, %d after a time, %d after a wait", r.Back, counted, len(r.away), len(r.waits))
			}
			if !slices.IsSorted(r.backAt) {
				t.Error("time goes backwards")
			}
			if s.Cause != Reset && r.Attempts != r.Back+r.Wasted {
				t.Errorf("of %d attempts %d have brought somebody back and %d nobody", r.Attempts, r.Back, r.Wasted)
			}
		})
	}
}

func TestSameSeedSameStorm(t *testing.T) {
	for name, s := range storms() {
		t.Run(name, func(t *testing.T) {
			first, second := run(t, s), run(t, s)
			if !reflect.DeepEqual(first, second) {
				t.Error("two runs differ")
			}
		})
	}
	s := small()
	first := run(t, s)
	s.Seed++
	if reflect.DeepEqual(first, run(t, s)) {
		t.Error("another seed has the same result")
	}
}

func TestWhoComesEvenlyNeverQueues(t *testing.T) {
	came := 0
	r := run(t, quiet(5_000, evenly{gap: 1100 * time.Microsecond, came: &came}))
	if got := r.LongestQueue(); got != 1 {
		t.Errorf("the line has been %d long, want 1", got)
	}
	if got := r.Wait(100); got != time.Millisecond {
		t.Errorf("somebody has waited %v, want the handshake's 1ms", got)
	}
}

// Of D who come evenly over J seconds, at a node that lets in C, D-C·J are in
// the line at the end, and the last is in after D/C.
func TestWhoComesTooFastQueuesAsReckoned(t *testing.T) {
	came := 0
	r := run(t, quiet(10_000, evenly{gap: 500 * time.Microsecond, came: &came}))
	if got := r.LongestQueue(); math.Abs(float64(got)-5_000) > 2 {
		t.Errorf("the line has been %d long, want 10,000 - 1,000/s × 5s = 5,000", got)
	}
	if got := r.BackAt(100).Seconds(); math.Abs(got-10) > 0.01 {
		t.Errorf("all are back after %.3fs, want 10s", got)
	}
}

// Who comes at random moments meets a line as M/D/1 has it: in the mean a wait
// of ρ/2μ(1-ρ), beside the service.
func TestRandomArrivalsWaitAsReckoned(t *testing.T) {
	for _, busy := range []float64{0.3, 0.5, 0.7, 0.9} {
		const n = 300_000
		over := time.Duration(n / busy * float64(time.Millisecond))
		r := run(t, quiet(n, uniformly{over: over}))
		got := (r.MeanWait() - time.Millisecond).Seconds()
		want := busy / (2 * 1000 * (1 - busy))
		if math.Abs(got/want-1) > 0.06 {
			t.Errorf("ρ = %.1f: they have waited %.1fµs in the mean, want %.1fµs", busy, got*1e6, want*1e6)
		}
	}
}

func TestDroppedSYNsComeAgain(t *testing.T) {
	s := quiet(3, Fixed{})
	s.Inside, s.Backlog, s.Costs.Handshake = 1, 1, 1500*time.Millisecond
	r := run(t, s)
	// The third finds the line full at 0 and at 1 s, and room at 3 s.
	if r.Dropped != 2 || r.BackAt(100) != 4500*time.Millisecond {
		t.Errorf("%d SYNs were dropped and the last was in after %v, want 2 and 4.5s", r.Dropped, r.BackAt(100))
	}
}

func TestAFullDoorLetsNobodyIn(t *testing.T) {
	s := quiet(100, Fixed{Delay: time.Second, Limit: 5 * time.Second})
	s.MaxConnections, s.Horizon = 60, time.Minute
	r := run(t, s)
	if r.Back != 60 || r.BackAt(60) == s.Horizon || r.BackAt(100) != s.Horizon {
		t.Errorf("%d are back, the last of them after %v, and all after %v", r.Back, r.BackAt(60), r.BackAt(100))
	}
}

func TestAddressesAreLimited(t *testing.T) {
	s := quiet(2_000, Fixed{Delay: 500 * time.Millisecond, Limit: 20 * time.Second})
	s.PerAddress = 100
	r := run(t, s)
	if got := r.BackAt(100).Seconds(); got < 18.5 || got > 21 {
		t.Errorf("2,000 at 100 a second are back after %.1fs", got)
	}
}

func TestWhoHasGoneIsServedInVain(t *testing.T) {
	s := quiet(3_000, Fixed{Delay: time.Second, Limit: time.Second})
	s.Horizon = 30 * time.Second
	r := run(t, s)
	if r.Vain == 0 || r.GivenUp == 0 {
		t.Errorf("of 3,000 who come at once and wait a second, %d have given up and %d were served in vain", r.GivenUp, r.Vain)
	}
}

func TestWhatIsMissed(t *testing.T) {
	came := 0
	s := quiet(100, evenly{gap: 100 * time.Millisecond, came: &came})
	s.Rate, s.Bytes = 10, 100
	r := run(t, s)
	sum := 0.0
	for _, m := range r.Moments {
		sum += m.CatchUp
	}
	// 0.1, 0.2 … 10 s away, and a millisecond for the handshake.
	if want := 10 * 100 * (505 + 0.1); math.Abs(sum/want-1) > 0.001 {
		t.Errorf("%.0f bytes were missed, want %.0f", sum, want)
	}
	if got := r.History(10, 100); got != 101 {
		t.Errorf("a channel must keep %d, want 101", got)
	}
	if got := r.FellOut(10, 50, time.Minute); math.Abs(got-12.5) > 0.5 {
		t.Errorf("%.2f fell out for each, want 12.5", got)
	}
	if got := r.AwayLonger(5 * time.Second); got < 50 || got > 51 {
		t.Errorf("%d were away for longer than 5s, want 50 or so", got)
	}
}

func TestNonsenseIsRefused(t *testing.T) {
	for name, change := range map[string]func(*Scenario){
		"nobody":     func(s *Scenario) { s.Readers = 0 },
		"no node":    func(s *Scenario) { s.Nodes = 1 },
		"no habit":   func(s *Scenario) { s.Habit = nil },
		"no cores":   func(s *Scenario) { s.Cores = 0 },
		"no costs":   func(s *Scenario) { s.Costs = Costs{} },
		"no horizon": func(s *Scenario) { s.Horizon = 0 },
	} {
		s := small()
		change(&s)
		if _, err := Run(s); err == nil {
			t.Errorf("%s: it was simulated", name)
		}
	}
}
