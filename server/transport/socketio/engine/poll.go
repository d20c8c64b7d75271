package engine

import (
	"net/http"

	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/transport/socketio/engineio"
)

// A poll is a request that waits for what there is to say. It is a
// [park.Tenant]. What is not said to be something else is guarded by the
// session's lock.
type poll struct {
	park.Conn
	session *Session
	format  format // set before anybody sees it
	mark    mark   // guarded as the rest; it is another one when it comes again
	say     saying
	octets  bool          // its answer may be binary
	refused bool          // it has come too late
	bell    chan struct{} // closed when the handler is to go on; nil: it does not wait
}

// A saying is what a poll is told if there is nothing else to say, or no more.
type saying uint8

const (
	sayNothing saying = iota
	sayNoop
	sayClose
	sayBoth
)

// A format is in what a client wants its polls to be answered.
type format struct {
	script bool   // that calls a function with the payload
	number uint64 // of the function
}

// hold takes p for the poll that is held. If it cannot be, the refusal says why;
// and say what the answer is, if that is clear already. With a bell, p has to
// wait for that.
func (s *Session) hold(p *poll) (bell <-chan struct{}, say saying, refusal *fault) {
	fine := false
	s.mu.Lock()
	defer s.unlock(&fine)
	say, refusal = s.admit(p)
	bell = p.bell
	fine = true
	return bell, say, refusal
}

func (s *Session) admit(p *poll) (saying, *fault) {
	switch {
	case s.state != open && s.now() >= s.until:
		return 0, &unknownSession
	case s.state == excused:
		s.leave()
		return sayNoop, nil
	case s.state == telling:
		s.leave()
		return sayBoth, nil
	case !s.alive():
		return 0, &unknownSession
	case s.webSocket:
		return 0, &badRequest
	case s.poll != nil || s.repeated(p.mark):
		s.finish(Overlap)
		return 0, &badRequest
	}
	s.keep(p)
	if s.upgrade != nil && s.state == open {
		p.bell = make(chan struct{})
		s.upgrade.tickIn(s)
	}
	return sayNothing, nil
}

// repeated reports whether a poll is one that has been answered: a proxy that has
// lost the answer has made the request again. What was in the answer is lost; so
// the session has to end, and the client may recover it. A client that always puts
// the same into its query has done so from the beginning.
func (s *Session) repeated(m mark) bool { return m != 0 && m == s.last && m != s.first }

// keep has p be the poll that is held.
func (s *Session) keep(p *poll) {
	s.poll, s.last = p, p.mark
	s.conn.Store(&p.Conn)
	s.ready()
}

// await waits, while the client goes over to its WebSocket, until that is settled
// or has taken too long: polls that come too late are to be refused, and what is
// parked cannot be.
func (p *poll) await(r *http.Request, bell <-chan struct{}) *fault {
	if bell != nil {
		select {
		case <-bell:
		case <-r.Context().Done(): // which is noticed when it is parked
		}
	}
	s := p.session
	fine := false
	s.mu.Lock()
	defer s.unlock(&fine)
	p.bell = nil
	s.prepare(p)
	fine = true
	if p.refused {
		return &badRequest
	}
	return nil
}

// prepare settles whether the answer to p, which is about to be parked, may be
// binary: its head cannot be changed later.
func (s *Session) prepare(p *poll) {
	if s.poll == p && s.state == open && s.lists(p) {
		s.gather()
		p.octets = s.stash.binary()
	}
}

// lists reports whether what p is told is binary if something in it is.
func (s *Session) lists(p *poll) bool { return s.three && !s.base64 && !p.format.script }

// letGo has p be answered, or go on if it still waits for that.
func (s *Session) letGo(p *poll) {
	if s.poll == p {
		s.poll = nil
		s.conn.CompareAndSwap(&p.Conn, nil)
	}
	if p.bell != nil {
		close(p.bell)
		p.bell = nil
	}
	p.Wake()
}

// Moving is part of [park.Regular]: clients put something into the query that
// differs each time, so that no cache answers them.
func (p *poll) Moving() (name, value string) { return moving, "" }

// moving is the parameter's name.
const moving = "t"

// Again is part of [park.Regular].
func (p *poll) Again(value []byte) bool {
	s := p.session
	fine := false
	s.mu.Lock()
	defer s.unlock(&fine)
	ok := s.again(p, markOf(value))
	fine = true
	return ok
}

// again takes p for the poll that is held, once more, if there is nothing about it
// that the handler would have to decide.
func (s *Session) again(p *poll, m mark) bool {
	if s.repeated(m) || s.three || s.state != open || s.webSocket || s.poll != nil || s.upgrade != nil || s.now() >= s.deadline()-slack {
		return false
	}
	p.say, p.refused, p.mark = sayNothing, false, m
	s.keep(p)
	return true
}

