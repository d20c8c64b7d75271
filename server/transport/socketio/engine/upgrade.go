package engine

import (
	"bytes"
	"context"
	"time"

	"github.com/shaveet/shaveet/server/transport/socketio/engineio"
	"github.com/shaveet/shaveet/server/wsframe"
)

// probe is what a client pings with that wants to go over to a WebSocket.
var probe = []byte("probe")

// tickTime is how long a poll is held while its client goes over to a WebSocket:
// the client waits for its answer, and may have begun another one before it knew.
const tickTime = 100 * time.Millisecond

// An upgrade is a client on its way to a WebSocket. Until it has arrived, polls
// are all that counts.
type upgrade struct {
	socket *socket
	until  time.Duration // how long it may take
	tick   time.Duration // when the poll that is held is let go; 0: none is
	probed bool          // the client knows that the socket works
}

// tickIn has the poll that is held be let go in a moment.
func (u *upgrade) tickIn(s *Session) {
	u.tick = s.now() + tickTime
	s.wind()
}

// tickAt does what is to be done now.
func (u *upgrade) tickAt(now time.Duration, s *Session) {
	if u.tick != 0 && now >= u.tick {
		u.tick = 0
		s.sendAway(u.probed)
	}
	if now >= u.until {
		s.abandon(wsframe.CodePolicy)
	}
}

// sendAway has the poll that is held be answered, if the client is going over;
// otherwise it waits no more for that.
func (s *Session) sendAway(goes bool) {
	p := s.poll
	if p == nil {
		return
	}
	if goes {
		p.say = sayNoop
	}
	if p.bell != nil {
		close(p.bell)
		p.bell = nil
	}
	p.Wake()
}

// reach begins an upgrade to c. Only one can be under way.
func (s *Session) reach(c *socket) (refusal *fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.alive() {
		return &unknownSession
	}
	s.server.counts.upgrades.Add(1)
	if s.webSocket || s.upgrade != nil {
		c.closing, c.code = true, wsframe.CodePolicy // as the stock server has it
		s.server.counts.failed.Add(1)
		return nil
	}
	s.upgrade = &upgrade{socket: c, until: s.now() + s.config.UpgradeTimeout}
	s.wind()
	return nil
}

// goOver takes a packet of the socket that the client may go over to.
func (c *socket) goOver(p engineio.Packet) {
	s := c.session
	u := s.upgrade
	s.server.counts.packetsIn.Add(1)
	switch {
	case u == nil || u.socket != c:
	case p.Type == engineio.Ping && bytes.Equal(p.Data, probe):
		u.probed, c.toProbe = true, true
		if o := c.owes(); o.probed == nil {
			o.probed = make(chan struct{})
		}
		if s.poll != nil && u.tick == 0 {
			u.tickIn(s)
		}
		c.Wake()
	case p.Type == engineio.Upgrade && u.probed:
		s.arrive(c)
	default:
		s.abandon(wsframe.CodeProtocol)
	}
}

// afterProbe waits until the client can have heard that its WebSocket works,
// before it hears by a request that only that counts now.
func (s *Session) afterProbe(ctx context.Context) {
	s.mu.Lock()
	var probed <-chan struct{}
	if s.socket != nil && s.socket.owed != nil {
		probed = s.socket.owed.probed
	}
	s.mu.Unlock()
	if probed == nil {
		return
	}
	late := time.NewTimer(tickTime)
	defer late.Stop()
	select {
	case <-probed:
	case <-late.C:
	case <-ctx.Done():
	}
}

// arrive has c be the session's transport. What is under way by a poll goes
// before all that goes by c.
func (s *Session) arrive(c *socket) {
	s.upgrade = nil
	s.socket, s.webSocket = c, true
	s.server.counts.sockets.Add(1)
	s.server.counts.upgraded.Add(1)
	if p := s.poll; p != nil {
		p.say, p.refused = sayNoop, true
		s.letGo(p)
	}
	s.conn.Store(&c.Conn)
	s.ready()
	c.Wake()
	s.wind()
}

// abandon ends an upgrade, if there is one. The session goes on without.
func (s *Session) abandon(code uint16) {
	u := s.upgrade
	if u == nil {
		return
	}
	s.upgrade = nil
	s.server.counts.failed.Add(1)
	u.socket.shut(code)
	if s.poll != nil && s.poll.bell != nil {
		s.sendAway(false)
	}
}
