package socketio

import (
	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/socketio/engine"
)

// read has s say what the log has for it.
func (s *Socket) read(out *engine.Writer) {
	c := s.conn
	b := s.session.Collect()
	for i := range b.Signals {
		if over := s.told(&b.Signals[i]); over {
			return
		}
	}
	before := out.Len()
	for _, m := range b.Messages {
		c.put(out, m)
	}
	if s.more = b.More; s.more {
		c.session.Wake()
	}
	if out.Len() == before { // it is nothing that could get lost
		s.fresh = false
		s.session.Commit()
		return
	}
	s.batch = true
}

// told does what a signal asks for, and reports whether that was the end of s.
func (s *Socket) told(signal *hub.Signal) (over bool) {
	c := s.conn
	switch signal.Type {
	case hub.SignalGap, hub.SignalReset:
		// Who has just come has been told that it is not where it was.
		if s.fresh {
			return false
		}
		c.server.counts.holes.Add(1)
		c.session.Fail(engine.Behind)
		c.leave(s, "forced server close", false)
	case hub.SignalGone:
		c.dismiss(s)
	case hub.SignalSuperseded:
		c.session.Fail(engine.Forced)
		c.leave(s, "transport close", true)
	case hub.SignalDrain: // it may come back at once
		c.session.Fail(engine.Forced)
	default:
		return false
	}
	return true
}
