package server

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/shaveet/shaveet/rpcapi"
	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/socketio"
)

// fleet is the server of Socket.IO as the admin API sees it.
type fleet struct{ *socketio.Server }

// Ask is part of [rpcapi.Sockets].
func (f fleet) Ask(ctx context.Context, a hub.Audience, event string, args json.RawMessage) ([]rpcapi.SocketAnswer, error) {
	answers, err := f.AskAll(ctx, a, event, args)
	err = unreached(err)
	all := make([]rpcapi.SocketAnswer, len(answers))
	for i, one := range answers {
		all[i] = rpcapi.SocketAnswer{SID: one.Socket, Client: one.Client, Args: one.Args, Missing: missing(one.Err)}
	}
	return all, err
}

func missing(err error) rpcapi.Missing {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, socketio.ErrNoAnswer):
		return rpcapi.MissingTimeout
	case errors.Is(err, socketio.ErrBusy):
		return rpcapi.MissingBusy
	case errors.Is(err, socketio.ErrTooLarge):
		return rpcapi.MissingRoom
	}
	return rpcapi.MissingLeft
}

// Fetch is part of [rpcapi.Sockets].
func (f fleet) Fetch(ctx context.Context, a hub.Audience, after string, limit int) ([]rpcapi.Socket, error) {
	infos, err := f.Server.Fetch(ctx, a, after, limit)
	err = unreached(err)
	all := make([]rpcapi.Socket, len(infos))
	for i, one := range infos {
		all[i] = rpcapi.Socket{
			SID: one.ID, Client: one.Client, Namespace: one.Namespace, Rooms: one.Rooms,
			Transport: one.Transport, Address: one.Address, Connected: one.Connected, Data: one.Data,
		}
	}
	return all, err
}

// Join is part of [rpcapi.Sockets].
func (f fleet) Join(ctx context.Context, a hub.Audience, rooms []string) (int, error) {
	n, err := f.Server.Join(ctx, a, rooms)
	return n, unreached(err)
}

// Leave is part of [rpcapi.Sockets].
func (f fleet) Leave(ctx context.Context, a hub.Audience, rooms []string) (int, error) {
	n, err := f.Server.Leave(ctx, a, rooms)
	return n, unreached(err)
}

// Disconnect is part of [rpcapi.Sockets].
func (f fleet) Disconnect(ctx context.Context, a hub.Audience, connections bool) (int, error) {
	n, err := f.Server.Disconnect(ctx, a, connections)
	return n, unreached(err)
}

// unreached says as the admin API does that nodes have not answered.
func unreached(err error) error {
	if u := (*socketio.Unreached)(nil); errors.As(err, &u) {
		return &rpcapi.Unreached{Nodes: u.Nodes}
	}
	return err
}
