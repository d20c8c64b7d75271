package hub_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/park/parktest"
	"github.com/shaveet/shaveet/server/transport"
)

// heldHistories is how many generated histories TestHeldDelivery plays.
const heldHistories = 500

// TestHeldDelivery plays generated histories as [TestDelivery] does, for several
// readers that read streams, which a lot holds: the hub wakes them by the lot's
// waves, its crew writes what they have pending, and what they decode is judged.
// Some take whatever comes at once, and must then have had all there is. Others
// take a part, or nothing until they are cut off, hang up in the middle or break
// the connection.
//
// That the test can fail is shown by TestSabotage.
func TestHeldDelivery(t *testing.T) {
	n := heldHistories
	if os.Getenv("SHAVEET_LONG") != "" {
		n *= 30
	}
	if given, err := strconv.Atoi(os.Getenv("SHAVEET_HISTORIES")); err == nil {
		n = given
	}
	seed := rand.Uint64()
	t.Logf("seed %d; replay with -rapid.seed", seed)
	flag.Set("rapid.nofailfile", "true")
	flag.Set("rapid.shrinktime", "-1s") // as in TestDelivery
	for done := 0; done < n && !t.Failed(); done += heldChunk {
		flag.Set("rapid.checks", strconv.Itoa(min(heldChunk, n-done)))
		if flag.Lookup("rapid.seed").Value.String() == "0" || done > 0 {
			flag.Set("rapid.seed", strconv.FormatUint(seed+uint64(done), 10))
		}
		synctest.Test(t, func(t *testing.T) {
			rapid.Check(struct{ rapid.TB }{t}, playHeld)
		})
	}
}

// heldChunk is how many histories are played in one bubble.
const heldChunk = 25

func playHeld(t *rapid.T) {
	h := newHeld(t)
	defer h.stop()
	for range rapid.IntRange(5, 40).Draw(t, "steps") {
		h.act()
	}
	h.finish()
	h.hangUp()
}

// held is a world whose readers have connections.
type held struct {
	*world
	kernel *parktest.Kernel
	ln     *parktest.Listener
	lot    *park.Lot
	only   *hub.Hub // there is; which one the world is about is for its own goroutine
	host   *transport.Host
	srv    *http.Server
	drain  context.CancelFunc
	peers  []*peer
}

func newHeld(t *rapid.T) *held {
	h := &held{world: &world{t: t, limits: drawLimits(t), depth: 1, count: 1}}
	h.kernel = parktest.NewKernel(rapid.SampledFrom([]int{16, 200, 3000}).Draw(t, "room"))
	var drained context.Context
	drained, h.drain = context.WithCancel(context.Background())
	h.lot = park.New(park.Options{Drain: drained, Kernel: h.kernel})
	h.waves = h.lot.Herd
	h.reader = &reader{world: h.world, listener: aPage}
	h.aChannel = rapid.SampledFrom(h.channels())
	h.start()
	h.only = h.hub
	for _, id := range clientIDs {
		h.make(id)
		h.subscribe(id, h.channel())
		h.subscribe(id, h.channel())
	}
	h.host = transport.NewHost(h.hub, transport.Options{Lot: h.lot})
	h.srv = &http.Server{Handler: http.HandlerFunc(h.serve)}
	h.ln = h.kernel.Listen()
	go h.lot.Serve(h.srv, h.ln)
	for _, id := range []string{"a", "a", "b", "c"} {
		r := &reader{world: h.world, listener: listener{clients: []string{id}}}
		h.peers = append(h.peers, &peer{held: h, reader: r})
	}
	return h
}

func (h *held) stop() {
	h.drain()
	h.srv.Close()
	for _, p := range h.peers {
		if p.line != nil {
			p.line.conn.Close()
		}
	}
	synctest.Wait()
	h.stopHub()
}

// lineOf says by which line a request comes.
const lineOf = "Line"

// serve holds a reader.
func (h *held) serve(w http.ResponseWriter, r *http.Request) {
	i, _ := strconv.Atoi(r.Header.Get(lineOf))
	l := h.peers[i].line
	hello, _, err := h.host.Read(w, r)
	if err == nil {
		tenant := &heldFeed{line: l}
		encode := func(dst []byte, b *hub.Batch, retry time.Duration, _ bool) []byte {
			l.collected(h.only.Position().Seq)
			return append(transport.AppendSharedBatch(dst, b, retry), '\n')
		}
		if err = tenant.Attach(r.Context(), h.host, hello, "stream", encode); err == nil {
			h.lot.Stream(&tenant.Conn, w, r, tenant, h.host.Beat(hello))
			return
		}
	}
	h.host.Refuse(w, r, hello.Clients, err)
}

// A heldFeed remembers when its connection has ended.
type heldFeed struct {
	transport.Feed
	line *line
}

func (f *heldFeed) Closed(err error) {
	f.Feed.Closed(err)
	f.line.mu.Lock()
	defer f.line.mu.Unlock()
	f.line.closed = time.Now()
}

