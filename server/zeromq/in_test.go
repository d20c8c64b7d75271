package zeromq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/zmtp"
)

// What comes is published, or counted under the reason why not; whatever it
// is, the next message is published.
func TestWhatComesIsPublishedOrCounted(t *testing.T) {
	limits := hub.Limits{MessageBytes: 100, NameBytes: 10, Channels: 5}
	for name, tt := range map[string]struct {
		change func(*Config)
		frames []string
		want   string // what is published; "": nothing
		why    reason
	}{
		"json":                   {nil, []string{`{"n": 1}`}, `room "zeromq" {"n": 1}`, ""},
		"the last of two frames": {nil, []string{"topic", "5"}, `room "zeromq" 5`, ""},
		"a name":                 {func(c *Config) { c.Sender = "sen\"sor" }, []string{"5"}, `room "sen\"sor" 5`, ""},
		"text":                   {func(c *Config) { c.Format = "text" }, []string{"hä"}, `room "zeromq" "hä"`, ""},
		"base64":                 {func(c *Config) { c.Format = "base64" }, []string{"\xff"}, `room "zeromq" "/w=="`, ""},
		"a topic":                {func(c *Config) { c.Channel = "{topic}" }, []string{"hall", "5"}, `hall "zeromq" 5`, ""},
		"a field":                {func(c *Config) { c.Channel = "{data.to}" }, []string{`{"to":"hall"}`}, `hall "zeromq" {"to":"hall"}`, ""},
		"allowed":                {func(c *Config) { c.Channel, c.Allow = "{topic}", []string{"x", "h*"} }, []string{"hall", "5"}, `hall "zeromq" 5`, ""},
		"allowed is the whole":   {func(c *Config) { c.Channel, c.Allow = "a.{topic}", []string{"a.*"} }, []string{"b", "5"}, `a.b "zeromq" 5`, ""},
		"not allowed":            {func(c *Config) { c.Channel, c.Allow = "{topic}", []string{"x", "h*"} }, []string{"cellar", "5"}, "", byChannel},
		"not allowed by a field": {func(c *Config) { c.Channel, c.Allow = "{data.to}", []string{"h*"} }, []string{`{"to":"cellar"}`}, "", byChannel},
		"three frames":           {nil, []string{"a", "b", "5"}, "", byShape},
		"no topic":               {func(c *Config) { c.Channel = "{topic}" }, []string{"5"}, "", byShape},
		"no field":               {func(c *Config) { c.Channel = "{data.to}" }, []string{`{}`}, "", byShape},
		"an empty channel":       {func(c *Config) { c.Channel = "{topic}" }, []string{"", "5"}, "", byChannel},
		"a channel too long":     {func(c *Config) { c.Channel = "{topic}" }, []string{"12345678901", "5"}, "", byChannel},
		"a channel of control":   {func(c *Config) { c.Channel = "{topic}" }, []string{"a\nb", "5"}, "", byChannel},
		"a channel of no text":   {func(c *Config) { c.Channel = "{topic}" }, []string{"\xff", "5"}, "", byChannel},
		"no json":                {nil, []string{"hello"}, "", byData},
		"nothing":                {nil, []string{""}, "", byData},
		"json of no text":        {nil, []string{"\"\xff\""}, "", byData},
		"no text":                {func(c *Config) { c.Format = "text" }, []string{"\xff"}, "", byData},
		"too large for the hub":  {nil, []string{`"` + strings.Repeat("x", 91) + `"`}, "", byHub},
		"as large as may be":     {nil, []string{`"` + strings.Repeat("x", 90) + `"`}, `room "zeromq" "` + strings.Repeat("x", 90) + `"`, ""},
		"too large as base64":    {func(c *Config) { c.Format = "base64" }, []string{strings.Repeat("x", 80)}, "", byHub},
		"too large":              {func(c *Config) { c.MaxMessageBytes = 20 }, []string{"1234567890", "12345678901"}, "", byLimit},
		"one frame too large":    {func(c *Config) { c.MaxMessageBytes = 20 }, []string{strings.Repeat("x", 100_000)}, "", byLimit},
		"just not too large":     {func(c *Config) { c.MaxMessageBytes = 20 }, []string{"1234567890", "1234567890"}, `room "zeromq" 1234567890`, ""},
		"too many frames":        {func(c *Config) { c.MaxFrames = 2 }, []string{"1", "2", "3"}, "", byLimit},
		"too large by itself":    {nil, []string{strings.Repeat("x", 100+topicRoom+1)}, "", byLimit},
	} {
		for _, by := range []struct {
			ours   string
			theirs zmtp.SocketType
		}{{"pull", zmtp.PUSH}, {"sub", zmtp.PUB}} {
			t.Run(name+" by "+by.ours, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := socketOf(by.ours)
					if tt.change != nil {
						tt.change(&c)
					}
					w := newWorld(t, limits, c)
					said := w.said()
					p := w.peer(by.theirs)
					if by.ours == "sub" {
						if _, _, err := p.ReceiveSubscription(); err != nil {
							t.Fatal(err)
						}
					}
					p.send(tt.frames...)
					p.send("hall", `{"to":"hall"}`)
					synctest.Wait()
					next := strings.NewReplacer("{topic}", "hall", "{data.to}", "hall").Replace(c.Channel) + " "
					got := said()
					if len(got) == 0 || !strings.HasPrefix(got[len(got)-1], next) {
						t.Fatalf("what comes next is not published: %q", got)
					}
					if tt.want != "" && (len(got) != 2 || got[0] != tt.want) || tt.want == "" && len(got) != 1 {
						t.Errorf("published %q, want %q", got, tt.want)
					}
					dropped := map[reason]uint64{}
					if tt.why != "" {
						dropped[tt.why] = 1
					}
					w.dropped(dropped)
					if s := w.stats(); s.Received != 2 {
						t.Errorf("received %d", s.Received)
					}
				})
			})
		}
	}
}

