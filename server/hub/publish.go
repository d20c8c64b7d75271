package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Publication is something to be said.
type Publication struct {
	Channel string          // Broadcast does not heed it
	Sender  json.RawMessage // who says it: one valid JSON value
	Data    json.RawMessage // what is said: one valid JSON value
	System  bool            // it is said in the system's name

	// PublishID makes a retry harmless: who publishes the same thing on the
	// same channel under the same id again is told where it went the first
	// time. It is remembered for Limits.PublishIDAge. "" is no id.
	PublishID string
	// Exclude names clients that are not to hear it.
	Exclude []string
	// TTL is how long it is worth hearing, if that is shorter than the
	// channel keeps it. 0 is for as long as it is kept.
	TTL time.Duration
}

// Published says where a publication went.
type Published struct {
	Channel  string
	Position Position
	ID       uint64 // its number in the channel
	Repeated bool   // it went there earlier, under the same publish id
}

// MaxPublishID is how many bytes a publish id may have.
const MaxPublishID = 128

// Publish puts p into the log: when it returns, every member's next read has
// it. The hub keeps p's slices; the caller must not write to them afterwards.
// The error is ErrConflict when p's id has been used for something else, and
// ErrLimitReached when no more ids can be remembered.
func (h *Hub) Publish(ctx context.Context, p Publication) (Published, error) {
	if err := notQuiet(p.Channel); err != nil {
		return Published{}, err
	}
	if err := h.checkPublication(&p, p.Channel); err != nil {
		return Published{}, err
	}
	cmd := Command{Op: OpPublish, Message: newMessage(&p, p.Channel)}
	if p.PublishID != "" {
		cmd.Retry = &PublishKey{Scope: p.Channel, ID: p.PublishID, Hash: digest(&p, nil)}
	}
	r, err := h.append(ctx, cmd)
	if err == nil && len(r.Earlier) > 0 {
		return r.Earlier[0], nil
	}
	return Published{Channel: p.Channel, Position: r.Position, ID: r.ID}, err
}

// PublishAll publishes each of all, in this order, as [Hub.Publish] would, and
// calls tell with what has become of each, in this order too. On a log that is
// shared it goes there once for many: as [Hub.Broadcast] does, but each message
// fares by itself.
func (h *Hub) PublishAll(ctx context.Context, all []Publication, tell func(Published, error)) {
	for len(all) > 0 {
		n := h.together(all)
		if n < 2 || !h.publishGroup(ctx, all[:n], tell) {
			n = max(n, 1)
			for _, p := range all[:n] {
				tell(h.Publish(ctx, p))
			}
		}
		all = all[n:]
	}
}

// What goes to a shared log at once, at most: an entry is read as a whole by
// every node, and keeps all others waiting meanwhile.
const (
	groupMessages = 100
	groupBytes    = 256 << 10
)

// together says how many of the first of all can be one entry. One with a
// publish id cannot be part of any, nor can one that is refused.
func (h *Hub) together(all []Publication) (n int) {
	if h.shared == nil {
		return 0
	}
	bytes := 0
	for i := range all[:min(len(all), groupMessages)] {
		p := &all[i]
		bytes += len(p.Data) + len(p.Sender)
		if p.PublishID != "" || bytes > groupBytes || notQuiet(p.Channel) != nil || h.faultOf(p, p.Channel) != nil {
			break
		}
		n++
	}
	return n
}

// publishGroup puts all into the log as one entry, and tells of each. It
// reports false, and has told nothing, where they have to be published one by
// one, since not all of them can be.
func (h *Hub) publishGroup(ctx context.Context, all []Publication, tell func(Published, error)) bool {
	cmd := Command{Op: OpBroadcast, Messages: make([]*Message, len(all))}
	for i := range all {
		cmd.Messages[i] = newMessage(&all[i], all[i].Channel)
	}
	r, err := h.broker.Append(ctx, cmd)
	switch {
	case err == nil && r.Refused == nil:
		for _, p := range h.placesOf(r.Messages) {
			tell(p, nil)
		}
	case errors.Is(err, ErrUnavailable): // who can say whether they are there?
		for range all {
			tell(Published{}, err)
		}
	default:
		return false
	}
	return true
}

