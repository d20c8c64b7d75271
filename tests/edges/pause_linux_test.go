package edges_test

import (
	"syscall"
	"testing"
	"time"
)

// TestPause stops the process for longer than anybody may be away, just when all
// owe it something: whoever polls the next poll, whoever was pinged the answer.
// They say it while it stands still. Nobody is blamed for that: none is let go of,
// no connection ends, and nothing is lost or comes twice.
func TestPause(t *testing.T) {
	n, pause := count(120, 2000), 4*time.Second
	if long() {
		pause = time.Minute
	}
	s := start(t, "--idle-time", "3s", "--min-age", "1s", "--sweep-interval", "1s", "--heartbeat-time", "3s",
		"--socketio-ping-interval", "3s", "--socketio-ping-timeout", "3s", "--header-timeout", "2s", "--write-timeout", "2s")
	c := newCrowd(s, n, 3, allWays)
	p := c.speaker(100)
	c.comeAll()
	s.awaitSessions(n)

	c.hush(true)
	c.await("they have been asked something", func(r *seat) bool { return len(r.out) > 0 || r.way != byFrames && r.way != byIO })
	for channel := range p.said {
		p.say(channel, 1)
	}
	c.await("they have something to say", func(r *seat) bool { return len(r.out) > 0 || r.way == byEvents || r.way == byLines })
	if err := syscall.Kill(s.Pid(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	c.hush(false)
	time.Sleep(pause)
	woken := time.Now()
	if err := syscall.Kill(s.Pid(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
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
	if took := time.Since(woken); took > 3*time.Second {
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
