// Package transporttest states, once for all transports, what a transport
// promises its readers. A transport's own tests say how it is read and run the
// table:
//
//	func TestPromises(t *testing.T) {
//		transporttest.Run(t, transporttest.Transport{Handler: …, Dial: …})
//	}
//
// Transports whose readers hold their position say so, and are held to more.
// Everything happens inside one bubble of testing/synctest, over connections
// in memory that the table breaks, cuts short and stalls as it likes. So no
// test waits for real, and "at once" means within no time at all. And everything
// happens in both forms in which a lot holds connections, and once more before
// several hubs that share a log, each request at another one.
package transporttest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/shaveet/shaveet/server/broker/brokertest"
	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/park/parktest"
)

// A Transport is one way from the hub to its readers.
type Transport struct {
	// Handler returns what serves h, and holds in lot whom it holds. When drain
	// ends, the lot lets go of them.
	Handler func(h *hub.Hub, lot *park.Lot, drain context.Context) http.Handler
	// Dial returns a reader, as a page would be one. It does no I/O; client
	// brings all requests to the handler, whatever host they name.
	Dial func(client *http.Client, start Start) Reader
	// Positions says that readers hold their position: they can begin at any,
	// and are told by signals what no message can tell. Promises that need
	// this are not asked of others.
	Positions bool
	// Events says that what comes is not in batches: nobody can tell where one
	// ends, nor that more is waiting.
	Events bool
	// Plain says that readers read for one client, and hear messages and nothing
	// else. What first comes is that they are let in.
	Plain bool
	// Again says that readers ask again by the connection by which they were
	// answered, and that its lot serves them where it can.
	Again bool
	// Unsteady says that readers ask for several things at a time, so that the
	// bytes by which they are answered are not the same each time.
	Unsteady bool
	// OneNode says that what a reader asks for next has to come to the hub that has
	// answered it before.
	OneNode bool
	// Silent says that who is refused is not told which of its clients is gone.
	Silent bool
}

// A Start is what a reader begins with. All but Clients is for transports with
// positions.
type Start struct {
	Clients []hub.Credentials
	Cursor  string // as on the wire, good or bad; "" for none
	Session string
}

// A Reader reads as a page does. Its methods are called by one goroutine at a
// time.
type Reader interface {
	// Read returns what comes next, waiting for it; [News] with nothing in it
	// if the server had nothing to say for a while. Whatever an error cuts
	// short has not come: the next Read connects again, and goes on where the
	// last good one was.
	//
	// The error is [ErrGone] where the server says that a client does not
	// exist, or not with this key; the news name it if the transport can. The
	// reader goes on without clients that are gone; with none left, its Reads
	// fail by ErrGone. It is [ErrInvalid] where the server does not
	// understand the request.
	Read(ctx context.Context) (News, error)
	// Close ends the reader and its connections.
	Close()
}

// The errors of readers.
var (
	ErrGone    = errors.New("no such client, or another key")
	ErrInvalid = errors.New("the server does not understand the request")
)

// Run holds the transport to every promise.
func Run(t *testing.T, tr Transport) {
	for _, p := range promises {
		if !tr.Plain || !p.signals {
			run(t, tr, p)
		}
	}
	if tr.Positions {
		for _, p := range promisesWithPositions {
			run(t, tr, p)
		}
	}
	if !tr.Unsteady {
		sameBytes(t, tr)
	}
}

// RunMoves holds two transports with positions, which may be the same, to what
// they promise those who move from one to the other.
func RunMoves(t *testing.T, from, to Transport) {
	for _, p := range []struct {
		name    string
		keeps   func(here, there *world)
		oneNode bool
	}{
		{"reading goes on where it stopped", movedOn, false},
		{"a session is taken over", tookOver, true},
	} {
		run(t, from, promise{name: p.name, oneNode: p.oneNode, keeps: func(w *world) { p.keeps(w, w.by(to)) }})
	}
}

// A promise is what every transport keeps in a hub of these limits.
type promise struct {
	name    string
	limits  hub.Limits
	keeps   func(w *world)
	signals bool // it is about what a plain reader does not hear
	oneNode bool // it is about what one node keeps for itself
}

func run(t *testing.T, tr Transport, p promise) {
	t.Run(p.name, func(t *testing.T) {
		for _, f := range forms {
			if f.nodes > 1 && (tr.OneNode || p.oneNode) {
				continue
			}
			t.Run(f.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, tr, p.limits, f)
					defer w.end()
					p.keeps(w)
				})
			})
		}
	})
}

