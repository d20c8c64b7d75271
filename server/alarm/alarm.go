// Package alarm wakes many sleepers with one timer, because one each would be
// larger than the rest of what an idle one needs.
package alarm

import (
	"container/heap"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// An Alarm is when a sleeper is to be rung for. Its zero value is never. It
// belongs to one [Clock], and is part of its sleeper.
type Alarm struct {
	at    time.Duration // since the clock began
	queue time.Duration // where it stands in the queue: not later than that
	slot  int32         // its place there, counted from 1; 0: it is in none
}

// A Sleeper is a pointer to what has an alarm.
type Sleeper interface {
	// Alarm returns where the sleeper's alarm is, which is always the same.
	Alarm() *Alarm
	// Ring says that it is time. It is called without the clock's lock, so it
	// may set the alarm again; others may do so at the same time, or have
	// cleared it just before. It must not block, since all others wait for it.
	Ring()
}

// A Clock rings for its sleepers. [New] makes one. Its methods may be called by
// many goroutines at once.
//
// When it should have rung for somebody and could not, because the process stood
// still, that was no time for anybody: what peers have said meanwhile has not been
// looked at yet. So the clock goes back to a moment before, for all; but not often,
// or it would hardly move on a machine that is always late.
type Clock[T Sleeper] struct {
	begun time.Time
	stood atomic.Int64 // for how long since then it has not been going
	late  atomic.Int64 // when the timer should have gone off for certain; never: it is not awaited

	mu      sync.Mutex // guards all below, and the alarm of every sleeper
	queue   queue[T]
	timer   *time.Timer   // nil until it is needed
	wound   bool          // it goes off
	next    time.Duration // when it does
	ringing bool          // it has gone off, and those who are due are rung for
	steady  time.Duration // since it was made; until then the clock does not go back again
}

const (
	// never is no time of a clock.
	never = math.MaxInt64
	// tolerance is how late the timer may be on a busy machine.
	tolerance = 250 * time.Millisecond
	// grace is for how long what has come is looked at before anybody is rung for,
	// when the process stood still.
	grace = time.Second
	// rest is how long the clock does not go back again.
	rest = 4 * time.Second
)

// New returns a clock that begins now.
func New[T Sleeper]() *Clock[T] {
	k := &Clock[T]{begun: time.Now()}
	k.late.Store(never)
	return k
}

// Now is for how long the clock has been going. It is for alarms: since it may go
// back, a little more than a second at most, it measures nothing else.
func (k *Clock[T]) Now() time.Duration {
	stood := k.stood.Load()
	now := time.Since(k.begun) - time.Duration(stood)
	if int64(now) <= k.late.Load() && stood == k.stood.Load() { // else the process may have stood still in between
		return now
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now()
}

// time is Now, before it is known whether the process stood still.
func (k *Clock[T]) time() time.Duration { return time.Since(k.begun) - time.Duration(k.stood.Load()) }

// now is Now with k.mu held.
func (k *Clock[T]) now() time.Duration {
	now, late := k.time(), time.Duration(k.late.Load())
	elapsed := now + time.Duration(k.stood.Load())
	if now <= late || elapsed < k.steady {
		return now
	}
	k.steady = elapsed + rest
	back := late - tolerance - grace
	k.stood.Add(int64(now - back))
	k.timer.Reset(grace)
	return back
}

// Set has t be rung for in d, and no more when it was to be before.
func (k *Clock[T]) Set(t T, d time.Duration) { k.SetAt(t, k.Now()+d) }

// SetAt has t be rung for when the clock is at this, and no more when it was to
// be before. It costs next to nothing to move an alarm away, since nothing is done
// about that before its earlier time has come.
func (k *Clock[T]) SetAt(t T, at time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	a := t.Alarm()
	a.at = at
	switch {
	case a.slot == 0:
		a.queue = at
		heap.Push(&k.queue, t)
	case at < a.queue:
		a.queue = at
		heap.Fix(&k.queue, int(a.slot-1))
	default:
		return
	}
	k.wind()
}

// Clear has t not be rung for. A Ring may be on its way already.
func (k *Clock[T]) Clear(t T) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if a := t.Alarm(); a.slot > 0 {
		heap.Remove(&k.queue, int(a.slot-1))
		k.wind()
	}
}

// Waits reports whether t is still to be rung for.
func (k *Clock[T]) Waits(t T) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return t.Alarm().slot > 0
}

// Sleepers returns how many there are to ring for.
func (k *Clock[T]) Sleepers() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.queue)
}

// wind sets the timer for the first of the queue. While somebody rings, that is
// left to it. k.mu is held.
func (k *Clock[T]) wind() {
	switch {
	case k.ringing:
	case len(k.queue) == 0:
		if k.wound {
			k.wound = false
			k.timer.Stop()
		}
		k.late.Store(never)
	case k.wound && k.next == k.first():
	default:
		now := k.now()
		k.wound, k.next = true, k.first()
		k.late.Store(int64(max(k.next, now) + tolerance))
		if k.timer == nil {
			k.timer = time.AfterFunc(k.next-now, k.ring)
		} else {
			k.timer.Reset(k.next - now)
		}
	}
}

// first is when the first of the queue is to be looked at.
func (k *Clock[T]) first() time.Duration { return k.queue[0].Alarm().queue }

// ring rings for those who are due.
func (k *Clock[T]) ring() {
	k.mu.Lock()
	if k.ringing { // the timer was set again when it had gone off
		k.mu.Unlock()
		return
	}
	k.now() // if that goes back, nobody is due
	k.ringing = true
	k.late.Store(never)
	k.mu.Unlock()
	for {
		t, ok := k.due()
		if !ok {
			return
		}
		t.Ring()
	}
}

// due takes the first of the queue, if it is due. Else the ringing is over.
func (k *Clock[T]) due() (t T, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	for len(k.queue) > 0 && k.first() <= now {
		a := k.queue[0].Alarm()
		if a.at <= now {
			return heap.Pop(&k.queue).(T), true
		}
		a.queue = a.at // it has been moved away
		heap.Fix(&k.queue, 0)
	}
	k.ringing = false
	k.wound = false // the timer has gone off
	k.wind()
	return t, false
}
