package cluster

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// An effect is what a fault may do to readers who notice it.
type effect uint8

const (
	endsEpoch effect = 1 << iota // the log begins another life, and may lose what it has acknowledged
	forgets                      // clients and memberships may be unknown afterwards
	coldNode                     // a node has not followed the log for a while
	squeezes                     // windows may be smaller than they are configured
)

// explains is for how long after a fault its effects may still be noticed: a
// reader may be away for a while, a failover takes its time.
const explains = 40 * time.Second

// An incident is a fault that has happened.
type incident struct {
	kind     string
	effects  effect
	began    time.Time
	ended    time.Time // zero: not yet
	recovery time.Duration
	alone    bool
	err      error
}

// A journal has all incidents, and what has been found wrong meanwhile.
type journal struct {
	quiet atomic.Int64 // since when nothing happens, µs; 0: something does

	mu        sync.Mutex // guards all below
	incidents []*incident
	findings  []string
	found     int
	notes     map[string]int // holes that were announced and have their reason, and the like
}

func newJournal() *journal { return &journal{notes: make(map[string]int)} }

func (j *journal) begin(kind string, effects effect) *incident {
	j.mu.Lock()
	defer j.mu.Unlock()
	i := &incident{kind: kind, effects: effects, began: time.Now(), alone: true}
	for _, other := range j.incidents {
		if other.ended.IsZero() {
			i.alone, other.alone = false, false
		}
	}
	j.incidents = append(j.incidents, i)
	return i
}

func (j *journal) end(i *incident, recovery time.Duration, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	i.ended, i.recovery, i.err = time.Now(), recovery, err
}

// alone reports whether nothing else has happened while i did.
func (j *journal) alone(i *incident) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return i.alone
}

// explained reports whether a fault with such an effect may be why something was
// noticed just now.
func (j *journal) explained(e effect) bool { return j.explainedAt(e, time.Now()) }

func (j *journal) explainedAt(e effect, at time.Time) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.ContainsFunc(j.incidents, func(i *incident) bool {
		return i.effects&e != 0 && !i.began.After(at) && (i.ended.IsZero() || at.Before(i.ended.Add(explains)))
	})
}

// happenedSince reports whether a fault with such an effect has been under way
// since then.
func (j *journal) happenedSince(e effect, then time.Time) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.ContainsFunc(j.incidents, func(i *incident) bool {
		return i.effects&e != 0 && (i.ended.IsZero() || i.ended.Add(explains).After(then))
	})
}

// count is how many faults with such an effect there were.
func (j *journal) count(e effect) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, i := range j.incidents {
		if i.effects&e != 0 {
			n++
		}
	}
	return n
}

// trouble reports whether any fault is under way, or has been a moment ago.
func (j *journal) trouble() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.ContainsFunc(j.incidents, func(i *incident) bool {
		return i.ended.IsZero() || time.Since(i.ended) < time.Second
	})
}

// mostFindings are listed; the others are counted.
const mostFindings = 40

// find enters something wrong.
func (j *journal) find(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.found++; j.found > mostFindings {
		return
	}
	var under []string
	for _, i := range j.incidents {
		if i.ended.IsZero() || time.Since(i.ended) < 5*time.Second {
			under = append(under, i.kind)
		}
	}
	text := fmt.Sprintf(format, args...)
	if len(under) > 0 {
		text += " (during or just after: " + strings.Join(under, ", ") + ")"
	}
	j.findings = append(j.findings, text)
}

func (j *journal) note(what string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.notes[what]++
}

// verdict is what was found; nil if nothing was.
func (j *journal) verdict() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.found <= mostFindings {
		return slices.Clone(j.findings)
	}
	return append(slices.Clone(j.findings), fmt.Sprintf("and %d more", j.found-mostFindings))
}
