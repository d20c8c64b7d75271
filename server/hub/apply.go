package hub

import (
	"encoding/json"
	"slices"
	"unicode/utf8"
)

// Apply makes e happen: the fold. First everything is stored, then the top of
// the log moves over it, then the readers are told; so who is woken finds what
// it was woken for.
func (h fold) Apply(e Entry) (id uint64) {
	if e.Op == 0 {
		h.adopt(e)
		return 0
	}
	h.stamp.mono, h.stamp.wall, h.stamp.foreign = int64(e.localTime().Sub(h.begun)), e.Time.UnixMilli(), e.Foreign
	h.stamp.unknown = false
	held := h.bytes.Load()
	seq := e.First
	for _, name := range e.Creates {
		h.createChannel(name, seq)
		seq++
	}
	switch e.Op {
	case OpPublish:
		id = h.publish(e.Message, seq)
		h.remember(e.Retry, e.Message)
	case OpBroadcast:
		h.broadcast(e.Messages, seq)
		h.remember(e.Retry, e.Messages...)
	case OpEmit:
		h.eachTurn(e, seq, h.join)
		h.broadcast(e.Messages, seq+uint64(len(e.Pairs)))
		h.remember(e.Retry, e.Messages...)
	case OpForgetSocket:
		h.eachTurn(e, seq, func(t turn) { h.part(t, NoticeLetGo) })
		h.bury(e.Client, e.Last)
	case OpCreate:
		h.createClient(e.Client, e.Key, seq, nil)
	case OpSocket:
		h.createClient(e.Client, e.Key, seq, &socketOf{h.ownerOf(e.Owner, e.Last)})
		h.eachTurn(e, seq, h.join)
	case OpData:
		h.setData(e)
	case OpDeclare:
		h.declare(e.Namespace)
	case OpTake:
		h.takes(e)
	case OpSubscribe:
		h.eachTurn(e, seq, h.join)
	case OpUnsubscribe:
		h.eachTurn(e, seq, func(t turn) { h.part(t, NoticeLeft) })
	case OpKill:
		h.eachTurn(e, seq, func(t turn) { h.part(t, NoticeKilled) })
		h.live(e, Killed, e.Client)
		h.bury(e.Client, e.Last)
	case OpLetGo:
		h.eachTurn(e, seq, h.away)
		h.live(e, LetGo, e.Clients...)
		h.setAside(e)
	case OpRevive:
		h.wakeUp(e)
		h.eachTurn(e, seq, h.back)
		h.live(e, Back, e.Client)
	case OpForget:
		for _, id := range e.Clients {
			h.bury(id, e.Last)
		}
	case OpDrop:
		for _, name := range e.Channels {
			h.drop(name, seq)
		}
	case OpRotate:
		h.rotate(e)
	case OpDelete:
		for _, name := range e.Channels {
			h.delete(name, seq)
		}
	case OpDisconnect:
		h.dismiss(e)
	case OpCount:
		for _, name := range e.Channels {
			h.count(name, seq)
		}
	}
	h.version(e)
	h.visible.Store(e.Last)
	h.makeRoom(h.bytes.Load() - held)
	h.wakeReaders()
	for _, t := range h.allTaps() {
		t.wake()
	}
	return id
}

// wakeReaders hands what the entry has changed to the dispatcher. Channels and
// clients that nobody reads for are passed over. That is safe only after the top has moved:
// whoever attaches from here on reads it after saying that it is there.
func (h fold) wakeReaders() {
	t := &h.touched
	t.channels = slices.DeleteFunc(t.channels, func(ch *channel) bool {
		return ch.readers.Load() == 0 || !ch.waiting.CompareAndSwap(false, true)
	})
	t.clients = slices.DeleteFunc(t.clients, func(c *client) bool { return c.attached.Load() == 0 })
	h.queue.add(&t.channels, &t.clients)
}

