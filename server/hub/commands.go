package hub

import (
	"context"
	"errors"
)

// CreateClient makes a client called id, or finds it, and returns its key and
// the log's position afterwards. A client that was let go is revived and keeps
// its key and its channels.
func (h *Hub) CreateClient(ctx context.Context, id string) (key string, at Position, err error) {
	if err := CheckClientID(id, h.limits().NameBytes); err != nil {
		return "", Position{}, err
	}
	r, err := h.append(ctx, Command{Op: OpCreate, Client: id, Key: h.newKey()})
	return r.Key, r.Position, err
}

// KillClient takes the client off its channels and forgets it: its key is
// void, its sessions hear that it is gone. The error is ErrUnknownClient also
// for a client that was let go, but that one is forgotten all the same.
func (h *Hub) KillClient(ctx context.Context, id string) error {
	_, err := h.append(ctx, Command{Op: OpKill, Client: id})
	return err
}

// Subscribe subscribes every pair's client to its channel: all or none, and
// the error names the client that is unknown or the limit that is reached.
// Channels begin as they are needed. A pair that is subscribed already changes
// nothing. What is published after the returned position is for the new
// members.
func (h *Hub) Subscribe(ctx context.Context, pairs []Pair) (Position, error) {
	if err := h.checkPairs(pairs); err != nil {
		return Position{}, err
	}
	for _, p := range pairs {
		if err := CheckChannelName(p.Channel, h.limits().NameBytes); err != nil {
			return Position{}, err
		}
	}
	r, err := h.append(ctx, Command{Op: OpSubscribe, Pairs: pairs})
	return r.Position, err
}

// Unsubscribe ends every pair's membership: all or none. A pair that is not
// subscribed changes nothing; an unknown client is an error. A client that was
// let go counts as unknown, but what was asked for it is done, so that it does
// not come back to a channel it was taken off.
func (h *Hub) Unsubscribe(ctx context.Context, pairs []Pair) (Position, error) {
	if err := h.checkPairs(pairs); err != nil {
		return Position{}, err
	}
	r, err := h.append(ctx, Command{Op: OpUnsubscribe, Pairs: pairs})
	return r.Position, err
}

func (h *Hub) checkPairs(pairs []Pair) error {
	if limit := h.limits().PairsPerCall; len(pairs) > limit {
		return h.refuse(limitReached("pairs_per_call", limit))
	}
	for _, p := range pairs {
		if err := notQuiet(p.Channel); err != nil {
			return err
		}
	}
	return nil
}

// UnsubscribeAll ends the membership of every live member of the channel, but
// for those whose id exclude reports true for (nil: nobody). Who joins while
// it runs may stay.
func (h *Hub) UnsubscribeAll(ctx context.Context, channel string, exclude func(id string) bool) error {
	const step = walkStep // members that leave under one hold of the log's lock
	if err := notQuiet(channel); err != nil {
		return err
	}
	if err := h.Sync(ctx); err != nil {
		return err
	}
	ids := h.Members(channel)
	for len(ids) > 0 {
		part := ids[:min(step, len(ids))]
		ids = ids[len(part):]
		pairs := make([]Pair, 0, len(part))
		for _, id := range part {
			if exclude == nil || !exclude(id) {
				pairs = append(pairs, Pair{id, channel})
			}
		}
		if err := h.leave(ctx, pairs); err != nil {
			return err
		}
	}
	return nil
}

// leave unsubscribes the pairs, whoever of them still exists.
func (h *Hub) leave(ctx context.Context, pairs []Pair) error {
	_, err := h.append(ctx, Command{Op: OpUnsubscribe, Pairs: pairs, Lenient: true})
	return err
}

func (h *Hub) append(ctx context.Context, cmd Command) (Result, error) {
	if !h.mayWait(ctx) {
		return Result{}, ErrUnavailable
	}
	r, err := h.broker.Append(ctx, cmd)
	if err == nil {
		err = r.Refused
	}
	return r, h.refuse(err)
}

// refuse counts an error that tells of a limit or of a wrong key, and returns
// it.
func (h *Hub) refuse(err error) error {
	switch {
	case errors.Is(err, ErrLimitReached), errors.Is(err, ErrTooLarge):
		h.totals.refused.Add(1)
	case errors.Is(err, ErrBadCredentials):
		h.totals.badKeys.Add(1)
	}
	return err
}

// Members returns the ids of the channel's live members, in no order; none for
// a channel that does not exist.
func (h *Hub) Members(name string) []string {
	ch := h.channels.get(name)
	if ch == nil {
		return nil
	}
	var ids []string
	ch.walk(func(part []*member) {
		for _, m := range part {
			ids = append(ids, m.client.id)
		}
	})
	return ids
}

// ClientChannels returns the names of the channels a live client is on, in the
// order in which it was subscribed, without quiet ones.
func (h *Hub) ClientChannels(id string) ([]string, error) {
	c := h.clients.get(id)
	if c == nil {
		return nil, unknownClient(id)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != live {
		return nil, unknownClient(id)
	}
	names := make([]string, 0, len(c.subs))
	for _, m := range c.subs {
		if !m.channel.gone() && !quiet(m.channel.name) {
			names = append(names, m.channel.name)
		}
	}
	return names, nil
}

// RotateKey gives the client a new key. Its old one is void, and sessions that
// came with it hear that they are gone. A client that was let go stays so.
func (h *Hub) RotateKey(ctx context.Context, id string) (key string, at Position, err error) {
	r, err := h.append(ctx, Command{Op: OpRotate, Client: id, Key: h.newKey()})
	return r.Key, r.Position, err
}

// Disconnect ends the client's sessions, all of them or those called session:
// they hear that they may come back, which those who still have a key can do.
func (h *Hub) Disconnect(ctx context.Context, id, session string) (Position, error) {
	r, err := h.append(ctx, Command{Op: OpDisconnect, Client: id, Session: session})
	return r.Position, err
}

// DeleteChannel ends a channel with all that it keeps and all memberships, also
// of clients that were let go. A channel of the same name that begins later is
// a new one. The error is ErrUnknownChannel if there is none.
func (h *Hub) DeleteChannel(ctx context.Context, name string) (Position, error) {
	if err := notQuiet(name); err != nil {
		return Position{}, err
	}
	r, err := h.append(ctx, Command{Op: OpDelete, Channels: []string{name}})
	return r.Position, err
}
