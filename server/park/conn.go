package park

import (
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"github.com/shaveet/shaveet/server/alarm"
)

// A Conn is one connection with its tenant. Its zero value is not held yet; it
// is used once and not copied.
type Conn struct {
	// Certain has a poll's tenant told Sent only if the peer still stands when
	// the kernel has the whole answer, as far as that can be known.
	Certain bool

	// The order is that in which it takes the least room. What is nobody's
	// in particular is of whoever runs, or set before anybody does.

	whole   bool          // the last chunk has been written
	status  uint16        // of the answer, once there is a head
	parts   atomic.Int32  // who still has something to do with a connection that we have taken
	state   atomic.Uint32 // what has happened and is not looked at yet, and who looks
	kind    kind
	close   bool // a poll's answer is its last; from the end of the tenancy on guarded by mu
	drained bool // the lot has let go while there was a tenant; guarded by mu
	away    bool // the connection has gone back to its server; guarded by mu
	lot     *Lot
	every   time.Duration // between two times Due; 0: it has none
	alarm   alarm.Alarm   // of lot.clock
	bytes   int64         // written
	began   time.Duration // when the handler let go, since the lot was made; of who has arrived, when, by its clock
	ended   ended         // told at the end; nil: nobody

	mu     sync.Mutex // held for each call of tenant
	tenant Tenant     // nil at the end; guarded by mu

	// Of a poll: what has come of the next request while it was held; guarded
	// by mu. Of what is none: the head, while it has not been written.
	pending []byte

	kept   *kept  // where net/http keeps the connection; nil: we have it; to change it takes mu
	held   held   // to set it takes mu
	again  *again // of a poll: by what the next is recognized; nil: it is not
	parked parked // says whether it is in the lot's poller, and how
}

// held is a connection that we have taken.
type held struct {
	*wire                       // nil if it is parked
	back  *returns              // nil: it does not go back
	head  unique.Handle[string] // of a poll's answer; there are few different ones
}

// ended is what a [Witness] wants to be told.
type ended func(status int, bytes int64, took time.Duration, peer fmt.Stringer)

// A wire is what a connection is read and written by where it is not parked.
type wire struct {
	rw    net.Conn
	noise int32    // bytes that nobody had asked for; of whoever listens, as the next
	quiet bool     // nothing that has come is still inside of rw
	inbox [11]byte // most of what peers of ours have to say fits
}

// A kind is what a connection is held for.
type kind uint8

const (
	answer  kind = iota // of a poll
	chunked             // a stream whose parts say how long they are
	plain               // a stream that ends with its connection
	upgrade             // bytes of another protocol
)

// The bits of a Conn's state.
const (
	woken uint32 = 1 << iota
	due
	draining
	hungUp   // the peer has gone
	cutOff   // the lot's time is over
	readable // of a parked one: something has come
	writable // there is room again
	ending   // nothing more will come
	begun    // the connection is held
	running  // somebody looks after it
	ticking  // it can be due

	events = woken | due | draining | hungUp | cutOff | readable | writable | ending
)

// Wake has Next called. It never blocks, and may be called by any goroutine, at
// any time.
func (c *Conn) Wake() { c.kick(woken) }

// RemoteAddr returns the peer's address, as far as it is known: where net/http
// keeps the connection, or it has ended, it is "". It waits for calls of the
// tenant that are under way.
func (c *Conn) RemoteAddr() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tenant == nil || !c.parked.on && c.held.wire == nil {
		return ""
	}
	return c.peer().String()
}

// peer returns the peer's address, of a connection that we have taken.
func (c *Conn) peer() fmt.Stringer {
	if c.parked.on {
		return &c.parked.peer
	}
	return c.held.rw.RemoteAddr()
}

// DueIn has Next be called for [Due] in d, and again each time that d has
// passed since. It is called by methods of the tenant.
func (c *Conn) DueIn(d time.Duration) {
	c.every = d
	if c.state.Load()&ticking != 0 && !c.owes() {
		c.lot.clock.Set((*sleeper)(c), d)
	}
}

