package torture

import (
	"cmp"
	"fmt"
	"slices"
)

// A verdict compares what readers have got with what the backend knows to have
// happened. It shares nothing with the readers but what they have noted.
type verdict struct {
	*truth
	plan     *plan
	life     map[string]int // index in lives, by epoch
	places   map[position]*saying
	log      map[string][]*saying // by epoch, in the log's order
	begun    map[string][]int64   // of the same, when the last of all up to there was begun
	findings []string
	most     int // as many as are told
}

// judge says all that is wrong.
func judge(w *world) []string {
	w.truth.mu.Lock()
	defer w.truth.mu.Unlock()
	v := &verdict{truth: w.truth, plan: w.plan, life: make(map[string]int), places: make(map[position]*saying),
		log: make(map[string][]*saying), begun: make(map[string][]int64), most: 20}
	for _, f := range w.truth.faults {
		v.find("the backend: %s", f)
	}
	for i, l := range w.truth.lives {
		if _, again := v.life[l.epoch]; again {
			v.find("epoch %s has come twice", l.epoch)
		}
		v.life[l.epoch] = i
	}
	for _, s := range w.truth.said {
		if s.pos.none() {
			continue // only where a run has not come to its end
		}
		if other := v.places[s.pos]; other != nil {
			v.find("messages %d and %d are both at %v", s.n, other.n, s.pos)
		}
		v.places[s.pos] = s
		v.log[s.pos.epoch] = append(v.log[s.pos.epoch], s)
	}
	for epoch, all := range v.log {
		slices.SortFunc(all, func(a, b *saying) int { return cmp.Compare(a.pos.seq, b.pos.seq) })
		last := int64(0)
		for _, s := range all {
			last = max(last, s.begun)
			v.begun[epoch] = append(v.begun[epoch], last)
		}
	}
	for _, r := range w.readers {
		n := len(v.findings)
		for _, f := range r.ledger.faults {
			v.findings = append(v.findings, "it says itself: "+f)
		}
		v.most = len(v.findings) + 20
		(&trial{verdict: v, reader: r, view: make(map[string]membership), covered: make(map[string][]span)}).run()
		for i := n; i < len(v.findings); i++ {
			v.findings[i] = fmt.Sprintf("reader %s: %s", r.name, v.findings[i])
		}
	}
	return v.findings
}

func (v *verdict) find(format string, args ...any) {
	if len(v.findings) < v.most {
		v.findings = append(v.findings, fmt.Sprintf(format, args...))
	}
}

// between returns what was acknowledged in a part of the log.
func (v *verdict) between(epoch string, in span) []*saying {
	from := v.upTo(epoch, in.from)
	return v.log[epoch][from:max(from, v.upTo(epoch, in.to))]
}

// upTo is how many were acknowledged up to seq.
func (v *verdict) upTo(epoch string, seq uint64) int {
	i, found := slices.BinarySearchFunc(v.log[epoch], seq, func(s *saying, seq uint64) int { return cmp.Compare(s.pos.seq, seq) })
	if found {
		i++
	}
	return i
}

// made is after when a was made: it was asked for, and what it covers was said.
// Of what comes by a stream, asking was long ago.
func (v *verdict) made(a *answer) int64 {
	if n := v.upTo(a.Cursor.epoch, a.Cursor.seq); n > 0 {
		return max(a.asked, v.begun[a.Cursor.epoch][n-1])
	}
	return a.asked
}

// maybe returns what may be in a life of the log on a channel although its
// place was never told: it was tried before the server died, and acknowledged
// by a later one.
func (v *verdict) maybe(epoch, channel string) (all []*saying) {
	if v.lives[v.life[epoch]].died == 0 {
		return nil
	}
	for _, s := range v.said {
		if s.channel == channel && v.untold(epoch, s) {
			all = append(all, s)
		}
	}
	return all
}

func (v *verdict) untold(epoch string, s *saying) bool {
	i := v.life[epoch]
	return v.lives[i].died > s.begun && (s.pos.none() || v.life[s.pos.epoch] > i)
}

// dropped reports whether a channel's window may have dropped what stands at
// seq when the answer came, and why.
func (v *verdict) dropped(epoch, channel string, seq uint64, a *answer) (byCount, byBytes bool) {
	end := ^uint64(0)
	for _, d := range v.ends {
		if d.channel == channel && d.at.epoch == epoch && d.at.seq > seq {
			end = min(end, d.at.seq)
		}
	}
	count, bytes := 0, 0
	for _, s := range v.between(epoch, span{seq - 1, end - 1}) {
		if s.channel != channel || s.begun > a.came {
			continue
		}
		bytes += s.charge()
		if s.pos.seq > seq {
			count++
		}
	}
	for _, s := range v.maybe(epoch, channel) {
		bytes += s.charge()
		count++
	}
	return v.plan.keepMessages > 0 && count >= v.plan.keepMessages, v.plan.keepBytes > 0 && bytes > v.plan.keepBytes
}
