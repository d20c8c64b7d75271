package hub_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/shaveet/shaveet/server/hub"
)

// What a session has in common with others is what it would hear by itself: a
// twin of each, which reads for a client without channels too and so has nothing
// in common with anybody, hears the same.
func TestCommon(t *testing.T) {
	rounds := 100
	if given, err := strconv.Atoi(os.Getenv("SHAVEET_HISTORIES")); err == nil {
		rounds = min(given, 1000)
	}
	shared := 0
	for range rounds {
		w := newTwins(t, rand.Uint64())
		for range 200 {
			w.act(t)
		}
		shared += w.shared
	}
	if shared < rounds {
		t.Errorf("only %d batches were of many", shared)
	}
}

// twins are pairs of sessions on a few channels.
type twins struct {
	r       *rand.Rand
	seed    uint64
	hub     *hub.Hub
	clients []hub.Credentials
	pairs   [][2]*hub.Session // the second is the twin
	shared  int               // batches that were made once for two sessions
	seen    map[*hub.Common]bool
}

func newTwins(t *testing.T, seed uint64) *twins {
	w := &twins{r: rand.New(rand.NewPCG(seed, 0)), seed: seed, seen: make(map[*hub.Common]bool)}
	w.hub = newHub(t, hub.Limits{ChannelMessages: 8, ChannelNotices: 8, BatchMessages: 6})
	nobody := create(t, w.hub, "nobody")
	for i := range 6 {
		c := create(t, w.hub, fmt.Sprint("c", i), "a")
		w.clients = append(w.clients, c)
		var pair [2]*hub.Session
		for k, creds := range [][]hub.Credentials{{c}, {c, nobody}} {
			s, err := w.hub.Attach(t.Context(), creds, hub.Start{Now: true, Namespace: []string{"", "/", "/n"}[i%3]})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			pair[k] = s
		}
		w.pairs = append(w.pairs, pair)
	}
	return w
}

func (w *twins) act(t *testing.T) {
	channel := []string{"a", "b", "/n#a"}[w.r.IntN(3)]
	client := w.clients[w.r.IntN(len(w.clients))].ID
	pairs := []hub.Pair{{Client: client, Channel: channel}}
	var err error
	switch k := w.r.IntN(20); {
	case k < 8:
		w.look(t, w.r.IntN(len(w.pairs)))
	case k == 8:
		_, err = w.hub.Subscribe(t.Context(), pairs)
	case k == 9:
		_, err = w.hub.Unsubscribe(t.Context(), pairs)
	case k == 10:
		_, err = w.hub.Publish(t.Context(), hub.Publication{Channel: channel, Data: json.RawMessage("2"), Exclude: []string{client}})
	default:
		_, err = w.hub.Publish(t.Context(), hub.Publication{Channel: channel, Data: json.RawMessage("1")})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// look has a pair hear what there is.
func (w *twins) look(t *testing.T, i int) {
	a, b := w.pairs[i][0].Collect(), w.pairs[i][1].Collect()
	if got, want := told(&a), told(&b); got != want {
		t.Fatalf("seed %d: client %d hears %s, and by itself %s", w.seed, i, got, want)
	}
	if a.Position.Seq > b.Position.Seq || a.Common == nil && a.Position != b.Position {
		t.Fatalf("seed %d: client %d stands at %v, and by itself at %v", w.seed, i, a.Position, b.Position)
	}
	if a.Common != nil && w.seen[a.Common] {
		w.shared++
	}
	w.seen[a.Common] = true
	if w.r.IntN(4) > 0 {
		w.pairs[i][0].Commit()
		w.pairs[i][1].Commit()
	}
}

func told(b *hub.Batch) string {
	text := fmt.Sprintf("%+v, more: %v:", b.Signals, b.More)
	for _, m := range b.Messages {
		text += fmt.Sprint(" ", m.Seq)
	}
	return text
}

// A gap begins where the reader has been told that it stands, whatever has happened
// on channels of others meanwhile.
func TestGapsBeginAtWhatWasTold(t *testing.T) {
	for name, clients := range map[string][]string{"one client": {"a"}, "two": {"a", "b"}} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t, hub.Limits{ChannelMessages: 3})
			var creds []hub.Credentials
			for _, id := range clients {
				creds = append(creds, create(t, h, id, "room"))
			}
			s := attach(t, h, hub.Start{Now: true}, creds...)
			s.Collect()
			s.Commit()
			said := publish(t, h, "room", "hello")
			publish(t, h, "elsewhere", "hello")
			b := s.Collect()
			s.Commit()
			if len(b.Messages) != 1 || b.Position != said.Position {
				t.Fatalf("%d messages, and it stands at %v, want %v", len(b.Messages), b.Position, said.Position)
			}
			for range 10 {
				publish(t, h, "room", "more")
			}
			b = s.Collect()
			if len(b.Signals) != 1 || b.Signals[0].Type != hub.SignalGap || b.Signals[0].From != said.Position {
				t.Errorf("%+v, want a gap from %v", b.Signals, said.Position)
			}
		})
	}
}
