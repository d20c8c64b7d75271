package hub_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
)

// histories is how many generated histories TestDelivery plays.
const histories = 10_000

// TestDelivery plays generated histories against a hub and a model of it:
// publishing, joining and leaving, killing and creating, letting go and
// reviving, ageing, restarts; and between any two steps of reading, any of
// these again. A reader follows one client, over connections that break at any
// point. In the end it must have everything that its client was owed, once and
// in order, or have been told of every hole; and nothing else.
//
// That the test can fail is shown by TestSabotage.
func TestDelivery(t *testing.T) {
	n := histories
	if os.Getenv("SHAVEET_LONG") != "" {
		n *= 20
	}
	if given, err := strconv.Atoi(os.Getenv("SHAVEET_HISTORIES")); err == nil {
		n = given
	}
	seed := rand.Uint64()
	t.Logf("seed %d; replay with -rapid.seed", seed)
	variant := os.Getenv("SHAVEET_READER")
	flag.Set("rapid.nofailfile", "true")
	// No shrinking: rapid gives it half a minute, which in a bubble can last
	// for ever.
	flag.Set("rapid.shrinktime", "-1s")
	// The clock in the bubble is ours, and rapid would think that a day of
	// it is too long for a test: so many bubbles, and not one.
	for done := 0; done < n && !t.Failed(); done += chunk {
		flag.Set("rapid.checks", strconv.Itoa(min(chunk, n-done)))
		if flag.Lookup("rapid.seed").Value.String() == "0" || done > 0 {
			flag.Set("rapid.seed", strconv.FormatUint(seed+uint64(done), 10))
		}
		synctest.Test(t, func(t *testing.T) {
			rapid.Check(struct{ rapid.TB }{t}, func(t *rapid.T) { play(t, variant) })
		})
	}
}

// chunk is how many histories are played in one bubble.
const chunk = 250

func play(t *rapid.T, variant string) {
	w := newWorld(t, variant)
	defer w.stop()
	for range rapid.IntRange(5, 40).Draw(t, "steps") {
		w.act()
	}
	w.finish()
}

var (
	clientIDs    = []string{"a", "b", "c"}
	channelNames = []string{"A", "B", "C"}
	idle         = hub.Idle{After: 25 * time.Second, MinAge: 60 * time.Second}
)

// A world is a hub, the model it is held against, and one reader.
type world struct {
	t       *rapid.T
	limits  hub.Limits
	hub     *hub.Hub
	stopHub func()
	model   *model
	keys    map[string]string
	depth   int // how many steps of reading we are inside of
	ending  bool
	reader  *reader
}

func newWorld(t *rapid.T, variant string) *world {
	l := hub.DefaultLimits()
	l.ChannelMessages = rapid.SampledFrom([]int{2, 3, 6}).Draw(t, "ring")
	l.ChannelNotices = rapid.SampledFrom([]int{2, 6}).Draw(t, "side ring")
	l.NoticeMembers = rapid.SampledFrom([]int{1, 2, 9}).Draw(t, "notice members")
	l.BatchMessages = rapid.SampledFrom([]int{1, 3, 50}).Draw(t, "batch")
	l.Window = 100 * time.Second
	l.LetGoAge = 200 * time.Second
	l.PublishIDs, l.PublishIDAge = 3, 50*time.Second
	w := &world{t: t, limits: l}
	w.reader = &reader{world: w, client: "a", variant: variant}
	w.start()
	w.create("a")
	w.subscribe("a", "A")
	w.subscribe("a", "B")
	return w
}

// start begins a life of the log.
func (w *world) start() {
	n := 0
	newKey := func() string { n++; return fmt.Sprintf("key%d-%d", n, time.Now().UnixNano()) }
	w.hub = hub.New(hub.Config{NewKey: newKey, Limits: w.limits}, memory.New())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.hub.Run(ctx) }()
	<-w.hub.Ready()
	w.stopHub = func() { cancel(); <-done }
	w.hub.SetStep(w.interrupt)
	w.model = newModel(w.limits)
	w.keys = map[string]string{}
}

func (w *world) stop() { w.stopHub() }

func (w *world) draw(n int) int { return rapid.IntRange(0, n-1).Draw(w.t, "n") }

func (w *world) client() string  { return rapid.SampledFrom(clientIDs).Draw(w.t, "client") }
func (w *world) channel() string { return rapid.SampledFrom(channelNames).Draw(w.t, "channel") }

// interrupt is called between the steps of reading.
func (w *world) interrupt() {
	if w.depth > 0 || w.ending || w.reader.connecting {
		return
	}
	w.depth++
	defer func() { w.depth-- }()
	for range w.draw(4) {
		w.change()
	}
}

// act does one thing: the reader reads, or something changes.
func (w *world) act() {
	if w.draw(3) == 0 {
		w.reader.read()
		return
	}
	w.change()
}

