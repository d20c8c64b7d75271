package socketio

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/shaveet/shaveet/server/hub"
)

// refuses says why nobody is told of an event, if so.
func (n *Namespace) refuses(event string) (kind, why string) {
	_, relayed := n.Relay[event]
	switch {
	case len(n.Events) > 0 && !slices.Contains(n.Events, event) && !relayed:
		return "not_permitted", "clients may not say this here"
	case n.Handler == nil && !relayed:
		return "no_handler", "nobody answers this here"
	}
	return "", ""
}

// answers reports whether somebody is told of what happens.
func (n *Namespace) answers() bool { return n.Handler != nil || len(n.Relay) > 0 }

// byArgument is a relay rule's room when the first argument names it.
const byArgument = "*"

// relay hands an event on to a room, if the socket is in it.
func (s *Socket) relay(ctx context.Context, e *Event, room string) {
	args := e.Args
	if room == byArgument {
		var list []json.RawMessage
		var named *string // nil also for null
		if json.Unmarshal(args, &list) != nil || len(list) == 0 || json.Unmarshal(list[0], &named) != nil || named == nil {
			e.Fail("bad_arguments", "the first argument must name a room")
			return
		}
		room = *named
		args, _ = json.Marshal(list[1:]) // what was unmarshalled
	}
	h := s.conn.server.hub
	if !h.InRoom(s.ID(), s.Namespace(), room) {
		e.Fail("not_subscribed", "only who is in the room may say this in it")
		return
	}
	sender := s.Client()
	if sender == "" && !s.conn.old { // whose ids are secrets
		sender = s.ID()
	}
	quoted := json.RawMessage("null")
	if sender != "" {
		quoted, _ = json.Marshal(sender) // a string can be
	}
	said, err := h.Emit(ctx, hub.Emission{Namespace: s.Namespace(), Rooms: []string{room}, Event: e.Name, Args: args, Sender: quoted})
	var refused *hub.Error
	switch {
	case errors.As(err, &refused):
		e.Fail(refused.Kind.String(), refused.Text)
	case err != nil:
		e.Fail("unavailable", "not available now, try again")
	case e.Ack != nil:
		_ = e.Ack(json.RawMessage(`[{"position":"` + said.Position.String() + `"}]`)) // who has left needs no answer
	}
}
