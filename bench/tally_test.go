package bench

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// newTally is for readers of a test, of which each hears 2 of 4 channels.
func newTally(readers, window int) *tally {
	t := &tally{spread: spread{readers, 4, 2}, size: 64, held: make([]heldBy, readers*2), flight: newFlight(window), from: new(atomic.Int64), to: new(atomic.Int64)}
	t.to.Store(int64(time.Hour))
	return t
}

// say is a text with messages of a channel.
func say(channel int, seqs ...uint32) (text []byte) {
	for _, seq := range seqs {
		text = append(appendMessage(append(text, `{"data":`...), note{channel: channel, seq: seq}, 64), '}')
	}
	return text
}

func firstOnes(n uint32) (all []uint32) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

// Whatever is done to what a reader hears is seen.
func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		name string
		seqs []uint32 // of channel 0, of which 10 messages were said
		want Faults
	}{
		{"all is well", firstOnes(10), Faults{}},
		{"one lacks", []uint32{0, 1, 2, 4, 5, 6, 7, 8, 9}, Faults{Lost: 1}},
		{"the first lacks", []uint32{1, 2, 3, 4, 5, 6, 7, 8, 9}, Faults{Lost: 1}},
		{"the last lack", []uint32{0, 1, 2, 3, 4, 5, 6, 7}, Faults{Lost: 2}},
		{"all lack", nil, Faults{Lost: 10}},
		{"several lack", []uint32{0, 9}, Faults{Lost: 8}},
		{"one comes twice", []uint32{0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9}, Faults{Duplicated: 1}},
		{"one comes again", []uint32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0}, Faults{Duplicated: 1}},
		{"two are swapped", []uint32{0, 1, 3, 2, 4, 5, 6, 7, 8, 9}, Faults{Reordered: 1}},
		{"one comes late", []uint32{1, 2, 3, 4, 5, 6, 7, 8, 9, 0}, Faults{Reordered: 1}},
		{"one comes late, and twice", []uint32{1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0}, Faults{Reordered: 1, Duplicated: 1}},
		{"backwards", []uint32{9, 8, 7, 6, 5, 4, 3, 2, 1, 0}, Faults{Reordered: 9}},
		{"one lacks and one is double", []uint32{0, 1, 2, 3, 4, 5, 7, 7, 8, 9}, Faults{Lost: 1, Duplicated: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tally := newTally(1, 0)
			tally.hear(0, say(0, tt.seqs...), 0)
			tally.end([]int{0}, []uint32{10, 0, 0, 0})
			if tally.faults != tt.want {
				t.Errorf("%+v, want %+v", tally.faults, tt.want)
			}
			if tt.want.Any() == (tt.want == Faults{}) {
				t.Error("Any is wrong")
			}
			fresh := make(map[uint32]bool)
			for _, seq := range tt.seqs {
				fresh[seq] = true
			}
			if got := tally.deliveries.Load(); got != int64(len(fresh)) {
				t.Errorf("%d deliveries, want %d", got, len(fresh))
			}
		})
	}
}

// Channels are counted apart, and what is on none of the reader's is misrouted.
func TestMisrouted(t *testing.T) {
	tally := newTally(2, 0)
	tally.hear(0, append(say(0, 0, 1), say(1, 0, 1, 2)...), 0)
	tally.hear(1, append(say(2, 0), say(3)...), 0)
	tally.end([]int{0, 1}, []uint32{2, 3, 1, 0})
	if tally.faults.Any() {
		t.Fatalf("%+v of nothing", tally.faults)
	}
	tally.hear(0, say(2, 0), 0)
	tally.hear(1, say(0, 2, 3), 0)
	if want := (Faults{Misrouted: 3}); tally.faults != want || tally.deliveries.Load() != 6 {
		t.Errorf("%+v and %d deliveries, want %+v and 6", tally.faults, tally.deliveries.Load(), want)
	}
	tally.hear(0, []byte(`"@!000000.0000"`), 0)
	if tally.faults.Damaged != 1 {
		t.Errorf("%+v, want one damaged", tally.faults)
	}
}

// A reader that has missed very many is not confused by it.
func TestLongAgo(t *testing.T) {
	tally := newTally(1, 0)
	tally.hear(0, say(0, 0, 100, 36, 37, 0), 0)
	tally.end([]int{0}, []uint32{101, 0, 0, 0})
	want := Faults{Lost: 98, Reordered: 1, Duplicated: 2} // what is 64 behind is not known any more
	if tally.faults != want {
		t.Errorf("%+v, want %+v", tally.faults, want)
	}
}

// Latency counts from when a message was due, and only of those that were due
// while it was measured.
func TestLatency(t *testing.T) {
	tally := newTally(1, 0)
	tally.from.Store(int64(time.Second))
	tally.to.Store(int64(2 * time.Second))
	for i, due := range []time.Duration{time.Second - 1, time.Second, 2*time.Second - 1, 2 * time.Second} {
		tally.hear(0, appendMessage(nil, note{seq: uint32(i), due: due}, 64), due+time.Duration(i+1)*time.Millisecond)
	}
	if tally.latency.n != 2 || tally.latency.max != 3*time.Millisecond {
		t.Errorf("%d with at most %v, want 2 with 3ms", tally.latency.n, tally.latency.max)
	}
}

// A seat is free when all readers have the message, and only then.
func TestFlight(t *testing.T) {
	f := newFlight(2)
	first, second := <-f.free, <-f.free
	f.leaves(first, 3)
	f.leaves(second, 1)
	isFree := func() string {
		select {
		case n := <-f.free:
			return fmt.Sprint(n)
		default:
			return "none"
		}
	}
	f.arrived(first)
	f.arrived(first)
	if got := isFree(); got != "none" {
		t.Errorf("%s is free, want none", got)
	}
	f.arrived(second)
	if got := isFree(); got != "3" {
		t.Errorf("%s is free, want 3", got)
	}
	f.arrived(second) // somebody hears it again
	f.arrived(99)
	if got := isFree(); got != "none" {
		t.Errorf("%s is free, want none", got)
	}
	f.arrived(first)
	if got := isFree(); got != "2" {
		t.Errorf("%s is free, want 2", got)
	}
}