// Next is part of [park.Tenant].
func (p *poll) Next(dst []byte, why park.Event) (out []byte, end bool) {
	s := p.session
	fine := false
	s.mu.Lock()
	defer s.unlock(&fine)
	out, end = p.next(dst, why)
	fine = true
	return out, end
}

func (p *poll) next(dst []byte, why park.Event) (out []byte, end bool) {
	s := p.session
	if why&park.Drain != 0 && s.poll == p {
		s.finish(Drain)
	}
	body := dst
	if p.format.script {
		body = nil
	}
	w := newWriter(p.wire(), body)
	if s.poll == p {
		s.fill(w, &p.Conn, p)
	}
	p.conclude(w)
	body = w.release()
	switch {
	case len(body) == len(dst) && !p.format.script || len(body) == 0:
		return dst, false
	case p.format.script:
		body = engineio.AppendJSONP(dst, p.format.number, body)
	}
	if s.poll == p {
		s.poll = nil
		s.conn.CompareAndSwap(&p.Conn, nil)
	}
	return body, false
}

// conclude puts what p is told for want of anything else, or at the end.
func (p *poll) conclude(w *Writer) {
	if p.say == sayBoth || p.say == sayNoop && len(w.dst) == w.start {
		w.packet(engineio.Packet{Type: engineio.Noop})
	}
	if p.say == sayBoth || p.say == sayClose {
		w.packet(engineio.Packet{Type: engineio.Close})
	}
}

func (p *poll) wire() wire {
	switch {
	case !p.session.three:
		return payload
	case p.octets:
		return binary3
	}
	return payload3
}

// Sent is part of [park.Tenant].
func (p *poll) Sent() {
	fine := false
	p.session.mu.Lock()
	defer p.session.unlock(&fine)
	p.session.sent(&p.Conn)
	fine = true
}

// Closed is part of [park.Tenant]. A client that drops its poll has gone.
func (p *poll) Closed(err error) {
	s := p.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.poll == p {
		s.poll = nil
		s.conn.CompareAndSwap(&p.Conn, nil)
	}
	s.lost(&p.Conn, reasonOf(err))
	if err != nil && !s.webSocket {
		s.finish(reasonOf(err))
	}
}

// fill puts what the session has to say; c is who says it, and p the poll if it
// is one.
func (s *Session) fill(w *Writer, c *park.Conn, p *poll) {
	if s.state != open {
		return
	}
	s.control(w)
	if s.put && s.stash == nil {
		return // it is under way by another connection
	}
	if p != nil && s.lists(p) {
		s.gather()
	} else if s.stash == nil {
		w.app = len(w.dst)
		s.put = s.nextOf(w)
		s.carry(c)
	}
	if p != nil && s.stash.binary() && !p.octets {
		p.say = sayNoop // the next poll's answer may be binary
		return
	}
	if s.stash != nil {
		for _, m := range s.stash {
			w.packet(m)
		}
		s.stash = nil
		s.carry(c)
	}
	s.settle()
}

// carry notes that c carries what has been put, if anything has.
func (s *Session) carry(c *park.Conn) {
	if s.put {
		s.carrier = c
	}
}

// control puts what belongs to no app.
func (s *Session) control(w *Writer) {
	if s.toOpen {
		s.toOpen = false
		w.packet(s.opening())
	}
	if s.toPing {
		s.toPing = false
		w.packet(engineio.Packet{Type: engineio.Ping})
	}
	if s.toPong {
		s.toPong = false
		w.packet(engineio.Packet{Type: engineio.Pong})
	}
}

// opening is the first packet.
func (s *Session) opening() engineio.Packet {
	text := engineio.AppendOpen(nil, &engineio.Handshake{
		SID:          s.ID(),
		Upgrade:      !s.webSocket,
		PingInterval: s.config.PingInterval,
		PingTimeout:  s.config.PingTimeout,
		MaxPayload:   s.config.MaxPayload,
	})
	return engineio.Packet{Type: engineio.Open, Data: text[1:]}
}

// nextOf has the app put what it has to say, and reports whether that is
// anything.
func (s *Session) nextOf(w *Writer) bool {
	before := w.packets
	s.app.Next(w)
	s.server.counts.packetsOut.Add(uint64(w.packets - before))
	return w.packets > before
}

// gather has the app put what it has to say into the stash, if nothing is under
// way.
func (s *Session) gather() {
	if s.put {
		return
	}
	w := newWriter(listed, nil)
	s.put = s.nextOf(w)
	s.stash = w.list
	w.release()
}
