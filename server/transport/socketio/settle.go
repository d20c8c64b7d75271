package socketio

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport"
	"github.com/shaveet/shaveet/server/transport/socketio/engine"
	"github.com/shaveet/shaveet/server/transport/socketio/packet"
)

// settle ends the arrival: the client is told.
func (s *Socket) settle(a arrival, shown json.RawMessage, err error) {
	c := s.conn
	c.mu.Lock()
	again := s.settleLocked(a, shown, err)
	c.release(again)
}

// release unlocks the connection where no method of the app does, and ends it
// if that has to be.
func (c *conn) release(end bool) {
	end = end || c.full
	c.mu.Unlock()
	if end {
		c.session.Close(engine.Forced)
	}
}

// settleLocked reports whether the connection has to end, so that the client
// comes again.
func (s *Socket) settleLocked(a arrival, shown json.RawMessage, err error) (fail bool) {
	c := s.conn
	if s.state == left {
		if err == nil {
			wait := time.Duration(0)
			if a.recovered { // else nobody has been told of it
				wait = c.settings.RecoveryTime
			}
			s.credentials, s.client, s.session = a.socket, a.client, a.session
			s.depart(s.arriving.why, wait)
		}
		return false
	}
	s.arriving = nil
	if err != nil {
		c.sockets = slices.DeleteFunc(c.sockets, func(o *Socket) bool { return o == s })
		s.state = left
		return c.refuseFor(s.namespace, err) || c.decide()
	}
	s.state, s.session = connected, a.session
	if s.namespace.Handler == nil { // else it has introduced itself
		s.credentials, s.client = a.socket, a.client
	}
	s.fresh = !a.recovered
	c.joined = true
	c.session.Settled()
	c.server.counts.sockets.Add(1)
	c.server.counts.connected.Add(1)
	if a.recovered {
		c.server.counts.recovered.Add(1)
	}
	if _, ok := s.namespace.Handler.(greeter); ok {
		s.push(call{kind: hasJoined, args: public(shown)})
	}
	c.must(s.welcome(a.socket))
	return c.decide()
}

// welcome is the answer to CONNECT.
func (s *Socket) welcome(cr hub.Credentials) []byte {
	c := s.conn
	switch {
	case c.old:
		return packet.Append(nil, &packet.Packet{Type: packet.Connect, Namespace: s.namespace.Name})
	case c.settings.recovers(false):
		return packet.AppendConnected(nil, s.namespace.Name, cr.ID, pidOf(cr))
	}
	return packet.AppendConnected(nil, s.namespace.Name, cr.ID, "")
}

// refuseFor tells why a CONNECT is not granted. A client does not come again by
// itself after that, so for what passes it loses its connection instead, at once
// or when decide says so.
func (c *conn) refuseFor(ns *Namespace, err error) (fail bool) {
	var refused *Refusal
	if errors.As(err, &refused) {
		c.refuse(ns.Name, refused.Message, refused.Data)
		return false
	}
	refusal := &transport.Refusal{Status: http.StatusUnauthorized, Type: "unauthorized", Message: "unauthorized"}
	u := (*undecided)(nil)
	isUndecided := errors.As(err, &u)
	switch {
	case isUndecided:
		o := c.owned()
		o.undecided = append(o.undecided, undecidedOne{ns.Name, u.refusal()})
		return false
	case !errors.Is(err, errUnauthorized) && !errors.Is(err, hub.ErrBadCredentials):
		refusal = transport.RefusalOf(err, 0)
	}
	if refusal.Status == http.StatusInternalServerError {
		c.settings.Logger.Error("a socket could not be let in", "namespace", ns.Name, "err", err)
	}
	if refusal.Status >= 500 {
		return true
	}
	c.refuseAs(ns.Name, refusal)
	return false
}

func (c *conn) refuseAs(namespace string, r *transport.Refusal) {
	c.refuse(namespace, r.Message, fmt.Appendf(nil, `{"code":%d,"type":%q}`, r.Status, r.Type))
}

// undecidedOne is a namespace that a client wants to join, about which nobody
// could decide.
type undecidedOne struct {
	namespace string
	refusal   *transport.Refusal
}

// decide is for CONNECTs that nobody could decide about. If others live by the
// connection, whose handlers may be fine, they are refused. If nobody does the
// connection has to end, which it reports. As long as neither is known they wait.
func (c *conn) decide() (fail bool) {
	if len(c.own.untold()) == 0 {
		return false
	}
	if !slices.ContainsFunc(c.sockets, func(s *Socket) bool { return s.state == connected }) {
		return len(c.sockets) == 0
	}
	for _, one := range c.own.undecided {
		c.refuseAs(one.namespace, one.refusal)
	}
	c.own.undecided = nil
	c.disown()
	return false
}