// Broadcast puts a copy of p into each of the channels, all or none, one right
// after the other, and says where each one went; a channel that is named twice
// counts once. A client on two of them hears both copies. Otherwise it is as
// [Hub.Publish]; the publish ids of broadcasts are their own.
func (h *Hub) Broadcast(ctx context.Context, channels []string, p Publication) ([]Published, error) {
	names := distinct(channels)
	if limit := h.limits().ChannelsPerCall; len(names) > limit {
		return nil, h.refuse(limitReached("channels_per_call", limit))
	}
	for _, name := range names {
		if err := notQuiet(name); err != nil {
			return nil, err
		}
	}
	if err := h.checkPublication(&p, names...); err != nil || len(names) == 0 {
		return nil, err
	}
	cmd := Command{Op: OpBroadcast, Messages: make([]*Message, len(names))}
	for i, name := range names {
		cmd.Messages[i] = newMessage(&p, name)
	}
	if p.PublishID != "" {
		cmd.Retry = &PublishKey{ID: p.PublishID, Hash: digest(&p, names)}
	}
	r, err := h.append(ctx, cmd)
	if err != nil || r.Earlier != nil {
		return r.Earlier, err
	}
	return h.placesOf(r.Messages), nil
}

// placesOf says where messages are.
func (h *Hub) placesOf(messages []*Message) []Published {
	to := make([]Published, len(messages))
	for i, m := range messages {
		to[i] = Published{Channel: m.name, Position: h.position(m.Seq), ID: m.ID}
	}
	return to
}

// distinct returns the names without repetitions, in the order of their first.
func distinct(names []string) []string {
	seen := make(map[string]bool, len(names))
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		again := seen[name]
		seen[name] = true
		return again
	})
}

func newMessage(p *Publication, channel string) *Message {
	m := &Message{name: channel, Sender: p.Sender, Data: p.Data, System: p.System}
	if len(p.Exclude) > 0 || p.TTL > 0 {
		m.Terms = &Terms{Exclude: p.Exclude, TTL: p.TTL}
	}
	return m
}

// checkPublication says what is wrong with p for these channels. It puts
// Exclude in order.
func (h *Hub) checkPublication(p *Publication, channels ...string) error {
	return h.refuse(h.faultOf(p, channels...))
}

// faultOf is checkPublication that counts no refusal.
func (h *Hub) faultOf(p *Publication, channels ...string) error {
	l := h.limits()
	for _, name := range channels {
		if err := CheckChannelName(name, l.NameBytes); err != nil {
			return err
		}
	}
	if n := len(p.Data) + len(p.Sender); n > l.MessageBytes {
		return &Error{Kind: TooLarge, Name: "message_bytes",
			Text: fmt.Sprintf("the message has %d bytes with its sender; at most %d are allowed (message_bytes)", n, l.MessageBytes)}
	}
	if len(p.PublishID) > MaxPublishID {
		return &Error{Kind: Invalid, Text: fmt.Sprintf("a publish id must not be longer than %d bytes", MaxPublishID)}
	}
	if p.TTL < 0 {
		return &Error{Kind: Invalid, Text: "a time to live must not be negative"}
	}
	if len(p.Exclude) > l.ExcludePerMessage {
		return limitReached("exclude_per_message", l.ExcludePerMessage)
	}
	for _, id := range p.Exclude {
		if err := CheckClientID(id, l.NameBytes); err != nil {
			return err
		}
	}
	if len(p.Exclude) > 0 {
		p.Exclude = slices.Clone(p.Exclude)
		slices.Sort(p.Exclude)
	}
	return nil
}
