package rpcapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/shaveet/shaveet/server/hub"
)

// originalMethods are the ten methods of the first Shaveet, with its names and
// its answers. Each is the function below that bears its name.
var originalMethods = []Method{
	{
		Name:    "create_client",
		Summary: "Makes a client, or finds it, and returns its key.",
		Description: "If the client lives already, nothing changes and the key is the same; if it was let go, it comes back with its key and its channels. " +
			"Give id and key to the page: they are all it needs to read.",
		Tag:    TagOriginal,
		Errors: []int{CodeLimitReached, CodeUnavailable},
		Examples: []Example{
			{"a new client", `{"client_id": "carol"}`, `"0a1c53d2c551455fa0fd5a3d0ab93320"`},
			{"with the position", `{"client_id": "carol", "position": true}`,
				`{"key": "0a1c53d2c551455fa0fd5a3d0ab93320", "position": "6f1c2b9a04d7e358.8"}`},
		},
	},
	{
		Name:        "kill_client",
		Summary:     "Takes a client off its channels and forgets it; its key is void.",
		Description: "Its readers hear that it is gone. A client that was let go is unknown here, but is forgotten all the same.",
		Tag:         TagOriginal,
		Void:        true,
		Errors:      []int{CodeUnknownClient, CodeUnavailable},
		Examples:    []Example{{"a client", `{"client_id": "alice"}`, ""}},
	},
	{
		Name:        "subscribe",
		Summary:     "Subscribes a client to a channel.",
		Description: "A channel that does not exist begins. Who is subscribed already stays so, and nothing is told. What is published after the answer, the client reads.",
		Tag:         TagOriginal,
		Errors:      []int{CodeUnknownClient, CodeLimitReached, CodeUnavailable},
		Examples: []Example{
			{"a client on a channel", `{"client_id": "alice", "channel_name": "lobby"}`, `1`},
			{"with the position", `{"client_id": "alice", "channel_name": "lobby", "position": true}`, `{"position": "6f1c2b9a04d7e358.8"}`},
		},
	},
	{
		Name:     "unsubscribe",
		Summary:  "Takes a client off a channel.",
		Tag:      TagOriginal,
		Errors:   []int{CodeUnknownClient, CodeUnavailable},
		Examples: []Example{{"a client on a channel", `{"client_id": "alice", "channel_name": "room"}`, `1`}},
	},
	{
		Name:        "subscribe_many",
		Summary:     "Subscribes clients to channels: all of them, or none and an error.",
		Description: "`channels` has a list of clients for each channel. There may be `pairs_per_call` pairs of them in one call.",
		Tag:         TagOriginal,
		Void:        true,
		Errors:      []int{CodeUnknownClient, CodeLimitReached, CodeUnavailable},
		Examples:    []Example{{"two channels", `{"channels": {"lobby": ["alice", "bob"], "news": ["alice"]}}`, ""}},
	},
	{
		Name:     "unsubscribe_many",
		Summary:  "Takes clients off channels: all of them, or none and an error.",
		Tag:      TagOriginal,
		Void:     true,
		Errors:   []int{CodeUnknownClient, CodeLimitReached, CodeUnavailable},
		Examples: []Example{{"a channel", `{"channels": {"room": ["alice", "bob"]}}`, ""}},
	},
	{
		Name:        "unsubscribe_all_channel",
		Summary:     "Takes everybody off a channel but the excluded and the hidden.",
		Description: "Hidden are the clients whose id contains `admin`. Who joins while it runs may stay.",
		Tag:         TagOriginal,
		Void:        true,
		Errors:      []int{CodeUnavailable},
		Examples:    []Example{{"all but one", `{"channel_name": "room", "exclude": ["alice"]}`, ""}},
	},
	{
		Name:        "new_message",
		Summary:     "Says something on a channel.",
		Description: "As `publish` in its plainest form; `client_id` is who says it: any value.",
		Tag:         TagOriginal,
		Errors:      []int{CodeTooLarge, CodeLimitReached, CodeUnavailable},
		Examples:    []Example{{"a message", `{"client_id": "bob", "message": {"text": "hello"}, "channel_name": "room", "system": false}`, `1`}},
	},
	{
		Name:        "get_channel_clients",
		Summary:     "Returns the ids of a channel's clients but the hidden.",
		Description: "In no order. A channel that does not exist has none. `presence` tells more, in pages.",
		Tag:         TagOriginal,
		Examples:    []Example{{"a channel", `{"channel_name": "room"}`, `["alice", "bob"]`}},
	},
	{
		Name:        "get_client_channels",
		Summary:     "Returns the names of a client's channels.",
		Description: "In the order in which it was subscribed.",
		Tag:         TagOriginal,
		Errors:      []int{CodeUnknownClient},
		Examples:    []Example{{"a client", `{"client_id": "alice"}`, `["room"]`}},
	},
}

