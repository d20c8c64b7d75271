package park

import (
	"bytes"
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

// serveQuick serves the next request, if it is one that can be served here.
func (c *Conn) serveQuick(came []byte, full bool, d *desk) (over, ok bool) {
	srv := c.held.back.srv
	handler := srv.Handler
	if handler == nil {
		handler = http.DefaultServeMux
	}
	if c.lot.opts.Waits && d.herds {
		return false, false
	}
	r, rest, ok := c.lot.readQuick(came, srv, d)
	if !ok || full || c.lot.opts.Drain.Err() != nil {
		return false, false
	}
	c.pending = nil
	c.lot.clock.Clear((*sleeper)(c))
	r.RemoteAddr = c.parked.peer.addr().String()
	if c.parked.later&ending != 0 { // for who looks next
		c.state.Or(readable | ending)
	}
	if c.lot.opts.Waits {
		at := new(atomic.Pointer[desk])
		at.Store(d)
		defer at.Store(nil)
		r = r.WithContext(context.WithValue(r.Context(), deskKey{}, at))
	}
	w := &quickWriter{conn: c, asked: came[:len(came)-len(rest)], age: c.lot.age.Load(), rest: rest, header: make(http.Header)}
	well := c.lot.serveWell(handler, w, r)
	switch {
	case w.taker != nil: // it has the descriptor now
		c.done()
		return true, true
	case !well:
		return c.release(), true
	}
	return c.answerQuick(w, d), true
}

// serveAgain holds the next poll, if it is like the one before.
func (c *Conn) serveAgain(came []byte, full bool, d *desk) (over, ok bool) {
	a := c.again
	if a == nil || full || a.age != c.lot.age.Load() || c.lot.opts.Drain.Err() != nil {
		return false, false
	}
	value, rest, ok := a.recognize(came, d.sums)
	if !ok || !c.tenantAgain(value) {
		return false, false
	}
	a.begun()
	c.began, c.bytes = c.lot.elapsed(), 0
	c.parked.stage, c.parked.noise = tenanted, 0
	c.pending = nil
	if rest = bytes.TrimLeft(rest, "\r\n"); len(rest) > 0 {
		c.pending = bytes.Clone(rest)
	}
	c.parked.unread = len(rest) > 0
	if c.parked.later&ending != 0 { // for who looks next
		c.state.Or(readable | ending)
	}
	now := woken
	if c.every <= 0 {
		c.lot.clock.Set((*sleeper)(c), never) // cheaper than to clear it
		now |= due
	}
	c.tick()
	return c.passParked(now, d), true
}

// never is when those are due who are not.
const never = 100 * 365 * 24 * time.Hour

// tenantAgain has the tenant of the last poll be that of the next, if it agrees.
func (c *Conn) tenantAgain(value []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.again.tenant.Again(value) {
		return false
	}
	c.tenant, c.away = c.again.tenant, false
	return true
}

// takeQuick has c hold what was asked for by another connection's descriptor.
func (c *Conn) takeQuick(q *quickWriter, w http.ResponseWriter, k kind) (early []byte, ok bool) {
	old := q.conn
	c.outlive(w) // this, and the next, may panic, and then it is not in the lot
	var again *again
	if k == answer {
		again = learn(q.asked, c.tenant, q.age, w)
	}
	c.lot.add(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept, c.kind, c.held.back = nil, k, old.held.back
	c.parked = parked{on: true, fd: old.parked.fd, roomToo: old.parked.roomToo, known: true, gone: old.parked.gone, peer: old.parked.peer}
	c.again = again
	c.lot.poll.replace(old, c)
	q.taker = c
	if k == answer {
		q.rest = bytes.TrimLeft(q.rest, "\r\n")
	}
	return bytes.Clone(q.rest), true
}

// answerQuick writes what the handler has answered at once.
func (c *Conn) answerQuick(w *quickWriter, d *desk) (over bool) {
	p := w.answer(d.out.room(0))
	d.out.keep(p)
	n, err := c.push(p)
	switch {
	case err != nil:
		return c.leaveLot()
	case n < len(p):
		return c.finishQuick(bytes.Clone(p[n:]), bytes.Clone(w.rest), w.last)
	case w.last:
		return c.farewell()
	}
	c.parked.stage = waiting
	c.lot.clock.Set((*sleeper)(c), c.lot.opts.IdleTimeout)
	if len(w.rest) > 0 {
		c.pending = bytes.Clone(w.rest)
		c.state.Or(readable)
	}
	return false
}

// finishQuick writes the rest of an answer for which there was no room, and gives the
// connection back to its server.
func (c *Conn) finishQuick(p, rest []byte, last bool) (over bool) {
	c.lot.poll.remove(c)
	conn := c.unparked()
	c.mu.Lock()
	c.parked.on, c.held.wire, c.close = false, &wire{rw: conn}, true // cut off, the wire is closed; nobody else lets go of it
	if c.state.Load()&cutOff != 0 {                                  // it has been already
		conn.Close()
	}
	c.mu.Unlock()
	go func() {
		defer c.done()
		if err := c.send(p); err != nil || last {
			conn.Close()
			return
		}
		conn.SetWriteDeadline(time.Time{})
		c.held.back.give(newReplay(conn, rest, c.lot.age.Load()))
	}()
	return true
}
