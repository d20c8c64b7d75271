package socketio

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// Server returns the server that the socket is connected to.
func (s *Socket) Server() *Server { return s.conn.server }

// Join has the socket be in rooms of its namespace too. It comes back to them if
// it loses its connection. The errors are those of [hub.Hub.Subscribe].
func (s *Socket) Join(ctx context.Context, rooms ...string) error {
	pairs, err := s.pairs(rooms)
	if err != nil || len(pairs) == 0 {
		return err
	}
	_, err = s.conn.server.hub.Subscribe(ctx, pairs)
	return err
}

// Leave has the socket not be in the rooms any more; where it is because of its
// client, it stays.
func (s *Socket) Leave(ctx context.Context, rooms ...string) error {
	pairs, err := s.pairs(rooms)
	if err != nil || len(pairs) == 0 {
		return err
	}
	_, err = s.conn.server.hub.Unsubscribe(ctx, pairs)
	return err
}

// pairs returns the memberships that being in the rooms is.
func (s *Socket) pairs(rooms []string) ([]hub.Pair, error) {
	pairs := make([]hub.Pair, len(rooms))
	for i, room := range rooms {
		if room == "" || hub.IsSocketID(room) || strings.HasPrefix(room, hub.ClientRoom) {
			return nil, &hub.Error{Kind: hub.Invalid, Name: room, Text: fmt.Sprintf("nobody can join or leave the room %q", room)}
		}
		pairs[i] = hub.Pair{Client: s.ID(), Channel: hub.RoomChannel(s.namespace.Name, room)}
	}
	return pairs, nil
}

// Rooms returns the rooms that the socket is in, by itself or because its client
// is subscribed to the channel; not the one that is its own.
func (s *Socket) Rooms() []string {
	return s.conn.server.hub.SocketRooms(s.ID(), s.namespace.Name)
}

// Data returns what was kept with the socket last, nil if nothing was. It must
// not be changed.
func (s *Socket) Data() json.RawMessage { return s.conn.server.hub.SocketData(s.ID()) }

// SetData keeps any JSON value with the socket, also while it may come back.
func (s *Socket) SetData(ctx context.Context, data json.RawMessage) error {
	return s.conn.server.hub.SetSocketData(ctx, s.ID(), data)
}

// Hub returns the hub that the sockets read from.
func (sv *Server) Hub() *hub.Hub { return sv.hub }

// Sockets returns the sockets that are meant and connected here, in no order. The
// error is a [hub.Error] for names that are none.
func (sv *Server) Sockets(a hub.Audience) ([]*Socket, error) {
	holders, err := sv.hub.Readers(a)
	if err != nil {
		return nil, err
	}
	all := make([]*Socket, 0, len(holders))
	for _, h := range holders {
		if s, ok := h.(*Socket); ok && s.isConnected() {
			all = append(all, s)
		}
	}
	return all, nil
}

func (s *Socket) isConnected() bool {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return s.state == connected
}

// Join has all sockets that are meant, on all nodes, be in rooms too, and returns
// how many there were. Those that leave meanwhile are passed over. With an error it
// has been done for some.
func (sv *Server) Join(ctx context.Context, a hub.Audience, rooms []string) (n int, err error) {
	return sv.everywhere(ctx, questionJoin, moved{a, rooms}, func() (int, error) { return sv.joinHere(ctx, a, rooms) })
}

func (sv *Server) joinHere(ctx context.Context, a hub.Audience, rooms []string) (n int, err error) {
	return sv.each(a, func(s *Socket) error { return s.Join(ctx, rooms...) })
}

// Leave is the contrary of Join.
func (sv *Server) Leave(ctx context.Context, a hub.Audience, rooms []string) (n int, err error) {
	return sv.everywhere(ctx, questionLeave, moved{a, rooms}, func() (int, error) { return sv.leaveHere(ctx, a, rooms) })
}

func (sv *Server) leaveHere(ctx context.Context, a hub.Audience, rooms []string) (n int, err error) {
	return sv.each(a, func(s *Socket) error { return s.Leave(ctx, rooms...) })
}

