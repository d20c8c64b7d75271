package edges_test

import (
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

// TestFull has no descriptors be left for readers: those who are there are told
// what is said, the server answers on its other door and does not spin, and who
// waits is let in when there is room again.
func TestFull(t *testing.T) {
	descriptors := count(300, 3000)
	for _, tt := range []struct {
		name string
		args []string
	}{
		{"as the doors share what there is", nil},
		{"with more allowed than there are", []string{"--max-connections", "1000000"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startLimited(t, descriptors, append(tt.args, "--header-timeout", "5m")...)
			c := newCrowd(s, descriptors/10, 1, allWays)
			p := c.speaker(100)
			c.comeAll()
			crowded := fill(t, s, descriptors)

			p.say(0, 5)
			c.awaitSaid(p)
			if healthy(s.Main) != nil {
				t.Error("nobody can ask how it is")
			}
			m := s.metrics()
			if n, most := m[`shaveet_connections{door="public"}`], m[`shaveet_connections_max{door="public"}`]; n != most || n >= float64(descriptors) {
				t.Errorf("there are %v connections at a door for %v, and %d descriptors", n, most, descriptors)
			}
			s.idles()

			for _, conn := range crowded {
				conn.Close()
			}
			c.each(c.leave)
			p.say(0, 5)
			c.comeAll()
			c.awaitSaid(p)
			if err := healthy(s.Public); err != nil {
				t.Error(err)
			}
		})
	}
}

// fill opens connections until the server lets nobody in any more.
func fill(t *testing.T, s *server, descriptors int) (all []net.Conn) {
	t.Helper()
	for range descriptors {
		conn, err := net.Dial("tcp", s.door)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		all = append(all, conn)
	}
	live.Until(t, "the door is full", patience, func() bool {
		before := s.descriptors()
		return healthyWithin(s.Public, 300*time.Millisecond) != nil && s.descriptors() == before
	})
	return all
}

// idles fails the test if the process works though there is nothing to do: what
// spins has a processor, or what others leave of it.
func (s *server) idles() {
	s.t.Helper()
	const for_ = 2 * time.Second
	before := s.cpu()
	time.Sleep(for_)
	if took := s.cpu() - before; took > for_/5 {
		s.t.Errorf("in %v in which nothing happened it has worked for %v", for_, took)
	}
}

func healthy(base string) error { return healthyWithin(base, 10*time.Second) }

// healthyWithin asks how a server is, by a connection of its own.
func healthyWithin(base string, limit time.Duration) error {
	client := http.Client{Timeout: limit, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(base + "/healthz")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s is not well: %d", base, resp.StatusCode)
	}
	return nil
}