// adopt begins the log.
func (h fold) adopt(e Entry) {
	if h.epoch.Load() != 0 {
		panic("hub: a log has one life")
	}
	h.visible.Store(e.Last)
	h.epoch.Store(e.Epoch)
	h.once.Do(func() { close(h.ready) })
}

// A turn is a membership that begins or ends with an entry. A process that has
// begun with an image of the state, which is of no one moment, may know of it
// already, or find that the client, the membership or the channel has ended since.
type turn struct {
	id      string   // the client's
	client  *client  // nil: it has ended since, or knows of the turn already
	channel *channel // nil: it has ended since, even if there is another of its name
	seq     uint64
	told    telling
}

// telling says whether a turn is told by a notice.
type telling uint8

const (
	tellIfWanted telling = iota // as the channel's settings say
	tellNot
	tellIt
)

func (h fold) eachTurn(e Entry, seq uint64, f func(turn)) {
	for i, p := range e.Pairs {
		t := turn{id: p.Client, client: h.before(p.Client, e.Last), channel: h.standing(p.Channel, seq+uint64(i)), seq: seq + uint64(i)}
		if e.Told != nil {
			if t.told = tellNot; e.Told[i] {
				t.told = tellIt
			}
		}
		if t.channel != nil {
			f(t)
		}
	}
}

// before returns the client as it was before the entry that ends with seq: nil
// if it is not there, or has come with an image of the state that is newer.
func (h fold) before(id string, seq uint64) *client {
	c := h.clients.get(id)
	if c == nil || h.versionOf(c) >= seq {
		return nil
	}
	return c
}

// versionOf returns the last number of the entry that has changed c last, if
// others have to agree on that.
func (h *Hub) versionOf(c *client) uint64 {
	if h.shared == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rest == nil {
		return 0
	}
	return c.rest.version
}

// version notes which entry has changed the clients it names last, if others
// have to agree on that.
func (h fold) version(e Entry) {
	if h.shared == nil {
		return
	}
	note := func(id string) {
		if c := h.before(id, e.Last); c != nil {
			c.mu.Lock()
			c.rare().version = e.Last
			c.mu.Unlock()
		}
	}
	for _, p := range e.Pairs {
		note(p.Client)
	}
	for _, id := range e.Clients {
		note(id)
	}
	switch e.Op {
	case OpCreate, OpSocket, OpRevive, OpRotate, OpData:
		note(e.Client)
	}
}

func (h fold) touch(ch *channel) {
	if t := &h.touched; len(t.channels) == 0 || t.channels[len(t.channels)-1] != ch {
		t.channels = append(t.channels, ch)
	}
}

// touchClient has c's own readers woken.
func (h fold) touchClient(c *client) { h.touched.clients = append(h.touched.clients, c) }

// broadcast says messages one right after the other. If they are one event for
// several rooms, they know from now on where it begins.
func (h fold) broadcast(messages []*Message, seq uint64) {
	if t := messages[0].Terms; t != nil && t.Union != nil {
		t.Union.First = seq
	}
	for i, m := range messages {
		h.publish(m, seq+uint64(i))
	}
}

func (h fold) publish(m *Message, seq uint64) (id uint64) {
	ch := m.channel
	if ch == nil {
		ch = h.channels.get(m.name)
	}
	if ch == nil { // it has ended since, in an image
		m.Seq, h.stamp.unknown = seq, true
		return 0
	}
	if seq <= ch.asOf {
		h.touch(ch) // who has looked before the top came here has not seen it
		return h.recall(ch, m, seq)
	}
	ch.mu.Lock()
	ch.keep(ch.ringOf(m), m, seq)
	ch.mu.Unlock()
	if !m.Volatile {
		for _, t := range h.allTaps() {
			t.note(ch, seq)
		}
	}
	h.totals.published.Add(1)
	h.touch(ch)
	return m.ID
}