// change does something that the reader does not do.
func (w *world) change() {
	switch n := w.draw(32); {
	case n < 10:
		w.publish(w.channel())
	case n >= 31:
		w.deleteChannel(w.channel())
	case n >= 30:
		w.rotate(w.client())
	case n >= 29:
		w.disconnect(w.client())
	case n >= 28:
		w.publishOnce(w.channel())
	case n >= 26:
		w.broadcast()
	case n < 13:
		w.subscribe(w.client(), w.channel())
	case n < 16:
		w.unsubscribe(w.client(), w.channel())
	case n < 17:
		w.create(w.client())
	case n < 18:
		w.kill(w.client())
	case n < 20:
		d := time.Duration(1+w.draw(50)) * time.Second
		w.t.Logf("sleep %v", d)
		time.Sleep(d)
	case n < 21:
		w.expire()
	case n < 22:
		w.evictAged()
	case n < 23:
		w.tidy()
	case n < 24:
		if w.depth == 0 && w.draw(3) == 0 {
			w.restart()
		}
	case n < 25:
		if w.depth == 0 {
			w.quiet()
		}
	default:
		w.replace(w.client())
	}
	if got := w.hub.Position().Seq; got != w.model.top {
		w.t.Fatalf("the log's top is %d, the model's %d", got, w.model.top)
	}
}

func (w *world) publish(channel string) {
	w.t.Logf("publish %s", channel)
	pub := hub.Publication{Channel: channel, Sender: json.RawMessage(`"x"`), Data: json.RawMessage(`1`)}
	switch w.draw(8) {
	case 0:
		pub.Exclude = []string{w.client(), w.client()}
	case 1:
		pub.TTL = time.Duration(1+w.draw(30)) * time.Second
	}
	p, err := w.hub.Publish(context.Background(), pub)
	e := w.model.publish(channel)
	e.exclude, e.ttl = pub.Exclude, pub.TTL
	w.went("publish", p, err, e, false)
}

// went says that a message went where the model says.
func (w *world) went(what string, p hub.Published, err error, e *event, repeated bool) {
	if err != nil || p.Position.Seq != e.seq || p.ID != e.id || p.Repeated != repeated || p.Channel != e.channel {
		w.t.Fatalf("%s: %+v (%v), the model has seq %d, id %d on %s", what, p, err, e.seq, e.id, e.channel)
	}
}

func (w *world) broadcast() {
	channels := []string{w.channel(), w.channel()}
	w.t.Logf("broadcast %v", channels)
	all, err := w.hub.Broadcast(context.Background(), channels, hub.Publication{Data: json.RawMessage(`1`)})
	said := w.model.broadcast(slices.Compact(channels))
	if len(all) != len(said) {
		w.t.Fatalf("broadcast to %v: %v, %v", channels, all, err)
	}
	for i, e := range said {
		w.went("broadcast", all[i], err, e, false)
	}
}

func (w *world) publishOnce(channel string) {
	id, data := rapid.SampledFrom([]string{"x", "y"}).Draw(w.t, "publish id"), 1+w.draw(4)/3
	w.t.Logf("publish %s under %s", channel, id)
	p, err := w.hub.Publish(context.Background(), hub.Publication{
		Channel: channel, PublishID: id, Data: json.RawMessage(strconv.Itoa(data))})
	e, repeated, refusal := w.model.publishOnce(channel, id, data)
	if refusal != nil {
		if !errors.Is(err, refusal) {
			w.t.Fatalf("publish under an id: %+v, %v; the model says %v", p, err, refusal)
		}
		return
	}
	w.went("publish under an id", p, err, e, repeated)
}

func (w *world) deleteChannel(name string) {
	w.t.Logf("delete %s", name)
	_, err := w.hub.DeleteChannel(context.Background(), name)
	if ok := w.model.deleteChannel(name); ok != (err == nil) || !ok && !errors.Is(err, hub.ErrUnknownChannel) {
		w.t.Fatalf("delete %s: %v, the model says ok = %v", name, err, ok)
	}
	w.compareMembers(name)
}

func (w *world) rotate(id string) {
	w.t.Logf("rotate %s", id)
	key, _, err := w.hub.RotateKey(context.Background(), id)
	w.must("rotate", w.model.rotate(id), err)
	if err == nil {
		w.keys[id] = key
		w.reader.revoked = w.reader.revoked || w.reads(id)
	}
}

// reads reports whether the reader is attached to the client.
func (w *world) reads(id string) bool {
	return w.reader.session != nil && w.reader.object == w.model.clients[id]
}

