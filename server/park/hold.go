package park

import (
	"bytes"
	"net"
	"net/http"
	"time"
	"unique"
)

// Answer holds a poll: the request r, which has been read to its end, is
// answered by the first thing that t has to say, with status 200 and the
// headers of w. When wait is over, t is asked for that as [Due]. The connection
// then serves other requests.
//
// The handler returns when Answer does, and leaves w and r alone.
func (l *Lot) Answer(c *Conn, w http.ResponseWriter, r *http.Request, t Tenant, wait time.Duration) {
	c.begin(l, t, wait)
	now := woken
	if wait <= 0 {
		now |= due
	}
	if l.opts.Drain.Err() != nil {
		now |= draining
	}
	// What is there already goes out the usual way, which costs less.
	var s *kept
	if quickOf(w) != nil { // it is written when the handler has returned
		c.state.Or(now)
	} else {
		s = newKept(w, r, true)
		c.keep(s)
		c.state.And(^events)
		if s.watch(c, func() bool { return c.pass(now) }) {
			s.leave()
			return
		}
	}
	head := w.Header().Clone()
	early, ok := c.take(w, r, answer)
	if !ok {
		s.stay(c)
		return
	}
	c.pending = early
	c.close = c.held.back == nil || r.Close || !r.ProtoAtLeast(1, 1) || head.Get("Connection") == "close"
	head.Del("Connection")
	c.held.head = unique.Make(string(serialized(head)))
	c.status = http.StatusOK
	c.stay(nil)
}

// Stream holds a request that is answered piece by piece: with status 200 and
// the headers of w at once, and then with what t has to say, from the first
// Next on. t is asked as [Due] each time that beat has passed; with a beat of 0,
// never.
//
// The handler returns when Stream does, and leaves w and r alone.
func (l *Lot) Stream(c *Conn, w http.ResponseWriter, r *http.Request, t Tenant, beat time.Duration) {
	c.begin(l, t, beat)
	c.state.Or(woken)
	c.kind = chunked
	head := w.Header().Clone()
	form := chunked
	if !r.ProtoAtLeast(1, 1) {
		form = plain
	}
	if _, ok := c.take(w, r, form); !ok {
		newKept(w, r, false).stay(c)
		return
	}
	if form == chunked {
		head.Set("Transfer-Encoding", "chunked")
	}
	head.Set("Connection", "close") // it serves nothing else afterwards
	c.opens(http.StatusOK, head)
	c.stay(nil)
}

// Upgrade holds a connection that goes over to another protocol: with status
// 101 and the headers of w, and from then on with whatever p has to say. p is
// asked as [Due] each time that beat has passed. The error says that the
// connection cannot be taken over; then nothing has been written, and p is not
// called.
//
// The handler returns when Upgrade does, and leaves w and r alone.
func (l *Lot) Upgrade(c *Conn, w http.ResponseWriter, r *http.Request, p Peer, beat time.Duration) error {
	c.begin(l, p, beat)
	c.state.Or(woken)
	head := w.Header().Clone()
	early, ok := c.take(w, r, upgrade)
	if !ok {
		return http.ErrNotSupported
	}
	c.opens(http.StatusSwitchingProtocols, head)
	c.stay(early)
	return nil
}

// begin makes c one of l's, and the caller the one who looks after it.
func (c *Conn) begin(l *Lot, t Tenant, every time.Duration) {
	c.lot, c.tenant, c.every = l, t, every
	c.state.Or(begun | running)
}

// keep says who has the connection; nil is us.
func (c *Conn) keep(s *kept) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = s
}

// take takes the connection from net/http, if it can, with what has come by it
// behind the request.
func (c *Conn) take(w http.ResponseWriter, r *http.Request, k kind) (early []byte, ok bool) {
	if q := quickOf(w); q != nil {
		return c.takeQuick(q, w, k)
	}
	c.lot.add(c) // before net/http counts it no more
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		c.lot.remove(c)
		return nil, false
	}
	conn.SetDeadline(time.Time{})
	if n := buffered.Reader.Buffered(); n > 0 {
		early, _ = buffered.Reader.Peek(n)
		early = bytes.Clone(early)
		if k == answer {
			early = bytes.TrimLeft(early, "\r\n") // as net/http does between requests
		}
	}
	at, known := r.Context().Value(placeKey{}).(place)
	if !known {
		c.lot.tune(conn)
	}
	c.hold(bare(conn), at.back, k)
	well := false
	defer func() {
		if !well { // somebody has panicked
			c.abandon()
		}
	}()
	c.outlive(w)
	if back, ok := conn.(*replay); ok && c.parked.on && k == answer && len(early) == 0 {
		c.again = learn(back.request(), c.tenant, back.age, w)
	}
	well = true
	return early, true
}

// abandon lets go of a connection that nobody has begun to look after.
func (c *Conn) abandon() {
	if c.parked.on {
		c.closeParked()
	} else {
		c.held.rw.Close()
	}
	c.lot.remove(c)
}

func (c *Conn) hold(rw net.Conn, back *returns, k kind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept, c.kind, c.held.back = nil, k, back
	if !c.adopt(rw) {
		c.held.wire = &wire{rw: rw}
	}
}

// opens has what is written first begin with this head.
func (c *Conn) opens(status uint16, head http.Header) {
	c.status = status
	c.pending = headOf(int(status), serialized(head))
}

// stay lets the handler go: the connection is held from here on. early is what
// has come already, of what is no poll.
func (c *Conn) stay(early []byte) {
	if c.parked.on {
		c.park(early)
		return
	}
	c.parts.Store(1)
	defer c.rescue()
	c.tick()
	if len(early) > 0 {
		c.receive(early)
	}
	c.hear()
	if c.kind == answer {
		c.run() // there is hardly ever anything to do
	} else {
		go c.look() // a write may take its time, and the handler's buffers are large
	}
}

// tick has the clock tell the connection when it is due.
func (c *Conn) tick() {
	c.state.Or(ticking)
	if c.every > 0 {
		c.lot.clock.Set((*sleeper)(c), c.every)
	}
}