// recall gives m the numbers with which it came in an image of the state, if it is
// still kept.
func (h fold) recall(ch *channel, m *Message, seq uint64) (id uint64) {
	ch.mu.RLock()
	defer ch.mu.RUnlock()
	m.Seq, m.channel = seq, ch
	same := ch.messages.between(nil, seq-1, seq, 1)
	if len(same) == 0 {
		h.stamp.unknown = true
		return 0
	}
	m.ID, m.Time = same[0].ID, same[0].Time
	return m.ID
}

// notify keeps a notice in ch's side ring. ch.mu is held.
func (h fold) notify(ch *channel, kind Notice, sender string, data json.RawMessage, seq uint64) {
	if seq <= ch.asOf {
		return
	}
	m := &Message{Sender: quote(sender), Data: data, System: true, Notice: kind}
	ch.keep(&ch.notices, m, seq)
	h.touch(ch)
}

// tell tells that a client has joined or left a channel: by a notice, or, where
// that is not wanted or there are too many members for it, by a count that
// follows. The channel's lock is held.
func (h fold) tell(t turn, kind Notice) {
	ch := t.channel
	set := ch.settings()
	if t.told == tellIfWanted {
		if t.told = tellNot; set.tells(ch.size()) {
			t.told = tellIt
		}
	}
	switch {
	case t.told == tellIt:
		h.notify(ch, kind, t.id, noticeData[kind], t.seq)
	case set.Presence && !ch.uncounted:
		ch.uncounted = true
		h.idle.addUncounted(ch.name)
	}
}

// createChannel begins a channel and announces it on the admin channel, with
// which it begins if it is that one itself. Of a quiet one nobody is told. One
// that came with an image is there already.
func (h fold) createChannel(name string, seq uint64) {
	if ch := h.channels.get(name); ch == nil {
		h.channels.put(name, &channel{hub: h.Hub, name: name, began: seq, epoch: h.epoch.Load()})
		h.nChannels.Add(1)
	}
	if quiet(name) {
		return
	}
	admin := h.channels.get(AdminChannel)
	data := slices.Concat([]byte(`{"type":"new_channel","name":`), quote(name), []byte(`}`))
	admin.mu.Lock()
	h.notify(admin, NoticeNewChannel, "system", data, seq)
	admin.mu.Unlock()
}

// socketOf says whose a client is that is a socket.
type socketOf struct{ owner *client }

// ownerOf returns the client that began a socket with the entry that ends with seq;
// nil if nobody did. One that is known no more, or is another one since, is none that
// lives.
func (h fold) ownerOf(id string, seq uint64) *client {
	if id == "" {
		return nil
	}
	if c := h.clients.get(id); c != nil && c.bornAt() <= seq {
		return c
	}
	return &client{id: id, state: dead}
}

// createClient begins a client. It is on no channel, which whoever reads on
// from an earlier position, for another one of this name, has to be told.
func (h fold) createClient(id, key string, seq uint64, socket *socketOf) {
	if c := h.clients.get(id); c != nil { // it came with an image
		if socket != nil && c.bornAt() == seq {
			c.owner.Store(socket.owner) // whom the image may not have had
		}
		return
	}
	c := &client{id: id, changed: seq, socket: socket != nil}
	if socket != nil {
		c.owner.Store(socket.owner)
	}
	if h.shared != nil {
		c.rare().born = seq
	}
	c.key.Store(&key)
	h.begin(c) // before anybody can see it, and how old it is
	h.clients.put(id, c)
}

// begin has c live from now on. It is for the process that has asked for it to
// find out when it is idle.
func (h fold) begin(c *client) {
	now := h.stamp.mono // this node may hear of it late
	c.created.Store(now)
	c.lastSeen.Store(max(c.lastSeen.Load(), now))
	h.countClient(c, 1)
	if !h.stamp.foreign {
		h.wheel.hold(c, true)
		h.wheel.add(c, now)
	}
}

