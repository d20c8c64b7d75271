package zeromq_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

// channels are those that floods go to in turn.
var channels = []string{"room.0", "room.1", "room.2"}

const size = 100 // bytes of a message beside its number

// A flood by PUSH arrives whole and in order: at pages, and at a subscriber of
// libzmq but for what is counted.
func TestFloodByPush(t *testing.T) {
	n := flood()
	s := start(t, "", table("pull", "pull", anyPort, `channel = "{topic}"`), table("pub", "pub", anyPort, `channels = ["*"]`))
	push := connected(t, "PUSH", s.at[0], nil)
	sub := connected(t, "SUB", s.at[1], map[string]any{"SUBSCRIBE": "", "RCVHWM": 0})
	live.Until(t, "the subscription is heard of", patience, func() bool {
		s.call(nil, "new_message", []any{"bob", map[string]int{"n": -1}, "before", false})
		return s.metric("sent_total", `socket="pub"`) > 0
	})
	before := s.metric("sent_total", `socket="pub"`)
	r := s.read("page", channels...)
	collected := sub.collect(n - 1)
	cpu, began := s.cpu(), time.Now()
	end := push.begin(0, n, channels, size, 0, false)
	r.until(t, n)
	took, used := time.Since(began), s.cpu()-cpu
	f := end()
	numbers := r.heard(t)
	rising(t, numbers)
	if len(numbers) != n || s.received("pull") != n {
		t.Errorf("of %d messages %d were received, and %d read", n, s.received("pull"), len(numbers))
	}
	c, err := collected() // to the last, which is never dropped
	if err != nil {
		t.Error(err)
	}
	behind, lost := s.dropped("pub", "backlog"), s.dropped("pub", "ring")
	sent := s.metric("sent_total", `socket="pub"`) - before
	if lost > 0 || sent+behind != n || c.Count != sent {
		t.Errorf("our PUB: %d sent, %d dropped for a peer behind, losses of %d channels; %d were said", sent, behind, lost, n)
	}
	t.Logf("PUSH: %d sent in %.1f s, %d received, %d read by a WebSocket in order; %d dropped", n, f.Seconds, s.received("pull"), len(numbers), n-len(numbers))
	t.Logf("our PUB beside it: %d said, %d sent, %d dropped (backlog); libzmq's SUB has %d in order", n, sent, behind, c.Count)
	t.Logf("%.0f messages/s from PUSH to a WebSocket and a SUB, %.1f µs of processor time of the server for each", float64(n)/took.Seconds(), float64(used.Microseconds())/float64(n))
}

// What is lost of a flood by PUB is libzmq's own loss, to the message: it drops
// what its queue has no room for, and we drop nothing.
func TestFloodByPub(t *testing.T) {
	n := flood()
	for _, told := range []bool{false, true} {
		t.Run(fmt.Sprintf("libzmq tells of its losses: %t", told), func(t *testing.T) {
			s := start(t, "", table("sub", "sub", anyPort, `channel = "{topic}"`))
			options := map[string]any{}
			if told {
				options["XPUB_NODROP"] = 1
			}
			pub := connected(t, "PUB", s.at[0], options)
			live.Until(t, "it is subscribed to", patience, func() bool { pub.send("before", `{"n":-1}`); return s.received("sub") > 0 })
			live.Until(t, "all of it has come", patience, func() bool {
				before := s.received("sub")
				pub.send("before", `{"n":-1}`)
				live.Until(t, "it comes", patience, func() bool { return s.received("sub") > before })
				return s.received("sub") == before+1
			})
			before := s.received("sub")
			r := s.read("page", append(channels, "end")...)
			f := pub.begin(0, n, channels, size, 0, told)()
			// Whatever is behind the flood has come when the end has.
			live.Until(t, "the end comes", patience, func() bool {
				pub.send("end", fmt.Sprintf(`{"n":%d}`, n))
				numbers := r.heard(t)
				return len(numbers) > 0 && numbers[len(numbers)-1] == n
			})
			numbers := r.heard(t)
			for len(numbers) > 0 && numbers[len(numbers)-1] == n {
				numbers = numbers[:len(numbers)-1]
			}
			rising(t, numbers)
			ours := 0
			for _, reason := range []string{"limit", "shape", "channel", "data", "hub"} {
				ours += s.dropped("sub", reason)
			}
			if ours > 0 {
				t.Errorf("we have dropped %d", ours)
			}
			lost := n - len(numbers) - ours
			if told && lost != f.Refused {
				t.Errorf("%d of %d are lost, and libzmq tells of %d", lost, n, f.Refused)
			}
			if received := s.received("sub") - before; received < len(numbers) {
				t.Errorf("%d received, %d read", received, len(numbers))
			}
			t.Logf("PUB: %d sent in %.1f s, %d received and read by a WebSocket in order, %d dropped by us, %d by libzmq (it tells of %d)",
				n, f.Seconds, len(numbers), ours, lost, f.Refused)
		})
	}
}

// A subscriber that reads nothing for the whole of a flood costs what the
// backlog may hold, and what it cannot have is counted.
func TestSlowSubscriber(t *testing.T) {
	for range 5 { // one that sleeps for too long is let go
		if slowSubscriber(t) {
			return
		}
	}
	t.Error("it was let go each time")
}

func slowSubscriber(t *testing.T) bool {
	const n = 10_000
	s := start(t, "", table("pull", "pull", anyPort, `channel = "{topic}"`),
		table("pub", "pub", anyPort, `channels = ["*"]`, "backlog_bytes = 100_000"))
	push := connected(t, "PUSH", s.at[0], nil)
	// One message in its queue, and little in the kernel's.
	sub := connected(t, "SUB", s.at[1], map[string]any{"SUBSCRIBE": "", "RCVHWM": 1, "RCVBUF": 4096})
	live.Until(t, "the subscription is heard of", patience, func() bool {
		s.call(nil, "new_message", []any{"bob", map[string]int{"n": -1}, "before", false})
		return s.metric("sent_total", `socket="pub"`) > 0
	})
	before := s.metric("sent_total", `socket="pub"`)
	r := s.read("page", channels...)
	end := push.begin(0, n, channels, 1000, 0, false)
	r.until(t, n) // who reads does not wait for who does not
	end()
	rising(t, r.heard(t))
	collected := sub.collect(n - 1)
	labels := `socket="pub"`
	sent, dropped := 0, 0
	live.Until(t, "all is counted", patience, func() bool {
		sent, dropped = s.metric("sent_total", labels)-before, s.dropped("pub", "backlog")
		return sent+dropped == n || strings.Contains(s.Log(), "timeout")
	})
	if sent+dropped != n {
		sub.kill()
		collected()
		return false
	}
	c, err := collected()
	if err != nil {
		t.Fatal(err)
	}
	if dropped == 0 || s.dropped("pub", "ring") > 0 || c.Count != sent {
		t.Errorf("%d dropped, losses of %d channels; sent %d, heard %d", dropped, s.dropped("pub", "ring"), sent, c.Count)
	}
	t.Logf("our PUB and a SUB that slept: %d said, %d sent, %d dropped (backlog), %d heard in order", n, sent, dropped, c.Count)
	return true
}
