package cluster

import (
	"context"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// figures are what is counted and measured.
type figures struct {
	calm, troubled latencies
	light          atomic.Int64 // batches of readers who are not verified
	upgrades       atomic.Int64
	probes         atomic.Int64 // of security

	mu       sync.Mutex // guards all below
	start    []sample   // of the nodes, before anybody came
	most     sample
	end      []sample
	sessions int           // most at once, of all nodes
	gone     time.Duration // after all had left, until nothing remained
}

// latencies count how long messages took, eight classes for each power of two of
// microseconds.
type latencies [512]atomic.Int64

func (l *latencies) add(us int64) {
	v := uint64(max(us, 8))
	n := bits.Len64(v)
	l[min(n*8+int(v>>(n-4)&7), len(l)-1)].Add(1)
}

func (l *latencies) count() (n int64) {
	for i := range l {
		n += l[i].Load()
	}
	return n
}

// quantile is how long at most a share of the messages took, in thousandths.
func (l *latencies) quantile(share int64) time.Duration {
	left := l.count() * share / 1000
	for i := range l {
		if left -= l[i].Load(); left < 0 {
			n := i / 8
			return time.Duration(uint64(8+i%8+1)<<max(n-4, 0)) * time.Microsecond
		}
	}
	return 0
}

// heard counts a message that a verified reader has heard now, and that was said
// then. since is when calm began; 0: there is none.
func (f *figures) heard(now, then, since int64) {
	us := now - then
	if since > 0 && then > since {
		f.calm.add(us)
	} else {
		f.troubled.add(us)
	}
}

// watch takes samples of the nodes all the time, and says when there is quiet.
func (w *world) watch(ctx context.Context) {
	for n := 0; pause(ctx, 100*time.Millisecond); n++ {
		if w.journal.trouble() {
			w.journal.quiet.Store(0)
		} else {
			w.journal.quiet.CompareAndSwap(0, w.now())
		}
		if n%20 == 0 {
			w.sample(ctx)
		}
	}
}

func (w *world) sample(ctx context.Context) {
	sessions := 0
	for _, n := range w.roster.nodes {
		s, err := n.look(ctx)
		if err != nil {
			continue
		}
		sessions += s.sessions
		w.figures.note(s)
		if s.memory > w.plan.memory {
			w.journal.find("%s needs %d MiB of memory", n.name, s.memory>>20)
		}
	}
	w.figures.mu.Lock()
	defer w.figures.mu.Unlock()
	w.figures.sessions = max(w.figures.sessions, sessions)
}

func (f *figures) note(s sample) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.most.goroutines = max(f.most.goroutines, s.goroutines)
	f.most.descriptors = max(f.most.descriptors, s.descriptors)
	f.most.memory = max(f.most.memory, s.memory)
	f.most.clients = max(f.most.clients, s.clients)
}
