package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
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
	if h.shared != nil && h.namesStrangers(&e) {
		if err := h.Sync(ctx); err != nil {
			return Published{}, err
		}
	}
	cmd := Command{Op: OpEmit, Emit: &e}
	if e.PublishID != "" {
		said := slices.Concat([]string{e.Event, e.Namespace, strconv.FormatBool(e.Volatile)}, e.Rooms, []string{""}, e.Except)
		cmd.Retry = &PublishKey{ID: e.PublishID, Hash: digest(&p, said)}
	}
	r, err := h.append(ctx, cmd)
	switch {
	case err != nil:
		return Published{}, err
	case len(r.Earlier) > 0:
		return r.Earlier[len(r.Earlier)-1], nil
	case len(r.Messages) == 0: // nobody is meant
		return Published{Position: r.Position}, nil
	}
	all := h.placesOf(r.Messages)
	return all[len(all)-1], nil
}

// namesStrangers reports whether e is for somebody, or not for somebody, who is
// not known here: who may have come to another node a moment ago.
func (h *Hub) namesStrangers(e *Emission) bool {
	return slices.ContainsFunc(slices.Concat(e.Rooms, e.Except), func(room string) bool {
		id, direct := h.direct(room)
		return direct && h.clients.get(id) == nil
	})
}

// checkEmit resolves an emission to the copies that it is. Clients and sockets
// that are spoken to alone for the first time join channels of their own with
// it.
func (h fold) checkEmit(cmd *Command, top Result) (Result, error) {
	e := cmd.Emit
	d := draft{hub: h.Hub, many: true}
	var names []string
	if len(e.Rooms) == 0 {
		names = []string{RoomChannel(e.Namespace, "")}
		if err := d.create(names[0]); err != nil {
			return top, err
		}
	}
	for _, room := range e.Rooms {
		name, pair, ok := h.resolve(e.Namespace, room)
		if !ok || slices.Contains(names, name) {
			continue
		}
		if err := d.create(name); err != nil {
			return top, err
		}
		names = append(names, name)
		if pair.Client != "" {
			d.pairs = append(d.pairs, pair)
		}
	}
	if len(names) == 0 {
		*cmd = Command{}
		return top, nil
	}
	cmd.Messages, cmd.Pairs, cmd.Creates = h.copies(e, names), d.pairs, d.creates
	var err error
	top.Earlier, err = h.checkRetry(cmd)
	return top, err
}

// resolve returns the channel that a room is, and who has to join it for that,
// if somebody has; not ok if it is nobody.
func (h fold) resolve(namespace, room string) (name string, joins Pair, ok bool) {
	id, direct := h.direct(room)
	if !direct {
		return RoomChannel(namespace, room), joins, true
	}
	c := h.clients.get(id)
	if c == nil {
		return "", joins, false
	}
	name = directChannel(namespace, id)
	if ch := h.channels.get(name); ch != nil && c.subLocked(ch) != nil {
		return name, joins, true
	}
	return name, Pair{id, name}, c.stateNow() == live
}

// copies returns the messages that e is on the channels.
func (h fold) copies(e *Emission, names []string) []*Message {
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
	all := make([]*Message, len(names))
	for i, name := range names {
		all[i] = &Message{name: name, Event: e.Event, Sender: e.Sender, Data: e.Args, Volatile: e.Volatile, Terms: terms}
	}
	return all
}

// direct reports whether the room is one client, or one socket, and its id.
func (h *Hub) direct(room string) (id string, ok bool) {
	if id, ok := strings.CutPrefix(room, ClientRoom); ok {
		return id, true
	}
	if IsSocketID(room) {
		return room, true
	}
	c := h.clients.get(room)
	return room, c != nil && c.socket // with a name of other times
}

func (h *Hub) checkEmission(e *Emission) error {
	l := h.limits()
	if err := CheckEvent(e.Event, l.NameBytes); err != nil {
		return err
	}
	return h.checkAudience(&Audience{e.Namespace, e.Rooms, e.Except})
}

// CheckEvent says what is wrong with the name of an event. The error is an
// [*Error] of kind Invalid.
func CheckEvent(name string, nameBytes int) error {
	if err := checkName("an event's name", name, nameBytes); err != nil {
		return err
	}
	if slices.Contains(reservedEvents, name) {
		return &Error{Kind: Invalid, Name: name, Text: fmt.Sprintf("the event %q has a meaning of its own and cannot be emitted", name)}
	}
	return nil
}

func (h *Hub) checkAudience(a *Audience) error {
	l := h.limits()
	if err := checkName("a namespace", a.Namespace, l.NameBytes); err != nil {
		return err
	}
	if err := CheckNamespace(a.Namespace); err != nil {
		return err
	}
	if len(a.Rooms)+len(a.Except) > l.RoomsPerEmit {
		return h.refuse(limitReached("rooms_per_emit", l.RoomsPerEmit))
	}
	for _, room := range slices.Concat(a.Rooms, a.Except) {
		what, name := "a room's name", room
		if id, direct := h.direct(room); direct {
			name = id // what its channel is called is our business
		} else if room != "" && a.Namespace != Root {
			what, name = "a channel name", RoomChannel(a.Namespace, room)
		}
		if err := checkName(what, name, l.NameBytes); err != nil {
			return err
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
		if r.hearsElsewhere(m, t.Union) {
			return true
		}
	}
	return len(t.ExceptChannels) > 0 && slices.ContainsFunc(r.clients, func(c *client) bool {
		return c.wasOn(t.ExceptChannels, first)
	})
}

// hearsElsewhere reports whether r hears an earlier copy of the event than m: it
// is on that one's channel, and was when it was said.
func (r *reader) hearsElsewhere(m *Message, u *Union) bool {
	// Only what r had to hear can have ended a batch between two copies.
	if u.First <= r.behind {
		return true
	}
	for i, name := range u.Channels[:m.Seq-u.First] {
		for j := range r.sources {
			s := &r.sources[j]
			if s.channel.name != name || s.member.since >= u.First {
				continue
			}
			// What another poll has taken whole is none of this one's.
			if !r.poll || u.First+uint64(i) > s.from || s.from >= u.First && s.from < m.Seq {
				return true
			}
		}
	}
	return false
}

// A past is a membership that has ended.
type past struct {
	channel      string
	since, until uint64
}

// maxPasts is how many of its past memberships a client remembers.
const maxPasts = 16

// pasts are a client's past memberships that ended last, the oldest first.
type pasts struct {
	list      []past
	forgotten uint64 // what ended up to here is not among them
}

// remember keeps that a membership has ended with seq. c.mu is held.
func (c *client) remember(m *member, seq uint64) {
	if c.pasts == nil {
		c.pasts = new(pasts)
	}
	p := c.pasts
	if len(p.list) == maxPasts {
		p.forgotten = max(p.forgotten, p.list[0].until)
		p.list = slices.Delete(p.list, 0, 1)
	}
	p.list = append(p.list, past{m.channel.name, m.since, seq})
}

// wasOn reports whether c was on one of the channels at seq, which it need not
// be any more. If that is not known any more, it was: what is not for c it must
// not hear.
func (c *client) wasOn(channels []string, seq uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	on := func(name string, since, until uint64) bool {
		return since < seq && (until == 0 || seq < until) && slices.Contains(channels, name)
	}
	if slices.ContainsFunc(c.subs, func(m *member) bool { return on(m.channel.name, m.since, m.channel.deleted.Load()) }) {
		return true
	}
	return c.pasts != nil && (seq < c.pasts.forgotten ||
		slices.ContainsFunc(c.pasts.list, func(p past) bool { return on(p.channel, p.since, p.until) }))
}
