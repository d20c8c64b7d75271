package handlers_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

// A crowd is sockets of one namespace. Each says numbered events and wants them
// answered. Its methods are for the test's goroutine.
type crowd struct {
	addr      string
	namespace string
	sockets   []*socket

	said    int          // events of those that are still here
	acked   atomic.Int64 // answers to them
	running sync.WaitGroup
}

// A socket is one of Socket.IO.
type socket struct {
	*wire
	crowd *crowd
	sid   string
	said  int
	gone  bool // it has left by itself

	mu    sync.Mutex // guards all below
	sayAt time.Time  // when it has said something last
	acks  []ack      // as they came
	ended error      // nil: it has not
}

// An ack is an answer to an event.
type ack struct {
	n    int    // of the event
	kind string // of the error; "": the backend has answered
	text string
	took time.Duration // since the socket has said something
}

// gather has n sockets join a namespace.
func gather(t testing.TB, s *server, namespace string, n int) *crowd {
	t.Helper()
	c := &crowd{addr: s.addr, namespace: namespace}
	t.Cleanup(c.leave)
	c.sockets = make([]*socket, n)
	const atOnce = 50
	var joining sync.WaitGroup
	for first := range atOnce {
		joining.Go(func() {
			for i := first; i < n; i += atOnce {
				one, err := c.join()
				if err != nil {
					t.Error(err)
					return
				}
				c.sockets[i] = one
			}
		})
	}
	joining.Wait()
	if t.Failed() {
		t.FailNow()
	}
	for _, one := range c.sockets {
		c.running.Go(func() { one.end(one.follow()) })
	}
	return c
}

// join connects one more socket.
func (c *crowd) join() (*socket, error) {
	w, err := dial(c.addr, "/socket.io/?EIO=4&transport=websocket")
	if err != nil {
		return nil, err
	}
	one := &socket{wire: w, crowd: c}
	if err := one.join(); err != nil {
		w.conn.Close()
		return nil, err
	}
	return one, nil
}

func (s *socket) join() error {
	if err := s.say("40" + s.crowd.namespace + ","); err != nil {
		return err
	}
	for {
		text, err := s.hear()
		if err != nil {
			return err
		}
		switch rest, joined := bytes.CutPrefix(text, []byte("40"+s.crowd.namespace+",")); {
		case joined:
			var said struct{ SID string }
			err := json.Unmarshal(rest, &said)
			s.sid = said.SID
			return err
		case text[0] != '0' && text[0] != '2':
			return fmt.Errorf("it is told %s", text)
		}
	}
}

// follow notes answers until the end.
func (s *socket) follow() error {
	begin := []byte("43" + s.crowd.namespace + ",")
	for {
		text, err := s.hear()
		if err != nil {
			return err
		}
		rest, isAck := bytes.CutPrefix(text, begin)
		switch {
		case isAck:
			err = s.noteAck(rest)
		case string(text) == "2":
			err = s.wire.say("3")
		default:
			err = fmt.Errorf("it is told %s", text)
		}
		if err != nil {
			return err
		}
	}
}

// noteAck reads an answer: the number of an event, and an array.
func (s *socket) noteAck(text []byte) error {
	now := time.Now()
	at := bytes.IndexByte(text, '[')
	a := ack{text: string(text)}
	if _, err := fmt.Sscan(string(text[:max(at, 0)]), &a.n); err != nil {
		return fmt.Errorf("the answer %s: %w", text, err)
	}
	if string(text[at:]) != answerTo(a.n) {
		var fault []struct {
			Error struct{ Type, Message string }
		}
		if err := json.Unmarshal(text[at:], &fault); err != nil || len(fault) != 1 || fault[0].Error.Type == "" || fault[0].Error.Message == "" {
			return fmt.Errorf("the answer %s is neither the backend's nor an error", text)
		}
		a.kind = fault[0].Error.Type
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a.took = now.Sub(s.sayAt)
	s.acks = append(s.acks, a)
	s.crowd.acked.Add(1)
	return nil
}

// answerTo is what backends here answer to an event.
func answerTo(n int) string { return fmt.Sprintf(`[%d,"heard"]`, n) }

func (s *socket) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = err
}

func (s *socket) state() (acks []ack, ended error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acks[:len(s.acks):len(s.acks)], s.ended
}

// utter says an event of so many bytes more than it needs.
func (s *socket) utter(pad int) error {
	s.mu.Lock()
	s.sayAt = time.Now()
	s.mu.Unlock()
	text := fmt.Sprintf(`42%s,%d["n",%d,"%s"]`, s.crowd.namespace, s.said, s.said, strings.Repeat("x", pad))
	s.said++
	s.crowd.said++
	return s.wire.say(text)
}

// say has some sockets say some events each.
func (c *crowd) say(t testing.TB, events int, some []*socket) {
	t.Helper()
	for range events {
		for _, s := range some {
			if err := s.utter(0); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// settle waits until all that was said is answered.
func (c *crowd) settle(t testing.TB) {
	t.Helper()
	live.Until(t, "all is answered", patience, func() bool { return c.acked.Load() >= int64(c.said) })
}

// kindsOf counts how the last events of sockets were answered.
func kindsOf(events int, some []*socket) map[string]int {
	kinds := make(map[string]int)
	for _, s := range some {
		acks, _ := s.state()
		for _, a := range acks[max(0, len(acks)-events):] {
			kinds[a.kind]++
		}
	}
	return kinds
}

// vanish has it go without a word.
func (s *socket) vanish() { s.cut() }

// depart has some of the sockets go, each in a way, and waits until they have.
func (c *crowd) depart(t testing.TB, some []*socket, leave func(*socket)) {
	t.Helper()
	for _, s := range some {
		s.gone = true
		leave(s)
	}
	live.Until(t, "they are gone", patience, func() bool {
		return !slices.ContainsFunc(some, func(s *socket) bool { _, ended := s.state(); return ended == nil })
	})
	for _, s := range some {
		acks, _ := s.state()
		c.said -= s.said
		c.acked.Add(-int64(len(acks)))
	}
}

// leave has all go, and waits for them.
func (c *crowd) leave() {
	for _, s := range c.sockets {
		if s != nil {
			s.conn.Close()
		}
	}
	c.running.Wait()
}
