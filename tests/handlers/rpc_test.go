package handlers_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/shaveet/shaveet/tests/live"
)

// maxCalls is how many calls to one handler may be under way at once.
const maxCalls = 64

// TestRPC has a thousand sockets speak to backends by their own WebSockets, which
// die, are silent, and take over from each other.
func TestRPC(t *testing.T) {
	t.Parallel()
	s, l := start(t, "socketio_recovery_time = \"0s\"\n"+rpcSetup), newLedger()
	first := serve(t, s, l, "first")
	c := gather(t, s, "/ws", many)
	t.Run("it publishes meanwhile", func(t *testing.T) { pipelined(t, s, first, c) })
	var second *peer
	t.Run("it dies with calls under way", func(t *testing.T) { second = outstanding(t, s, first, c) })
	t.Run("it is silent", func(t *testing.T) { unanswering(t, s, second, c) })
	t.Run("one of two dies", func(t *testing.T) { ofTwo(t, s, second) })
	l.judge(t, c, true)
	t.Run("pages go while it is down", func(t *testing.T) {
		going(t, s, "rpc", l, c,
			func(first []*socket) (cut int) {
				second.die()
				live.Until(t, "it is missed", patience, func() bool { return s.metric("shaveet_backend_serving") == 0 }) // else calls to it are lost
				c.depart(t, first, (*socket).vanish)
				return 0
			},
			func() { serve(t, s, l, "last") })
	})
}

// pipelined has the backend say things of its own while it answers: those are
// answered in order, and heard in order, and so are the pages.
func pipelined(t *testing.T, s *server, p *peer, c *crowd) {
	const numbers = 2000
	heard := hearing(t, s, "news", numbers)
	published := p.publish("news", numbers)
	inOrder(t, c, p.ledger, rounds(t, false))
	if err := errors.Join(<-published, <-heard); err != nil {
		t.Fatal(err)
	}
	live.Until(t, "all that it published is answered", patience, func() bool { return p.results.Load() == numbers })
}

// hearing has a client read a channel by a plain WebSocket, and want to hear the
// numbers from 1 on in order.
func hearing(t testing.TB, s *server, channel string, numbers int) <-chan error {
	t.Helper()
	var key string
	s.call(&key, "create_client", []any{"reader"})
	s.call(nil, "subscribe", []any{"reader", channel})
	w, err := dial(s.addr, "/websocket")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.say(fmt.Sprintf(`{"clients":[{"id":"reader","key":%q}]}`, key)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	var hearing sync.WaitGroup
	hearing.Go(func() { done <- w.counts(numbers) })
	t.Cleanup(func() { w.conn.Close(); hearing.Wait() })
	return done
}

// counts hears numbers.
func (w *wire) counts(most int) error {
	for last := 0; last < most; {
		text, err := w.hear()
		if err != nil {
			return err
		}
		numbers, err := numbersOf(text)
		if err != nil {
			return err
		}
		for _, n := range numbers {
			if n != last+1 {
				return fmt.Errorf("a reader hears %d after %d", n, last)
			}
			last = n
		}
	}
	return nil
}

// numbersOf are the data of the messages that a reader hears.
func numbersOf(text []byte) (all []int, err error) {
	var batch struct {
		Messages []struct{ Data int }
		Signals  []struct{ Type string }
	}
	if err := json.Unmarshal(text, &batch); err != nil {
		return nil, fmt.Errorf("%s: %w", text, err)
	}
	for _, signal := range batch.Signals {
		if signal.Type == "gap" || signal.Type == "reset" {
			return nil, fmt.Errorf("it is told of a %s", signal.Type)
		}
	}
	for _, m := range batch.Messages {
		all = append(all, m.Data)
	}
	return all, nil
}

// outstanding has the backend die when it has heard all that may be under way:
// that fails, nothing else does, and what waits goes to the next one.
func outstanding(t *testing.T, s *server, p *peer, c *crowd) *peer {
	before := p.asked.Load()
	p.ill.Store(true)
	c.say(t, 2, c.sockets)
	live.Until(t, "calls are under way", patience, func() bool { return p.asked.Load() == before+maxCalls })
	p.die()
	next := serve(t, s, p.ledger, "second")
	c.settle(t)
	if kinds := kindsOf(2, c.sockets); len(kinds) != 2 || kinds[unavailable] != maxCalls {
		t.Errorf("pages were told %v, want %d %s", kinds, maxCalls, unavailable)
	}
	return next
}

// unanswering has the backend be silent for a while.
func unanswering(t *testing.T, s *server, p *peer, c *crowd) {
	s.timeout(short)
	p.ill.Store(true)
	c.say(t, 2, c.sockets)
	c.settle(t)
	if kinds := kindsOf(2, c.sockets); kinds[timeout] != 2*many {
		t.Errorf("pages were told %v, want %d %s", kinds, 2*many, timeout)
	}
	p.ill.Store(false)
	s.timeout(ample)
	c.say(t, 1, c.sockets)
	c.settle(t)
	if kinds := kindsOf(1, c.sockets); kinds[""] != many {
		t.Errorf("when it was well again, pages were told %v", kinds)
	}
}

// ofTwo has another backend come, which newcomers are divided with, and die. Only
// what it has heard fails: its sockets go to the one that is left.
func ofTwo(t *testing.T, s *server, stays *peer) {
	l := stays.ledger
	dies := serve(t, s, l, "third")
	c := gather(t, s, "/ws", 60)
	c.say(t, 3, c.sockets)
	c.settle(t)
	var itsOwn []*socket
	for _, one := range c.sockets {
		home := l.life(one.sid)[0].by
		for _, call := range l.life(one.sid) {
			if call.by != home {
				t.Errorf("%v went to the %s backend, those before to the %s", &call, call.by, home)
			}
		}
		if home == dies.name {
			itsOwn = append(itsOwn, one)
		}
	}
	if len(itsOwn) == 0 || len(itsOwn) == len(c.sockets) {
		t.Fatalf("%d of %d are the new one's", len(itsOwn), len(c.sockets))
	}
	before := dies.asked.Load()
	dies.ill.Store(true)
	c.say(t, 2, c.sockets)
	live.Until(t, "it is asked by all of its own", patience, func() bool { return dies.asked.Load() == before+int64(len(itsOwn)) })
	dies.die()
	c.settle(t)
	if kinds := kindsOf(2, c.sockets); kinds[unavailable] != len(itsOwn) || kinds[""] != 2*len(c.sockets)-len(itsOwn) {
		t.Errorf("pages were told %v, and it had %d sockets", kinds, len(itsOwn))
	}
	if kinds := kindsOf(1, itsOwn); kinds[""] != len(itsOwn) {
		t.Errorf("after it had died, its pages were told %v", kinds)
	}
	l.judge(t, c, true)
	c.leave()
	live.Until(t, "their leaving is heard of", patience, func() bool { return l.heard("disconnect") == len(c.sockets) })
}
