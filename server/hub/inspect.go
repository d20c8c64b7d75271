package hub

import (
	"slices"
	"strings"
	"time"
)

// A HistoryQuery says which messages of a channel are asked for.
type HistoryQuery struct {
	Channel string
	Since   Position // what came after it; zero: from the oldest that is kept
	Limit   int      // messages at most; more than 0
	Reverse bool     // the newest first, going back to Since
}

// A History is what a channel keeps of what was asked for. Notices and
// messages that are not worth hearing any more are not part of it, so its ids
// have holes.
type History struct {
	Messages []*Message
	Position Position // the log's top when it was read: what is missing comes later
	LastID   uint64   // the channel's last id then, or a moment later; notices counted
	More     bool     // others were left out because of the limit
	Lost     *Lost    // what was asked for and is kept no more
	Reset    bool     // Since is of another life of the log, and was not heeded
}

// Lost is a part of a channel that is kept no more: after From, up to To.
type Lost struct {
	From, To Position
	Reason   Reason
}

// History returns messages that a channel keeps. The error is
// ErrUnknownChannel if there is none of this name.
func (h *Hub) History(q HistoryQuery) (History, error) {
	ch := h.channels.get(q.Channel)
	if ch == nil {
		return History{}, unknownChannel(q.Channel)
	}
	top := h.visible.Load()
	a := History{Position: h.position(top)}
	since := q.Since.Seq
	if a.Reset = !q.Since.IsZero() && (q.Since.Epoch != a.Position.Epoch || since > top); a.Reset {
		since = 0
	}
	now := h.now()
	ch.mu.RLock()
	defer ch.mu.RUnlock()
	a.LastID = ch.lastID
	r := &ch.messages
	if since > 0 && r.evicted > since {
		a.Lost = &Lost{From: h.position(since), To: h.position(r.evicted), Reason: r.reason}
	}
	first, end := r.after(since), r.after(top)
	for i := range end - first {
		m := r.at(first + i)
		if q.Reverse {
			m = r.at(end - 1 - i)
		}
		if m.late(now) {
			continue
		}
		if a.More = len(a.Messages) == q.Limit; a.More {
			break
		}
		a.Messages = append(a.Messages, m)
	}
	return a, nil
}

// A PresenceQuery says whose presence is asked for: members in the order of
// their ids, those after After, Limit at most.
type PresenceQuery struct {
	Channel string
	After   string
	Limit   int // more than 0
}

// Presence is who is on a channel.
type Presence struct {
	Count   int // all members
	Members []Member
	More    bool // others were left out because of the limit
}

// A Member is a client on a channel.
type Member struct {
	Client   string
	Since    time.Time // when it was subscribed, or was last revived
	Sessions []SessionInfo
}

// SessionInfo describes a reader that is attached.
type SessionInfo struct {
	Transport string // see [Start]; message_updates for a page of 2010
	Since     time.Time
}

// Presence returns who is on a channel. The error is ErrUnknownChannel if
// there is none of this name.
func (h *Hub) Presence(q PresenceQuery) (Presence, error) {
	ch := h.channels.get(q.Channel)
	if ch == nil {
		return Presence{}, unknownChannel(q.Channel)
	}
	first := firsts[*member]{after: q.After, limit: q.Limit}
	ch.walk(func(part []*member) {
		for _, m := range part {
			first.add(m.client.id, m)
		}
	})
	members, more := first.take()
	// Who leaves and comes back during the walk may be met twice.
	members = slices.CompactFunc(members, func(a, b *member) bool { return a.client.id == b.client.id })
	p := Presence{Count: ch.memberCount(), More: more}
	for _, m := range members {
		p.Members = append(p.Members, m.describe())
	}
	return p, nil
}

func (m *member) describe() Member {
	m.channel.mu.RLock()
	d := Member{Client: m.client.id, Since: time.UnixMilli(m.joined)}
	m.channel.mu.RUnlock()
	d.Sessions = m.client.sessionInfos()
	return d
}

func (c *client) sessionInfos() (all []SessionInfo) {
	for _, r := range c.readers(nil) {
		all = append(all, SessionInfo{r.transport.Value(), r.hub.begun.Add(time.Duration(r.began))})
	}
	return all
}

