package edges_test

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/shaveet/shaveet/tests/live"
)

// TestDeaf has readers that stand read no more, among others that do. The others
// hear everything, in order. The deaf ones are let go of, as too slow; a poll of
// Socket.IO, whose answers are small, as one that answers no ping. What they have
// not taken is kept for nobody.
func TestDeaf(t *testing.T) {
	const deaf = 50
	others := count(20, 950)
	for _, w := range allWays {
		t.Run(string(w), func(t *testing.T) {
			t.Parallel()
			args := []string{"--write-timeout", fmt.Sprintf("%ds", count(1, 10)), "--idle-time", "10m"}
			rounds, batch, size := count(8, 24), count(8, 2), 60<<10
			switch w {
			case byPolls: // whose answer may have no more than one message
				rounds, batch, size = count(6, 12), count(2, 1), 250<<10
			case byIOPolls:
				args = append(args, "--socketio-ping-interval", "1s", "--socketio-ping-timeout", fmt.Sprintf("%ds", count(5, 20)))
			}
			s := start(t, args...)
			c := newCrowd(s, others+deaf, 1, []way{w})
			p := c.speaker(size)
			for _, r := range c.readers[:deaf] {
				r.narrow = true
			}
			c.comeAll()
			s.awaitSessions(len(c.readers))
			c.goDeaf(c.readers[:deaf])
			before := s.metrics()
			most := 0.0
			for range rounds {
				p.say(0, batch)
				c.awaitSaid(p)
				most = max(most, s.metrics()["go_memstats_heap_inuse_bytes"])
			}
			// Each deaf one has at most what was one batch for it, and others for a moment
			// a piece of 64 KiB. Queues would have all that was said.
			grown, said := int(most-before["go_memstats_heap_inuse_bytes"]), rounds*batch*size
			t.Logf("memory has grown by %d MiB at most; %d readers have not taken %d MiB each", grown>>20, deaf, said>>20)
			if grown > deaf*said/2+others<<16 {
				t.Error("what deaf readers do not take is kept for them")
			}
			if w == byIOPolls {
				live.Until(t, "the deaf are let go of", patience, func() bool {
					return int(s.metrics()[`shaveet_socketio_sessions{transport="polling"}`]) == others
				})
				return
			}
			live.Until(t, "the deaf are cut off", patience, func() bool {
				return s.metrics()["shaveet_readers_too_slow_total"]-before["shaveet_readers_too_slow_total"] == deaf
			})
			s.awaitSessions(others)
		})
	}
}

// goDeaf has readers read nothing any more.
func (c *crowd) goDeaf(readers []*seat) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range readers {
		r.deaf = true
		c.watch(r, syscall.EPOLL_CTL_MOD, 0)
	}
}
