package socketio

import (
	"context"
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

// A state is how far a socket has come.
type state uint8

const (
	connecting state = iota
	connected
	left
)

// A Socket is one client in one namespace. Its methods may be called by many
// goroutines at once.
type Socket struct {
	conn      *conn
	namespace *Namespace
	client    string // whose key was shown, "" if nobody's

	credentials hub.Credentials // its id, that everybody may know, and by what it comes back

	// Guarded by conn.mu.
	state      state
	fresh      bool // it has been told that it is not where it was, and has heard nothing yet
	batch      bool // something of session is under way
	more       bool // which is not all there was
	superseded bool // it has come back by another connection
	session    *hub.Session
	giveUp     context.CancelFunc // while it is connecting
	inbox      *inbox             // nil: its handler has been told everything
	asked      *questions         // nil: it has never been asked anything
}

// ID returns the socket's name, which is a room with nobody else in it.
func (s *Socket) ID() string { return s.credentials.ID }

// Client returns the id of the client whose key the socket has shown, "" in an
// open namespace without one.
func (s *Socket) Client() string { return s.client }

// Namespace returns the name of the namespace it is in.
func (s *Socket) Namespace() string { return s.namespace.Name }

// begin has the socket be connected, which may have to wait for the log.
func (s *Socket) begin(said auth) {
	ctx, cancel := context.WithCancel(context.Background())
	s.giveUp = cancel
	go func() {
		defer cancel()
		a, err := s.arrive(ctx, &said)
		s.settle(a, said, err)
	}()
}

// An arrival is a session that has begun.
type arrival struct {
	session   *hub.Session
	socket    hub.Credentials
	client    string
	recovered bool
}

// errUnauthorized refuses who has shown no key, or a wrong one.
var errUnauthorized = errors.New("unauthorized")

// arrive begins the session: of the socket that comes back, or of a new one.
func (s *Socket) arrive(ctx context.Context, said *auth) (a arrival, err error) {
	h := s.conn.server.hub
	var creds []hub.Credentials
	if said.keyed() || !s.namespace.Open {
		cr := hub.Credentials{ID: said.client, Key: said.key}
		if !h.Opens(cr) {
			return a, errUnauthorized
		}
		creds, a.client = []hub.Credentials{cr}, cr.ID
	}
	start, err := said.start()
	if err != nil {
		return a, err
	}
	start.Namespace, start.Transport, start.BatchBytes = s.namespace.Name, "socketio", streamBatch
	start.Unlisted, start.Ready = true, s.conn.session.Wake
	if s.conn.settings.recovers(s.conn.old) {
		if s.comeBack(ctx, said, creds, &start, &a) {
			return a, nil
		}
	}
	if a.socket, err = s.create(ctx, a.client); err != nil {
		return a, err
	}
	start.Session = a.socket.ID // by which it is found when it comes back
	if a.session, err = h.Attach(ctx, append(creds, a.socket), start); err != nil {
		s.conn.server.leavers.add(a.socket, 0)
	}
	return a, err
}

// create makes the hub's socket. Of old clients the id is that of Engine.IO,
// because they are told no other; so one who has just left may still have it.
func (s *Socket) create(ctx context.Context, client string) (cr hub.Credentials, err error) {
	h := s.conn.server.hub
	if !s.conn.old {
		cr, _, err = h.CreateSocket(ctx, hub.NewSocketID(), s.namespace.Name, client)
		return cr, err
	}
	id := s.conn.session.ID()
	if s.namespace.Name != hub.Root {
		id = s.namespace.Name + "#" + id
	}
	if before := s.conn.left(id); before.ID != "" {
		if err := h.ForgetSocket(ctx, before); err != nil {
			return cr, err
		}
	}
	cr, _, err = h.CreateSocket(ctx, id, s.namespace.Name, client)
	return cr, err
}

// recovers reports whether sockets may come back.
func (s *settings) recovers(old bool) bool { return s.RecoveryTime > 0 && !old }

// comeBack has a socket go on that was here before, if it has shown that it is
// that one and nothing is lost. If something is, it is over; start then says where
// it was.
func (s *Socket) comeBack(ctx context.Context, said *auth, creds []hub.Credentials, start *hub.Start, a *arrival) bool {
	sv := s.conn.server
	cr, ok := cutPID(said.pid)
	if !ok {
		return false
	}
	defer func() {
		if !a.recovered {
			sv.counts.notRecovered.Add(1)
		}
	}()
	since, there := sv.hub.SocketSince(cr.ID, s.namespace.Name, a.client)
	if !sv.hub.Opens(cr) || !there {
		return false
	}
	switch { // if it has not heard anything yet
	case start.Now:
		start.Now, start.At = false, since
	case start.At.IsZero():
		start.At = hub.Position{Epoch: since.Epoch}
	}
	start.Session = cr.ID // should it be here by another connection still, that one goes
	session, err := sv.hub.Attach(ctx, append(slices.Clone(creds), cr), *start)
	if err != nil {
		return false
	}
	for _, signal := range session.Collect().Signals {
		switch signal.Type {
		case hub.SignalGap, hub.SignalReset, hub.SignalGone, hub.SignalSuperseded, hub.SignalDrain:
			session.Close()
			sv.leavers.add(cr, 0)
			return false
		}
	}
	sv.leavers.keep(cr.ID)
	a.session, a.socket, a.recovered = session, cr, true
	return true
}

// settle ends the arrival: the client is told.
func (s *Socket) settle(a arrival, said auth, err error) {
	c := s.conn
	c.mu.Lock()
	again := s.settleLocked(a, said, err)
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
func (s *Socket) settleLocked(a arrival, said auth, err error) (fail bool) {
	c := s.conn
	if s.state == left {
		if err == nil {
			a.session.Close()
			wait := time.Duration(0)
			if a.recovered { // else nobody has been told of it
				wait = c.settings.RecoveryTime
			}
			c.server.leavers.add(a.socket, wait)
		}
		return false
	}
	s.giveUp = nil
	if err != nil {
		c.sockets = slices.DeleteFunc(c.sockets, func(o *Socket) bool { return o == s })
		s.state = left
		return c.refuseFor(s.namespace.Name, err)
	}
	s.state, s.session, s.credentials, s.client = connected, a.session, a.socket, a.client
	s.fresh = !a.recovered
	c.joined = true
	c.session.Settled()
	c.server.counts.sockets.Add(1)
	c.server.counts.connected.Add(1)
	if a.recovered {
		c.server.counts.recovered.Add(1)
	}
	s.push(call{kind: hasConnected, args: said.raw})
	c.must(s.welcome(a.socket))
	return false
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
// itself after that, so for what passes it loses its connection instead.
func (c *conn) refuseFor(namespace string, err error) (fail bool) {
	refusal := &transport.Refusal{Status: http.StatusUnauthorized, Type: "unauthorized", Message: "unauthorized"}
	if !errors.Is(err, errUnauthorized) && !errors.Is(err, hub.ErrBadCredentials) {
		refusal = transport.RefusalOf(err, 0)
	}
	if refusal.Status >= 500 {
		if refusal.Status == http.StatusInternalServerError && !errors.Is(err, context.Canceled) {
			c.settings.Logger.Error("a socket could not be let in", "err", err)
		}
		return true
	}
	c.refuse(namespace, refusal.Message, fmt.Appendf(nil, `{"code":%d,"type":%q}`, refusal.Status, refusal.Type))
	return false
}

// Emit says an event to the socket, by the log: it hears it also if it comes
// back for that. args is a JSON array.
func (s *Socket) Emit(ctx context.Context, event string, args json.RawMessage) error {
	_, err := s.conn.server.hub.Emit(ctx, hub.Emission{
		Namespace: s.namespace.Name, Rooms: []string{s.ID()}, Event: event, Args: args, Sender: json.RawMessage("null"),
	})
	return err
}

// Disconnect takes the socket off its namespace. Its client is told, and does
// not come back by itself.
func (s *Socket) Disconnect() {
	c := s.conn
	c.mu.Lock()
	defer c.release(false)
	if s.state == connected {
		c.dismiss(s)
	}
}
