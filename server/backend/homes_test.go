package backend

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/coder/websocket"
)

// A street is several connections that serve, each with a name.
type street struct {
	*place
	mu     sync.Mutex        // guards all below
	at     map[string]string // where a socket was heard of last
	counts map[string]int    // how often who was called
}

// open has one more connection serve.
func (s *street) open(name string) *peer {
	c := s.serving()
	go func() {
		for {
			var call struct {
				ID     string
				Params struct{ SID string }
			}
			if json.Unmarshal([]byte(c.next()), &call) != nil {
				return
			}
			s.mu.Lock()
			s.at[call.Params.SID] = name
			s.counts[name]++
			s.mu.Unlock()
			c.ws.Write(context.Background(), websocket.MessageText, fmt.Appendf(nil, `{"jsonrpc":"2.0","result":1,"id":%q}`, call.ID))
		}
	}()
	synctest.Wait()
	return c
}

// round makes a call for each of some sockets, and returns where it went.
func (s *street) round(method string) (at map[string]string) {
	s.t.Helper()
	s.mu.Lock()
	s.at, s.counts = make(map[string]string), make(map[string]int)
	s.mu.Unlock()
	for i := range 60 {
		s.wantOutcome(s.call(method, fmt.Sprint("socket", i)), "1")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.at)
}

// A socket's calls go by one connection as long as that serves, whoever else
// comes.
func TestSocketsHaveHomes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := &street{place: newPlace(t, Options{}), at: make(map[string]string), counts: make(map[string]int)}
		a, b := s.open("a"), s.open("b")
		first := s.round("connect")
		if s.counts["a"] < 10 || s.counts["b"] < 10 {
			t.Errorf("the calls went to %v", s.counts)
		}
		s.open("c")
		for socket, name := range s.round("event") {
			if name != first[socket] {
				t.Errorf("%s has moved from %s to %s, though that is still there", socket, first[socket], name)
			}
		}
		a.ws.CloseNow()
		synctest.Wait()
		for socket, name := range s.round("event") {
			if first[socket] == "b" && name != "b" || name == "a" {
				t.Errorf("%s has moved from %s to %s", socket, first[socket], name)
			}
		}
		if s.counts["c"] == 0 {
			t.Error("nobody has gone to who was new")
		}
		b.say(asks("serve", map[string]bool{"stop": true}, 0))
		synctest.Wait()
		for socket, name := range s.round("disconnect") {
			if name != "c" {
				t.Errorf("%s is with %s", socket, name)
			}
		}
		if n := len(s.server.homes.recent); n != 0 {
			t.Errorf("%d are remembered that have left", n)
		}
	})
}

func TestHomesAreBounded(t *testing.T) {
	var h homes
	h.set("often", 7)
	for i := range 5 * manyHomes {
		h.set(fmt.Sprint(i), 1)
		if i%manyHomes == 0 && h.of("often") != 7 {
			t.Fatal("one that is asked for is forgotten")
		}
	}
	if n := len(h.recent) + len(h.older); n > 2*manyHomes {
		t.Errorf("%d are remembered", n)
	}
	if h.of("0") != 0 || h.of(fmt.Sprint(5*manyHomes-1)) != 1 {
		t.Error("not the oldest were forgotten")
	}
	h.remove("often")
	if h.of("often") != 0 {
		t.Error("what was removed is there")
	}
}