// kick notes events and sees to it that somebody looks at them.
func (c *Conn) kick(event uint32) {
	for {
		old := c.state.Load()
		next := old | event
		start := old&(begun|running) == begun
		if start {
			next |= running
		} else if next == old {
			return
		}
		if c.state.CompareAndSwap(old, next) {
			if start {
				c.start()
			}
			return
		}
	}
}

// start has somebody run. The mark running is set.
func (c *Conn) start() {
	if c.kept != nil {
		c.kept.bell <- struct{}{}
		return
	}
	if c.parked.on {
		c.lot.crew.add(c)
		return
	}
	go c.look()
}

// look runs on a goroutine of its own, or for a handler whose connection we have
// taken. A panic of the tenant's is the end of its connection.
func (c *Conn) look() {
	defer c.rescue()
	c.run()
}

// run looks at events until there are none. At the end of the connection it
// reports true, and the mark running stays, so that nobody else comes.
func (c *Conn) run() (over bool) {
	for {
		now := c.state.And(^events)
		if now&events != 0 && c.pass(now) {
			return true
		}
		left := c.state.Load()
		if left&events == 0 && c.state.CompareAndSwap(left, left&^running) {
			return false
		}
	}
}

// pass has the tenant say what is to be written, and writes it. It reports
// whether the connection has ended.
func (c *Conn) pass(now uint32) (over bool) {
	switch {
	case now&cutOff != 0:
		return c.finish(ErrCut)
	case now&hungUp != 0:
		return c.finish(ErrGone)
	}
	b := buffers.Get().(*buffer)
	defer b.release()
	front := c.front()
	dst := b.room(front)
	out, end := c.next(dst, now)
	b.keep(out)
	said := len(out) > front
	if said || len(c.opening()) > 0 {
		if err := c.write(out, end); err != nil {
			if c.state.Load()&cutOff != 0 { // that is why it failed
				err = ErrCut
			}
			return c.finish(err)
		}
	}
	if said {
		c.sent()
		if c.kind == answer {
			return c.answered()
		}
	}
	if end {
		return c.finish(nil)
	}
	return false
}

func (c *Conn) next(dst []byte, now uint32) (out []byte, end bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tenant.Next(dst, c.why(now))
}

func (c *Conn) sent() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tenant.Sent()
}

// why says for what events Next is called, and asks for the next time Due.
func (c *Conn) why(now uint32) (why Event) {
	if now&due != 0 {
		why |= Due
		if c.every > 0 && c.state.Load()&ticking != 0 {
			c.lot.clock.Set((*sleeper)(c), c.every)
		}
	}
	if now&draining != 0 {
		why |= Drain
	}
	return why
}

// opening is what is still to be written before all else.
func (c *Conn) opening() []byte {
	if c.kind == answer {
		return nil
	}
	return c.pending
}

// front is how many bytes what is written may need in front of it.
func (c *Conn) front() int {
	switch {
	case c.kept != nil:
		return 0
	case c.kind == answer:
		return len(c.held.head.Value()) + answerFrame
	case c.kind == chunked:
		return len(c.opening()) + chunkFrame
	}
	return len(c.opening())
}

// write writes what has been put behind the room for its frame.
func (c *Conn) write(out []byte, last bool) error {
	if c.kept != nil {
		return c.kept.write(c, out)
	}
	return c.send(c.frame(out, c.front(), last))
}

// frame puts around what stands behind front free bytes what belongs there.
func (c *Conn) frame(out []byte, front int, last bool) []byte {
	if c.kind == answer {
		return c.frameAnswer(out, front)
	}
	begin := front
	if c.kind == chunked && len(out) > front {
		out, begin = frameChunk(out, front, last)
		c.whole = last
	}
	begin -= copy(out[begin-len(c.opening()):], c.opening())
	c.pending = nil
	return out[begin:]
}

// slow is how long a peer may take before it counts as behind.
const slow = 500 * time.Millisecond

