package edges_test

import (
	"slices"
	"testing"
	"time"
)

// TestPause stops the process for longer than anybody may be away, just when all
// owe it something: whoever polls the next poll, whoever was pinged the answer, and
// who has just come the next step. They say it while it stands still. Nobody is
// blamed for that: none is let go of, no connection ends, and nothing is lost or
// comes twice.
func TestPause(t *testing.T) {
	beat := time.Duration(count(3, 15)) * time.Second // all are asked, and come, within it
	n, idle, pause := count(180, 2400), beat, 4*time.Second
	if long() {
		idle, pause = 2*beat, time.Minute // so many may take longer to come than they were told to
	}
	s := start(t, "--idle-time", idle.String(), "--min-age", "1s", "--sweep-interval", "1s", "--heartbeat-time", beat.String(),
		"--socketio-ping-interval", beat.String(), "--socketio-ping-timeout", beat.String(), "--header-timeout", "2s", "--write-timeout", "2s")
	c := newCrowd(s, n, 3, allWays)
	p := c.speaker(100)
	var first, spread, last, hushed []*seat
	for i, r := range c.readers {
		byIO := r.way == byIO || r.way == byIOPolls
		switch {
		case byIO && i < n/3 || r.way == byEvents || r.way == byLines:
			spread = append(spread, r)
			continue
		case byIO && i >= n*2/3:
			last = append(last, r)
		default:
			first = append(first, r)
		}
		hushed = append(hushed, r)
	}
	c.come(first...)
	c.await("the first stand", func(r *seat) bool { return r.fd == 0 || r.stands })
	s.awaitSessions(len(first))
	c.hush(true, hushed)
	for some := range slices.Chunk(spread, len(spread)/40) { // so that something is due at every moment
		c.come(some...)
		time.Sleep(beat / 42)
	}
	c.await("they have been asked something", func(r *seat) bool {
		return len(r.out) > 0 || !r.hushed || r.way == byPolls || r.way == byIOPolls || r.fd == 0
	})
	for channel := range p.said {
		p.say(channel, 1)
	}
	c.come(last...)
	c.await("they have something to say", func(r *seat) bool { return r.fd != 0 && (len(r.out) > 0 || !r.hushed) })
	resume := s.Pause()
	c.hush(false, hushed)
	time.Sleep(pause)
	woken := time.Now()
	resume()
	for channel := range p.said {
		p.say(channel, 3)
	}
	c.awaitSaid(p)
	c.each(func(r *seat) {
		if r.ended != "" {
			t.Errorf("the connection of %s %s has ended: %s", r.way, r.id, r.ended)
		}
	})
	m := s.metrics()
	if took := time.Since(woken); took > idle {
		t.Logf("it took %v until all were back: who was let go of meanwhile was let go of justly", took)
	} else if gone := m["shaveet_clients_let_go_total"]; gone != 0 {
		t.Errorf("%v clients were let go of", gone)
	}
	s.awaitSessions(n)
	for channel := range p.said {
		p.say(channel, 1)
	}
	c.awaitSaid(p)
}
