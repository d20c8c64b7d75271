package socketio

import (
	"slices"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/socketio/engine"
	"github.com/shaveet/shaveet/server/transport/socketio/packet"
)

// reasonOf returns what handlers are told, in the words of Socket.IO, and
// whether whoever is lost for that may come back to where it was.
func reasonOf(why engine.Reason) (text string, mayReturn bool) {
	switch why {
	case engine.ClientClosed, engine.Gone:
		return "transport close", true
	case engine.PingTimeout:
		return "ping timeout", true
	case engine.Drain, engine.Shutdown:
		return "server shutting down", true
	case engine.Forced, engine.Behind, engine.Displaced:
		return "forced server close", true
	case engine.Late:
		return "forced close", true
	case engine.ParseError, engine.Invalid:
		return "parse error", false
	}
	return "transport error", true
}

// leave takes s off the connection. If it may not return, or nobody may, it is
// forgotten.
func (c *conn) leave(s *Socket, why string, mayReturn bool) {
	c.sockets = slices.DeleteFunc(c.sockets, func(o *Socket) bool { return o == s })
	if len(c.sockets) == 0 {
		c.sockets = nil
	}
	was := s.state
	s.state = left
	if was == connecting {
		s.arriving.why = why
		s.arriving.giveUp()
		return
	}
	c.server.counts.sockets.Add(-1)
	s.batch = false
	wait := c.settings.RecoveryTime
	if !mayReturn || c.old {
		wait = 0
	}
	if c.old {
		c.part(s)
	}
	s.failAll()
	s.depart(why, wait)
}

// part remembers a socket of an old client, whose name it may want again. Those
// it cannot have any more are many if there are patterns.
func (c *conn) part(s *Socket) {
	if c.parted == nil {
		c.parted = make(map[string]hub.Credentials)
	}
	for id := range c.parted {
		if len(c.parted) < c.settings.MaxNamespaces {
			break
		}
		delete(c.parted, id)
	}
	c.parted[s.ID()] = s.credentials
}

// depart ends the session of s and has the handler be told that it has left. Until
// then it is not forgotten, for the handler may still want its rooms and data.
// Whoever comes back meanwhile finds either the session or the claim, so the claim
// comes first.
func (s *Socket) depart(why string, wait time.Duration) {
	sv, id := s.conn.server, s.ID()
	if !s.namespace.answers() {
		s.session.Close() // first: nobody is forgotten who reads
		sv.leavers.add(s.credentials, wait)
		return
	}
	sv.going.hold(id)
	if wait == 0 {
		sv.doomed.hold(id)
	}
	s.session.Close()
	s.push(call{kind: hasLeft, name: why, wait: wait})
}

// departed is for when its handler has been told. Who has come back, and waits for
// that, keeps it from being forgotten.
func (s *Socket) departed(wait time.Duration) {
	sv, id := s.conn.server, s.ID()
	sv.leavers.add(s.credentials, wait)
	if wait == 0 {
		sv.doomed.release(id)
	}
	sv.going.release(id)
}

// sendAway has all sockets be dismissed and the connection end, when they have
// heard what was said to them before.
func (c *conn) sendAway() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = true
	for _, s := range c.sockets {
		s.leaving = true
	}
	c.session.Wake()
}

// dismiss has s leave, and its client be told, which then does not come back by
// itself.
func (c *conn) dismiss(s *Socket) {
	c.must(packet.Append(nil, &packet.Packet{Type: packet.Disconnect, Namespace: s.namespace.Name}))
	c.leave(s, "server namespace disconnect", false)
}
