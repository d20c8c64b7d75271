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
func (f fleet) Fetch(a hub.Audience, after string, limit int) ([]rpcapi.Socket, error) {
	infos, err := f.Server.Fetch(a, after, limit)
	all := make([]rpcapi.Socket, len(infos))
	for i, one := range infos {
		all[i] = rpcapi.Socket{
			SID: one.ID, Client: one.Client, Namespace: one.Namespace, Rooms: one.Rooms,
			Transport: one.Transport, Address: one.Address, Connected: one.Connected, Data: one.Data,
		}
	}
	return all, err
}