func (w *world) disconnect(id string) {
	w.t.Logf("disconnect %s", id)
	_, err := w.hub.Disconnect(context.Background(), id, "")
	w.must("disconnect", w.model.disconnect(id), err)
	if err == nil {
		w.reader.dismissed = w.reader.dismissed || w.reads(id)
	}
}

// must says that the call's outcome is what the model says.
func (w *world) must(what string, ok bool, err error) {
	if ok != (err == nil) || !ok && !errors.Is(err, hub.ErrUnknownClient) {
		w.t.Fatalf("%s: %v, the model says ok = %v", what, err, ok)
	}
}

func (w *world) create(id string) {
	w.t.Logf("create %s", id)
	key, _, err := w.hub.CreateClient(context.Background(), id)
	w.model.create(id)
	w.must("create", true, err)
	w.keys[id] = key
}

func (w *world) kill(id string) {
	w.t.Logf("kill %s", id)
	err := w.hub.KillClient(context.Background(), id)
	w.must("kill", w.model.kill(id), err)
}

func (w *world) subscribe(id, channel string) {
	w.t.Logf("subscribe %s %s", id, channel)
	_, err := w.hub.Subscribe(context.Background(), []hub.Pair{{Client: id, Channel: channel}})
	w.must("subscribe", w.model.subscribe(id, channel), err)
	w.compareMembers(channel)
}

func (w *world) unsubscribe(id, channel string) {
	w.t.Logf("unsubscribe %s %s", id, channel)
	_, err := w.hub.Unsubscribe(context.Background(), []hub.Pair{{Client: id, Channel: channel}})
	w.must("unsubscribe", w.model.unsubscribe(id, channel), err)
	w.compareMembers(channel)
}

func (w *world) compareMembers(channel string) {
	var want []string
	for id, c := range w.model.clients {
		if !c.away && c.sub(channel) != nil {
			want = append(want, id)
		}
	}
	got := w.hub.Members(channel)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		w.t.Fatalf("members of %s: %v, the model has %v", channel, got, want)
	}
}

// expire sweeps, one client at a time, so that the model can follow the order.
func (w *world) expire() {
	w.t.Logf("expire")
	for more := true; more; {
		var err error
		_, more, err = w.hub.Expire(context.Background(), idle, 1)
		if err != nil {
			w.t.Fatalf("expire: %v", err)
		}
		for id, c := range w.model.clients {
			_, err := w.hub.ClientChannels(id)
			if gone := err != nil; gone && !c.away {
				if !w.model.due(c, idle) {
					w.t.Fatalf("client %s was let go before its time", id)
				}
				w.t.Logf("let go %s, %d channels", id, len(c.subs))
				w.model.letGo(c)
			}
		}
	}
	for id, c := range w.model.clients {
		// The wheel counts in seconds: who is due by less may stay.
		if w.model.due(c, hub.Idle{After: idle.After + 2*time.Second, MinAge: idle.MinAge + 2*time.Second}) {
			w.t.Fatalf("client %s should have been let go", id)
		}
	}
}

func (w *world) evictAged() {
	w.t.Logf("evict aged")
	for n := 0; w.hub.EvictAged(1); n++ {
		if n > 10_000 {
			w.t.Fatalf("there is always more to evict")
		}
	}
	w.model.evictAged()
}

func (w *world) tidy() {
	w.t.Logf("tidy")
	if err := w.hub.Tidy(context.Background()); err != nil {
		w.t.Fatalf("tidy: %v", err)
	}
	w.model.tidy()
	if got := w.hub.Stats().Channels; got != len(w.model.channels) {
		w.t.Fatalf("%d channels, the model has %d", got, len(w.model.channels))
	}
}

// replace has a client of the same name take the place of another.
func (w *world) replace(id string) {
	w.kill(id)
	w.create(id)
	w.subscribe(id, w.channel())
	w.publish(w.channel())
}

// quiet lets time pass until nobody is there and most is forgotten, but not the
// clients that were let go.
func (w *world) quiet() {
	w.reader.hangUp()
	time.Sleep(w.limits.Window + time.Second)
	w.expire()
	w.evictAged()
	w.tidy()
}

// restart kills the process. The backend may notice, and set up its clients
// again, before the reader is back, or later.
func (w *world) restart() {
	w.t.Logf("restart")
	w.reader.hangUp()
	w.stopHub()
	w.start()
	if w.draw(2) == 0 {
		w.create("a")
		w.subscribe("a", "A")
	}
}

// finish lets the reader read to the end of a quiet log and judges it.
func (w *world) finish() {
	w.ending = true
	for range 2000 {
		if w.reader.read(); w.reader.at.Seq == w.model.top {
			w.reader.hangUp()
			w.reader.judge()
			return
		}
		if w.reader.gone {
			w.reader.judge()
			return
		}
	}
	w.t.Fatalf("the reader does not come to the end: it is at %v, the log at %d", w.reader.at, w.model.top)
}
