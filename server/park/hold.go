package park

import (
	"bytes"
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
	s := newStock(w, r, true)
	c.stock = s
	c.state.And(^events)
	if c.pass(now) {
		s.leave()
		return
	}
	head := w.Header().Clone()
	if !c.take(w, r, answer) {
		s.stay(c)
		return
	}
	c.held.close = c.held.back == nil || r.Close || !r.ProtoAtLeast(1, 1) || head.Get("Connection") == "close"
	head.Del("Connection")
	c.held.head = unique.Make(string(serialized(head)))
	c.stay()
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
	c.held.kind = chunked
	head := w.Header().Clone()
	form := chunked
	if !r.ProtoAtLeast(1, 1) {
		form = plain
	}
	if !c.take(w, r, form) {
		newStock(w, r, false).stay(c)
		return
	}
	c.tune(beat)
	if form == chunked {
		head.Set("Transfer-Encoding", "chunked")
	}
	head.Set("Connection", "close") // it serves nothing else afterwards
	c.opens(http.StatusOK, head)
	c.stay()
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
	if !c.take(w, r, upgrade) {
		return http.ErrNotSupported
	}
	c.tune(beat)
	c.opens(http.StatusSwitchingProtocols, head)
	c.stay()
	return nil
}

// begin makes c one of l's, and the caller the one who looks after it.
func (c *Conn) begin(l *Lot, t Tenant, every time.Duration) {
	c.lot, c.tenant, c.every = l, t, every
	c.state.Or(begun | running)
}

// take takes the connection from net/http, and reports whether it could.
func (c *Conn) take(w http.ResponseWriter, r *http.Request, k kind) bool {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	conn.SetDeadline(time.Time{})
	if n := buffered.Reader.Buffered(); n > 0 {
		c.early, _ = buffered.Reader.Peek(n)
		c.early = bytes.Clone(c.early)
	}
	at, _ := r.Context().Value(placeKey{}).(place)
	c.stock = nil
	c.held.rw, c.held.back, c.held.kind = bare(conn), at.back, k
	c.ended = witness(w)
	return true
}

// opens has what is written first begin with this head.
func (c *Conn) opens(status int, head http.Header) {
	c.status = status
	c.held.opening = appendHead(nil, status, serialized(head))
}

// stay lets the handler go: the connection is held from here on.
func (c *Conn) stay() {
	if c.every > 0 {
		c.timer = time.AfterFunc(c.every, c.isDue)
	}
	c.lot.add(c)
	c.hear()
	c.run()
}

func (c *Conn) isDue() { c.kick(due) }
