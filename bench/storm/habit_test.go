package storm

import (
	"math/rand/v2"
	"testing"
	"time"
)

// most returns the longest of many waits.
func most(wait func(*rand.Rand) time.Duration) time.Duration {
	dice := rand.New(rand.NewPCG(1, 2))
	longest := time.Duration(0)
	for range 20_000 {
		longest = max(longest, wait(dice))
	}
	return longest.Round(100 * time.Millisecond)
}

func TestShaveetWaitsTwiceAsLongEachTime(t *testing.T) {
	for failures, want := range []time.Duration{1, 2, 4, 8, 16, 20, 20} {
		got := most(func(dice *rand.Rand) time.Duration {
			return Shaveet{}.pause(&Memory{Failures: uint8(failures)}, dice)
		})
		if got != want*time.Second {
			t.Errorf("after %d failures it waits up to %v, want %vs", failures, got, int(want))
		}
	}
}

// What the chooser does is that of client-js/src/chooser.ts: the cut and two
// failures are forgiven, and then all others are tried at once.
func TestShaveetGoesThroughItsTransports(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	var m Memory
	h := Shaveet{}
	h.Lost(&m, 0, dice)
	var atOnce []bool
	var patience []time.Duration
	for range 11 {
		patience = append(patience, h.Patience(&m)/time.Second)
		atOnce = append(atOnce, h.Failed(&m, dice) == 0)
	}
	for i, want := range []struct {
		patience time.Duration
		atOnce   bool
	}{
		{10, false},            // websocket, forgiven
		{20, true},             // websocket
		{20, true}, {20, true}, // sse, stream
		{60, true}, {60, false}, // longpoll, jsonp
		{20, true}, {20, false}, // websocket, sse
		{20, true}, {20, false}, // websocket, stream
		{20, true}, // websocket
	} {
		if patience[i] != want.patience || atOnce[i] != want.atOnce {
			t.Errorf("attempt %d: it waits %ds for it and goes on at once: %v; want %ds, %v", i, patience[i], atOnce[i], want.patience, want.atOnce)
		}
	}
}

func TestDrainedReadersWaitAsTold(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		var m Memory
		if d := (Shaveet{}).Lost(&m, 3*time.Second, dice); d < 3*time.Second || d >= 4*time.Second {
			t.Fatalf("told 3s, it waits %v", d)
		}
	}
}

func TestSocketIOWaitsUpToFive(t *testing.T) {
	for failures, want := range []time.Duration{1500, 3000, 5000, 5000, 5000} {
		got := most(func(dice *rand.Rand) time.Duration {
			return SocketIO{}.Failed(&Memory{Failures: uint8(failures)}, dice)
		})
		if got != want*time.Millisecond {
			t.Errorf("after %d failures it waits up to %v, want %v", failures, got, want*time.Millisecond)
		}
	}
}

func TestEventSourceKeepsItsWait(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	h := EventSource{2 * time.Second}
	for range 1000 {
		var m Memory
		first := h.Lost(&m, 0, dice)
		if first < 2*time.Second || first >= 4*time.Second || h.Failed(&m, dice) != first {
			t.Fatalf("it waits %v, and another time later", first)
		}
	}
}
