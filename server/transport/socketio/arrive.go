package socketio

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport"
	"github.com/shaveet/shaveet/server/transport/socketio/engine"
)

// begin has the socket be connected, which may have to wait for the log.
func (s *Socket) begin(said auth) {
	ctx, cancel := context.WithCancel(s.conn.server.base)
	s.arriving = &arriving{giveUp: cancel}
	s.conn.server.working.run(func() {
		defer cancel()
		a, err := s.arrive(ctx, &said)
		if a.recovered {
			defer s.conn.server.coming.release(a.socket.ID)
		}
		if err == nil && s.namespace.Handler != nil {
			err = s.introduce(ctx, &a, said.raw)
		}
		s.settle(a, said.raw, err)
	})
}

// introduce asks the handler whether the socket may join. If not, it has never
// been here; if that cannot be decided, it may come back as it could before.
func (s *Socket) introduce(ctx context.Context, a *arrival, shown json.RawMessage) error {
	c := s.conn
	c.mu.Lock()
	s.credentials, s.client = a.socket, a.client
	h := &Handshake{Auth: public(shown), Recovered: a.recovered, Protocol: c.session.Protocol()}
	if c.first != nil {
		h.Address, h.Header = c.first.address, c.first.header
	}
	c.mu.Unlock()
	err := errPanicked
	func() {
		defer s.rescue()
		err = s.namespace.Handler.Connect(ctx, s, h)
	}()
	if err == nil {
		return nil
	}
	a.session.Close()
	wait := time.Duration(0)
	refused := (*Refusal)(nil)
	if a.recovered && !errors.As(err, &refused) {
		wait = c.settings.RecoveryTime
	}
	c.server.leavers.add(a.socket, wait)
	if errors.As(err, &refused) {
		return err
	}
	return &undecided{err}
}

var errPanicked = errors.New("the handler has panicked")

// undecided is the error of a handler that could not decide.
type undecided struct{ error }

func (u *undecided) Unwrap() error { return u.error }

// refusal returns it as the client is told.
func (u *undecided) refusal() *transport.Refusal {
	r := &transport.Refusal{Status: http.StatusServiceUnavailable, Type: "handler_failed", Message: "nobody can decide about that now"}
	if k := interface{ Kind() string }(nil); errors.As(u.error, &k) {
		r.Type = k.Kind()
	}
	return r
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
		if open, err := h.OpensNow(ctx, cr); err != nil || !open {
			return a, cmp.Or(err, errUnauthorized)
		}
		creds, a.client = []hub.Credentials{cr}, cr.ID
	}
	start, err := said.start()
	if err != nil {
		return a, err
	}
	start.Namespace, start.Transport, start.BatchBytes = s.namespace.Name, "socketio", streamBatch
	start.Unlisted, start.Holder, start.Ready = true, s, s.conn.session.Wake
	if s.conn.settings.recovers(s.conn.old) {
		if s.comeBack(ctx, said, creds, &start, &a) {
			return a, nil
		}
		if ctx.Err() != nil { // it may still come back
			return a, ctx.Err()
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
		sv := s.conn.server
		if err := errors.Join(sv.going.wait(ctx, id), sv.doomed.wait(ctx, id)); err != nil {
			return cr, err
		}
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
	open, err := sv.hub.OpensNow(ctx, cr)
	if err != nil {
		return false
	}
	since, there := sv.hub.SocketSince(cr.ID, s.namespace.Name, a.client)
	if !open || !there || sv.doomed.is(cr.ID) || sv.coming.take(ctx, cr.ID) != nil {
		return false
	}
	defer func() {
		if !a.recovered {
			sv.coming.release(cr.ID)
		}
	}()
	if !sv.releaseElsewhere(ctx, cr.ID, s.namespace.Name) {
		return false
	}
	switch { // if it has not heard anything yet
	case start.Now:
		start.Now, start.At = false, since
	case start.At.IsZero():
		start.At = hub.Position{Epoch: since.Epoch}
	}
	former := sv.formers(cr.ID, s.namespace.Name)
	start.Session = cr.ID // should it be here by another connection still, that one goes
	session, err := sv.hub.Attach(ctx, append(slices.Clone(creds), cr), *start)
	if err != nil {
		sv.heir(s, cr)
		return false
	}
	for _, one := range former {
		one.supersede()
	}
	if sv.doomed.is(cr.ID) { // it has left for good at this moment
		session.Close()
		return false
	}
	lost := slices.ContainsFunc(session.Collect().Signals, losing)
	told := s.handlerTold(ctx, cr.ID)
	if told && !lost {
		sv.leavers.keep(cr.ID)
		a.session, a.socket, a.recovered = session, cr, true
		return true
	}
	session.Close()
	if told && lost {
		sv.leavers.add(cr, 0)
	}
	return false
}

// heir has a socket be forgotten here in time that other nodes have let go of, and
// that has not come back after all.
func (sv *Server) heir(s *Socket, cr hub.Credentials) {
	if set := s.conn.settings; set.Others != nil && !sv.doomed.is(cr.ID) {
		sv.leavers.add(cr, set.RecoveryTime)
	}
}

// losing reports whether who comes back and is told this has lost something.
func losing(signal hub.Signal) bool {
	switch signal.Type {
	case hub.SignalGap, hub.SignalReset, hub.SignalGone, hub.SignalSuperseded, hub.SignalDrain:
		return true
	}
	return false
}

// handlerTold waits until the handler of a socket that comes back has been told
// that it had left, and reports whether it has: for it hears that first, and may
// want its data. Whose handler does not return is not waited for until the
// connection is late: its page rather is a new socket than none.
func (s *Socket) handlerTold(ctx context.Context, id string) bool {
	ctx, cancel := context.WithTimeout(ctx, s.conn.settings.ConnectTimeout/3)
	defer cancel()
	return s.conn.server.going.wait(ctx, id) == nil
}

// formers returns what a socket is by other connections, which may not have
// noticed that they are dead.
func (sv *Server) formers(id, namespace string) (all []*Socket) {
	holders, _ := sv.hub.Readers(hub.Audience{Namespace: namespace, Rooms: []string{id}}) // both are good names
	for _, h := range holders {
		if one, ok := h.(*Socket); ok {
			all = append(all, one)
		}
	}
	return all
}

// supersede ends s because it has come back by another connection.
func (s *Socket) supersede() {
	c := s.conn
	c.mu.Lock()
	was := s.state
	if was == connected {
		c.leave(s, "transport close", true)
	}
	c.mu.Unlock()
	if was == connected {
		c.session.Close(engine.Forced)
	}
}
