package transports_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/transporttest"
)

// Whoever moves from any transport to any other goes on where it was.
func TestMoves(t *testing.T) {
	for _, from := range ways {
		for _, to := range ways {
			t.Run(from.name+" to "+to.name, func(t *testing.T) {
				transporttest.RunMoves(t, from.transport(), to.transport())
			})
		}
	}
}

// While many speak at once on several channels, readers by all transports hear
// the same in the same order; so does one that changes its transport all the
// time, and one whose connection breaks all the time.
func TestConcurrentSameOrder(t *testing.T) {
	const speakers, each = 4, 75
	channels := []string{"one", "two", "three"}
	s := newSite(t, 0)
	base := "http://" + s.public
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := func(id string) []hub.Credentials {
		key, _, err := s.hub.CreateClient(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		var pairs []hub.Pair
		for _, c := range channels {
			pairs = append(pairs, hub.Pair{Client: id, Channel: c})
		}
		if _, err := s.hub.Subscribe(t.Context(), pairs); err != nil {
			t.Fatal(err)
		}
		return []hub.Credentials{{ID: id, Key: key}}
	}
	heard := make(map[string]*[]string)
	var readers sync.WaitGroup
	add := func(name string, rounds int, of func(i int) way) {
		all := new([]string)
		heard[name] = all
		start := transporttest.Start{Clients: client(name), Session: strings.ReplaceAll(name, " ", "-")}
		readers.Go(func() {
			for i := 0; len(*all) < speakers*each && ctx.Err() == nil; i++ {
				r := of(i).dial(base)(&http.Client{}, start)
				for n := 0; n < rounds && len(*all) < speakers*each; n++ {
					news, err := r.Read(ctx)
					if err != nil {
						t.Errorf("%s: %v", name, err)
						return
					}
					for _, m := range news.Messages {
						*all = append(*all, m.Channel+" "+m.Position+" "+m.Text)
					}
					if news.Cursor != "" {
						start.Cursor = news.Cursor
					}
				}
				r.Close()
			}
		})
	}
	const always = 1 << 30
	all := slices.Clone(ways)
	for name, polling := range map[string]bool{"socketio": false, "socketio polling": true} {
		all = append(all, way{name: name, dial: func(base string) func(*http.Client, transporttest.Start) transporttest.Reader {
			return transporttest.SocketIO(base, polling)
		}})
	}
	for _, w := range all {
		add(w.name, always, func(int) way { return w })
		add(w.name+" again and again", 3, func(int) way { return w })
	}
	add("all by turns", 2, func(i int) way { return all[i%len(all)] })

	var speaking sync.WaitGroup
	for i := range speakers {
		speaking.Go(func() {
			for n := range each {
				data := json.RawMessage(fmt.Sprintf("%q", fmt.Sprintf("%d.%d", i, n)))
				if _, err := s.hub.Publish(ctx, hub.Publication{Channel: channels[(i+n)%len(channels)], Sender: data, Data: data}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	speaking.Wait()
	readers.Wait()
	first := *heard[ways[0].name]
	if len(first) != speakers*each {
		t.Fatalf("%d messages", len(first))
	}
	for name, all := range heard {
		if !slices.Equal(*all, first) {
			for i := range first {
				if i >= len(*all) || (*all)[i] != first[i] {
					t.Errorf("%s hears %d messages; number %d is not %q", name, len(*all), i, first[i])
					break
				}
			}
		}
	}
}
