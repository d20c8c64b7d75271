package hub

import (
	"cmp"
	"slices"
	"time"
)

// An Image is the state of a shared log, as it is kept beside it: what a process
// begins with that did not follow the log from its first entry. Its parts need
// not be of one moment: each of them says what it has seen, and what the entries
// after Seq tell it again, changes nothing.
type Image struct {
	Epoch uint64
	Began uint64            // the seq of the entry with which the epoch began
	Ends  map[uint64]uint64 // of former epochs the last seq that is still of the log
	Seq   uint64            // the entries after it are still to be applied
	Skew  time.Duration     // by how much the clock of this process is before the log's

	Clients    []ClientImage
	Channels   []ChannelImage
	Namespaces []*Namespace
}

// A ClientImage is a client of an [Image].
type ClientImage struct {
	ID, Key string
	Socket  bool
	Born    uint64    // the seq with which it was created
	Owner   string    // of a socket
	OwnedBy uint64    // the seq with which its owner was created: who has its name may be another one
	LetGo   bool      // it waits to be revived
	Since   time.Time // when it was created, revived, or let go, by the clock of this process
	Changed uint64    // the seq with which it was created, or its subscriptions changed last
	Left    uint64    // the seq with which it left a channel last; 0: it never has
	Version uint64    // see [GroundClient]
	Taken   uint64    // see [Take]
	Data    []byte    // of a socket
	Subs    []SubImage
}

// A SubImage is a subscription of a [ClientImage].
type SubImage struct {
	Channel string
	Since   uint64 // everything after it is for the client
	SinceID uint64 // the channel's last id then
	Joined  int64  // Unix ms
}

// A ChannelImage is a channel of an [Image].
type ChannelImage struct {
	Name     string
	Began    uint64 // the seq with which it began
	AsOf     uint64 // everything up to here that was said is in it
	LastID   uint64
	Joined   uint64     // see [GroundIdle]
	Lost     uint64     // the highest seq of a message that it does not have any more
	Messages []*Message // what it keeps, the oldest first, with Seq, ID, Time and what was said
}

// Restore is part of [Replica]. Readers that are attached stay so, as long as
// their clients exist with the same keys; they hear that the log has begun a
// new life, if it has. While it runs nobody is told anything.
func (h fold) Restore(img *Image) {
	h.life.Add(1) // who looks now finds nothing, and looks again
	h.forgetChannels()
	if img.Epoch != h.epoch.Load() {
		h.newEra(img)
	}
	h.visible.Store(img.Seq)
	h.retries.clear()
	h.restoreChannels(img)
	h.restoreClients(img)
	h.restoreNamespaces(img.Namespaces)
	for _, t := range h.allTaps() {
		t.forget()
	}
	h.restoreMessages(img)
	h.channels.each(func(_ string, ch *channel) {
		ch.mu.Lock()
		h.mayGo(ch)
		ch.mu.Unlock()
	})
	h.endReplacing(img.Epoch)
	h.once.Do(func() { close(h.ready) })
	h.clients.each(func(_ string, c *client) {
		if c.attached.Load() > 0 {
			h.touchClient(c)
		}
	})
	h.wakeReaders()
}

// forgetChannels empties the hub of channels and what they hold. Who still looks
// into one finds what was there, or less.
func (h fold) forgetChannels() {
	h.channels.each(func(name string, ch *channel) {
		ch.mu.Lock()
		for _, r := range []*ring{&ch.messages, &ch.notices, ch.volatile} {
			for r != nil && r.n > 0 {
				h.discard(r.pop(ReasonNode))
			}
		}
		ch.mu.Unlock()
		h.channels.delete(name)
		h.nChannels.Add(-1)
	})
	h.idle.clear()
}

// restoreChannels makes the channels, still without messages and members.
func (h fold) restoreChannels(img *Image) {
	for i := range img.Channels {
		from := &img.Channels[i]
		ch := &channel{hub: h.Hub, name: from.Name, began: from.Began, asOf: from.AsOf, joined: from.Joined,
			lastID: from.LastID, epoch: img.Epoch}
		ch.messages.evicted, ch.messages.reason = from.Lost, ReasonNode
		if set := ch.settings(); set.Presence || ch.name == AdminChannel { // where there may have been notices
			ch.notices.evicted = from.AsOf
			if set.Presence {
				ch.counted = from.AsOf
			}
		}
		ch.newest.Store(max(from.Lost, ch.notices.evicted))
		h.channels.put(ch.name, ch)
		h.nChannels.Add(1)
	}
}

