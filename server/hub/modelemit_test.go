package hub_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/shaveet/shaveet/server/hub"
)

// A union is what the copies of one event have in common. Each reader hears one
// of them: that of the first channel it is on.
type union struct {
	copies      []*event // in the order of the rooms
	exceptIDs   []string // of clients and sockets
	exceptLives map[int]bool
	exceptRooms []string
}

func (u *union) first() uint64 { return u.copies[0].seq }

// before returns the copies that go before e.
func (u *union) before(e *event) []*event { return u.copies[:slices.Index(u.copies, e)] }

// quiet reports whether a channel is one of those that sockets bring with them.
func quiet(channel string) bool {
	return strings.HasPrefix(channel, "@") || strings.HasSuffix(channel, "#")
}

// roomOf returns the channel that is a room of a namespace.
func roomOf(namespace, room string) string {
	if namespace == "/" && room != "" {
		return room
	}
	return namespace + "#" + room
}

func isIn(channel, namespace string) bool {
	ns, _ := hub.SplitRoom(channel)
	return namespace == "" || ns == namespace
}

// direct reports whether the room is one client or socket, and its id.
func direct(room string) (id string, ok bool) {
	id, ok = strings.CutPrefix(room, "client:")
	return id, ok || strings.HasPrefix(room, "~")
}

// resolve returns the channels that an emission goes to, and who joins one of
// them for that.
func (m *model) resolve(e hub.Emission) (channels []string, joins []hub.Pair) {
	if len(e.Rooms) == 0 {
		return []string{roomOf(e.Namespace, "")}, nil
	}
	for _, room := range e.Rooms {
		channel := roomOf(e.Namespace, room)
		id, alone := direct(room)
		c := m.clients[id]
		if alone {
			channel = "@" + e.Namespace + "#" + id
		}
		switch {
		case alone && c == nil, slices.Contains(channels, channel):
			continue
		case alone && c.sub(channel) == nil && c.away:
			continue // it cannot join
		case alone && c.sub(channel) == nil:
			joins = append(joins, hub.Pair{Client: id, Channel: channel})
		}
		channels = append(channels, channel)
	}
	return channels, joins
}

// emit says an event, and returns the last copy; nil if it is for nobody, or
// refused.
func (m *model) emit(e hub.Emission) (last *event, repeated bool, refusal error) {
	channels, joins := m.resolve(e)
	if len(channels) == 0 {
		return nil, false, nil
	}
	r := &modelRetry{id: e.PublishID, places: len(channels)}
	if r.id != "" {
		r.said = fmt.Sprint(e)
		if last, refusal = m.earlier(r); last != nil || refusal != nil {
			return last, last != nil, refusal
		}
	}
	for _, channel := range channels {
		m.begin(channel)
	}
	for _, p := range joins {
		m.join(m.clients[p.Client], p.Channel)
	}
	k := message
	if e.Volatile {
		k = volatile
	}
	u := m.union(e)
	for _, channel := range channels {
		last = m.say(channel, k, m.next())
		last.ttl, last.union = e.TTL, u
		u.copies = append(u.copies, last)
	}
	if r.id != "" {
		m.remember(r, last)
	}
	return last, false, nil
}

// union returns what an emission that is said now is, but for the copies.
func (m *model) union(e hub.Emission) *union {
	u := &union{exceptLives: map[int]bool{}}
	for _, room := range e.Except {
		if id, alone := direct(room); alone {
			u.exceptIDs = append(u.exceptIDs, id)
			continue
		}
		channel := roomOf(e.Namespace, room)
		u.exceptRooms = append(u.exceptRooms, channel)
		owed, _ := m.members(channel)
		for life := range owed {
			u.exceptLives[life] = true
		}
	}
	return u
}

func (m *model) createSocket(id, namespace, owner string) (ok bool) {
	if m.clients[id] != nil {
		return false
	}
	everybody := roomOf(namespace, "")
	m.begin(everybody)
	m.join(m.newClient(id), everybody)
	c := m.clients[id]
	c.socket, c.owner = true, m.clients[owner]
	if owner != "" && c.owner == nil { // somebody who is no more
		c.owner = new(modelClient)
	}
	return true
}

// forgetSocket ends a socket that nobody reads for.
func (m *model) forgetSocket(id string) {
	if c := m.clients[id]; c != nil && c.socket && !c.away && c.attached == 0 {
		m.kill(id)
	}
}

// socketSince returns the seq from which the socket is in a namespace.
func (m *model) socketSince(id, namespace, owner string) (seq uint64, ok bool) {
	c := m.clients[id]
	if c == nil || !c.socket || c.owner != m.clients[owner] {
		return 0, false
	}
	s := c.sub(roomOf(namespace, ""))
	if s == nil {
		return 0, false
	}
	return s.since, true
}
