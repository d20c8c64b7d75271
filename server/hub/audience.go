package hub

import "slices"

// An Audience is who is in any of some rooms of a namespace; a room is what it is
// for [Hub.Emit].
type Audience struct {
	Namespace string   // "" is the root
	Rooms     []string // none: everybody in the namespace
	Except    []string // who is in one of these rooms is not meant
}

// Readers returns the holders (see [Start]) of the sessions that are meant: those
// that read the namespace, each once, in no order. Who is in a room is decided
// now; who joins or leaves while it looks may be among them or not.
func (h *Hub) Readers(a Audience) (holders []any, err error) {
	if a.Namespace == "" {
		a.Namespace = Root
	}
	if err := h.checkAudience(&a); err != nil {
		return nil, err
	}
	seen := make(map[*reader]bool)
	var found []*reader
	take := func(c *client) {
		first := len(found)
		found = c.readers(found)
		kept := found[:first]
		for _, r := range found[first:] {
			if r.holder != nil && r.namespace.Value() == a.Namespace && !seen[r] && !h.inAny(r, &a) {
				kept = append(kept, r)
			}
			seen[r] = true
		}
		found = kept
	}
	if len(a.Rooms) == 0 {
		h.eachOn(RoomChannel(a.Namespace, ""), take)
	}
	for _, room := range a.Rooms {
		if id, direct := h.direct(room); !direct {
			h.eachOn(RoomChannel(a.Namespace, room), take)
		} else if c := h.clients.get(id); c != nil {
			take(c)
		}
	}
	for _, r := range found {
		holders = append(holders, r.holder)
	}
	return holders, nil
}

// eachOn calls f for the live clients on a channel, while nobody else waits.
func (h *Hub) eachOn(channel string, f func(*client)) {
	ch := h.channels.get(channel)
	if ch == nil {
		return
	}
	ch.walk(func(part []*member) {
		for _, m := range part {
			f(m.client)
		}
	})
}

// inAny reports whether r is in one of the rooms that a is not for.
func (h *Hub) inAny(r *reader, a *Audience) bool {
	return slices.ContainsFunc(a.Except, func(room string) bool {
		id, direct := h.direct(room)
		ch := h.channels.get(RoomChannel(a.Namespace, room))
		return slices.ContainsFunc(r.clients, func(c *client) bool {
			if direct {
				return c.id == id
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			return ch != nil && c.subLocked(ch) != nil
		})
	})
}

// InRoom reports whether a socket is in a room of its namespace, by itself or with
// its owner.
func (h *Hub) InRoom(id, namespace, room string) bool {
	c, ch := h.clients.get(id), h.channels.get(RoomChannel(namespace, room))
	if c == nil || ch == nil || quiet(ch.name) {
		return false
	}
	for _, c := range []*client{c, c.owner.Load()} {
		if c == nil {
			continue
		}
		c.mu.Lock()
		in := c.state != dead && c.subLocked(ch) != nil
		c.mu.Unlock()
		if in {
			return true
		}
	}
	return false
}

// SocketRooms returns the rooms of its namespace that a socket is in, by itself
// or with its owner, in no order; without its own, which is named as it is, and
// that of everybody.
func (h *Hub) SocketRooms(id, namespace string) (rooms []string) {
	c := h.clients.get(id)
	if c == nil {
		return nil
	}
	for _, c := range []*client{c, c.owner.Load()} {
		if c == nil {
			continue
		}
		c.mu.Lock()
		for _, m := range c.subs {
			ns, room := SplitRoom(m.channel.name)
			if ns == namespace && !quiet(m.channel.name) && !m.channel.gone() && !slices.Contains(rooms, room) {
				rooms = append(rooms, room)
			}
		}
		c.mu.Unlock()
	}
	return rooms
}
