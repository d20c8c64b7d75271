package rpcapi

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// Sockets does what the methods about sockets of Socket.IO ask for. A room is
// what it is for [hub.Hub.Emit]. Its errors are shown to callers as those of the
// hub are: names that break their rules, too many sockets at once, data that is
// too large, a socket that does not exist.
//
// Its methods are called by many goroutines at once, and may keep what they are
// given. What they return is the caller's. Where there are several nodes, it is about
// the sockets of all of them; with an error that is an [Unreached], of those that have
// answered.
type Sockets interface {
	// Join puts the sockets that are meant into the rooms, Leave takes them out.
	// They return how many sockets that are.
	Join(ctx context.Context, a hub.Audience, rooms []string) (n int, err error)
	Leave(ctx context.Context, a hub.Audience, rooms []string) (n int, err error)
	// Disconnect sends the sockets away, with their connections if these are to
	// be closed, and returns how many they are.
	Disconnect(ctx context.Context, a hub.Audience, connections bool) (n int, err error)
	// Ask says an event to the sockets and waits until each has answered or left,
	// or ctx ends. There is one answer for each. args is a JSON array, in which
	// binary values are as in emit.
	Ask(ctx context.Context, a hub.Audience, event string, args json.RawMessage) ([]SocketAnswer, error)
	// Fetch returns the sockets whose sids come after one, in their order, at most
	// so many.
	Fetch(ctx context.Context, a hub.Audience, after string, limit int) ([]Socket, error)
	// SetData keeps data, any JSON value, with a socket.
	SetData(ctx context.Context, sid string, data json.RawMessage) error
	// Declare has a namespace, or all that match a pattern, be as n says.
	Declare(ctx context.Context, n hub.Namespace) error
}

// Unreached is the error of what other nodes were to do, and may not have done.
type Unreached struct{ Nodes []string }

func (u *Unreached) Error() string { return "nodes have not answered: " + strings.Join(u.Nodes, ", ") }

// reached takes the nodes that have not answered out of an error.
func reached(err error) (unreached []string, _ error) {
	if u := (*Unreached)(nil); errors.As(err, &u) {
		return u.Nodes, nil
	}
	return nil, err
}

// SocketAnswer is what a socket has answered, or why it has not.
type SocketAnswer struct {
	SID     string
	Client  string          // whose it is; "": nobody's
	Args    json.RawMessage // a JSON array, if it has answered
	Missing Missing         // "": it has answered
}

// Missing says why there is no answer.
type Missing string

// Why there is no answer of a socket.
const (
	MissingTimeout Missing = "timeout"   // it took too long
	MissingLeft    Missing = "left"      // it is gone
	MissingBusy    Missing = "busy"      // too much is waiting for it: it has not been asked
	MissingRoom    Missing = "too_large" // it has answered, but all answers together have no room
)

// Socket is one page's, or program's, connection to a namespace.
type Socket struct {
	SID       string
	Client    string // whose it is; "": nobody's
	Namespace string
	Rooms     []string // in any order
	Transport string   // polling or websocket
	Address   string   // of the peer
	Connected time.Time
	Data      json.RawMessage // what the backend keeps with it; nil: nothing
}

var errSocketsOff = &Error{Code: CodeSwitchedOff, Message: "Socket.IO is switched off (socketio)"}

const aboutAudience = "`to`, `except` and `namespace` are as for [`emit`](#emit): without `to` it is everybody who is connected to the namespace, and there may be `rooms_per_emit` rooms. "

