// Package trim gives memory back to the system that a crowd has left behind, as
// soon as it is quiet: Go collects garbage when the heap has doubled, so a process
// that has nothing to do any more keeps what it last had until then.
package trim

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// tick is how often it is looked at what memory there is, and what a moment is
	// of which is said whether it was quiet.
	tick = time.Second
	// least is how much is given back, and no less than a share of what is in use.
	least, share = 1 << 20, 4
	// slow is how much of it is taken again in a quiet moment at most: it would be
	// back in half a minute at the soonest.
	slow = 32
	// rest is how long nothing is given back again, and not before so many times
	// what it took.
	rest, cost = 5 * time.Second, 100
)

// A Given is what has been given back at once.
type Given struct {
	Bytes int64 // that the process is smaller by, at least
	Took  time.Duration
}

// Run gives memory back whenever there is a quiet moment, until ctx ends. told is
// told each time; it may be nil. It is for the whole process, so a program runs it
// once.
func Run(ctx context.Context, told func(Given)) {
	if told == nil {
		told = func(Given) {}
	}
	run(ctx, newRuntime(), told)
}

// A heap is what memory the process has.
type heap interface {
	look() usage
	free() // all that can be given back
}

// usage is in bytes.
type usage struct {
	taken uint64 // ever
	used  uint64 // by what the last collection has found in use
	spare uint64 // by what has come since, or is free and not given back
}

func run(ctx context.Context, h heap, told func(Given)) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	before := h.look()
	var again time.Time // not before this
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := h.look()
		quiet := (now.taken-before.taken)*slow < now.spare
		before = now
		if !quiet || now.spare < max(least, now.used/share) || time.Now().Before(again) {
			continue
		}
		began := time.Now()
		h.free()
		took := time.Since(began)
		again = time.Now().Add(max(rest, cost*took))
		before = h.look()
		told(Given{max(0, int64(now.spare)-int64(before.spare)), took})
	}
}

// A goRuntime is the heap of this process.
type goRuntime []metrics.Sample

func newRuntime() goRuntime {
	return goRuntime{
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
	}
}

func (r goRuntime) look() usage {
	metrics.Read(r)
	live, objects, free := r[1].Value.Uint64(), r[2].Value.Uint64(), r[3].Value.Uint64()
	return usage{taken: r[0].Value.Uint64(), used: live, spare: max(objects, live) - live + free}
}

func (goRuntime) free() { debug.FreeOSMemory() }
