package storm

import (
	"slices"
	"time"
)

// Step is the time that one Moment covers.
const Step = 100 * time.Millisecond

// A Moment is what has happened in one Step.
type Moment struct {
	Arrivals int     // SYNs, at all nodes together
	Busiest  int     // SYNs, at the node to which most came
	Queue    int     // the longest line of any node
	Back     int     // readers that were let in
	CatchUp  float64 // bytes of what they had missed
}

// A Result is what has come of a scenario.
type Result struct {
	Displaced int
	Back      int      // of these, before the horizon
	Attempts  int      // connections that were tried
	Wasted    int      // of these, those that have come to nothing
	GivenUp   int      // times that somebody's patience was at its end, the backend's line included
	Refused   int      // attempts that were answered with a refusal, or by nobody
	Dropped   int      // SYNs for which there was no room
	Vain      int      // connections that were served when nobody waited for it any more
	Moments   []Moment // from when the storm began

	backAt, away, waits []time.Duration // sorted, of those that are back
	latest              time.Duration   // the horizon
}

func newResult(s *Scenario) *Result {
	n := s.Displaced()
	return &Result{
		Displaced: n, latest: s.Horizon,
		backAt: make([]time.Duration, 0, n), away: make([]time.Duration, 0, n), waits: make([]time.Duration, 0, n),
	}
}

func (r *Result) moment(now int64) *Moment {
	step := int(now / int64(Step))
	for len(r.Moments) <= step {
		r.Moments = append(r.Moments, Moment{})
	}
	return &r.Moments[step]
}

func (r *Result) arrived(now int64, here int) {
	m := r.moment(now)
	m.Arrivals++
	m.Busiest = max(m.Busiest, here)
}

func (r *Result) waited(now int64, line int) {
	m := r.moment(now)
	m.Queue = max(m.Queue, line)
}

func (r *Result) returned(now int64, who *reader, bytes float64) {
	r.Back++
	m := r.moment(now)
	m.Back++
	m.CatchUp += bytes
	first := max(who.first, 0)
	r.backAt = append(r.backAt, time.Duration(now))
	r.away = append(r.away, time.Duration(now-who.cut))
	r.waits = append(r.waits, time.Duration(now-first))
}

// seal sorts. backAt is in order.
func (r *Result) seal() {
	slices.Sort(r.away)
	slices.Sort(r.waits)
}

// percentile is what so many of a hundred do not exceed; the horizon, if fewer
// than that are back.
func (r *Result) percentile(sorted []time.Duration, p float64) time.Duration {
	i := int(float64(r.Displaced)*p/100+0.999999) - 1
	if i >= len(sorted) {
		return r.latest
	}
	return sorted[max(i, 0)]
}

// BackAt is when so many of a hundred are back. Like Away and Wait it is the
// horizon if they never are.
func (r *Result) BackAt(percent float64) time.Duration { return r.percentile(r.backAt, percent) }

// Away is for how long so many of a hundred were without messages at most.
func (r *Result) Away(percent float64) time.Duration { return r.percentile(r.away, percent) }

// Wait is how long so many of a hundred had to wait at most, from the beginning
// of their first attempt.
func (r *Result) Wait(percent float64) time.Duration { return r.percentile(r.waits, percent) }

// MeanWait is the mean of what those who are back have waited.
func (r *Result) MeanWait() time.Duration {
	sum := 0.0
	for _, w := range r.waits {
		sum += float64(w)
	}
	return time.Duration(sum / float64(max(len(r.waits), 1)))
}

// AwayLonger is how many readers were away for longer than d, those that never
// came back included.
func (r *Result) AwayLonger(d time.Duration) int {
	i, _ := slices.BinarySearch(r.away, d+1)
	return r.Displaced - i
}

// PeakArrivals is how many have come to one node in a second, in the busiest step.
func (r *Result) PeakArrivals() float64 {
	most := 0
	for _, m := range r.Moments {
		most = max(most, m.Busiest)
	}
	return float64(most) / Step.Seconds()
}

// LongestQueue is the longest line there was before any node.
func (r *Result) LongestQueue() int {
	most := 0
	for _, m := range r.Moments {
		most = max(most, m.Queue)
	}
	return most
}

// PeakCatchUp is how many bytes of missed messages have gone out in a second, from
// all nodes together.
func (r *Result) PeakCatchUp() float64 {
	most := 0.0
	for _, m := range r.Moments {
		most = max(most, m.CatchUp)
	}
	return most / Step.Seconds()
}

// History is how many messages a channel on which so many are said in a second has
// to keep, so that so many of a hundred miss nothing.
func (r *Result) History(perSecond, percent float64) int {
	return int(perSecond*r.Away(percent).Seconds()) + 1
}

// FellOut is how many messages were gone from a channel before its readers were
// back, for each reader in the mean: perSecond are said on it, and it keeps so many
// for so long.
func (r *Result) FellOut(perSecond float64, keeps int, window time.Duration) float64 {
	covered := min(window.Seconds(), float64(keeps)/perSecond)
	lost := 0.0
	for _, away := range r.away {
		lost += max(0, away.Seconds()-covered) * perSecond
	}
	lost += float64(r.Displaced-len(r.away)) * max(0, r.latest.Seconds()-covered) * perSecond
	return lost / float64(r.Displaced)
}