// socketMethods are about sockets of Socket.IO.
var socketMethods = []Method{
	{
		Name:    "emit_with_ack",
		Summary: "Emits an event to sockets, and returns what each of them answers.",
		Description: aboutAudience + "`args` may have binary values, and so may the answers.\n\n" +
			"The call is answered when all sockets have answered or `timeout_ms` is over. Who has not answered is in `missing`, and why:\n\n" +
			"- `timeout`: it has not answered in time. It may have heard the event;\n" +
			"- `left`: it has left, or lost its connection;\n" +
			"- `busy`: too much is waiting for it, so that it was not asked;\n" +
			"- `too_large`: it has answered, but all answers together do not fit into `max_answer_bytes`.\n\n" +
			"Such an event is not kept: it is for those who are connected now, it is in no `history`, and other readers do not hear it. " +
			"Give your HTTP client more time than `timeout_ms`. The calls of one request, which may be a batch, may wait a minute together; one that could wait longer is not made.",
		Tag:    TagSockets,
		Errors: []int{CodeLimitReached, CodeUnavailable, CodeSwitchedOff},
		Examples: []Example{
			{"a question to a room", `{"event": "ready", "args": [{"round": 3}], "to": "room", "timeout_ms": 2000}`,
				`{"answers": [{"sid": "~rVn5Zq0cYx1kB8mT2sA", "client_id": "alice", "args": [true, "go"]}], ` +
					`"missing": [{"sid": "~wLd93JhQe7uFpKx0aCz", "client_id": "bob", "reason": "timeout"}]}`},
		},
	},
	{
		Name:    "sockets_join",
		Summary: "Puts sockets into rooms.",
		Description: aboutAudience + "Each socket itself is put into the rooms, not its client: it leaves them when it ends, and is in them still if it comes back after a lost connection. " +
			"For clients there is `subscribe`. There may be `rooms_per_emit` of `rooms`, too. With an error, some of the sockets may be there.",
		Tag:    TagSockets,
		Errors: []int{CodeLimitReached, CodeUnavailable, CodeSwitchedOff},
		Examples: []Example{
			{"a socket", `{"rooms": ["red", "blue"], "to": "~rVn5Zq0cYx1kB8mT2sA"}`, `{"sockets": 1}`},
			{"everybody in a room", `{"rooms": "finale", "to": "room", "except": ["client:bob"]}`, `{"sockets": 1}`},
		},
	},
	{
		Name:    "sockets_leave",
		Summary: "Takes sockets out of rooms.",
		Description: aboutAudience + "A socket that is in a room with its client stays in it: `unsubscribe` takes the client out. " +
			"There may be `rooms_per_emit` of `rooms`, too. With an error, some of the sockets may have left.",
		Tag:      TagSockets,
		Errors:   []int{CodeLimitReached, CodeUnavailable, CodeSwitchedOff},
		Examples: []Example{{"everybody in a namespace", `{"rooms": "finale", "namespace": "/chat"}`, `{"sockets": 0}`}},
	},
	{
		Name:        "disconnect_sockets",
		Summary:     "Sends sockets away from their namespace.",
		Description: aboutAudience + "Stock clients do not come back by themselves. With `close` the connections of these sockets end, with all other namespaces that they use.",
		Tag:         TagSockets,
		Errors:      []int{CodeLimitReached, CodeUnavailable, CodeSwitchedOff},
		Examples: []Example{
			{"all sockets of a client", `{"to": "client:bob", "close": true}`, `{"sockets": 1}`},
		},
	},
	{
		Name:    "fetch_sockets",
		Summary: "Lists sockets, in the order of their sids.",
		Description: aboutAudience + "`next` is there when more follow: pass it as `after`. A page has at most `limit` sockets, and no more than fit into `max_answer_bytes` (but one in any case). " +
			"Sockets that come or go between two pages are missed or seen, none is seen twice.",
		Tag:    TagSockets,
		Errors: []int{CodeLimitReached, CodeSwitchedOff},
		Examples: []Example{
			{"a page of a room", `{"to": "room", "limit": 1}`, `{"sockets": [{"sid": "~rVn5Zq0cYx1kB8mT2sA", "client_id": "alice", "namespace": "/", "rooms": ["room"], ` +
				`"transport": "websocket", "address": "192.0.2.7:50114", "connected": 1790000000000, "data": {"name": "Alice"}}], "next": "~rVn5Zq0cYx1kB8mT2sA"}`},
			{"the next one", `{"to": "room", "limit": 1, "after": "~rVn5Zq0cYx1kB8mT2sA"}`, `{"sockets": [{"sid": "~wLd93JhQe7uFpKx0aCz", "client_id": "bob", "namespace": "/", "rooms": ["room"], ` +
				`"transport": "polling", "address": "192.0.2.9:40022", "connected": 1790000000000, "data": null}]}`},
		},
	},
	{
		Name:    "set_socket_data",
		Summary: "Keeps a value with a socket.",
		Description: "Instead of the one that was there. It is in `fetch_sockets`, and handlers get it with what the socket says. " +
			"It is forgotten with the socket, not if that loses its connection and comes back. There may be `socket_data_bytes` of it.",
		Tag:      TagSockets,
		Void:     true,
		Errors:   []int{CodeUnknownClient, CodeTooLarge, CodeUnavailable, CodeSwitchedOff},
		Examples: []Example{{"a name", `{"sid": "~rVn5Zq0cYx1kB8mT2sA", "data": {"name": "Alice"}}`, ""}},
	},
	{
		Name:    "declare_namespace",
		Summary: "Declares a namespace, or all whose names match a pattern, until the server ends.",
		Description: "Beside those of the configuration, which cannot be declared. It stands instead of what was declared under that `name`: what is left out is as it is by default. " +
			"In a pattern `*` stands for any characters, `\\` makes the next one plain; of several that match, the one with the most plain characters counts, and a name counts more than any. " +
			"`relay` has the events that are handed on without asking anybody, each with a room: who says one, and is in the room, says it to all who are. With `*` the first argument names the room. " +
			"`remove` takes the declaration back. Who is connected stays so, in any case.",
		Tag:    TagSockets,
		Void:   true,
		Errors: []int{CodeLimitReached, CodeUnavailable, CodeSwitchedOff},
		Examples: []Example{
			{"one that a webhook handles", `{"name": "/chat", "handler": "chat", "events": ["say", "typing"]}`, ""},
			{"some that relay", `{"name": "/board-*", "relay": {"draw": "board", "typing": "*"}}`, ""},
			{"one that is no more", `{"name": "/chat", "remove": true}`, ""},
		},
	},
}
