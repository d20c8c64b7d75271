package handlers_test

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"testing"

	"github.com/shaveet/shaveet/tests/live"
)

const (
	// ofHandler is how many bytes may wait for the handler of a flood, ofSocket
	// for each connection.
	ofHandler = 1 << 20
	ofSocket  = 32 << 10
	// pad is what makes an event large, and filling how many of them fit into
	// what may wait for a connection.
	pad     = 8 << 10
	filling = ofSocket/pad - 1
	// mostGrown is how much memory the program may take for a flood: what may
	// wait, and as much again for who collects garbage.
	mostGrown = 2 * (many*ofSocket + ofHandler)
	// racing is how many times as much memory a program with the race detector
	// in it takes: bytes have shadows, and what is free is kept longer.
	racing = 8
)

// TestFlood has a thousand sockets say more to a backend that is silent than may
// wait for it. Who finds room waits, the others are told that there is none; who
// goes on although it waits is cut off; and the program stays small. Others do
// not notice.
func TestFlood(t *testing.T) {
	t.Parallel()
	h, well := newHook(t), newHook(t)
	s := start(t, fmt.Sprintf("handler_max_waiting_bytes = %d\nsocketio_max_waiting_bytes = %d\nsocketio_recovery_time = \"0s\"\n", ofHandler, ofSocket)+
		webhookTable("hook", h.url())+webhookTable("well", well.url()))
	c, o := gather(t, s, "/hook", many), watch(t, s)
	before := resident(t, s, "VmRSS")
	heal := make(chan struct{})
	h.ail(h.until(heal))
	o.now("flooded")
	stuck, free := flood(t, s, c)
	cutOff(t, c, stuck[:loud])
	shout(t, 1, free)
	o.turns(t, 10)
	grown, most := resident(t, s, "VmHWM")-before, mostGrown
	if raced(t) {
		most *= racing
	}
	t.Logf("the flood had %d MB, %d sockets waited; the program has grown by %d MB, and may by %d MB", c.said*pad>>20, len(stuck), grown>>20, most>>20)
	if grown > most {
		t.Errorf("it has grown by %d bytes, and %d would be much", grown, most)
	}
	close(heal)
	c.settle(t)
	live.Until(t, "it hears of those who were cut off", patience, func() bool { return h.heard("disconnect") == loud })
	for _, some := range [][]*socket{stuck[loud:], free} {
		if kinds := kindsOf(some[0].said, some); kinds[""]+kinds[busy] != some[0].said*len(some) {
			t.Errorf("pages were told %v", kinds)
		}
	}
	h.judge(t, c, true)
}

// loud is how many go on although they have been told nothing.
const loud = 20

// shout has sockets say large events.
func shout(t *testing.T, events int, some []*socket) {
	t.Helper()
	for range events {
		for _, one := range some {
			if err := one.utter(pad); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// flood has all say as much as may wait for a connection. It returns those who
// wait, and those who are told that there is no room.
func flood(t *testing.T, s *server, c *crowd) (stuck, free []*socket) {
	t.Helper()
	shout(t, filling, c.sockets)
	live.Until(t, "all wait or are told not to", patience, func() bool {
		stuck, free = nil, nil
		for _, one := range c.sockets {
			switch acks, _ := one.state(); len(acks) {
			case 0:
				stuck = append(stuck, one)
			case filling:
				free = append(free, one)
			}
		}
		return len(stuck)+len(free) == len(c.sockets) && len(stuck) == s.ofHandler("waiting", "hook")+s.ofHandler("under_way", "hook")
	})
	waiting := s.ofHandler("waiting_bytes", "hook")
	if waiting > ofHandler || waiting < ofHandler*9/10 {
		t.Errorf("%d bytes wait for the handler, and %d may", waiting, ofHandler)
	}
	if kinds := kindsOf(filling, free); kinds[busy] != filling*len(free) || len(free) == 0 {
		t.Errorf("those who do not wait were told %v, want %s", kinds, busy)
	}
	return stuck, free
}

// cutOff has sockets that wait go on, until they are let go of.
func cutOff(t *testing.T, c *crowd, some []*socket) {
	t.Helper()
	for _, one := range some {
		for range 2 * filling {
			if one.utter(pad) != nil {
				break // it is cut off already
			}
		}
	}
	c.depart(t, some, func(*socket) {})
}

// resident is the memory of the program now (VmRSS), or the most that it ever had
// (VmHWM).
func resident(t *testing.T, s *server, what string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Pid()))
	if err != nil {
		t.Skip(err) // no Linux
	}
	found := regexp.MustCompile(what + `:\s+(\d+) kB`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("there is no %s", what)
	}
	kb, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}

// raced reports whether the program has the race detector in it.
func raced(t testing.TB) bool {
	t.Helper()
	info, err := buildinfo.ReadFile(live.Binary(t))
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "-race" && s.Value == "true" })
}