// join subscribes a client to a channel. The membership begins with the seq of
// its own notice, which is the first thing the client hears.
func (h fold) join(t turn) {
	c, ch := t.client, t.channel
	if c == nil {
		h.tellAlone(t, NoticeJoined)
		return
	}
	c.mu.Lock()
	ch.mu.Lock()
	m := &member{client: c, channel: ch, since: t.seq - 1, sinceID: ch.lastID, joined: h.stamp.wall}
	ch.list(m)
	ch.joined = max(ch.joined, t.seq)
	c.subs = append(slices.DeleteFunc(c.subs, func(old *member) bool {
		at := old.channel.deleted.Load()
		if at != 0 {
			c.remember(old, at)
		}
		return at != 0
	}), m)
	if c.rest != nil {
		c.rest.ended = nil // the log has forgotten them with this
	}
	if c.attached.Load() > 0 {
		ch.readers.Add(1)
	}
	c.changed = t.seq
	h.tell(t, NoticeJoined)
	ch.mu.Unlock()
	c.mu.Unlock()
	h.touchClient(c)
}

// tellAlone tells of a turn whose client knows of it already, or has ended.
func (h fold) tellAlone(t turn, kind Notice) {
	t.channel.mu.Lock()
	defer t.channel.mu.Unlock()
	h.tell(t, kind)
}

// part ends a client's membership. Who leaves does not hear it.
func (h fold) part(t turn, kind Notice) {
	c, ch := t.client, t.channel
	if c == nil || c.subLocked(ch) == nil {
		h.tellAlone(t, kind)
		return
	}
	c.mu.Lock()
	ch.mu.Lock()
	m := c.subLocked(ch)
	c.remember(m, t.seq)
	c.subs = slices.DeleteFunc(c.subs, func(s *member) bool { return s == m })
	if len(c.subs) == 0 {
		c.subs = nil
	}
	if c.attached.Load() > 0 {
		ch.readers.Add(-1)
	}
	c.changed = t.seq
	if m.slot >= 0 {
		ch.unlist(m)
		h.tell(t, kind)
	} else {
		ch.absent--
	}
	h.mayGo(ch)
	ch.mu.Unlock()
	c.mu.Unlock()
	h.touchClient(c)
}

// away takes a client that is let go off a channel. It keeps the membership.
func (h fold) away(t turn) {
	c, ch := t.client, t.channel
	if c == nil || c.subLocked(ch) == nil {
		h.tellAlone(t, NoticeLetGo)
		return
	}
	c.mu.Lock()
	ch.mu.Lock()
	ch.unlist(c.subLocked(ch))
	ch.absent++
	h.tell(t, NoticeLetGo)
	ch.mu.Unlock()
	c.mu.Unlock()
}

// back undoes away. The membership is the old one, from its old beginning.
func (h fold) back(t turn) {
	c, ch := t.client, t.channel
	if c == nil || c.subLocked(ch) == nil {
		h.tellAlone(t, NoticeJoined)
		return
	}
	c.mu.Lock()
	ch.mu.Lock()
	ch.absent--
	m := c.subLocked(ch)
	m.joined = h.stamp.wall
	ch.list(m)
	ch.joined = max(ch.joined, t.seq)
	h.tell(t, NoticeJoined)
	ch.mu.Unlock()
	c.mu.Unlock()
}

// setAside has the clients wait to be revived. Who is read for here in spite of
// that, since a reader came while the others agreed, is revived at once.
func (h fold) setAside(e Entry) {
	for _, id := range e.Clients {
		c := h.before(id, e.Last)
		if c == nil {
			continue
		}
		c.mu.Lock()
		c.state = letGo
		c.mu.Unlock()
		h.letGoOf(c)
		h.letGo.add(c, h.stamp.mono)
		h.countClient(c, -1)
		h.totals.letGo.Add(1)
		if c.attached.Load() > 0 {
			h.missed.add(c)
		}
	}
}

// wakeUp makes a let-go client live.
func (h fold) wakeUp(e Entry) {
	c := h.before(e.Client, e.Last)
	if c == nil {
		return
	}
	h.letGo.remove(c)
	h.begin(c)
	h.totals.revived.Add(1)
	c.mu.Lock()
	c.state = live
	c.mu.Unlock()
	h.touchClient(c) // its readers were not woken while it was away
}

