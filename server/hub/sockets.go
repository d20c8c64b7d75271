package hub

import "context"

// CreateSocket makes a client for one connection to a namespace: a socket. It
// is on the channel of everybody in that namespace from the returned position
// on. It is no client of anybody's: nobody lists it, and the sweeper leaves it
// alone for let_go_age after its last session. Whoever made it ends it by
// [Hub.KillClient].
//
// owner is the client whose key was shown, "" if nobody's.
func (h *Hub) CreateSocket(ctx context.Context, id, namespace, owner string) (Credentials, Position, error) {
	cr := Credentials{ID: id, Key: h.newKey()}
	r, err := h.append(ctx, Command{Op: OpSocket, Client: id, Key: cr.Key, Owner: owner, Pairs: []Pair{{id, RoomChannel(namespace, "")}}})
	return cr, r.Position, err
}

func (h fold) checkSocket(cmd *Command) error {
	if h.clients.get(cmd.Client) != nil {
		return &Error{Kind: Conflict, Name: cmd.Client, Text: "there is a client of this name"}
	}
	if err := h.roomForClient(true); err != nil {
		return err
	}
	d := draft{hub: h.Hub, many: len(cmd.Pairs) > 1}
	for _, p := range cmd.Pairs {
		if err := d.create(p.Channel); err != nil {
			return err
		}
	}
	cmd.Creates = d.creates
	return nil
}

// ForgetSocket ends a socket that nobody reads for: it leaves everything, and
// its key is void. One that is read for stays, and so does what is none.
func (h *Hub) ForgetSocket(ctx context.Context, id string) error {
	if c := h.clients.get(id); c == nil || !c.socket {
		return nil
	}
	for _, op := range []Op{OpLetGo, OpForget} { // what is not idle is not let go, nor then forgotten
		if _, err := h.append(ctx, Command{Op: op, Clients: []string{id}}); err != nil {
			return err
		}
	}
	return nil
}

// SocketSince returns since when the socket has been in the namespace, and
// whether it is: connected to it, or free to come back. It is not, for an owner
// that is another one than it began with; who was killed and created again is
// another one, too.
func (h *Hub) SocketSince(id, namespace, owner string) (at Position, ok bool) {
	c := h.clients.get(id)
	if c == nil || !c.socket || c.owner != h.clients.get(owner) {
		return at, false
	}
	everybody := RoomChannel(namespace, "")
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.subs {
		if m.channel.name == everybody {
			return h.position(m.since), true
		}
	}
	return at, false
}
