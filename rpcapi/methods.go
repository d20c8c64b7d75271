package rpcapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/shaveet/shaveet/server/hub"
)

// adminMethods are the ten methods of the first Shaveet. Each is the function
// below that bears its name.
var adminMethods = []Method{
	{Name: "create_client", Summary: "Makes a client, or finds it, and returns its key."},
	{Name: "kill_client", Summary: "Removes a client from its channels and forgets it; its key is void.", Void: true},
	{Name: "subscribe", Summary: "Subscribes a client to a channel."},
	{Name: "unsubscribe", Summary: "Takes a client out of a channel."},
	{Name: "subscribe_many", Summary: "Subscribes clients to channels: all of them, or none and an error.", Void: true},
	{Name: "unsubscribe_many", Summary: "Takes clients out of channels: all of them, or none and an error.", Void: true},
	{Name: "unsubscribe_all_channel", Summary: "Takes everybody out of a channel but the excluded and the hidden.", Void: true},
	{Name: "new_message", Summary: "Says something in a channel. client_id is whose message it is: any value."},
	{Name: "get_channel_clients", Summary: "Returns the ids of a channel's clients but the hidden."},
	{Name: "get_client_channels", Summary: "Returns the names of a client's channels."},
}

// The parameters of the methods, in positional order. They are aliases since
// gorilla/rpc takes parameter types that are exported or have no name, and
// nobody outside needs these.
type (
	clientParams = struct {
		Client ClientID `param:"client_id"`
	}
	channelParams = struct {
		Channel ChannelName `param:"channel_name"`
	}
	pairParams = struct {
		Client  ClientID    `param:"client_id"`
		Channel ChannelName `param:"channel_name"`
	}
	manyParams = struct {
		Pairs memberships `param:"channels"`
	}
	clearParams = struct {
		Channel ChannelName `param:"channel_name"`
		Exclude []string    `param:"exclude"`
	}
	messageParams = struct {
		Sender  json.RawMessage `param:"client_id"`
		Message json.RawMessage `param:"message"`
		Channel ChannelName     `param:"channel_name"`
		System  bool            `param:"system"`
	}

	noParams = struct{}
	noReply  = struct{}
)

// done is what methods with nothing else to say have always returned.
const done = 1

// admin answers adminMethods.
type admin struct{ hub *hub.Hub }

// hidden reports whether a client is left out of lists and of clearing a
// channel: its id contains "admin".
func hidden(id string) bool { return strings.Contains(id, "admin") }

// CreateClient is create_client(client_id).
func (a *admin) CreateClient(r *http.Request, p *clientParams, key *string) (err error) {
	*key, _, err = a.hub.CreateClient(r.Context(), string(p.Client))
	return err
}

// KillClient is kill_client(client_id).
func (a *admin) KillClient(r *http.Request, p *clientParams, _ *noReply) error {
	return a.hub.KillClient(r.Context(), string(p.Client))
}

// Subscribe is subscribe(client_id, channel_name).
func (a *admin) Subscribe(r *http.Request, p *pairParams, reply *int) error {
	*reply = done
	_, err := a.hub.Subscribe(r.Context(), []hub.Pair{{Client: string(p.Client), Channel: string(p.Channel)}})
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
	_, err := a.hub.Publish(r.Context(), hub.Publication{
		Channel: string(p.Channel),
		// Copies: a small message must not keep the whole body it came in.
		Sender: bytes.Clone(p.Sender),
		Data:   bytes.Clone(p.Message),
		System: p.System,
	})
	return err
}

// GetChannelClients is get_channel_clients(channel_name). A channel that does
// not exist has no clients, and asking does not make it.
func (a *admin) GetChannelClients(_ *http.Request, p *channelParams, ids *[]string) error {
	*ids = orEmpty(slices.DeleteFunc(a.hub.Members(string(p.Channel)), hidden))
	return nil
}

// GetClientChannels is get_client_channels(client_id).
func (a *admin) GetClientChannels(_ *http.Request, p *clientParams, names *[]string) error {
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
