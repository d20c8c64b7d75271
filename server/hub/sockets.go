package hub

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
)

// CreateSocket makes a client for one connection to a namespace: a socket. It
// is on the channel of everybody in that namespace from the returned position
// on. It is no client of anybody's: nobody lists it, and the sweeper leaves it
// alone for let_go_age after its last session. Whoever made it ends it by
// [Hub.ForgetSocket].
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
// its key is void. One that is read for stays, and so does who has another key.
func (h *Hub) ForgetSocket(ctx context.Context, cr Credentials) error {
	_, err := h.append(ctx, Command{Op: OpForgetSocket, Client: cr.ID, Key: cr.Key})
	return err
}

// checkForgetSocket claims the socket, so that nobody attaches to it any more.
func (h fold) checkForgetSocket(cmd *Command) {
	c := h.clients.get(cmd.Client)
	if c == nil || !c.socket || !c.opens(cmd.Key) || !c.claimUnread(h.shared == nil) {
		*cmd = Command{}
		return
	}
	cmd.Pairs = c.pairs()
}

// claimUnread has c leave for good if nobody reads for it. It reports whether it
// does; who was let go has left already. See claim.
func (c *client) claimUnread(leaves bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != live || c.attached.Load() > 0 {
		return false
	}
	if leaves {
		c.state = leaving
	}
	return true
}

// SetSocketData keeps data, any JSON value, with a socket, for as long as it can
// come back. The error is ErrUnknownClient if there is none of this id.
func (h *Hub) SetSocketData(ctx context.Context, id string, data []byte) error {
	if limit := h.limits().SocketDataBytes; len(data) > limit {
		return h.refuse(&Error{Kind: TooLarge, Name: id, Text: fmt.Sprintf("the data of a socket must not be longer than %d bytes (socket_data_bytes)", limit)})
	}
	_, err := h.append(ctx, Command{Op: OpData, Client: id, Data: bytes.Clone(data)})
	return err
}

// SocketData returns what is kept with a socket; nil: nothing. It must not be
// changed.
func (h *Hub) SocketData(id string) []byte {
	c := h.clients.get(id)
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rest == nil {
		return nil
	}
	return c.rest.data
}

func (h fold) checkData(cmd *Command) error {
	c := h.clients.get(cmd.Client)
	if c == nil || !c.socket || c.stateNow() == dead {
		return &Error{Kind: UnknownClient, Name: cmd.Client, Text: fmt.Sprintf("unknown socket %q", cmd.Client)}
	}
	return nil
}

func (h fold) setData(e Entry) {
	c := h.before(e.Client, e.Last)
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rare().data = e.Data
}

// SocketIDLength is how many characters the id of a socket has.
const SocketIDLength = 20

// socketMark begins it, by which it is known also when the socket has gone.
const socketMark = '~'

// NewSocketID returns an id for a socket, of 114 random bits.
func NewSocketID() string {
	var b [15]byte
	rand.Read(b[:])
	id := []byte(base64.RawURLEncoding.EncodeToString(b[:]))
	id[0] = socketMark
	return string(id)
}

// IsSocketID reports whether the id is of the form that sockets have.
func IsSocketID(id string) bool { return len(id) == SocketIDLength && id[0] == socketMark }

// SocketSince returns since when the socket has been in the namespace, and
// whether it is: connected to it, or free to come back. It is not, for an owner
// that is another one than it began with; who was killed and created again is
// another one, too.
func (h *Hub) SocketSince(id, namespace, owner string) (at Position, ok bool) {
	c := h.clients.get(id)
	if c == nil || !c.socket || c.owner.Load() != h.clients.get(owner) {
		return at, false
	}
	everybody := RoomChannel(namespace, "")
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.subs {
		if m.channel.name == everybody && !m.channel.gone() {
			return h.position(m.since), true
		}
	}
	return at, false
}
