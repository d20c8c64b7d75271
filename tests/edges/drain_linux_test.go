package edges_test

import (
	"testing"
	"time"
)

// TestDrain ends the server while a crowd of all transports is held: everybody is
// told, and it exits with 0 within its time.
func TestDrain(t *testing.T) {
	n, limit := count(500, 10000), 30*time.Second
	s := start(t, "--drain-timeout", limit.String(), "--max-connections", "12000", "--socketio-max-connections", "20000")
	c := newCrowd(s, n, 5, allWays)
	p := c.speaker(100)
	c.comeAll()
	s.awaitSessions(n)
	for channel := range p.said {
		p.say(channel, 1)
	}
	c.awaitSaid(p)
	s.awaitSessions(n)
	began := time.Now()
	if err := s.End(limit); err != nil {
		t.Fatalf("after SIGTERM: %v", err)
	}
	t.Logf("%d readers were let go of in %v", n, time.Since(began))
	c.await("every connection has ended", func(r *seat) bool { return r.fd == 0 })
	c.check()
	told, silent := 0, make(map[string]int)
	c.each(func(r *seat) {
		if r.drained {
			told++
		} else {
			silent[string(r.way)+": "+r.ended]++
		}
	})
	if told != n {
		t.Errorf("%d of %d were told that the server ends: not %v", told, n, silent)
	}
}