// A form is one in which connections are held.
type form struct {
	name     string
	portable bool
	nodes    int // that share the log
}

var forms = []form{{"portable", true, 1}, {"parked", false, 1}, {"nodes", false, 3}}

// A world is a hub behind the transport, and those who read from it.
type world struct {
	t         *testing.T
	hub       *hub.Hub   // at which the backend asks
	hubs      []*hub.Hub // all
	limits    hub.Limits
	transport Transport
	form      form
	kernel    *parktest.Kernel
	lot       *park.Lot
	network   *network
	handler   atomic.Pointer[http.Handler]
	drained   context.Context
	drain     context.CancelFunc
	keys      int
	lives     uint64
	stop      func()   // ends the hub
	closers   []func() // last first
}

func (f form) options(k *parktest.Kernel, tr Transport, drain context.Context) park.Options {
	return park.Options{Drain: drain, Kernel: k, Portable: f.portable, Quick: func(string, bool) bool { return tr.Again && f.nodes == 1 }}
}

func newWorld(t *testing.T, tr Transport, limits hub.Limits, f form) *world {
	w := &world{t: t, limits: limits, transport: tr, form: f, kernel: parktest.NewKernel(0)}
	w.network = newNetwork(w.kernel, tr.Again)
	w.drained, w.drain = context.WithCancel(context.Background())
	w.lot = park.New(f.options(w.kernel, tr, w.drained))
	w.begin()
	w.atEnd(func() { w.stop() })
	w.serve()
	return w
}

// by returns the same world as another transport shows it. It ends with w.
func (w *world) by(tr Transport) *world {
	other := &world{t: w.t, hub: w.hub, hubs: w.hubs, transport: tr, kernel: w.kernel, lot: w.lot,
		network: newNetwork(w.kernel, tr.Again), drained: w.drained, drain: w.drain}
	other.mount()
	other.serve()
	w.atEnd(other.close)
	return other
}

// serve has the transport be reached by the network until the world ends.
func (w *world) serve() {
	srv := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		(*w.handler.Load()).ServeHTTP(rw, r)
	})}
	go w.lot.Serve(srv, w.network.ln)
	w.atEnd(func() { w.drain(); srv.Close() })
}

// mount puts the transport in front of the hub.
func (w *world) mount() {
	var all []http.Handler
	for _, h := range w.hubs {
		all = append(all, w.transport.Handler(h, w.lot, w.drained))
	}
	var next atomic.Uint64
	var handler http.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		all[next.Add(1)%uint64(len(all))].ServeHTTP(rw, r)
	})
	if len(all) == 1 {
		handler = all[0]
	}
	w.handler.Store(&handler)
}

// begin puts a new hub behind the transport, as a restart does: nothing of the
// old one is left.
func (w *world) begin() {
	newKey := func() string { w.keys++; return fmt.Sprintf("key-%d", w.keys) }
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	w.hubs = nil
	log := brokertest.NewLog(firstLife + w.lives)
	for range w.form.nodes {
		var b hub.Broker = named{memory.New(), firstLife + w.lives}
		if w.form.nodes > 1 {
			b = log.Node(false)
		}
		h := hub.New(hub.Config{NewKey: newKey, Limits: w.limits, Waves: w.lot.Herd}, b)
		running.Go(func() { h.Run(ctx) })
		<-h.Ready()
		w.hubs = append(w.hubs, h)
	}
	w.hub = w.hubs[0]
	w.lives++
	w.stop = func() { stop(); running.Wait() }
	w.mount()
}

func (w *world) atEnd(f func()) { w.closers = append(w.closers, f) }

func (w *world) close() {
	for len(w.closers) > 0 {
		last := len(w.closers) - 1
		w.closers[last]()
		w.closers = w.closers[:last]
	}
}

func (w *world) end() {
	w.close()
	synctest.Wait()
	if n := w.sessions(); n != 0 {
		w.t.Errorf("%d sessions are left when all connections have gone", n)
	}
	w.must(w.kernel.Err())
	if n := w.kernel.Open(); n != 0 {
		w.t.Errorf("%d descriptors are left when all connections have gone", n)
	}
}

// sessions returns how many readers are attached, to any hub.
func (w *world) sessions() (n int) {
	for _, h := range w.hubs {
		n += h.Stats().Sessions
	}
	return n
}

// attached returns how many readers have come, to any hub.
func (w *world) attached() (n uint64) {
	for _, h := range w.hubs {
		n += h.Stats().Attached
	}
	return n
}

