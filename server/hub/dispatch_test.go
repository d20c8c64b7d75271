package hub_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
)

// News of a small channel does not wait for the last reader of a large one, and
// late says how long those of the large one have been waiting.
func TestWavesGoByTurns(t *testing.T) {
	const many = 3000
	var h *hub.Hub
	var woken atomic.Int64 // of the large one
	var published atomic.Bool
	said := make(chan struct{})
	var latest atomic.Int64
	var begun atomic.Bool
	h = newHubWith(t, memory.New(), hub.Config{
		Limits: hub.Limits{NoticeMembers: 1},
		Waves: func(late time.Duration, wake func()) {
			wake()
			if begun.Load() {
				latest.Store(max(latest.Load(), int64(late)))
			}
			if woken.Load() > 0 && published.CompareAndSwap(false, true) {
				publish(t, h, "small", "now")
				close(said)
			}
		},
	})
	heard := make(chan int64, 1)
	attach := func(id, channel string, ready func()) {
		s, err := h.Attach(t.Context(), []hub.Credentials{create(t, h, id, channel)}, hub.Start{Now: true, Ready: ready})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
	}
	attach("alone", "small", func() {
		if begun.Load() {
			heard <- woken.Load()
		}
	})
	for i := range many {
		attach(fmt.Sprint("one of many", i), "large", func() {
			if begun.Load() {
				woken.Add(1)
			}
		})
	}
	begun.Store(true)
	publish(t, h, "large", "now")
	<-said
	if before := <-heard; before > 1000 {
		t.Errorf("%d of the others were woken before", before)
	}
	for end := time.Now().Add(10 * time.Second); woken.Load() < many; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d were woken", woken.Load(), many)
		}
	}
	if latest.Load() == 0 {
		t.Error("nobody was ever late")
	}
}
