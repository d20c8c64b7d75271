package socketio

import (
	"context"
	"encoding/json"

	"github.com/shaveet/shaveet/server/hub"
)

// A state is how far a socket has come.
type state uint8

const (
	connecting state = iota
	connected
	left
)

// arriving is a socket that is connecting.
type arriving struct {
	giveUp context.CancelFunc
	why    string // it has left meanwhile
}

// A Socket is one client in one namespace. Its methods may be called by many
// goroutines at once.
type Socket struct {
	conn      *conn
	namespace *Namespace
	client    string // whose key was shown, "" if nobody's

	credentials hub.Credentials // its id, that everybody may know, and by what it comes back

	// Guarded by conn.mu.
	state    state
	fresh    bool // it has been told that it is not where it was, and has heard nothing yet
	batch    bool // something of session is under way
	more     bool // which is not all there was
	leaving  bool // it is to be dismissed when it has heard everything
	session  *hub.Session
	arriving *arriving  // nil: it has arrived
	inbox    *inbox     // nil: its handler has been told everything
	asked    *questions // nil: it has never been asked anything
}

// ID returns the socket's name, which is a room with nobody else in it.
func (s *Socket) ID() string { return s.credentials.ID }

// Client returns the id of the client whose key the socket has shown, "" in an
// open namespace without one.
func (s *Socket) Client() string { return s.client }

// Namespace returns the name of the namespace it is in.
func (s *Socket) Namespace() string { return s.namespace.Name }

// Emit says an event to the socket, by the log: it hears it also if it comes
// back for that. args is a JSON array.
func (s *Socket) Emit(ctx context.Context, event string, args json.RawMessage) error {
	_, err := s.conn.server.hub.Emit(ctx, hub.Emission{
		Namespace: s.namespace.Name, Rooms: []string{s.ID()}, Event: event, Args: args, Sender: json.RawMessage("null"),
	})
	return err
}

// Disconnect takes the socket off its namespace, when it has heard what was said
// to it before. Its client is told, and does not come back by itself. What it says
// from now on nobody hears.
func (s *Socket) Disconnect() {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	s.leaving = true
	c.session.Wake()
}
