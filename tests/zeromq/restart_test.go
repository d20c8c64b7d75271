package zeromq_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/tests/live"
)

// A server that is restarted while it is sent to: what came before it went was
// read, what comes when it is back is kept, nothing comes twice; and the hole
// between, which libzmq had handed to a dead connection, is told by numbers.
func TestServerRestarts(t *testing.T) {
	n := flood()
	for _, tt := range []struct {
		kind, signal string
		perSecond    int  // 0: as fast as it goes
		long         bool // the server is away until all is sent
	}{
		{"PUSH", "SIGKILL", 0, false},
		{"PUSH", "SIGTERM", 0, false},
		{"PUSH", "SIGKILL", n / 5, false},
		{"PUB", "SIGKILL", n / 5, false},
		{"PUB", "SIGTERM", n / 5, false},
		{"PUB", "SIGTERM", n / 5, true},
	} {
		name := tt.kind + ", " + tt.signal
		if tt.perSecond > 0 {
			name += fmt.Sprintf(", %d a second", tt.perSecond)
		}
		if tt.long {
			name += ", away until all is sent"
		}
		t.Run(name, func(t *testing.T) {
			ours := map[string]string{"PUSH": "pull", "PUB": "sub"}[tt.kind]
			s := start(t, "", table("in", ours, anyPort, `channel = "{topic}"`))
			z := connected(t, tt.kind, s.at[0], nil)
			r := s.read("page", channels...)
			live.Until(t, "it hears from it", patience, func() bool { z.send("before", `{"n":-1}`); return s.received("in") > 0 })
			end := z.begin(0, n, channels, size, tt.perSecond, false)
			r.until(t, n/4)
			if tt.signal == "SIGTERM" {
				s.Stop()
			} else {
				s.Kill()
			}
			live.Until(t, "the page is let go", patience, func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.ended })
			if tt.long {
				end()
				s.Restart()
			} else {
				s.Restart()
				end()
			}
			// It may find us again only now.
			after := func() {
				t.Helper()
				had := s.received("in")
				live.Until(t, "it comes back", patience, func() bool {
					z.send("after", fmt.Sprintf(`{"n":%d}`, n))
					return s.received("in") > had
				})
			}
			live.Until(t, "all has come", patience, func() bool {
				after()
				settled := s.received("in")
				after()
				return s.received("in") == settled+1
			})
			tell(t, s, name, n, r.heard(t))
		})
	}
}

// tell wants nothing to have come twice, and tells what is lost.
func tell(t *testing.T, s *server, name string, n int, before []int) {
	t.Helper()
	var after []int
	for _, channel := range channels {
		numbers := s.kept(channel)
		rising(t, numbers)
		after = append(after, numbers...)
	}
	slices.Sort(after)
	rising(t, before)
	if len(before) == 0 || len(after) > 0 && after[0] <= before[len(before)-1] {
		t.Fatalf("%d messages were read before, and after it there is one that was", len(before))
	}
	if strings.HasPrefix(name, "PUSH") {
		// All that is missing is one piece: what was on its way when the server
		// went. That may be all the rest, if it was sent as fast as it goes.
		if before[len(before)-1] != len(before)-1 || len(after) > 0 && (after[len(after)-1] != n-1 || n-after[0] != len(after)) {
			t.Errorf("more is missing than what was on its way: %d before, %d after", len(before), len(after))
		}
	}
	if len(after) == 0 && strings.Contains(name, "a second") {
		t.Error("nothing has come when the server was back")
	}
	t.Logf("%s: %d sent, %d read before, %d came after, %d lost", name, n, len(before), len(after), n-len(before)-len(after))
}

// A publisher that dies with messages in its queue takes them with it; what it
// had handed over has come, and the next one begins where it can.
func TestPublisherRestarts(t *testing.T) {
	n := flood()
	s := start(t, "", table("in", "pull", anyPort, `channel = "{topic}"`))
	r := s.read("page", channels...)
	first := connected(t, "PUSH", s.at[0], nil)
	first.begin(0, n, channels, size, 0, false)()
	first.kill()
	live.Until(t, "it is gone", patience, func() bool { return s.metric("peers", `socket="in"`) == 0 })
	second := connected(t, "PUSH", s.at[0], nil)
	second.begin(n, n, channels, size, 0, false)()
	live.Until(t, "the last has come", 5*patience, func() bool {
		numbers := r.heard(t)
		return len(numbers) > 0 && numbers[len(numbers)-1] == 2*n-1
	})
	numbers := r.heard(t)
	rising(t, numbers)
	ofFirst := slices.Index(numbers, n)
	if len(numbers)-ofFirst != n || ofFirst > 0 && numbers[ofFirst-1] != ofFirst-1 {
		t.Errorf("%d of the first and %d of the second have come", ofFirst, len(numbers)-ofFirst)
	}
	t.Logf("PUSH, killed when its last send had returned: %d sent, %d came, %d lost; the next one: %d sent, %d came", n, ofFirst, n-ofFirst, n, len(numbers)-ofFirst)
}