// act does one thing, and sees what comes of it.
func (h *held) act() {
	switch h.draw(3) {
	case 0:
		h.peers[h.draw(len(h.peers))].act()
	case 1:
		h.publish(h.channel())
	default:
		h.changeHeld()
	}
	h.settle()
}

// changeHeld does something that readers do not do.
func (h *held) changeHeld() {
	switch h.draw(14) {
	case 0, 1, 2:
		h.subscribe(h.client(), h.joinable())
	case 3, 4:
		h.unsubscribe(h.client(), h.joinable())
	case 5:
		h.broadcast()
	case 6:
		h.publishOnce(h.channel())
	case 7:
		h.create(h.client())
	case 8:
		h.kill(h.client())
	case 9:
		h.rotate(h.client())
	case 10:
		h.disconnect(h.client())
	case 11:
		h.expire()
		h.evictAged()
	case 12:
		h.deleteChannel(h.channel())
	default:
		h.sleep(time.Duration(1+h.draw(50)) * time.Second)
	}
}

// sleep lets time pass, in steps so small that who takes what comes does so in
// time.
func (h *held) sleep(d time.Duration) {
	h.t.Logf("sleep %v", d)
	for ; d > 0; d -= time.Second {
		time.Sleep(time.Second)
		h.settle()
	}
}

// settle lets everything come to rest, and those read who do.
func (h *held) settle() {
	for range 1000 {
		synctest.Wait()
		moved := false
		for _, p := range h.peers {
			p.ended()
			if p.line != nil && p.line.eager && p.takeAll() {
				moved = true
			}
		}
		if !moved {
			for _, p := range h.peers {
				p.mustHaveAll()
			}
			return
		}
	}
	h.t.Fatalf("it does not come to rest")
}

// finish has all readers read to the end of a quiet log, and judges them.
func (h *held) finish() {
	h.ending = true
	for _, p := range h.peers {
		for n := 0; !p.reader.gone && p.reader.reached() != h.model.top; n++ {
			if n == 50 {
				h.t.Fatalf("%s does not come to the end: it is at %v, the log at %d", p.reader.clients, p.reader.at, h.model.top)
			}
			if p.line == nil {
				p.connect()
			}
			p.line.late = p.line.late || !p.line.eager
			p.line.eager = true
			h.settle()
			h.sleep(21 * time.Second) // a heartbeat tells where it is
		}
		p.reader.judge(p.reader.reached())
	}
}

// hangUp ends all connections, of which nothing may be left.
func (h *held) hangUp() {
	for _, p := range h.peers {
		if p.line != nil {
			p.line.conn.Close()
		}
	}
	h.sleep(time.Second)
	if n := h.hub.Stats().Sessions; n != 0 || h.lot.Held() != 0 {
		h.t.Fatalf("%d sessions are left, and %d connections", n, h.lot.Held())
	}
	if err := h.kernel.Err(); err != nil || h.kernel.Open() != 0 {
		h.t.Fatalf("%d descriptors are left open; %v", h.kernel.Open(), err)
	}
}

// A peer is a reader with a connection.
type peer struct {
	held   *held
	reader *reader
	line   *line // nil: none
}

// A line is a connection of a peer's.
type line struct {
	conn     *parktest.Conn
	eager    bool // whatever comes is taken at once
	late     bool // it was not always so
	attached bool // the hub knows of it
	began    bool // a first batch has come
	end      bool // the last has
	stream   chunks

	mu     sync.Mutex // guards all below
	tops   []uint64   // of the log, as the batches were collected that are still to come
	closed time.Time  // when the session ended
}

func (l *line) collected(top uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tops = append(l.tops, top)
}

// act is what a peer does.
func (p *peer) act() {
	if p.line == nil {
		p.connect()
		return
	}
	switch p.held.draw(5) {
	case 0:
		p.held.t.Logf("%s hangs up", p.reader.clients)
		p.line.conn.Close()
	case 1:
		p.held.t.Logf("%s breaks its connection", p.reader.clients)
		p.line.conn.SetLinger(0)
		p.line.conn.Close()
	case 2:
		if !p.line.eager {
			p.takeAll()
		}
	default:
		if !p.line.eager {
			p.take(1 + p.held.draw(60))
		}
	}
}

func (p *peer) connect() {
	h, r := p.held, p.reader
	conn, err := h.ln.Dial(context.Background())
	if err != nil {
		h.t.Fatalf("dial: %v", err)
	}
	objects := h.model.find(r.clients)
	p.line = &line{conn: conn, eager: h.draw(2) == 0, attached: objects != nil}
	h.t.Logf("%s connects at %d, eager %v", r.clients, r.at.Seq, p.line.eager)
	creds := r.clients[0] + hub.Delimiter + h.keys[r.clients[0]]
	request := "GET /stream?client_id=" + creds
	if !r.at.IsZero() {
		request += "&cursor=" + r.at.String()
	}
	request += " HTTP/1.1\r\nHost: x\r\n" + lineOf + ": " + strconv.Itoa(slices.Index(h.peers, p)) + "\r\n\r\n"
	if _, err := conn.Write([]byte(request)); err != nil {
		h.t.Fatalf("ask: %v", err)
	}
	synctest.Wait()
	if objects == nil {
		r.gone = true // and may be there again when it comes again
		return
	}
	r.become(objects)
	for _, c := range objects {
		if c.away {
			h.model.revive(c)
		}
		c.attached++
		c.seen = time.Now()
	}
	r.fresh, r.gone = r.at.IsZero(), false
}

