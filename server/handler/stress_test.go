package handler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/socketio"
)

// A ledger is a backend that keeps books: by the answers it has given it knows
// which sockets are there.
type ledger struct {
	t testing.TB

	mu      sync.Mutex // guards all below
	ids     map[uint64]string
	here    map[string]uint64 // sockets, and the serial by which they came
	clients map[string]string
	highest uint64
	fails   func() error
}

func (b *ledger) Call(ctx context.Context, c *Call) (json.RawMessage, error) {
	sleep(ctx, rand.N(5*time.Millisecond))
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.fails()
	if unsent(err) {
		return nil, err
	}
	p := paramsOf(b.t, c)
	if id, known := b.ids[p.Serial]; known && id != c.ID {
		b.t.Errorf("two calls have the serial %d", p.Serial)
	}
	first := b.ids[p.Serial] == ""
	b.ids[p.Serial] = c.ID
	b.highest = max(b.highest, p.Serial)
	switch {
	case c.Method == "connect":
		if since := b.here[p.SID]; since != 0 {
			b.t.Errorf("%s comes with %d, and is here since %d", p.SID, p.Serial, since)
		}
		b.here[p.SID] = p.Serial
	case c.Method == "event" && b.here[p.SID] == 0:
		b.t.Errorf("%s speaks, and is not here", p.SID)
	case c.Method == "disconnect":
		delete(b.here, p.SID)
	case c.Method == "client_gone" || c.Method == "client_back":
		if first && b.clients[p.Client] == c.Method && err == nil {
			b.t.Errorf("%s of %s twice", c.Method, p.Client)
		}
		b.clients[p.Client] = c.Method
	}
	return json.RawMessage("null"), err
}

// Whatever goes wrong between, the backend knows in the end who is there, has
// heard of everything in order, and of every serial.
func TestBooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &ledger{t: t, ids: make(map[uint64]string), here: make(map[string]uint64), clients: make(map[string]string)}
		b.fails = func() error { // the lock is held
			switch rand.N(10) {
			case 0, 1:
				return notSent()
			case 2:
				return &Lost{errors.New("502")}
			case 3:
				return errors.New("500")
			}
			return nil
		}
		w := newWorld(t, Limits{})
		h := New(w, b, Options{Limits: Limits{HandlerMaxCalls: 8}, Logger: w.h.log})
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				s := w.socket(fmt.Sprint("~", i))
				for range 20 {
					if h.connect(t.Context(), s, &socketio.Handshake{Header: http.Header{}}) != nil {
						continue
					}
					for range rand.N(4) {
						h.event(t.Context(), s, &socketio.Event{Name: "e", Args: json.RawMessage("[]")})
					}
					h.disconnect(s, "transport close")
				}
			})
		}
		all.Go(func() {
			for i := range 400 {
				kind := hub.LetGo
				if i/20%2 == 1 {
					kind = hub.Back
				}
				h.Notify(hub.Life{Client: fmt.Sprint("c", i%20), Kind: kind})
				sleep(t.Context(), rand.N(time.Millisecond))
			}
		})
		all.Wait()
		if n := h.Close(t.Context()); n != 0 {
			t.Errorf("%d notifications were given up", n)
		}
		if s := h.Stats(); s != (Stats{}) {
			t.Errorf("%+v", s)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.here) > 0 {
			t.Errorf("the backend believes that these are here: %v", b.here)
		}
		if n := len(b.ids); uint64(n) != b.highest || n < 1000 {
			t.Errorf("of %d serials %d were heard", b.highest, n)
		}
	})
}
