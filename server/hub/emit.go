package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// An Emission is an event for all who are in any of some rooms. Who is in
// several hears it once: by the first that is listed.
type Emission struct {
	Namespace string          // "" is the root
	Rooms     []string        // none: everybody in the namespace
	Except    []string        // who is in one of these rooms does not hear it
	Event     string          // what it is called
	Args      json.RawMessage // its arguments: one valid JSON array
	Sender    json.RawMessage // who says it: one valid JSON value

	// Volatile events are heard by those who can take them at that moment, and
	// kept for nobody else.
	Volatile bool
	// PublishID and TTL are as in [Publication]; the ids are those of
	// broadcasts.
	PublishID string
	TTL       time.Duration
}

// ClientRoom begins the names of rooms that are all sockets of one client.
const ClientRoom = "client:"

// reservedEvents have a meaning of their own for Socket.IO.
var reservedEvents = []string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}

// Emit puts the event into the log, one copy for each room, one right after
// the other. A room is a channel (see [RoomChannel]), or one socket, whose id
// is its name, or all sockets of a client (see [ClientRoom]); a socket or a
// client that does not exist is nobody. It returns where the last copy went;
// the log's top if there was nobody to say it to.
func (h *Hub) Emit(ctx context.Context, e Emission) (Published, error) {
	if e.Namespace == "" {
		e.Namespace = Root
	}
	if err := h.checkEmission(&e); err != nil {
		return Published{}, err
	}
	p := Publication{Sender: e.Sender, Data: e.Args, PublishID: e.PublishID, TTL: e.TTL}
	if err := h.checkPublication(&p); err != nil {
		return Published{}, err
	}
	names, err := h.roomChannels(ctx, &e)
	if err == nil {
		err = h.checkPublication(&p, names...)
	}
	if err != nil {
		return Published{}, err
	}
	if len(names) == 0 {
		return Published{Position: h.Position()}, nil
	}
	r, err := h.append(ctx, h.emission(&e, &p, names))
	switch {
	case err != nil:
		return Published{}, err
	case len(r.Earlier) > 0:
		return r.Earlier[len(r.Earlier)-1], nil
	}
	all := h.placesOf(r.Messages)
	return all[len(all)-1], nil
}

// emission makes the broadcast that e is.
func (h *Hub) emission(e *Emission, p *Publication, names []string) Command {
	cmd := Command{Op: OpBroadcast, Messages: make([]*Message, len(names))}
	terms := &Terms{TTL: e.TTL}
	if len(names) > 1 {
		terms.Union = &Union{Channels: names}
	}
	for _, room := range e.Except {
		if id, direct := h.direct(room); direct {
			terms.ExceptClients = append(terms.ExceptClients, id)
		} else {
			terms.ExceptChannels = append(terms.ExceptChannels, RoomChannel(e.Namespace, room))
		}
	}
	if terms.Union == nil && terms.TTL == 0 && len(e.Except) == 0 {
		terms = nil
	}
	for i, name := range names {
		cmd.Messages[i] = &Message{name: name, Event: e.Event, Sender: e.Sender, Data: e.Args, Volatile: e.Volatile, Terms: terms}
	}
	if e.PublishID != "" {
		rooms := slices.Concat([]string{e.Event, e.Namespace}, e.Rooms, []string{""}, e.Except)
		cmd.Retry = &PublishKey{ID: e.PublishID, Hash: digest(p, rooms)}
	}
	return cmd
}

// roomChannels returns the channels that e goes to. Sockets and clients that
// are spoken to for the first time are subscribed to channels of their own.
func (h *Hub) roomChannels(ctx context.Context, e *Emission) (names []string, err error) {
	if len(e.Rooms) == 0 {
		return []string{RoomChannel(e.Namespace, "")}, nil
	}
	for _, room := range distinct(e.Rooms) {
		name := RoomChannel(e.Namespace, room)
		if id, direct := h.direct(room); direct {
			name = directChannel(e.Namespace, id)
			_, err := h.subscribe(ctx, []Pair{{id, name}})
			if errors.Is(err, ErrUnknownClient) {
				continue
			}
			if err != nil {
				return nil, err
			}
		}
		names = append(names, name)
	}
	return names, nil
}