// Refusals of the hub are counted as its own, the log has one line a second
// about them, and none has what the messages say.
func TestFloodOfRefusalsIsOneLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Limits{Channels: 3}, socketOf("pull", func(c *Config) { c.Channel = "{topic}" }))
		p := w.peer(zmtp.PUSH)
		for i := range 100 {
			p.send(fmt.Sprint("c", i), `"hidden"`)
		}
		synctest.Wait()
		w.dropped(map[reason]uint64{byHub: 98}) // the admin channel is one of the three
		if n := strings.Count(w.log.String(), "message dropped"); n != 1 {
			t.Errorf("%d lines: %s", n, w.log)
		}
		time.Sleep(time.Second)
		p.send("c100", `"hidden"`)
		synctest.Wait()
		if n := strings.Count(w.log.String(), "reason=hub"); n != 2 {
			t.Errorf("%d lines after a second: %s", n, w.log)
		}
		if strings.Contains(w.log.String(), "hidden") {
			t.Errorf("the log tells what is said: %s", w.log)
		}
	})
}

func TestBytesAndFramesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Limits{}, socketOf("pull", func(c *Config) { c.MaxMessageBytes = 10 }))
		p := w.peer(zmtp.PUSH)
		p.send("12345", "67890")
		p.send("x")
		p.send("12345678901") // of which nobody knows how large it would have been
		synctest.Wait()
		if s := w.stats(); s.Received != 3 || s.Bytes != 11 || s.Peers != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// A subscriber of ours asks for its topics, on each connection.
func TestSubscribesToItsTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, topics := range [][]string{nil, {"a"}, {"b", "", "a"}} {
			w := newWorld(t, hub.Limits{}, socketOf("sub", func(c *Config) { c.Topics = topics }))
			want := topics
			if want == nil {
				want = []string{""}
			}
			for range 2 {
				p := w.peer(zmtp.PUB)
				for _, topic := range want {
					if prefix, on, err := p.ReceiveSubscription(); string(prefix) != topic || !on || err != nil {
						t.Errorf("asks for %q, %t, %v; want %q", prefix, on, err, topic)
					}
				}
			}
			w.stop()
		}
	})
}

