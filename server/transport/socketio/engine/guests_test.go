package engine

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// However many addresses come in a second, no more are counted than there is
// room for. The others count as one, and harm nobody who came before.
func TestManyGuests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g guests
		admit := func(i int) bool {
			addr := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 1<<24+uint32(i))))
			return g.admit(netip.AddrPortFrom(addr, 1).String(), 2)
		}
		for range 2 {
			for i := range maxGuests {
				if !admit(i) {
					t.Fatalf("guest %d is not admitted", i)
				}
			}
			for i, want := range []bool{true, true, false, false} {
				if admit(maxGuests+i) != want {
					t.Errorf("guest %d too many is admitted: %v", i, !want)
				}
			}
			if !admit(0) || admit(0) {
				t.Error("the first one may not begin just as many as before")
			}
			if n := len(g.counts); n > maxGuests+1 {
				t.Errorf("%d are counted", n)
			}
			time.Sleep(time.Second)
		}
	})
}