// direct reports whether the room is one client, or one socket, and its id.
func (h *Hub) direct(room string) (id string, ok bool) {
	if id, ok := strings.CutPrefix(room, ClientRoom); ok {
		return id, true
	}
	c := h.clients.get(room)
	return room, c != nil && c.socket
}

func (h *Hub) checkEmission(e *Emission) error {
	l := h.limits()
	if err := checkName("a namespace", e.Namespace, l.NameBytes); err != nil {
		return err
	}
	if err := CheckNamespace(e.Namespace); err != nil {
		return err
	}
	if err := checkName("an event's name", e.Event, l.NameBytes); err != nil {
		return err
	}
	if slices.Contains(reservedEvents, e.Event) {
		return &Error{Kind: Invalid, Name: e.Event, Text: fmt.Sprintf("the event %q has a meaning of its own and cannot be emitted", e.Event)}
	}
	if len(e.Rooms)+len(e.Except) > l.RoomsPerEmit {
		return h.refuse(limitReached("rooms_per_emit", l.RoomsPerEmit))
	}
	for _, list := range [][]string{e.Rooms, e.Except} {
		for _, room := range list {
			if err := checkName("a room's name", room, l.NameBytes); err != nil {
				return err
			}
		}
	}
	return nil
}

// CheckNamespace says what is wrong with the name of a namespace: it begins
// with a / and has no # and no comma, which would end it elsewhere. The error
// is an [*Error] of kind Invalid.
func CheckNamespace(name string) error {
	if !strings.HasPrefix(name, "/") || strings.ContainsAny(name, "#,?") {
		return &Error{Kind: Invalid, Name: name, Text: "a namespace must begin with / and must not contain #, ? or a comma"}
	}
	return nil
}

// A Union says that messages are one event, said on several channels.
type Union struct {
	First    uint64   // the seq of the first copy; the others follow it
	Channels []string // of the copies, in their order
}

// excepted reports whether m is not for r although it is on its channel: r is
// one that was left out, or hears another copy.
func (r *reader) excepted(m *Message) bool {
	t := m.Terms
	if t == nil {
		return false
	}
	for _, id := range t.ExceptClients {
		if slices.ContainsFunc(r.clients, func(c *client) bool { return c.id == id }) {
			return true
		}
	}
	first := m.Seq
	if t.Union != nil {
		first = t.Union.First
		if r.inAny(t.Union.Channels[:m.Seq-first], first) {
			return true
		}
	}
	return len(t.ExceptChannels) > 0 && slices.ContainsFunc(r.clients, func(c *client) bool {
		return c.wasOn(t.ExceptChannels, first)
	})
}

// A past is a membership that has ended.
type past struct {
	channel      string
	since, until uint64
}

// maxPasts is how many of its past memberships a client remembers: who has left
// more in a moment may hear an event that was not for the first of them.
const maxPasts = 16

// remember keeps that a membership has ended with seq. c.mu is held.
func (c *client) remember(m *member, seq uint64) {
	var all []past
	if c.pasts != nil {
		all = *c.pasts
	}
	if len(all) == maxPasts {
		all = slices.Delete(all, 0, 1)
	}
	all = append(all, past{m.channel.name, m.since, seq})
	c.pasts = &all
}

// wasOn reports whether c was on one of the channels at seq, which it need not
// be any more.
func (c *client) wasOn(channels []string, seq uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range channels {
		if slices.ContainsFunc(c.subs, func(m *member) bool { return m.channel.name == name && m.since < seq }) ||
			c.pasts != nil && slices.ContainsFunc(*c.pasts, func(p past) bool { return p.channel == name && p.since < seq && seq < p.until }) {
			return true
		}
	}
	return false
}

// inAny reports whether r reads one of the channels and did so at seq already.
func (r *reader) inAny(channels []string, seq uint64) bool {
	for _, name := range channels {
		for i := range r.sources {
			if s := &r.sources[i]; s.channel.name == name && s.member.since < seq {
				return true
			}
		}
	}
	return false
}