// send writes p to the connection that we have taken.
func (c *Conn) send(p []byte) error {
	for {
		began := time.Now()
		c.held.rw.SetWriteDeadline(began.Add(c.lot.opts.WriteTimeout))
		n, err := c.held.rw.Write(p[:min(len(p), piece)])
		c.bytes += int64(n)
		if err = c.lot.judge(err, time.Since(began)); err != nil {
			return err
		}
		if p = p[n:]; len(p) == 0 {
			break
		}
	}
	if c.kind == answer && c.Certain && peerGone(c.held.rw) {
		return ErrGone
	}
	return nil
}

// piece is how many bytes a peer has the time for that a write may take.
const piece = 64 << 10

// finish ends the connection and tells the tenant why.
func (c *Conn) finish(err error) (over bool) {
	deaf := c.leave(err, true)
	switch {
	case c.kept != nil:
		c.kept.err = err
		return true
	case err == nil:
		c.goodbye(deaf)
	default:
		c.abort()
	}
	c.done()
	return true
}

// abort closes the connection, which whoever listens hears, and has the kernel
// forget what the peer has not taken.
func (c *Conn) abort() {
	if tcp, ok := innermost(c.held.rw).(interface{ SetLinger(sec int) error }); ok {
		tcp.SetLinger(0)
	}
	c.held.rw.Close()
}

// leave ends the tenancy; last says that the connection ends, too. In the same
// step it is settled what becomes of the connection, for whoever listens decides
// by that. It reports whether nobody does: then the beginning of the next
// request is here already.
func (c *Conn) leave(err error, last bool) (deaf bool) {
	defer c.tell() // whatever the tenant does
	return c.settle(err, last)
}

// tell tells the witness, if there is one.
func (c *Conn) tell() {
	if c.ended == nil {
		return
	}
	status := int(c.status)
	if c.bytes == 0 {
		status = 0
	}
	c.ended(status, c.bytes, c.lot.elapsed()-c.began, c.peer())
}

func (c *Conn) settle(err error, last bool) (deaf bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tenant
	c.tenant = nil
	c.state.And(^ticking)
	c.close = c.close || last || c.drained
	if !c.parked.on || c.kind != answer || c.close { // else another time is set at once
		c.lot.clock.Clear((*sleeper)(c))
	}
	deaf = c.kind == answer && c.pending != nil
	c.away = deaf && !c.close
	t.Closed(err)
	return deaf
}

// done says that one of those who had to do with the connection has not any
// more.
func (c *Conn) done() {
	if c.parts.Add(-1) == 0 {
		c.lot.remove(c)
	}
}

// rescue makes a panic the end of the connection, of which somebody is told.
func (c *Conn) rescue() {
	v := recover()
	if v == nil {
		return
	}
	c.lot.opts.Panicked(v, debug.Stack())
	c.held.rw.Close()
	defer c.done()
	defer func() { recover() }() // of Closed too: it has been told already that something is wrong
	c.mu.Lock()
	there := c.tenant != nil
	c.mu.Unlock()
	if there {
		c.leave(ErrCut, true)
	}
}

// letGo has the tenant end. Where there is none any more, the connection is
// about to end, or waits for a request, and then nothing is lost.
func (c *Conn) letGo() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.tenant != nil:
		c.drained = true
		c.kick(draining)
	case c.parked.on:
		c.kick(draining)
	case c.kept == nil && !c.away && !c.close:
		c.held.rw.Close()
	}
}

// cut ends the connection whatever it is doing.
func (c *Conn) cut() {
	c.kick(cutOff)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil && !c.away && c.held.wire != nil { // else net/http has it, and cuts it off
		c.held.rw.Close()
	}
}

// outlive tells who wants to know how the request of w ends that it outlives its
// handler.
func (c *Conn) outlive(w http.ResponseWriter) {
	c.began = c.lot.elapsed()
	if v := witnessOf(w); v != nil {
		c.ended = v.Outlive()
	}
}

// witnessOf finds who wants to know how the request of w ends; nil: nobody.
func witnessOf(w http.ResponseWriter) Witness {
	for {
		if v, ok := w.(Witness); ok {
			return v
		}
		inner, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return nil
		}
		w = inner.Unwrap()
	}
}