// expire has all hubs look for idle clients.
func (w *world) expire(idle hub.Idle) (gone int) {
	w.t.Helper()
	for _, h := range w.hubs {
		n, _, err := h.Expire(w.t.Context(), idle, 1000)
		w.must(err)
		gone += n
	}
	return gone
}

// isHeld says that who waits is held in the form that is meant.
func (w *world) isHeld() {
	w.t.Helper()
	parks := !w.form.portable && runtime.GOOS == "linux"
	if n := w.lot.Parked(); parks != (n > 0) {
		w.t.Errorf("%d connections are parked of %d", n, w.lot.Held())
	}
}

// must fails the test if something that has to work does not.
func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// client makes a client that is on the channels.
func (w *world) client(id string, channels ...string) hub.Credentials {
	w.t.Helper()
	key, _, err := w.hub.CreateClient(w.t.Context(), id)
	w.must(err)
	for _, ch := range channels {
		w.subscribe(id, ch)
	}
	return hub.Credentials{ID: id, Key: key}
}

func (w *world) subscribe(id, channel string) hub.Position {
	w.t.Helper()
	at, err := w.hub.Subscribe(w.t.Context(), []hub.Pair{{Client: id, Channel: channel}})
	w.must(err)
	return at
}

func (w *world) unsubscribe(id, channel string) {
	w.t.Helper()
	_, err := w.hub.Unsubscribe(w.t.Context(), []hub.Pair{{Client: id, Channel: channel}})
	w.must(err)
}

// publish says text for bob.
func (w *world) publish(channel, text string) hub.Published {
	w.t.Helper()
	data, err := json.Marshal(text)
	w.must(err)
	return w.say(hub.Publication{Channel: channel, Data: data})
}

// say publishes p for bob.
func (w *world) say(p hub.Publication) hub.Published {
	w.t.Helper()
	p.Sender = json.RawMessage(`"bob"`)
	to, err := w.hub.Publish(w.t.Context(), p)
	w.must(err)
	return to
}

// dial returns a reader, which is closed when the world ends.
func (w *world) dial(creds ...hub.Credentials) Reader { return w.begins(Start{Clients: creds}) }

func (w *world) begins(start Start) Reader {
	client := w.network.client()
	r := w.transport.Dial(client, start)
	w.atEnd(func() { r.Close(); client.CloseIdleConnections() })
	return r
}

// settled returns a reader that has heard what there was to hear at first.
func (w *world) settled(creds ...hub.Credentials) Reader {
	w.t.Helper()
	r := w.dial(creds...)
	w.letIn(r)
	return r
}

// letIn reads what r hears first.
func (w *world) letIn(r Reader) {
	w.t.Helper()
	if !w.transport.Plain {
		w.read(r)
	} else if got, err := r.Read(w.t.Context()); err != nil || !got.empty() {
		w.t.Fatalf("it begins with %+v, %v", got, err)
	}
}

// read returns what r hears first.
func (w *world) read(r Reader) News {
	w.t.Helper()
	for range 100 { // some say often that they have nothing to say
		got, err := r.Read(w.t.Context())
		w.must(err)
		if !got.empty() {
			return got
		}
	}
	w.t.Fatal("nothing comes")
	return News{}
}

// texts reads until n messages of the channel have come and returns their
// texts.
func (w *world) texts(r Reader, n int, channel string) []string {
	w.t.Helper()
	var texts []string
	for len(texts) < n {
		got := w.read(r)
		texts = append(texts, got.texts(channel)...)
	}
	return texts
}

// cut breaks all connections, once the server has seen what became of its
// answers: one that breaks earlier may come again.
func (w *world) cut() {
	synctest.Wait()
	w.network.cut()
	synctest.Wait()
}

// A call is a Read under way.
type call struct {
	cancel context.CancelFunc
	done   chan struct{}
	got    News
	err    error
}

// wait begins a Read and returns when it waits, or has ended.
func (w *world) wait(r Reader) *call {
	ctx, cancel := context.WithCancel(context.Background())
	c := &call{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.got, c.err = r.Read(ctx)
	}()
	w.atEnd(func() { cancel(); <-c.done })
	synctest.Wait()
	return c
}

// waitOn begins a Read of a reader that has connected, perhaps, and returns when
// it waits for news: a stream says at first that it stands.
func (w *world) waitOn(r Reader) *call {
	c := w.wait(r)
	if c.ended() && c.err == nil && c.got.empty() {
		c = w.wait(r)
	}
	return c
}

// ended reports whether the Read has ended, or does so without waiting.
func (c *call) ended() bool {
	synctest.Wait()
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}
