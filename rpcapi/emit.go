package rpcapi

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// emitMethods say things as Socket.IO does.
var emitMethods = []Method{
	{
		Name:    "emit",
		Summary: "Emits an event: pages of Socket.IO hear the event with its arguments, all other readers a message with `event` and `args`.",
		Description: "Everybody who is in any room of `to` hears it, and once: who is in several hears the copy of the first. A room is\n\n" +
			"- a channel, for all its members. In another namespace than `/` a room is a channel of its own: `lobby` of `/chat` is `/chat#lobby`, which is also what to subscribe clients to;\n" +
			"- the `sid` of a socket, as the page knows it by `socket.id`;\n" +
			"- `client:` and the id of a client, for all its sockets in the namespace, and its other readers.\n\n" +
			"Without `to`, or with null, everybody who is connected to the namespace by Socket.IO hears it; an empty array is refused. Who is in a room of `except` does not. " +
			"A client that does not exist is nobody, which is no error; neither is a room, or a namespace, that nobody is in. There may be `rooms_per_emit` rooms, those of `except` counted.\n\n" +
			"Any event may be emitted but `connect`, `connect_error`, `disconnect`, `disconnecting`, `newListener` and `removeListener`, which mean something else to Socket.IO.\n\n" +
			"**Binary arguments.** An object of exactly one member, `{\"$binary\": \"AAEC\"}`, anywhere in `args`, stands for bytes in base64, padded and without line breaks. " +
			"Pages of Socket.IO get the bytes, other readers the object. There may be ten of them, which is what clients of Socket.IO take.\n\n" +
			"**Volatile events** are heard by those who can take them at this moment, and by nobody later. They are in no `history`, no ZeroMQ socket hears them, and they take no number: " +
			"`id` is that of the last message on the channel.\n\n" +
			"A retry is harmless with a `publish_id`, as in `broadcast`, whose ids they share. [protocol.md](protocol.md#events) has what readers see.",
		Tag:    TagPublish,
		Errors: []int{CodeTooLarge, CodeLimitReached, CodePublishIDConflict, CodeUnavailable},
		Examples: []Example{
			{"an event for a room", `{"event": "typing", "args": ["bob", {"since": 3}], "to": "room", "sender": "bob"}`,
				`{"position": "6f1c2b9a04d7e358.8"}`},
			{"a volatile one for several rooms", `{"event": "moved", "args": [12, 7], "to": ["room", "lobby"], "except": ["client:bob"], "volatile": true}`,
				`{"position": "6f1c2b9a04d7e358.9"}`},
			{"bytes for everybody in a namespace", `{"event": "frame", "args": [{"$binary": "AAEC"}], "namespace": "/video", "publish_id": "frame-17"}`,
				`{"position": "6f1c2b9a04d7e358.8"}`},
		},
	},
}

type (
	emitParams = struct {
		Event     string          `param:"event" help:"what it is called"`
		Args      eventArgs       `param:"args,optional" default:"[]" help:"its arguments: any values"`
		To        rooms           `param:"to,optional" help:"who hears it: a room or several; without: everybody in the namespace"`
		Except    rooms           `param:"except,optional" help:"who does not: a room or several"`
		Namespace string          `param:"namespace,optional" default:"\"/\"" help:"where the rooms are; begins with a /"`
		Sender    json.RawMessage `param:"sender,optional" default:"null" help:"who says it: any value; pages of Socket.IO do not hear it"`
		Volatile  bool            `param:"volatile,optional" default:"false" help:"whether it is only for those who can take it at this moment"`
		PublishID string          `param:"publish_id,optional" min:"1" max:"128" help:"makes retries harmless"`
		TTL       int64           `param:"ttl_ms,optional" min:"1" max:"9007199254740991" help:"how long it is worth hearing, in ms, if not as long as the channels keep it"`
	}

	emitReply = struct {
		Position cursor `json:"position" help:"where its last copy is in the log; the end of the log if it is for nobody"`
		Repeated bool   `json:"repeated,omitempty" help:"true: it was there already, under the same publish id"`
	}
)

// Emit is emit(event, args, to, …).
func (a *admin) Emit(r *http.Request, p *emitParams, reply *emitReply) error {
	if err := p.To.notEmpty(); err != nil {
		return err
	}
	// A small event must not keep the whole body that it came in.
	n := len(p.Args)
	both := append(append(make([]byte, 0, n+len(p.Sender)), p.Args...), p.Sender...)
	to, err := a.hub.Emit(r.Context(), hub.Emission{
		Namespace: p.Namespace, Rooms: p.To, Except: p.Except,
		Event: p.Event, Args: both[:n:n], Sender: both[n:], Volatile: p.Volatile,
		PublishID: p.PublishID, TTL: time.Duration(min(p.TTL, maxTTL)) * time.Millisecond,
	})
	*reply = emitReply{cursor(to.Position), to.Repeated}
	return err
}

// rooms are any number of rooms, or one, by their names. The hub knows which
// are good.
type rooms []string

func (r *rooms) read(raw []byte, _ bounds) (fault string) {
	const shape = "must be a string or an array of strings"
	switch raw[0] {
	case '"':
		*r = make(rooms, 1)
		return decodeString(&(*r)[0], raw)
	case '[':
		*r = rooms{} // not nil, which is none given
		return decodeStrings((*[]string)(r), raw)
	}
	return shape
}

// notEmpty says that an empty list was given for who is meant, if so: who has
// none to name by mistake must not reach everybody.
func (r rooms) notEmpty() error {
	if r != nil && len(r) == 0 {
		return invalidParams("to: must not be an empty array: leave it out for everybody in the namespace")
	}
	return nil
}

func (*rooms) schema() *schema {
	room := nameSchema("Room")
	return &schema{OneOf: []*schema{{Type: "array", Items: room}, room}}
}
