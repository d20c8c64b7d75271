package hub_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/shaveet/shaveet/server/broker/brokertest"
	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
)

// histories is how many generated histories TestDelivery plays.
const histories = 6_000

// TestDelivery plays generated histories against a hub and a model of it:
// publishing, joining and leaving, killing and creating, letting go and
// reviving, ageing, restarts, events for several rooms, sockets that come and
// go; and between any two steps of reading, any of these again. A reader
// follows one client, or a socket and the client whose key it has shown, over
// connections that break at any point. In the end it must have everything that
// it was owed, once and in order, or have been told of every hole; and nothing
// else.
//
// That the test can fail is shown by TestSabotage.
func TestDelivery(t *testing.T) { playAll(t, histories, 1) }

// TestSharedDelivery does the same with several hubs that share a log: each
// change is asked for at one of them, the reader comes to any of them, and what
// others have asked for it hears of later.
func TestSharedDelivery(t *testing.T) { playAll(t, histories/2, 3) }

func playAll(t *testing.T, n, nodes int) {
	if os.Getenv("SHAVEET_LONG") != "" {
		n *= 30
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
			rapid.Check(struct{ rapid.TB }{t}, func(t *rapid.T) { play(t, variant, nodes) })
		})
	}
}

// chunk is how many histories are played in one bubble.
const chunk = 250

func play(t *rapid.T, variant string, nodes int) {
	w := newWorld(t, rapid.SampledFrom(listeners).Draw(t, "listener"), nodes)
	w.reader.variant = variant
	defer w.stop()
	for range rapid.IntRange(5, 40).Draw(t, "steps") {
		w.act()
	}
	w.finish()
}

var (
	clientIDs = []string{"a", "b", "c"}
	socketIDs = []string{"~" + strings.Repeat("p", hub.SocketIDLength-1), "~" + strings.Repeat("q", hub.SocketIDLength-1)}
	idle      = hub.Idle{After: 25 * time.Second, MinAge: 60 * time.Second}
)

// A listener says who the reader is.
type listener struct {
	clients   []string // that it reads for
	namespace string   // whose channels alone it reads; "": all
	unlisted  bool     // it is not told of its channels
	emits     int      // how often there are events and sockets; of other changes there are 32
}

// listeners has a page more often than the others, since it is told the most.
var listeners = []listener{
	aPage, aPage, aPage,
	{clients: []string{"a", socketIDs[0]}, namespace: "/", emits: 20},
	{clients: []string{"a", socketIDs[0]}, namespace: "/n", emits: 20},
	{clients: []string{"a", socketIDs[0]}, namespace: "/n", unlisted: true, emits: 20},
	{clients: socketIDs[:1], namespace: "/", unlisted: true, emits: 20},
}

// aPage reads for a client, on all its channels.
var aPage = listener{clients: clientIDs[:1], emits: 4}

// A world is a hub, the model it is held against, and one reader.
type world struct {
	t       *rapid.T
	limits  hub.Limits
	hub     *hub.Hub // of nodes, the one at which the next change is asked for
	nodes   []*worldNode
	count   int // of nodes
	stopHub func()
	model   *model
	keys    map[string]string
	waves   func(time.Duration, func()) // of the hub
	depth   int                         // how many steps of reading we are inside of
	ending  bool
	reader  *reader
	retry   hub.Emission // what was emitted last under an id

	aChannel *rapid.Generator[string]
}

func newWorld(t *rapid.T, l listener, nodes int) *world {
	w := &world{t: t, limits: drawLimits(t), count: nodes}
	w.reader = &reader{world: w, listener: l}
	w.aChannel = rapid.SampledFrom(w.channels())
	w.start()
	w.makeListener()
	w.subscribe(l.clients[0], w.channels()[1])
	return w
}

// makeListener makes whom the reader reads for.
func (w *world) makeListener() {
	for _, id := range w.reader.clients {
		w.make(id)
	}
	w.subscribe(w.reader.clients[0], w.channels()[0])
}

func drawLimits(t *rapid.T) hub.Limits {
	l := hub.DefaultLimits()
	l.ChannelMessages = rapid.SampledFrom([]int{2, 3, 6}).Draw(t, "ring")
	l.ChannelNotices = rapid.SampledFrom([]int{2, 6}).Draw(t, "side ring")
	l.NoticeMembers = rapid.SampledFrom([]int{1, 2, 9}).Draw(t, "notice members")
	l.BatchMessages = rapid.SampledFrom([]int{1, 3, 50}).Draw(t, "batch")
	l.Window = 100 * time.Second
	l.LetGoAge = 200 * time.Second
	l.PublishIDs, l.PublishIDAge = 3, 50*time.Second
	return l
}

