package rpcapi

import (
	"context"
	"net/http"

	"github.com/shaveet/shaveet/server/hub"
)

// channelMethods are about channels, beside those of the first Shaveet.
var channelMethods = []Method{
	{
		Name:    "history",
		Summary: "Returns the messages that a channel keeps.",
		Description: "The oldest first, from the oldest that is kept or from what came after `since`; the newest first with `reverse`. " +
			"Joins and leaves are not messages, so ids have holes. An answer has at most `limit` messages, and no more than fit into 8 MiB (but one in any case): " +
			"when `more` is true, ask again with the `pos` of the last one as `since`.\n\n" +
			"`position` is the end of the log when the channel was read. To show a channel's past and go on from there, give it to the page as its cursor: it will miss nothing and read nothing twice.",
		Tag:    TagChannels,
		Errors: []int{CodeUnknownChannel},
		Examples: []Example{
			{"the last message", `{"channel": "room", "limit": 1, "reverse": true}`, `{"messages": [` +
				`{"channel": "room", "id": 3, "pos": "6f1c2b9a04d7e358.7", "sender": null, "data": "paid", "time": 1790000000000}], ` +
				`"position": "6f1c2b9a04d7e358.7", "last_id": 3, "more": false}`},
		},
	},
	{
		Name:    "presence",
		Summary: "Tells who is on a channel, in the order of their ids.",
		Description: "And of each member, since when and which readers it has attached now; one without may be between two polls. " +
			"`next` is there when more follow: pass it as `after`. It shows everybody, also whom `get_channel_clients` hides.",
		Tag:    TagChannels,
		Errors: []int{CodeUnknownChannel},
		Examples: []Example{
			{"everybody", `{"channel": "room"}`, `{"channel": "room", "count": 2, "members": [` +
				`{"client": "alice", "since": 1790000000000, "sessions": [{"transport": "sse", "since": 1790000000000}]}, ` +
				`{"client": "bob", "since": 1790000000000, "sessions": []}]}`},
		},
	},
	{
		Name:        "channels",
		Summary:     "Lists the channels, in the order of their names.",
		Description: "`next` is there when more follow: pass it as `after`. Channels that begin or end between two pages are missed or seen, none is seen twice.",
		Tag:         TagChannels,
		Examples: []Example{
			{"by pattern", `{"pattern": "ro*"}`, `{"channels": [{"name": "room", "members": 2, "messages": 1, "bytes": 266, "last_id": 3}]}`},
		},
	},
	{
		Name:        "delete_channel",
		Summary:     "Takes everybody off a channel and forgets what was said on it.",
		Description: "The members read on without it. Whoever says something there afterwards begins a new channel of that name.",
		Tag:         TagChannels,
		Errors:      []int{CodeUnknownChannel, CodeUnavailable},
		Examples:    []Example{{"a channel", `{"channel": "room"}`, `{"position": "6f1c2b9a04d7e358.8"}`}},
	},
}

type (
	presenceParams = struct {
		Channel ChannelName `param:"channel" help:"which channel"`
		After   string      `param:"after,optional" help:"clients that come after this one: next of the page before"`
		Limit   int         `param:"limit,optional" min:"1" max:"1000" default:"100" help:"members at most"`
	}
	deleteParams = struct {
		Channel ChannelName `param:"channel" help:"which channel"`
	}

	presenceReply = struct {
		Channel   string        `json:"channel" help:"its name"`
		Count     int           `json:"count" help:"how many members it has in all"`
		Members   []memberEntry `json:"members" help:"the page"`
		Next      string        `json:"next,omitempty" help:"there when more follow: the after of the next page"`
		Unreached []string      `json:"unreached,omitempty" help:"there when other nodes have not answered: which; of their sessions nothing is known"`
	}
	channelsReply = struct {
		Channels []channelEntry `json:"channels" help:"the page"`
		Next     string         `json:"next,omitempty" help:"there when more follow: the after of the next page"`
	}
)

type memberEntry struct {
	Client   string         `json:"client" help:"its id"`
	Since    int64          `json:"since" help:"Unix ms: when it was subscribed or last revived"`
	Sessions []sessionEntry `json:"sessions" help:"the readers that are attached now"`
}

type sessionEntry struct {
	Transport string `json:"transport" help:"how it reads: longpoll, sse, …"`
	Since     int64  `json:"since" help:"Unix ms: when it came"`
}

type channelEntry struct {
	Name     string `json:"name" help:"its name"`
	Members  int    `json:"members" help:"clients that are subscribed"`
	Messages int    `json:"messages" help:"messages that are kept, notices not counted"`
	Bytes    int    `json:"bytes" help:"bytes charged for them"`
	LastID   uint64 `json:"last_id" help:"the last id, notices counted"`
}

// Presence is presence(channel, after, limit).
func (a *admin) Presence(r *http.Request, p *presenceParams, reply *presenceReply) error {
	if err := a.hub.Sync(r.Context()); err != nil {
		return err
	}
	found, err := a.hub.Presence(hub.PresenceQuery{Channel: string(p.Channel), After: p.After, Limit: p.Limit})
	unreached := a.addElsewhere(r.Context(), found.Members)
	*reply = presenceReply{Unreached: unreached, Channel: string(p.Channel), Count: found.Count, Members: make([]memberEntry, len(found.Members))}
	for i := range found.Members {
		reply.Members[i] = newMemberEntry(&found.Members[i])
	}
	if found.More {
		reply.Next = found.Members[len(found.Members)-1].Client
	}
	return err
}

// addElsewhere adds the sessions that members have on other nodes.
func (a *admin) addElsewhere(ctx context.Context, members []hub.Member) (unreached []string) {
	ids := make([]string, len(members))
	for i := range members {
		ids[i] = members[i].Client
	}
	more, unreached := a.elsewhere(ctx, ids)
	for i := range members {
		members[i].Sessions = append(members[i].Sessions, more[members[i].Client]...)
	}
	return unreached
}

// elsewhere returns the sessions that clients have on other nodes.
func (a *admin) elsewhere(ctx context.Context, ids []string) (sessions map[string][]hub.SessionInfo, unreached []string) {
	if a.opts.Elsewhere == nil || len(ids) == 0 {
		return nil, nil
	}
	return a.opts.Elsewhere(ctx, ids)
}

func newMemberEntry(m *hub.Member) memberEntry {
	e := memberEntry{Client: m.Client, Since: unixMilli(m.Since), Sessions: make([]sessionEntry, len(m.Sessions))}
	for i, s := range m.Sessions {
		e.Sessions[i] = sessionEntry{s.Transport, unixMilli(s.Since)}
	}
	return e
}

// Channels is channels(pattern, after, limit).
func (a *admin) Channels(r *http.Request, p *listParams, reply *channelsReply) error {
	if err := a.hub.Sync(r.Context()); err != nil {
		return err
	}
	list, more := a.hub.ListChannels(hub.Listing{Pattern: p.Pattern, After: p.After, Limit: p.Limit})
	reply.Channels = make([]channelEntry, len(list))
	for i, c := range list {
		reply.Channels[i] = channelEntry(c)
	}
	if more {
		reply.Next = list[len(list)-1].Name
	}
	return nil
}

// DeleteChannel is delete_channel(channel).
func (a *admin) DeleteChannel(r *http.Request, p *deleteParams, reply *positionReply) error {
	at, err := a.hub.DeleteChannel(r.Context(), string(p.Channel))
	reply.Position = cursor(at)
	return err
}
