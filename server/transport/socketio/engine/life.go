package engine

import (
	"runtime/debug"
	"time"

	"github.com/shaveet/shaveet/server/alarm"
	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/transport/socketio/engineio"
)

// How long a session can be found after its end.
const (
	excuseTime = 200 * time.Millisecond
	tellTime   = 30 * time.Second
)

// slack is how much too early a client's time may be over.
const slack = 2 * time.Millisecond

// A sleeper is a session as the server's clock sees it, so that what a clock
// needs is no part of what a session offers.
type sleeper Session

// Alarm is part of [alarm.Sleeper].
func (s *sleeper) Alarm() *alarm.Alarm { return &s.alarm }

// Ring is part of [alarm.Sleeper].
func (s *sleeper) Ring() { (*Session)(s).ring() }

// begin begins the session, with its app.
func (s *Session) begin() {
	s.state = open
	s.pingAt = s.now() + s.config.PingInterval
	s.quota = time.Since(s.server.begun) - time.Second // who comes at once has all its quota, too
	s.server.counts.handshakes.Add(1)
	s.ready()
	s.settle()
	s.wind()
}

// wind sets the alarm for what is to be done next. Who is not known yet, or no
// more, has none.
func (s *Session) wind() {
	next := s.next()
	if next == 0 || next == s.setTo {
		return
	}
	s.setTo = next
	s.server.clock.SetAt((*sleeper)(s), next)
}

// next is when there is something to do; 0: never.
func (s *Session) next() time.Duration {
	switch s.state {
	case fresh, over:
		return 0
	case excused, telling:
		return s.until
	}
	next := s.deadline()
	if !s.pinged && !s.three {
		next = s.pingAt
	}
	if s.dueAt != 0 {
		next = min(next, s.dueAt)
	}
	if u := s.upgrade; u != nil {
		next = min(next, u.until)
		if u.tick != 0 {
			next = min(next, u.tick)
		}
	}
	return next
}

// deadline is when the client's time for its next heartbeat is over. It does not
// depend on when a ping went out, so that a late one gives nobody more.
func (s *Session) deadline() time.Duration { return s.pingAt + s.config.PingTimeout }

// ring does what is to be done now.
func (s *Session) ring() {
	defer s.rescue()
	fine := false
	s.mu.Lock()
	defer s.unlock(&fine)
	switch now := s.now(); s.state {
	case open:
		s.tick(now)
	case excused, telling:
		if now >= s.until {
			s.leave()
		}
	}
	s.wind()
	fine = true
}

// tick does what is to be done now for a session that is open.
func (s *Session) tick(now time.Duration) {
	if now >= s.deadline() {
		s.finish(PingTimeout)
		return
	}
	if !s.pinged && !s.three && now >= s.pingAt {
		s.pinged, s.toPing = true, true
		s.Wake()
	}
	if s.upgrade != nil {
		s.upgrade.tickAt(now, s)
	}
	if s.dueAt != 0 && now >= s.dueAt {
		s.dueAt = 0
		s.app.Due()
		s.settle()
	}
}

// rescue makes a panic of the app's the end of its session only, where whoever
// stands above has nothing to do with it, as above the clock.
func (s *Session) rescue() {
	if v := recover(); v != nil {
		s.config.Logger.Error("an app panicked", "panic", v, "stack", string(debug.Stack()))
	}
}

// alive reports whether the session is open, and its client in time.
func (s *Session) alive() bool {
	if s.state == open && s.now() >= s.deadline()-slack {
		s.finish(PingTimeout)
	}
	return s.state == open
}

// heartbeat takes what keeps the session alive: with protocol 4 the answer to a
// ping, with protocol 3 a ping.
func (s *Session) heartbeat() {
	if s.three {
		s.toPong = true
		s.Wake()
	} else if !s.pinged || s.toPing { // it answers nothing
		return
	}
	s.pinged = false
	s.pingAt = s.now() + s.config.PingInterval
	s.wind()
}

// take takes a packet that has come by the client's transport. Types that mean
// nothing there are passed over.
func (s *Session) take(p engineio.Packet) {
	s.server.counts.packetsIn.Add(1)
	switch p.Type {
	case engineio.Message:
		s.app.Received(p)
		s.settle()
	case engineio.Close:
		s.finish(ClientClosed)
	case engineio.Ping, engineio.Pong:
		if s.three != (p.Type == engineio.Ping) {
			s.finish(ParseError)
			return
		}
		s.heartbeat()
	}
}

// quotaLeft reports whether the client may have sent one more packet, and ends
// the session if not.
func (s *Session) quotaLeft() bool {
	now, each := time.Since(s.server.begun), s.config.packetTime
	s.quota = max(s.quota, now-time.Duration(s.config.MaxPackets)*each) + each
	if s.quota > now {
		s.finish(TooMuch)
	}
	return s.quota <= now
}

// finish ends the session: whoever is connected is told, and the app as soon as
// what it has put is under way no more.
func (s *Session) finish(why Reason) {
	if s.state != open && s.state != fresh {
		return
	}
	end := &endings[why]
	s.state, s.why, s.failing = over, why, 0
	s.server.counts.closed[why].Add(1)
	s.abandon(end.code)
	switch p := s.poll; {
	case s.socket != nil:
		s.socket.shut(end.code)
	case p != nil:
		p.say = sayClose
		if end.noop {
			p.say = sayNoop
		}
		s.letGo(p)
	case end.after == excuse && !s.webSocket:
		s.state, s.until = excused, s.now()+excuseTime
	case end.after == tell && !s.webSocket:
		s.state, s.until = telling, s.now()+tellTime
	}
	s.wind()
	if s.state == over {
		s.leave()
	} else {
		s.server.raise(s, ended)
	}
	if s.put && s.carrier == nil {
		s.put, s.stash = false, nil
	}
	if !s.put {
		s.part()
	}
}

// displace ends the session, or what is left of it, for another one.
func (s *Session) displace() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == excused || s.state == telling {
		s.leave()
	} else {
		s.finish(Displaced)
	}
}

// leave has the session be found no more.
func (s *Session) leave() {
	s.state = over
	s.conn.Store(nil)
	s.server.remove(s)
	s.server.clock.Clear((*sleeper)(s))
	if s.webSocket {
		s.server.counts.sockets.Add(-1)
	}
}

// part tells the app of the end. Whoever ends a session, which may be for another
// one, must not be harmed by what its app does then.
func (s *Session) part() {
	defer s.rescue()
	if app := s.app; app != nil {
		s.app = nil
		app.Closed(s.why)
	}
}

// sent says that c has sent what was put on it.
func (s *Session) sent(c *park.Conn) {
	if !s.put || s.carrier != c {
		return
	}
	s.put, s.carrier = false, nil
	s.app.Sent()
	if s.state != open {
		s.part()
		return
	}
	s.settle()
	s.ready()
	if s.conn.Load() != c { // it has waited for this
		s.Wake()
	}
}

// lost says that c has ended, and what was put on it with it.
func (s *Session) lost(c *park.Conn, why Reason) {
	if !s.put || s.carrier != c {
		return
	}
	s.put, s.carrier = false, nil
	s.finish(why)
	s.part()
}

// ready tells the app that the transport can take something, if it can.
func (s *Session) ready() {
	if s.state == open && !s.put && (s.poll != nil || s.socket != nil) {
		s.app.Ready()
		s.settle()
	}
}
