package rpcapi

import (
	"net/http"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// clientMethods are about clients, beside those of the first Shaveet.
var clientMethods = []Method{
	{
		Name:    "clients",
		Summary: "Lists the clients, in the order of their ids.",
		Description: "Also those that were let go and wait to be revived (`let_go`). `next` is there when more follow: pass it as `after`. " +
			"Clients that come or go between two pages are missed or seen, nobody is seen twice.",
		Tag: TagClients,
		Examples: []Example{
			{"all", `{}`, `{"clients": [` +
				`{"id": "alice", "state": "live", "channels": 1, "sessions": 1, "created": 1790000000000, "seen": 1790000000000}, ` +
				`{"id": "bob", "state": "live", "channels": 1, "sessions": 0, "created": 1790000000000, "seen": 1790000000000}]}`},
			{"a page", `{"pattern": "*", "limit": 1}`, `{"clients": [` +
				`{"id": "alice", "state": "live", "channels": 1, "sessions": 1, "created": 1790000000000, "seen": 1790000000000}], ` +
				`"next": "alice"}`},
		},
	},
	{
		Name:    "rotate_key",
		Summary: "Gives a client a new key; the old one is void.",
		Description: "Its channels stay. Readers that came with the old key hear that the client is gone. " +
			"Read on with the new key from the cursor that you have: nothing is lost.",
		Tag:      TagClients,
		Errors:   []int{CodeUnknownClient, CodeUnavailable},
		Examples: []Example{{"a client", `{"client_id": "alice"}`, `{"key": "0a1c53d2c551455fa0fd5a3d0ab93320", "position": "6f1c2b9a04d7e358.8"}`}},
	},
	{
		Name:    "disconnect",
		Summary: "Ends a client's sessions, or one of them.",
		Description: "They hear `drain` and may come back where they were: it makes readers connect anew, and keeps nobody out. " +
			"For that, `rotate_key` or `kill_client`.",
		Tag:    TagClients,
		Errors: []int{CodeUnknownClient, CodeUnavailable},
		Examples: []Example{
			{"all sessions", `{"client_id": "alice"}`, `{"position": "6f1c2b9a04d7e358.8"}`},
			{"one session", `{"client_id": "alice", "session": "tab-1"}`, `{"position": "6f1c2b9a04d7e358.8"}`},
		},
	},
}

type (
	listParams = struct {
		Pattern string `param:"pattern,optional" min:"0" max:"256" help:"names that match: * stands for any characters, \\ makes the next one plain"`
		After   string `param:"after,optional" help:"names that come after this one: next of the page before"`
		Limit   int    `param:"limit,optional" min:"1" max:"1000" default:"100" help:"how many at most"`
	}
	disconnectParams = struct {
		Client  ClientID `param:"client_id" help:"which client"`
		Session string   `param:"session,optional" min:"1" max:"64" help:"which of its sessions; all, if it is left out"`
	}

	clientsReply = struct {
		Clients   []clientEntry `json:"clients" help:"the page"`
		Next      string        `json:"next,omitempty" help:"there when more follow: the after of the next page"`
		Unreached []string      `json:"unreached,omitempty" help:"there when other nodes have not answered: which; of their sessions nothing is known"`
	}
	rotateReply = struct {
		Key      string `json:"key" help:"the new key"`
		Position cursor `json:"position" help:"from where the old key is void"`
	}
	positionReply = struct {
		Position cursor `json:"position" help:"from where it is so"`
	}
)

type clientEntry struct {
	ID       string `json:"id" help:"its name"`
	State    string `json:"state" enum:"live let_go" help:"whether it lives, or was idle and waits to be revived"`
	Channels int    `json:"channels" help:"how many it is on"`
	Sessions int    `json:"sessions" help:"how many readers are attached"`
	Created  int64  `json:"created" help:"Unix ms: when it was made or last revived"`
	Seen     int64  `json:"seen" help:"Unix ms: when a reader last came or went; now, while one is attached"`
}

// Clients is clients(pattern, after, limit).
func (a *admin) Clients(r *http.Request, p *listParams, reply *clientsReply) error {
	if err := a.hub.Sync(r.Context()); err != nil {
		return err
	}
	list, more := a.hub.ListClients(hub.Listing{Pattern: p.Pattern, After: p.After, Limit: p.Limit})
	reply.Clients = make([]clientEntry, len(list))
	ids := make([]string, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	sessions, unreached := a.elsewhere(r.Context(), ids)
	reply.Unreached = unreached
	for i := range list {
		if n := len(sessions[list[i].ID]); n > 0 {
			list[i].Sessions, list[i].Seen = list[i].Sessions+n, time.Now()
		}
		reply.Clients[i] = newClientEntry(&list[i])
	}
	if more {
		reply.Next = list[len(list)-1].ID
	}
	return nil
}

func newClientEntry(c *hub.ClientInfo) clientEntry {
	e := clientEntry{
		ID: c.ID, State: "live", Channels: c.Channels, Sessions: c.Sessions,
		Created: unixMilli(c.Created), Seen: unixMilli(c.Seen),
	}
	if c.LetGo {
		e.State = "let_go"
	}
	return e
}

// RotateKey is rotate_key(client_id).
func (a *admin) RotateKey(r *http.Request, p *clientParams, reply *rotateReply) error {
	key, at, err := a.hub.RotateKey(r.Context(), string(p.Client))
	*reply = rotateReply{key, cursor(at)}
	return err
}

// Disconnect is disconnect(client_id, session).
func (a *admin) Disconnect(r *http.Request, p *disconnectParams, reply *positionReply) error {
	at, err := a.hub.Disconnect(r.Context(), string(p.Client), p.Session)
	reply.Position = cursor(at)
	return err
}

// unixMilli is a time as the wire has it; 0 for none.
func unixMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
