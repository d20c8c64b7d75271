package hub_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// texts returns what a tap has collected, each with its channel in front.
func texts(messages []*hub.Message) (all []string) {
	for _, m := range messages {
		all = append(all, m.Channel()+" "+strings.Trim(string(m.Data), `"`))
	}
	return all
}

// collect returns what is pending, of which nothing must be lost.
func collect(t *testing.T, tap *hub.Tap) []string {
	t.Helper()
	messages, lost := tap.Collect()
	if lost > 0 {
		t.Errorf("lost something of %d channels", lost)
	}
	return texts(messages)
}

func TestTapHearsMatchingChannelsInOrder(t *testing.T) {
	h := newHub(t, hub.Limits{})
	publish(t, h, "room.1", "before")
	rung := 0
	tap := h.Tap([]string{"room.*", "hall"}, func() { rung++ })
	defer tap.Close()
	for i, channel := range []string{"room.1", "hall", "cellar", "room.2", "room.1"} {
		publish(t, h, channel, fmt.Sprint(i))
	}
	create(t, h, "joiner", "room.1") // whose notice is for nobody here
	if rung != 1 {
		t.Errorf("ready was called %d times before the first look, want once", rung)
	}
	if got, want := collect(t, tap), []string{"room.1 0", "hall 1", "room.2 3", "room.1 4"}; !slices.Equal(got, want) {
		t.Errorf("collected %q, want %q", got, want)
	}
	if got := collect(t, tap); len(got) > 0 {
		t.Errorf("collected %q again", got)
	}
	publish(t, h, "cellar", "nobody listens")
	if rung != 1 {
		t.Error("ready was called for a channel that does not match")
	}
	publish(t, h, "hall", "more")
	if got := collect(t, tap); rung != 2 || !slices.Equal(got, []string{"hall more"}) {
		t.Errorf("after more: ready called %d times, collected %q", rung, got)
	}
	tap.Close()
	publish(t, h, "hall", "closed")
	if got := collect(t, tap); rung != 2 || len(got) > 0 {
		t.Errorf("after Close: ready called %d times, collected %q", rung, got)
	}
}

func TestTapOfABroadcast(t *testing.T) {
	h := newHub(t, hub.Limits{})
	tap := h.Tap([]string{"*"}, func() {})
	defer tap.Close()
	if _, err := h.Broadcast(t.Context(), []string{"b", "a", "c"}, publication("", "all")); err != nil {
		t.Fatal(err)
	}
	if got, want := collect(t, tap), []string{"b all", "a all", "c all"}; !slices.Equal(got, want) {
		t.Errorf("collected %q, want %q", got, want)
	}
}

func TestTapTellsThatThereIsMore(t *testing.T) {
	h := newHub(t, hub.Limits{BatchMessages: 3})
	rung := 0
	tap := h.Tap([]string{"*"}, func() { rung++ })
	defer tap.Close()
	var want, got []string
	for i := range 10 {
		channel := fmt.Sprint("room", i%2)
		publish(t, h, channel, fmt.Sprint(i))
		want = append(want, fmt.Sprintf("%s %d", channel, i))
	}
	for looks := 1; looks <= 4; looks++ {
		if rung != looks {
			t.Fatalf("before look %d ready had been called %d times", looks, rung)
		}
		part := collect(t, tap)
		if len(part) > 3 {
			t.Errorf("look %d has %d messages", looks, len(part))
		}
		got = append(got, part...)
	}
	if rung != 4 || !slices.Equal(got, want) {
		t.Errorf("ready called %d times, collected %q, want %q", rung, got, want)
	}
}

func TestTapTellsWhatIsLost(t *testing.T) {
	h := newHub(t, hub.Limits{})
	rules := []hub.ChannelRule{{Pattern: "small", ChannelSettings: hub.DefaultChannelSettings()}}
	rules[0].Messages = 2
	if err := h.Configure(h.Limits(), rules); err != nil {
		t.Fatal(err)
	}
	tap := h.Tap([]string{"*"}, func() {})
	defer tap.Close()
	for i := range 5 {
		publish(t, h, "small", fmt.Sprint(i))
		publish(t, h, "large", fmt.Sprint(i))
	}
	messages, lost := tap.Collect()
	if got := texts(messages); lost != 1 || len(got) != 7 || !slices.Contains(got, "small 3") || slices.Contains(got, "small 2") {
		t.Errorf("collected %q, lost from %d channels", got, lost)
	}
	publish(t, h, "small", "5")
	if got := collect(t, tap); !slices.Equal(got, []string{"small 5"}) {
		t.Errorf("after a loss: %q", got)
	}
}

func TestTapPassesOverWhatIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, hub.Limits{})
		tap := h.Tap([]string{"*"}, func() {})
		defer tap.Close()
		brief := publication("room", "brief")
		brief.TTL = time.Second
		if _, err := h.Publish(context.Background(), brief); err != nil {
			t.Fatal(err)
		}
		publish(t, h, "room", "lasting")
		time.Sleep(2 * time.Second)
		if got := collect(t, tap); !slices.Equal(got, []string{"room lasting"}) {
			t.Errorf("collected %q", got)
		}
	})
}

// However publishers and the tap meet, it hears all, once and in order, and is
// told when there is something.
func TestConcurrentTapHearsAllOnce(t *testing.T) {
	const publishers, each = 4, 500
	h := newHub(t, hub.Limits{BatchMessages: 7})
	news := make(chan struct{}, 1)
	tap := h.Tap([]string{"room*"}, func() {
		select {
		case news <- struct{}{}:
		default:
		}
	})
	defer tap.Close()
	var saying sync.WaitGroup
	for p := range publishers {
		saying.Go(func() {
			for i := range each {
				publish(t, h, fmt.Sprint("room", (p+i)%5), fmt.Sprint(p, " ", i))
				publish(t, h, "elsewhere", "x")
			}
		})
	}
	defer saying.Wait()
	var last uint64
	next := make(map[string]int)
	for heard := 0; heard < publishers*each; {
		select {
		case <-news:
		case <-time.After(20 * time.Second):
			t.Fatalf("heard %d messages, and no more", heard)
		}
		messages, lost := tap.Collect()
		if lost > 0 {
			t.Fatal("something is lost")
		}
		for _, m := range messages {
			if m.Seq <= last {
				t.Fatalf("number %d after %d", m.Seq, last)
			}
			last = m.Seq
			p, i, _ := strings.Cut(strings.Trim(string(m.Data), `"`), " ")
			if i != fmt.Sprint(next[p]) {
				t.Fatalf("of publisher %s: %s instead of %d", p, i, next[p])
			}
			next[p]++
			heard++
		}
	}
}

// BenchmarkPublishTapped shows what a tap costs whoever publishes.
func BenchmarkPublishTapped(b *testing.B) {
	for _, patterns := range [][]string{nil, {"other.*"}, {"room"}} {
		b.Run(fmt.Sprint(patterns), func(b *testing.B) {
			h := newHub(b, hub.Limits{})
			if patterns != nil {
				defer h.Tap(patterns, func() {}).Close()
			}
			p := publication("room", "hello")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.Publish(b.Context(), p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What is said in the midst of a look is told by the next one, for which ready
// is called.
func TestTapIsToldOfWhatComesDuringALook(t *testing.T) {
	h := newHub(t, hub.Limits{})
	rung := 0
	tap := h.Tap([]string{"*"}, func() { rung++ })
	defer tap.Close()
	publish(t, h, "room", "0")
	said := false
	h.SetStep(func() {
		if !said {
			said = true
			publish(t, h, "room", "1")
		}
	})
	if got := collect(t, tap); !slices.Equal(got, []string{"room 0"}) {
		t.Errorf("first %q", got)
	}
	h.SetStep(nil)
	if rung != 2 {
		t.Errorf("ready was called %d times, want twice", rung)
	}
	if got := collect(t, tap); !slices.Equal(got, []string{"room 1"}) {
		t.Errorf("then %q", got)
	}
}

// However many channels have news, they are heard in the log's order.
func TestTapOfManyChannels(t *testing.T) {
	h := newHub(t, hub.Limits{BatchMessages: 100})
	pending := false
	tap := h.Tap([]string{"*"}, func() { pending = true })
	defer tap.Close()
	const channels, each = 1000, 3
	for i := range channels * each {
		publish(t, h, fmt.Sprint("room", i*i%channels), fmt.Sprint(i))
	}
	next := 0
	for pending {
		pending = false
		for _, text := range collect(t, tap) {
			if _, number, _ := strings.Cut(text, " "); number != fmt.Sprint(next) {
				t.Fatalf("%s comes where %d belongs", number, next)
			}
			next++
		}
	}
	if next != channels*each {
		t.Errorf("%d of %d messages came", next, channels*each)
	}
}

// A loss is told once.
func TestTapTellsALossOnce(t *testing.T) {
	h := newHub(t, hub.Limits{ChannelMessages: 2, BatchMessages: 1})
	tap := h.Tap([]string{"*"}, func() {})
	defer tap.Close()
	publish(t, h, "b", "1")
	publish(t, h, "b", "2")
	for i := range 5 {
		publish(t, h, "a", fmt.Sprint(i))
	}
	told := 0
	for range 10 {
		_, lost := tap.Collect()
		told += lost
	}
	if told != 1 {
		t.Errorf("it was told %d times", told)
	}
	publish(t, h, "a", "5")
	publish(t, h, "a", "6")
	publish(t, h, "a", "7")
	if _, lost := tap.Collect(); lost != 1 {
		t.Errorf("a new loss was told %d times", lost)
	}
}