// The parameters and replies of the methods. They are aliases since gorilla/rpc
// takes types that are exported or have no name, and nobody outside needs
// these.
type (
	createParams = struct {
		Client   ClientID `param:"client_id" help:"its name"`
		Position bool     `param:"position,optional" default:"false" help:"whether to answer the position too"`
	}
	clientParams = struct {
		Client ClientID `param:"client_id" help:"which client"`
	}
	channelParams = struct {
		Channel ChannelName `param:"channel_name" help:"which channel"`
	}
	pairParams = struct {
		Client  ClientID    `param:"client_id" help:"which client"`
		Channel ChannelName `param:"channel_name" help:"which channel"`
	}
	subscribeParams = struct {
		Client   ClientID    `param:"client_id" help:"which client"`
		Channel  ChannelName `param:"channel_name" help:"which channel"`
		Position bool        `param:"position,optional" default:"false" help:"whether to answer the position"`
	}
	manyParams = struct {
		Pairs memberships `param:"channels" help:"clients by channel"`
	}
	clearParams = struct {
		Channel ChannelName `param:"channel_name" help:"which channel"`
		Exclude []string    `param:"exclude" help:"clients that stay"`
	}
	messageParams = struct {
		Sender  json.RawMessage `param:"client_id" help:"who says it: any value"`
		Message json.RawMessage `param:"message" help:"what is said: any value"`
		Channel ChannelName     `param:"channel_name" help:"where it is said"`
		System  bool            `param:"system" help:"whether it is said in the system's name"`
	}

	createReply    = struct{ keyAt }
	subscribeReply = struct{ doneAt }

	noParams = struct{}
	noReply  = struct{}
)

// done is what methods with nothing else to say have always returned.
const done = 1

// keyAt is a key, and with a position both.
type keyAt struct {
	key string
	at  hub.Position
}

func (k *keyAt) appendJSON(b []byte) []byte {
	if k.at.IsZero() {
		return appendString(b, k.key)
	}
	b = appendString(append(b, `{"key":`...), k.key)
	return appendPosition(append(b, ','), k.at, '}')
}

// doneAt is done, or a position.
type doneAt struct{ at hub.Position }

func (d *doneAt) appendJSON(b []byte) []byte {
	if d.at.IsZero() {
		return append(b, '0'+done)
	}
	return appendPosition(append(b, '{'), d.at, '}')
}

// appendPosition appends at as a member, and end.
func appendPosition(b []byte, at hub.Position, end byte) []byte {
	return append(at.Append(append(b, `"position":"`...)), '"', end)
}

// hidden reports whether a client is left out of lists and of clearing a
// channel: its id contains "admin".
func hidden(id string) bool { return strings.Contains(id, "admin") }

// CreateClient is create_client(client_id, position).
func (a *admin) CreateClient(r *http.Request, p *createParams, reply *createReply) (err error) {
	reply.key, reply.at, err = a.hub.CreateClient(r.Context(), string(p.Client))
	if !p.Position {
		reply.at = hub.Position{}
	}
	return err
}

// KillClient is kill_client(client_id).
func (a *admin) KillClient(r *http.Request, p *clientParams, _ *noReply) error {
	return a.hub.KillClient(r.Context(), string(p.Client))
}

// Subscribe is subscribe(client_id, channel_name, position).
func (a *admin) Subscribe(r *http.Request, p *subscribeParams, reply *subscribeReply) error {
	at, err := a.hub.Subscribe(r.Context(), []hub.Pair{{Client: string(p.Client), Channel: string(p.Channel)}})
	if p.Position {
		reply.at = at
	}
	return err
}

// Unsubscribe is unsubscribe(client_id, channel_name).
func (a *admin) Unsubscribe(r *http.Request, p *pairParams, reply *int) error {
	*reply = done
	_, err := a.hub.Unsubscribe(r.Context(), []hub.Pair{{Client: string(p.Client), Channel: string(p.Channel)}})
	return err
}

// SubscribeMany is subscribe_many(channels).
func (a *admin) SubscribeMany(r *http.Request, p *manyParams, _ *noReply) error {
	if len(p.Pairs) == 0 {
		return nil
	}
	_, err := a.hub.Subscribe(r.Context(), p.Pairs)
	return err
}

// UnsubscribeMany is unsubscribe_many(channels).
func (a *admin) UnsubscribeMany(r *http.Request, p *manyParams, _ *noReply) error {
	if len(p.Pairs) == 0 {
		return nil
	}
	_, err := a.hub.Unsubscribe(r.Context(), p.Pairs)
	return err
}

// UnsubscribeAllChannel is unsubscribe_all_channel(channel_name, exclude).
func (a *admin) UnsubscribeAllChannel(r *http.Request, p *clearParams, _ *noReply) error {
	stays := make(map[string]bool, len(p.Exclude))
	for _, id := range p.Exclude {
		stays[id] = true
	}
	return a.hub.UnsubscribeAll(r.Context(), string(p.Channel), func(id string) bool {
		return stays[id] || hidden(id)
	})
}

// NewMessage is new_message(client_id, message, channel_name, system).
func (a *admin) NewMessage(r *http.Request, p *messageParams, reply *int) error {
	*reply = done
	return a.newMessage(r.Context(), p)
}

// GetChannelClients is get_channel_clients(channel_name). A channel that does
// not exist has no clients, and asking does not make it.
func (a *admin) GetChannelClients(r *http.Request, p *channelParams, ids *[]string) error {
	if err := a.hub.Sync(r.Context()); err != nil {
		return err
	}
	*ids = orEmpty(slices.DeleteFunc(a.hub.Members(string(p.Channel)), hidden))
	return nil
}

// GetClientChannels is get_client_channels(client_id).
func (a *admin) GetClientChannels(r *http.Request, p *clientParams, names *[]string) error {
	if err := a.hub.Sync(r.Context()); err != nil {
		return err
	}
	channels, err := a.hub.ClientChannels(string(p.Client))
	*names = orEmpty(channels)
	return err
}

// orEmpty makes nil an empty list, which is [] in JSON and not null.
func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
