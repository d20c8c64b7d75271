package park

import (
	"context"
	"sync/atomic"
	"testing"
)

// No more may wait at once than there are desks for, and who has waited makes room.
func TestTooManyWait(t *testing.T) {
	w := newCrew(2)
	var all []*desk
	wait := func() bool {
		d := &desk{crew: w}
		at := new(atomic.Pointer[desk])
		at.Store(d)
		w.hands++
		ctx := context.WithValue(t.Context(), deskKey{}, at)
		if !MayWait(ctx) {
			w.hands--
			return false
		}
		all = append(all, d)
		return true
	}
	for range maxWaiting {
		if !wait() {
			t.Fatalf("only %d may wait", len(all))
		}
	}
	if wait() {
		t.Error("one more may wait")
	}
	if w.hands != 0 {
		t.Errorf("there are %d hands", w.hands)
	}
	w.done(all[0])
	if !wait() {
		t.Error("nobody may wait, though there is room")
	}
	if !MayWait(t.Context()) {
		t.Error("who keeps nobody may not wait")
	}
}