// start begins a life of the log.
func (w *world) start() {
	n := 0
	newKey := func() string { n++; return fmt.Sprintf("key%d-%d", n, time.Now().UnixNano()) }
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	w.nodes = nil
	log := brokertest.NewLog(rand.Uint64() | 1)
	for range w.count {
		n := &worldNode{broker: log.Node(true)}
		var b hub.Broker = n.broker
		if w.count == 1 {
			b = memory.New()
		}
		n.Hub = hub.New(hub.Config{NewKey: newKey, Limits: w.limits, Waves: w.waves}, b)
		running.Go(func() { n.Run(ctx) })
		<-n.Ready()
		n.SetStep(w.interrupt)
		w.nodes = append(w.nodes, n)
	}
	w.hub = w.nodes[0].Hub
	w.stopHub = func() { cancel(); running.Wait() }
	w.model = newModel(w.limits)
	w.keys = map[string]string{}
}

func (w *world) stop() { w.stopHub() }

// A worldNode is a hub, and how it hears of the others.
type worldNode struct {
	*hub.Hub
	broker *brokertest.Node
}

// anyNode returns a node. One that knows all, if it is to.
func (w *world) anyNode(knowing bool) *worldNode {
	if w.count == 1 {
		return w.nodes[0]
	}
	n := w.nodes[w.draw(w.count)]
	if knowing {
		n.Sync(context.Background())
	}
	return n
}

// tellAll has all nodes know all.
func (w *world) tellAll() {
	for _, n := range w.nodes[:w.count] {
		n.Sync(context.Background())
	}
}

// What is drawn most is made once.
var (
	aClient = rapid.SampledFrom(clientIDs)
	aSocket = rapid.SampledFrom(socketIDs)
	dice    = func() (all [64]*rapid.Generator[int]) {
		for n := range all {
			all[n] = rapid.IntRange(0, n)
		}
		return all
	}()
)

func (w *world) draw(n int) int  { return dice[n-1].Draw(w.t, "n") }
func (w *world) client() string  { return aClient.Draw(w.t, "client") }
func (w *world) socket() string  { return aSocket.Draw(w.t, "socket") }
func (w *world) channel() string { return w.aChannel.Draw(w.t, "channel") }

// channels are those that clients are subscribed to.
func (w *world) channels() []string {
	if w.reader.namespace == "/n" {
		return []string{"/n#A", "/n#B", "C"}
	}
	return []string{"A", "B", "C"}
}

// joinable is a channel that can be joined.
func (w *world) joinable() string {
	if w.draw(10) == 0 {
		return hub.AdminChannel
	}
	return w.channel()
}

// anybody is a client, or a socket if there are such.
func (w *world) anybody() string {
	if w.reader.namespace != "" && w.draw(3) == 0 {
		return w.socket()
	}
	return w.client()
}

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
	w.hub = w.anyNode(true).Hub
	n := w.draw(32 + w.reader.emits)
	if said := n < 16 || n >= 26 && n < 29; !said {
		// Of what ends something the model knows at once whom it concerns.
		defer w.tellAll()
	}
	switch {
	case n >= 32:
		w.changeSockets()
	case n < 10:
		w.publish(w.channel())
	case n >= 31:
		w.deleteChannel(w.channel())
	case n >= 30:
		w.rotate(w.client())
	case n >= 29:
		w.disconnect(w.anybody())
	case n >= 28:
		w.publishOnce(w.channel())
	case n >= 27:
		w.broadcast()
	case n >= 26:
		w.publishAll()
	case n < 13:
		w.subscribe(w.anybody(), w.joinable())
	case n < 16:
		w.unsubscribe(w.anybody(), w.joinable())
	case n < 17:
		w.create(w.client())
	case n < 18:
		w.kill(w.anybody())
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
		w.replace(w.anybody())
	}
	if got := w.hub.Position().Seq; got != w.model.top {
		w.t.Fatalf("the log's top is %d, the model's %d", got, w.model.top)
	}
}

// finish lets the reader read to the end of a quiet log and judges it.
func (w *world) finish() {
	w.ending = true
	for range 2000 {
		// Who is told that its clients are gone is told so of all it was owed.
		w.tellAll()
		if w.reader.read(); w.reader.gone || w.reader.reached() == w.model.top {
			w.reader.hangUp()
			w.reader.judge(w.reader.reached())
			return
		}
	}
	w.t.Fatalf("the reader does not come to the end: it is at %v, the log at %d", w.reader.at, w.model.top)
}