// SessionsOf returns the readers that a client has attached to this hub.
func (h *Hub) SessionsOf(id string) []SessionInfo {
	c := h.clients.get(id)
	if c == nil {
		return nil
	}
	return c.sessionInfos()
}

// A Listing asks for things in the order of their names: those that match
// Pattern and come after After, Limit at most.
type Listing struct {
	Pattern string // see [Match]; "" is everything
	After   string
	Limit   int // more than 0
}

// ChannelInfo describes a channel.
type ChannelInfo struct {
	Name     string
	Members  int
	Messages int // kept, without notices
	Bytes    int // charged for them
	LastID   uint64
}

// ListChannels returns channels in the order of their names, and whether more
// of them follow. Quiet ones are among them only if the pattern begins as they
// do, with / or @.
func (h *Hub) ListChannels(l Listing) (all []ChannelInfo, more bool) {
	whole := strings.HasPrefix(l.Pattern, "/") || strings.HasPrefix(l.Pattern, "@")
	channels, more := listed(h.channels, l, func(ch *channel) bool { return whole || !quiet(ch.name) })
	for _, ch := range channels {
		ch.mu.RLock()
		all = append(all, ChannelInfo{ch.name, ch.size(), ch.messages.n, ch.messages.bytes, ch.lastID})
		ch.mu.RUnlock()
	}
	return all, more
}

// ClientInfo describes a client.
type ClientInfo struct {
	ID       string
	LetGo    bool // it was idle and waits to be revived
	Channels int
	Sessions int
	Created  time.Time // or last revived
	Seen     time.Time // when a session last came or went; now, while there is one
}

// ListClients returns clients that are no sockets, also those let go, in the
// order of their ids, and whether more of them follow.
func (h *Hub) ListClients(l Listing) (all []ClientInfo, more bool) {
	clients, more := listed(h.clients, l, func(c *client) bool { return !c.socket })
	for _, c := range clients {
		all = append(all, c.describe(h.begun))
	}
	return all, more
}

func (c *client) describe(begun time.Time) ClientInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := begun.Add(time.Duration(c.lastSeen.Load()))
	if len(c.sessions) > 0 {
		seen = time.Now()
	}
	return ClientInfo{
		ID:       c.id,
		LetGo:    c.state == letGo,
		Channels: c.subscriptions(),
		Sessions: len(c.sessions),
		Created:  begun.Add(time.Duration(c.created.Load())),
		Seen:     seen,
	}
}

// listed returns what l asks for of all that the registry has and want wants.
func listed[T any](r *registry[T], l Listing, want func(*T) bool) (all []*T, more bool) {
	first := firsts[*T]{after: l.After, limit: l.Limit}
	r.each(func(name string, v *T) {
		if !want(v) {
			return
		}
		if l.Pattern == "" || Match(l.Pattern, name) {
			first.add(name, v)
		}
	})
	return first.take()
}

// firsts finds those that come first by name, after a given one, among many,
// without keeping many of them.
type firsts[T any] struct {
	after string
	limit int
	found []named[T]
	last  string // what comes after it is not among them
	full  bool   // last is set
}

func (f *firsts[T]) add(name string, v T) {
	if name <= f.after || f.full && name > f.last {
		return
	}
	f.found = append(f.found, named[T]{name, v})
	if len(f.found) > 4*(f.limit+1) {
		f.shrink()
	}
}

// shrink keeps one more than may be taken, which tells that there are more.
func (f *firsts[T]) shrink() {
	slices.SortFunc(f.found, func(a, b named[T]) int { return strings.Compare(a.name, b.name) })
	if len(f.found) > f.limit {
		clear(f.found[f.limit+1:])
		f.found = f.found[:f.limit+1]
		f.last, f.full = f.found[f.limit].name, true
	}
}

func (f *firsts[T]) take() (all []T, more bool) {
	f.shrink()
	for _, n := range f.found[:min(f.limit, len(f.found))] {
		all = append(all, n.value)
	}
	return all, len(f.found) > f.limit
}
