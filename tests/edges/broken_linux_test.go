package edges_test

import (
	"fmt"
	"syscall"
	"testing"
	"unsafe"

	"github.com/shaveet/shaveet/tests/live"
)

// patient has nothing happen by itself: what is noticed is noticed by what peers do.
var patient = []string{"--heartbeat-time", "10m", "--poll-timeout", "10m", "--keep-alive", "10m", "--header-timeout", "10m",
	"--socketio-ping-interval", "10m", "--idle-time", "10m"}

// endings are how peers end connections.
var endings = []struct {
	name string
	end  func(fd int) error
}{
	{"half closed", func(fd int) error { return syscall.Shutdown(fd, syscall.SHUT_WR) }},
	{"reset", func(fd int) error {
		// To connect to nowhere is to break the connection, and the descriptor stays.
		var nowhere syscall.RawSockaddrInet4 // AF_UNSPEC
		_, _, err := syscall.Syscall(syscall.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&nowhere)), unsafe.Sizeof(nowhere))
		if err != 0 {
			return err
		}
		return nil
	}},
}

// TestBroken has all readers end their half of the connection, or break it, while
// they are held. They are missed at once, no descriptor stays behind, and what they
// have not had is theirs when they are back.
func TestBroken(t *testing.T) {
	n := count(40, 1000)
	for _, w := range allWays {
		for _, e := range endings {
			t.Run(fmt.Sprintf("%s %s", w, e.name), func(t *testing.T) {
				t.Parallel()
				s := start(t, patient...)
				c := newCrowd(s, n, 1, []way{w})
				p := c.speaker(100)
				before := s.descriptors()
				c.comeAll()
				s.awaitSessions(n)
				p.say(0, 1)
				c.awaitSaid(p)
				s.awaitSessions(n)

				c.each(func(r *seat) {
					if err := e.end(r.fd); err != nil {
						t.Error(err)
					}
				})
				s.awaitSessions(0)
				c.await("every connection has ended", func(r *seat) bool { return r.fd == 0 })
				live.Until(t, "no descriptor is left", patience, func() bool { return s.descriptors() <= before+1 }) // the poller's

				p.say(0, 1)
				c.comeAll()
				c.awaitSaid(p)
			})
		}
	}
}

// TestBrokenBetween has the same become of connections that wait for a request, or
// for the rest of one.
func TestBrokenBetween(t *testing.T) {
	n := count(40, 1000)
	for _, e := range endings {
		for what, begun := range map[string]string{"before a request": "", "in a line": "GET /longp", "in a head": "GET /longpoll HTTP/1.1\r\nHost:"} {
			t.Run(e.name+" "+what, func(t *testing.T) {
				t.Parallel()
				s := start(t, patient...)
				c := newCrowd(s, n, 1, []way{byPolls})
				p := c.speaker(100)
				before := s.descriptors()
				pages := parkedPages(c, p)
				for _, pg := range pages {
					pg.say(begun)
				}
				for _, pg := range pages {
					raw, err := pg.conn.SyscallConn()
					if err != nil {
						t.Fatal(err)
					}
					if raw.Control(func(fd uintptr) { err = e.end(int(fd)) }); err != nil {
						t.Fatal(err)
					}
				}
				live.Until(t, "no descriptor is left", patience, func() bool { return s.descriptors() <= before+1 })
			})
		}
	}
}