// However many peers send at once, what each says is published in its order,
// and nothing is lost.
func TestConcurrentPeersKeepTheirOrder(t *testing.T) {
	const peers, each = 8, 200
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Limits{ChannelBytes: 8 << 20}, socketOf("pull", func(c *Config) { c.Channel = "{topic}" }))
		said := w.said()
		var sending sync.WaitGroup
		for i := range peers {
			p := w.peer(zmtp.PUSH)
			sending.Go(func() {
				for n := range each {
					p.Send([]byte(fmt.Sprint("c", n%3)), fmt.Appendf(nil, "[%d,%d]", i, n))
				}
			})
		}
		sending.Wait()
		synctest.Wait()
		next := make([]int, peers)
		for _, s := range said() {
			var is [2]int
			if err := json.Unmarshal([]byte(s[strings.LastIndex(s, " ")+1:]), &is); err != nil {
				t.Fatal(err)
			}
			if is[1] != next[is[0]] {
				t.Fatalf("peer %d: %d, want %d", is[0], is[1], next[is[0]])
			}
			next[is[0]]++
		}
		for i, n := range next {
			if n != each {
				t.Errorf("of peer %d %d messages were published", i, n)
			}
		}
		w.dropped(nil)
	})
}

// A closedHub takes nothing until it is opened.
type closedHub struct {
	*hub.Hub
	mu    sync.Mutex // guards all below
	open  bool
	tries []time.Time
}

func (h *closedHub) Publish(ctx context.Context, p hub.Publication) (hub.Published, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tries = append(h.tries, time.Now())
	if !h.open {
		return hub.Published{}, fmt.Errorf("the log: %w", hub.ErrUnavailable)
	}
	return h.Hub.Publish(ctx, p)
}

// While the log is not there, messages wait and are not lost; whoever sends
// them has to wait with them.
func TestMessagesWaitForTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Limits{}, socketOf("pull"))
		h := &closedHub{Hub: w.hub}
		w.s.all[0].hub = h
		said := w.said()
		p := w.peer(zmtp.PUSH)
		p.send("1")
		p.send("2")
		time.Sleep(10 * time.Minute)
		if s := w.stats(); s.Received != 1 || len(said()) != 0 {
			t.Errorf("%+v", s)
		}
		w.dropped(nil)
		h.mu.Lock()
		if n := len(h.tries); n < 600 || n > 610 {
			t.Errorf("%d tries in ten minutes, want one a second at last", n)
		}
		for i := 2; i < len(h.tries); i++ {
			if a, b := h.tries[i-1].Sub(h.tries[i-2]), h.tries[i].Sub(h.tries[i-1]); b < a || b > time.Second {
				t.Fatalf("pauses of %v and then %v", a, b)
			}
		}
		h.open = true
		h.mu.Unlock()
		time.Sleep(time.Second)
		synctest.Wait()
		if got := said(); !slices.Equal(got, []string{`room "zeromq" 1`, `room "zeromq" 2`}) {
			t.Errorf("published %q", got)
		}
	})
}

// At the end nobody waits for the log any more; what could not be published is
// counted.
func TestWaitingForTheLogEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Limits{}, socketOf("pull"))
		w.s.all[0].hub = &closedHub{Hub: w.hub}
		w.peer(zmtp.PUSH).send("1")
		time.Sleep(time.Minute)
		began := time.Now()
		w.stop()
		if d := time.Since(began); d > 0 {
			t.Errorf("the end took %v", d)
		}
		w.dropped(map[reason]uint64{byHub: 1})
	})
}

// Another error is no reason to wait.
func TestOtherErrorsOfTheHubAreFinal(t *testing.T) {
	k := &socket{hub: refusing{}}
	if err := k.publish(t.Context(), nil, hub.Publication{}); !errors.Is(err, hub.ErrLimitReached) {
		t.Error(err)
	}
}

type refusing struct{ Hub }

func (refusing) Publish(context.Context, hub.Publication) (hub.Published, error) {
	return hub.Published{}, hub.ErrLimitReached
}
