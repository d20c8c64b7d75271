package edges_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A place is where on a connection a request comes: as the first one, or when a
// poll was held there and answered.
var places = map[string]func(*crowd, *speaker) *page{
	"on a new connection":    func(c *crowd, _ *speaker) *page { return c.s.open(&c.readers[0].reader) },
	"on one that was parked": func(c *crowd, p *speaker) *page { return parkedPages(c, p)[0] },
}

// TestPipelined sends several polls at once. Each is answered for itself, in their
// order.
func TestPipelined(t *testing.T) {
	for name, open := range places {
		for _, n := range []int{2, 5} {
			for _, post := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d polls %s, POST %v", n, name, post), func(t *testing.T) {
					t.Parallel()
					s := start(t, patient...)
					c := newCrowd(s, 1, 1, []way{byPolls})
					p := c.speaker(100)
					pg := open(c, p)
					base := int(p.said[0])
					at := s.sayOneByOne(p, n)

					// The i-th asks for what was said from the i-th message on: all at once,
					// the last one held for what is said next.
					var all string
					for i := range n - 1 {
						all += pg.request(at[i], "0", post)
					}
					pg.say(all + pg.request(at[n], "", post))
					for i := range n - 1 {
						pg.wants(base+i, n-i)
					}
					s.awaitSessions(1)
					p.say(0, 1)
					pg.wants(base+n, 1)

					// And held ones in front of others, which have to wait.
					top := pg.cursor
					pg.say(pg.request(top, "", post) + pg.request(at[0], "", post) + pg.request(top, "", post))
					s.awaitSessions(1)
					p.say(0, 1)
					pg.wants(base+n+1, 1)
					pg.wants(base, n+2)
					pg.wants(base+n+1, 1)
				})
			}
		}
	}
}

// TestHalfBehind sends a poll with the half of the next one behind it, however
// that is cut.
func TestHalfBehind(t *testing.T) {
	for name, open := range places {
		for _, post := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, POST %v", name, post), func(t *testing.T) {
				t.Parallel()
				s := start(t, patient...)
				c := newCrowd(s, 1, 1, []way{byPolls})
				p := c.speaker(100)
				pg := open(c, p)
				base := int(p.said[0])
				at := s.sayOneByOne(p, 1)
				length := len(pg.request(at[1], "", post))
				step := max(1, length/count(12, 200))
				said := 1
				for cut := 1; cut < length; cut += step {
					held := pg.request(at[len(at)-1], "", post)
					next := pg.request(at[len(at)-2], "", post)
					pg.say(held + next[:cut])
					s.awaitSessions(1)
					at = append(at, s.sayOneByOne(p, 1)[1])
					pg.wants(base+said, 1)
					pg.say(next[cut:])
					pg.wants(base+said-1, 2)
					said++
				}
			})
		}
	}
}

// sayOneByOne says n messages, and returns the positions before the first, and
// behind each.
func (s *server) sayOneByOne(p *speaker, n int) (at []string) {
	s.t.Helper()
	var before struct{ Position string }
	s.call(&before, "info", []any{})
	at = []string{before.Position}
	for range n {
		p.say(0, 1)
		s.call(&before, "info", []any{})
		at = append(at, before.Position)
	}
	if len(slices.Compact(slices.Clone(at))) != n+1 {
		s.t.Fatalf("positions do not move: %v", at)
	}
	return at
}

// request is one poll.
func (p *page) request(cursor, wait string, post bool) string {
	if !post {
		if wait != "" {
			wait = "&wait=" + wait
		}
		return fmt.Sprintf("GET /longpoll?client_id=%s_!!_%s&cursor=%s%s HTTP/1.1\r\nHost: edges\r\n\r\n", p.id, p.key, cursor, wait)
	}
	if wait != "" {
		wait = `,"wait":` + wait
	}
	body := fmt.Sprintf(`{"clients":[{"id":%q,"key":%q}],"cursor":%q%s}`, p.id, p.key, cursor, wait)
	return fmt.Sprintf("POST /longpoll HTTP/1.1\r\nHost: edges\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// wants reads an answer with n messages, from number i on.
func (p *page) wants(i, n int) {
	p.t.Helper()
	p.next = uint32(i)
	p.hearAnswer()
	if got := int(p.next) - i; got != n {
		p.t.Fatalf("there are %d messages from number %d on, not %d", got, i, n)
	}
}

// TestSlowHead has the next request on parked connections come a byte at a time:
// it is served when it is whole. One that never is has its time, and until then no
// more than net/http's two goroutines.
func TestSlowHead(t *testing.T) {
	t.Run("whole", func(t *testing.T) {
		t.Parallel()
		s := start(t, "--poll-timeout", "10m", "--header-timeout", "10m")
		c := newCrowd(s, 5, 1, []way{byPolls})
		p := c.speaker(100)
		pages := parkedPages(c, p)
		var all sync.WaitGroup
		for _, pg := range pages {
			all.Go(func() {
				request := string(pg.poll())
				for i := range request {
					if _, err := io.WriteString(pg.conn, request[i:i+1]); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Millisecond) // so that it comes by itself
				}
			})
		}
		all.Wait()
		s.awaitSessions(len(pages))
		p.say(0, 1)
		for _, pg := range pages {
			pg.hearAnswer()
			if pg.next != p.said[0] {
				t.Errorf("it has %d of %d messages", pg.next, p.said[0])
			}
		}
	})
	t.Run("never whole", func(t *testing.T) {
		t.Parallel()
		n := count(100, 1000)
		s := start(t, "--poll-timeout", "10m", "--header-timeout", "2s", "--keep-alive", "10m", "--idle-time", "10m")
		c := newCrowd(s, n, 1, []way{byPolls})
		p := c.speaker(100)
		goroutines := func() int { return int(s.metrics()["go_goroutines"]) }
		before, descriptors := goroutines(), s.descriptors()
		pages := parkedPages(c, p)
		slack := max(20, n/20)
		if now := goroutines(); now > before+slack {
			t.Errorf("%d connections that wait cost %d goroutines", n, now-before)
		}
		began := time.Now()
		for _, pg := range pages {
			pg.say("GET /longpoll?" + strings.Repeat("x", 10))
		}
		most := 0
		for deadline := time.Now().Add(patience); s.descriptors() > descriptors+1; most = max(most, goroutines()) {
			if time.Now().After(deadline) {
				t.Fatalf("%d descriptors are left, there were %d", s.descriptors(), descriptors)
			}
		}
		if took := time.Since(began); took < 2*time.Second {
			t.Errorf("they had %v", took)
		}
		if most > before+2*n+slack {
			t.Errorf("%d slow heads cost %d goroutines", n, most-before)
		}
		for _, pg := range pages {
			pg.atEnd()
		}
		if now := goroutines(); now > before+slack {
			t.Errorf("%d goroutines are left", now-before)
		}
	})
}