// restoreClients makes the clients, or changes those that are here.
func (h fold) restoreClients(img *Image) {
	named := make(map[string]*ClientImage, len(img.Clients))
	for i := range img.Clients {
		named[img.Clients[i].ID] = &img.Clients[i]
	}
	h.clients.each(func(id string, c *client) {
		from := named[id]
		switch {
		case from != nil && from.Key == *c.key.Load():
		case from != nil && from.Born == c.bornAt():
			h.rekey(c, from.Key)
		default:
			h.vanish(c)
		}
	})
	slices.SortStableFunc(img.Clients, func(a, b ClientImage) int { return a.Since.Compare(b.Since) }) // as they came to wait
	fresh := make(map[string]*client)                                                                  // complete, but for what restoreClient adds, before anybody sees them
	for i := range img.Clients {
		if from := &img.Clients[i]; h.clients.get(from.ID) == nil {
			key := from.Key
			c := &client{id: from.ID, socket: from.Socket, rest: &rest{born: from.Born}}
			c.key.Store(&key)
			fresh[from.ID] = c
		}
	}
	for i := range img.Clients {
		from := &img.Clients[i]
		c := fresh[from.ID]
		if from.Owner != "" {
			cmp.Or(c, h.clients.get(from.ID)).owner.Store(h.ownerInImage(from, fresh))
		}
		h.restoreClient(from, c)
	}
}

// ownerInImage returns the owner of a socket, which is dead if it has ended since.
func (h fold) ownerInImage(of *ClientImage, fresh map[string]*client) *client {
	owner := fresh[of.Owner]
	if owner == nil {
		owner = h.clients.get(of.Owner)
	}
	if owner == nil || owner.bornAt() != of.OwnedBy {
		return &client{id: of.Owner, state: dead}
	}
	return owner
}

// vanish ends a client that the log does not know.
func (h fold) vanish(c *client) {
	h.clients.delete(c.id)
	c.mu.Lock()
	was := c.state
	c.state, c.subs = dead, nil
	c.mu.Unlock()
	if was == letGo {
		h.letGo.remove(c)
	} else {
		h.countClient(c, -1)
	}
	h.wheel.remove(c)
	h.touchClient(c)
}

// restoreClient makes one client, of fresh if it is not here yet.
func (h fold) restoreClient(from *ClientImage, fresh *client) {
	c, known := fresh, fresh == nil
	if known {
		c = h.clients.get(from.ID)
	}
	wasLive := known && c.stateNow() != letGo
	at := int64(from.Since.Sub(h.begun))
	c.mu.Lock()
	c.rare().version, c.changed = from.Version, from.Changed
	c.state = live
	if from.LetGo {
		c.state = letGo
	}
	c.pasts = nil
	if from.Left > 0 {
		c.pasts = &pasts{forgotten: from.Left}
	}
	c.rest.taken.upTo, c.rest.data = from.Taken, from.Data
	h.restoreSubs(c, from)
	c.mu.Unlock()
	if known && !wasLive {
		h.letGo.remove(c)
	}
	if from.LetGo {
		h.wheel.hold(c, false)
		h.wheel.remove(c)
		h.letGo.add(c, at)
		if c.attached.Load() > 0 {
			h.missed.add(c)
		}
	}
	if !known {
		c.created.Store(at)
		c.lastSeen.Store(max(at, h.now())) // others know better, and ask nobody
		h.clients.put(c.id, c)
	}
	if isLive := !from.LetGo; isLive != wasLive {
		change := int64(1)
		if wasLive {
			change = -1
		}
		h.countClient(c, change)
	}
}

// restoreSubs makes the client's memberships. Those of a channel that has ended
// since are none: what has begun under its name later is another one. c.mu is
// held.
func (h fold) restoreSubs(c *client, from *ClientImage) {
	c.subs, c.rest.ended = nil, nil
	for _, sub := range from.Subs {
		ch := h.channels.get(sub.Channel)
		if ch == nil || ch.began > sub.Since+1 {
			c.rest.ended = append(c.rest.ended, sub.Channel)
			continue
		}
		m := &member{client: c, channel: ch, since: sub.Since, sinceID: sub.SinceID, joined: sub.Joined, slot: -1}
		c.subs = append(c.subs, m)
		ch.mu.Lock()
		if c.state == live {
			ch.list(m)
		} else {
			ch.absent++
		}
		ch.mu.Unlock()
		if c.attached.Load() > 0 {
			ch.readers.Add(1)
		}
	}
	slices.SortFunc(c.subs, func(a, b *member) int { return cmp.Compare(a.since, b.since) })
}

func (h fold) restoreNamespaces(all []*Namespace) {
	declared := make(map[string]*Namespace, len(all))
	for _, n := range all {
		declared[n.Pattern] = n
	}
	h.declared.Store(&declared)
}

// restoreMessages puts what was said into the rings, in the log's order.
func (h fold) restoreMessages(img *Image) {
	var all []*Message
	for i := range img.Channels {
		ch := h.channels.get(img.Channels[i].Name)
		for _, m := range img.Channels[i].Messages {
			m.channel, m.name = ch, ch.name
			m.at = int64(time.UnixMilli(m.Time).Add(img.Skew).Sub(h.begun))
			all = append(all, m)
		}
	}
	slices.SortFunc(all, bySeq)
	for _, m := range all {
		ch := m.channel
		ch.mu.Lock()
		ch.put(&ch.messages, m)
		ch.mu.Unlock()
	}
	for h.evictOldest() {
	}
}