func (sv *Server) each(a hub.Audience, do func(*Socket) error) (n int, err error) {
	all, err := sv.Sockets(a)
	for _, s := range all {
		switch err := do(s); {
		case err == nil:
			n++
		case s.isConnected():
			return n, err
		}
	}
	return n, err
}

// Disconnect takes all sockets that are meant, on all nodes, off their namespace, or
// ends their whole connections. Their clients are told, and do not come back by
// themselves. It returns how many there were.
func (sv *Server) Disconnect(ctx context.Context, a hub.Audience, wholeConnection bool) (n int, err error) {
	return sv.everywhere(ctx, questionDisconnect, sentAway{a, wholeConnection}, func() (int, error) { return sv.disconnectHere(a, wholeConnection) })
}

func (sv *Server) disconnectHere(a hub.Audience, wholeConnection bool) (n int, err error) {
	return sv.each(a, func(s *Socket) error {
		if wholeConnection {
			s.conn.sendAway()
		} else {
			s.Disconnect()
		}
		return nil
	})
}

// Info is what there is to know of a socket.
type Info struct {
	ID, Client, Namespace string
	Rooms                 []string
	Transport             string // "polling" or "websocket"
	Address               string // of the peer; "" if it is not known now
	Connected             time.Time
	Data                  json.RawMessage // nil: nothing is kept with it
}

// Fetch returns what there is to know of the sockets that are meant, on all nodes,
// and whose ids come after one, in the order of their ids, at most so many. With an
// [Unreached] it is what the other nodes know.
func (sv *Server) Fetch(ctx context.Context, a hub.Audience, after string, limit int) ([]Info, error) {
	here, err := sv.fetchHere(a, after, limit)
	if err != nil {
		return nil, err
	}
	there, err := sv.fetchThere(ctx, a, after, limit)
	return merged(append(here, there...), limit), err
}

func (sv *Server) fetchHere(a hub.Audience, after string, limit int) ([]Info, error) {
	sockets, err := sv.Sockets(a)
	sockets = slices.DeleteFunc(sockets, func(s *Socket) bool { return s.ID() <= after })
	slices.SortFunc(sockets, func(a, b *Socket) int { return strings.Compare(a.ID(), b.ID()) })
	sockets = sockets[:min(len(sockets), limit)]
	all := make([]Info, 0, len(sockets))
	for _, s := range sockets {
		all = append(all, s.info())
	}
	return all, err
}

func (s *Socket) info() Info {
	i := Info{ID: s.ID(), Client: s.Client(), Namespace: s.Namespace(), Rooms: s.Rooms(), Data: s.Data()}
	i.Transport, i.Address = s.conn.session.Peer()
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if i.Address == "" && s.conn.first != nil {
		i.Address = s.conn.first.address
	}
	if s.session != nil {
		i.Connected = s.session.Began()
	}
	return i
}

// SetData is [Socket.SetData] for the socket with an id. The error is
// [hub.ErrUnknownClient] if there is none.
func (sv *Server) SetData(ctx context.Context, id string, data json.RawMessage) error {
	return sv.hub.SetSocketData(ctx, id, data)
}

// Declare is [hub.Hub.Declare] for namespaces that are not in the configuration,
// whose handlers there are.
func (sv *Server) Declare(ctx context.Context, n hub.Namespace) error {
	set := sv.settings.Load()
	if set.configured(n.Pattern) && !n.Remove {
		return &hub.Error{Kind: hub.Invalid, Name: n.Pattern, Text: fmt.Sprintf("the namespace %q is in the configuration", n.Pattern)}
	}
	if n.Handler != "" && set.Handlers[n.Handler] == nil {
		return &hub.Error{Kind: hub.Invalid, Name: n.Handler, Text: fmt.Sprintf("there is no handler %q in the configuration", n.Handler)}
	}
	return sv.hub.Declare(ctx, n)
}

func limitReached(limit string, value int) error {
	return &hub.Error{Kind: hub.LimitReached, Name: limit, Text: fmt.Sprintf("limit reached: %s = %d", limit, value)}
}