// bury ends a client, live or let go, for good. What memberships it still has
// are those of a let-go client, who has left its channels already.
func (h fold) bury(id string, seq uint64) {
	c := h.before(id, seq)
	if c == nil {
		return
	}
	h.clients.delete(id)
	c.mu.Lock()
	was, subs := c.state, c.subs
	c.state, c.subs = dead, nil
	for _, m := range subs {
		if at := m.channel.deleted.Load(); at != 0 {
			c.remember(m, at)
			continue
		}
		m.channel.mu.Lock()
		m.channel.absent--
		h.mayGo(m.channel)
		m.channel.mu.Unlock()
	}
	c.mu.Unlock()
	h.letGoOf(c)
	if was == letGo {
		h.letGo.remove(c)
		return
	}
	h.countClient(c, -1)
	h.touchClient(c)
}

func (h fold) countClient(c *client, n int64) {
	h.nClients.Add(n)
	if c.socket {
		h.nSockets.Add(n)
	}
}

// drop ends a channel. Nobody is a member, so nobody is told.
func (h fold) drop(name string, seq uint64) {
	ch := h.standing(name, seq)
	if ch == nil {
		return
	}
	h.channels.delete(name)
	h.nChannels.Add(-1)
	rings := ch.rings() // of messages there are none
	ch.mu.Lock()
	defer ch.mu.Unlock()
	for _, r := range rings {
		for r.n > 0 {
			ch.evict(r, ReasonAge)
		}
	}
}

// standing returns the channel as it was before seq; nil if it has ended since.
func (h fold) standing(name string, seq uint64) *channel {
	ch := h.channels.get(name)
	if ch == nil || ch.began > seq {
		return nil
	}
	return ch
}

// rotate gives a client a new key.
func (h fold) rotate(e Entry) {
	if c := h.before(e.Client, e.Last); c != nil {
		h.rekey(c, e.Key)
	}
}

// rekey gives c a new key. Who reads with the old one is gone.
func (h fold) rekey(c *client, key string) {
	c.mu.Lock()
	c.key.Store(&key)
	for _, r := range c.sessions {
		if c.revoked == nil {
			c.revoked = make(map[*reader]bool)
		}
		c.revoked[r] = true
	}
	c.mu.Unlock()
	h.touchClient(c)
}

// dismiss ends sessions of a client.
func (h fold) dismiss(e Entry) {
	c := h.clients.get(e.Client)
	if c == nil || c.bornAt() > e.Last { // another one, that came with an image
		return
	}
	for _, r := range c.readers(nil) {
		if e.Session == "" || r.session == e.Session {
			r.dismissed.Store(true)
		}
	}
	h.touchClient(c)
}

// delete ends a channel in one step, however many members it has: from now on
// they are so in name only. What it holds goes by and by.
func (h fold) delete(name string, seq uint64) {
	ch := h.standing(name, seq)
	if ch == nil {
		return
	}
	h.channels.delete(name)
	h.nChannels.Add(-1)
	ch.deleted.Store(seq)
	h.touch(ch)
	h.idle.addDeleted(ch)
}

// count has the number of ch's members told.
func (h fold) count(name string, seq uint64) {
	ch := h.standing(name, seq)
	if ch == nil {
		return
	}
	ch.mu.Lock()
	ch.counted, ch.uncounted = max(ch.counted, seq), false
	ch.newest.Store(max(ch.newest.Load(), seq))
	ch.mu.Unlock()
	h.touch(ch)
}

// quote returns s as JSON. Most names need no escape; for them it takes no
// longer than a copy, since it is called under the log's lock.
func quote(s string) json.RawMessage {
	for _, c := range []byte(s) {
		if c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			b, _ := json.Marshal(s) // a string cannot fail
			return b
		}
	}
	b := make([]byte, 0, len(s)+2)
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
