package hub_test

import (
	"cmp"
	"slices"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// A model is the hub as one would write it if memory and time were free: it
// keeps everything that was ever said and who was owed it. It is told what was
// done to the hub and says what must have come of it.
type model struct {
	limits    hub.Limits
	top       uint64
	clients   map[string]*modelClient
	channels  map[string]*modelChannel
	events    []*event // of this life of the log, by seq
	retries   []*modelRetry
	lives     int      // client objects so far: an id that is created again is somebody else
	mayGo     []string // channels that were of no use at some moment
	uncounted []string // channels whose members have to be counted
}

type modelClient struct {
	id        string
	life      int
	away      bool // let go
	subs      []*modelSub
	endings   int // memberships that have ended
	created   time.Time
	seen      time.Time
	attached  int
	awaySince time.Time
	socket    bool
	owner     *modelClient // of a socket: whose key was shown
}

type modelSub struct {
	channel string
	since   uint64
}

type modelChannel struct {
	lastID    uint64
	messages  []*event // kept
	notices   []*event // kept
	volatile  []*event // kept
	uncounted bool     // members came or went without a notice
	listed    bool     // among those that may go
}

// A kind of events is kept apart from the others.
type kind int

const (
	message kind = iota
	notice
	volatile
)

// An event is a message or a notice.
type event struct {
	seq, id uint64
	channel string
	kind    kind
	at      time.Time
	owed    map[int]bool // the clients' lives that must hear it, or hear that they do not
	evicted bool
	deleted bool // with its channel; until that is told, it may be told as a gap
	exclude []string
	ttl     time.Duration
	union   *union // of an emission
}

// late reports whether e is not worth hearing any more.
func (e *event) late() bool { return e.ttl > 0 && time.Since(e.at) > e.ttl }

func newModel(l hub.Limits) *model {
	return &model{limits: l, clients: map[string]*modelClient{}, channels: map[string]*modelChannel{}}
}

func (m *model) next() uint64 { m.top++; return m.top }

// members returns the lives of those who are owed what is said on a channel
// now; how many of them are live is the number of members.
func (m *model) members(channel string) (owed map[int]bool, live int) {
	owed = map[int]bool{}
	for _, c := range m.clients {
		if c.sub(channel) != nil {
			owed[c.life] = true
			if !c.away {
				live++
			}
		}
	}
	return owed, live
}

func (c *modelClient) sub(channel string) *modelSub {
	for _, s := range c.subs {
		if s.channel == channel {
			return s
		}
	}
	return nil
}

// end ends those memberships of c.
func (c *modelClient) end(which func(*modelSub) bool) {
	n := len(c.subs)
	c.subs = slices.DeleteFunc(c.subs, which)
	c.endings += n - len(c.subs)
}

func (m *model) say(channel string, k kind, seq uint64) *event {
	ch := m.channels[channel]
	owed, _ := m.members(channel)
	if k != volatile {
		ch.lastID++
	}
	e := &event{seq: seq, id: ch.lastID, channel: channel, kind: k, at: time.Now(), owed: owed}
	m.events = append(m.events, e)
	ring, limit := ch.ring(k), m.limits.ChannelNotices
	if k == message {
		limit = m.limits.ChannelMessages
	}
	*ring = append(*ring, e)
	for limit > 0 && len(*ring) > limit {
		(*ring)[0].evicted = true
		*ring = (*ring)[1:]
	}
	return e
}

func (ch *modelChannel) ring(k kind) *[]*event {
	return []*[]*event{message: &ch.messages, notice: &ch.notices, volatile: &ch.volatile}[k]
}

// event returns what was said with a seq, nil if nothing was.
func (m *model) event(seq uint64) *event {
	i, ok := slices.BinarySearchFunc(m.events, seq, func(e *event, seq uint64) int { return cmp.Compare(e.seq, seq) })
	if !ok {
		return nil
	}
	return m.events[i]
}

// begin makes sure that a channel exists. Of quiet ones nobody is told.
func (m *model) begin(channel string) {
	if m.channels[channel] != nil {
		return
	}
	if m.channels[hub.AdminChannel] == nil {
		m.channels[hub.AdminChannel] = &modelChannel{}
		m.say(hub.AdminChannel, notice, m.next())
		if channel == hub.AdminChannel {
			return
		}
	}
	m.channels[channel] = &modelChannel{}
	if seq := m.next(); !quiet(channel) {
		m.say(hub.AdminChannel, notice, seq)
	}
}

func (m *model) publish(channel string) *event {
	m.begin(channel)
	return m.say(channel, message, m.next())
}

// broadcast says something on several channels, which are all begun first.
func (m *model) broadcast(channels []string) (said []*event) {
	for _, channel := range channels {
		m.begin(channel)
	}
	for _, channel := range channels {
		said = append(said, m.say(channel, message, m.next()))
	}
	return said
}

// deleteChannel ends a channel, and reports whether there was one.
func (m *model) deleteChannel(name string) bool {
	if m.channels[name] == nil {
		return false
	}
	m.next()
	delete(m.channels, name)
	for _, e := range m.events {
		e.deleted = e.deleted || e.channel == name
	}
	for _, c := range m.clients {
		c.end(func(s *modelSub) bool { return s.channel == name })
	}
	return true
}

func (m *model) rotate(id string) (ok bool) {
	if m.clients[id] == nil {
		return false
	}
	m.next()
	return true
}

func (m *model) disconnect(id string) (ok bool) {
	c := m.clients[id]
	if c == nil || c.away {
		return false
	}
	m.next()
	return true
}

func (m *model) create(id string) {
	c := m.clients[id]
	switch {
	case c == nil:
		m.next()
		m.newClient(id)
	case c.away:
		m.revive(c)
	}
}

func (m *model) newClient(id string) *modelClient {
	m.lives++
	c := &modelClient{id: id, life: m.lives, created: time.Now(), seen: time.Now()}
	m.clients[id] = c
	return c
}

func (m *model) revive(c *modelClient) {
	c.away, c.created, c.seen = false, time.Now(), time.Now()
	if len(c.subs) == 0 {
		m.next()
	}
	// The members are counted as each one comes back.
	c.away = true
	for i, s := range c.subs {
		seq := m.next()
		m.tell(s.channel, seq, i+1, c)
	}
	c.away = false
}

// tell says a join or leave notice unless the channel is too large. extra is
// how many of c's memberships are back although c does not count as live yet.
func (m *model) tell(channel string, seq uint64, extra int, c *modelClient) {
	if quiet(channel) {
		return
	}
	_, n := m.members(channel)
	if extra > 0 && c.away {
		n++
	}
	if n <= m.limits.NoticeMembers {
		m.say(channel, notice, seq)
		return
	}
	if ch := m.channels[channel]; !ch.uncounted {
		ch.uncounted = true
		m.uncounted = append(m.uncounted, channel)
	}
}

func (m *model) subscribe(id, channel string) (ok bool) {
	c := m.clients[id]
	if c == nil || c.away {
		return false
	}
	if c.sub(channel) != nil {
		return true
	}
	m.begin(channel)
	m.join(c, channel)
	return true
}

// join begins a membership, of a channel that exists.
func (m *model) join(c *modelClient, channel string) {
	seq := m.next()
	c.subs = append(c.subs, &modelSub{channel, seq - 1})
	m.tell(channel, seq, 0, c)
}

func (m *model) unsubscribe(id, channel string) (ok bool) {
	c := m.clients[id]
	if c == nil {
		return false
	}
	if s := c.sub(channel); s != nil {
		c.end(func(o *modelSub) bool { return o == s })
		seq := m.next()
		if !c.away {
			m.tell(channel, seq, 0, c)
		}
		m.look(channel)
	}
	return !c.away
}

func (m *model) kill(id string) (ok bool) {
	c := m.clients[id]
	if c == nil {
		return false
	}
	delete(m.clients, id)
	if c.away || len(c.subs) == 0 {
		m.next()
	}
	// It leaves its channels one after another.
	for _, s := range c.subs {
		if !c.away {
			m.tell(s.channel, m.next(), 0, c)
		}
		m.look(s.channel)
	}
	return !c.away
}

// due reports whether c may be let go now, or was so for some time. A socket
// may be idle for longer.
func (m *model) due(c *modelClient, idle hub.Idle, since time.Duration) bool {
	now, after := time.Now().Add(-since), idle.After
	if c.socket {
		after = max(after, m.limits.LetGoAge)
	}
	return !c.away && c.attached == 0 && now.Sub(c.seen) > after && now.Sub(c.created) >= idle.MinAge
}

func (m *model) letGo(c *modelClient) {
	if len(c.subs) == 0 {
		m.next()
	}
	c.away, c.awaySince = true, time.Now()
	for _, s := range c.subs {
		seq := m.next()
		m.tell(s.channel, seq, 0, c)
	}
}