// ended takes note of the end of a session.
func (p *peer) ended() {
	l := p.line
	if l == nil {
		return
	}
	l.mu.Lock()
	at := l.closed
	l.mu.Unlock()
	if l.attached && !at.IsZero() {
		l.attached = false
		for _, c := range p.reader.objects {
			c.attached--
			c.seen = at
		}
	}
	if !l.attached && l.conn.Closed() {
		p.line = nil
	}
}

// takeAll reads what there is, and reports whether there was something.
func (p *peer) takeAll() (some bool) {
	for p.line != nil && p.take(1<<12) {
		some = true
		synctest.Wait()
	}
	return some
}

// take reads at most so much, and reports whether something came.
func (p *peer) take(n int) bool {
	l, t := p.line, p.held.t
	piece := make([]byte, n)
	n, err := l.conn.Take(piece)
	if err != nil {
		if l.eager && !l.late && !l.end && !l.conn.Closed() && !p.reader.gone {
			t.Fatalf("%s takes what comes, and its connection ends: %v", p.reader.clients, err)
		}
		l.conn.Close()
		return false
	}
	batches, err := l.stream.read(piece[:n])
	if err != nil {
		t.Fatalf("%s: %v", p.reader.clients, err)
	}
	for _, b := range batches {
		p.receive(b)
	}
	return n > 0
}

// receive is told a batch.
func (p *peer) receive(text []byte) {
	r := p.reader
	b, err := parseBatch(text)
	if err != nil {
		p.held.t.Fatalf("%s: %v", r.clients, err)
	}
	if !p.line.stream.ok {
		if !hasSignal(b, hub.SignalGone) {
			p.held.t.Fatalf("%s is refused: %s", r.clients, text)
		}
		r.gone, p.line.end = true, true
		return
	}
	p.line.mu.Lock()
	r.top, p.line.tops = p.line.tops[0], p.line.tops[1:]
	p.line.mu.Unlock()
	p.held.t.Logf("%s hears %d signals, %d messages, to %d", r.clients, len(b.Signals), len(b.Messages), b.Position.Seq)
	p.held.findNotices(&b)
	r.takeWhole(&b)
	r.top = 0
	p.line.began = true
	if hasSignal(b, hub.SignalDrain) {
		p.line.end = true
	}
	if hasSignal(b, hub.SignalGone) {
		p.line.end, r.gone = true, true
	}
}

// mustHaveAll says that who takes what comes at once has had all there is.
func (p *peer) mustHaveAll() {
	l, r := p.line, p.reader
	if l == nil || !l.eager || !l.attached || l.end || !slices.Equal(p.held.model.find(r.clients), r.objects) {
		return
	}
	if !l.began {
		p.held.t.Fatalf("%s has connected, and hears nothing", r.clients)
	}
	r.judge(p.held.model.top)
}

// chunks decodes an answer in chunks, of which each line is a batch.
type chunks struct {
	raw  []byte
	head bool // it has come
	ok   bool // its status is 200
	text []byte
}

var errStrange = errors.New("what comes is no answer in chunks")

// read returns the batches that p has the ends of.
func (c *chunks) read(p []byte) (batches [][]byte, err error) {
	c.raw = append(c.raw, p...)
	if !c.head {
		head, rest, whole := bytes.Cut(c.raw, []byte("\r\n\r\n"))
		if !whole {
			return nil, nil
		}
		c.head, c.ok, c.raw = true, bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")), rest
		if !c.ok && !bytes.HasPrefix(head, []byte("HTTP/1.1 404 ")) {
			return nil, errors.New(string(head))
		}
	}
	if !c.ok {
		if bytes.HasSuffix(c.raw, []byte("}")) {
			batches = append(batches, c.raw)
		}
		return batches, nil
	}
	for {
		size, rest, whole := bytes.Cut(c.raw, []byte("\r\n"))
		if !whole {
			break
		}
		n, err := strconv.ParseUint(string(size), 16, 31)
		if err != nil {
			return nil, errStrange
		}
		if len(rest) < int(n)+2 {
			break
		}
		if string(rest[n:n+2]) != "\r\n" {
			return nil, errStrange
		}
		c.text, c.raw = append(c.text, rest[:n]...), rest[n+2:]
	}
	for {
		line, rest, whole := bytes.Cut(c.text, []byte("\n"))
		if !whole {
			return batches, nil
		}
		batches, c.text = append(batches, line), rest
	}
}
