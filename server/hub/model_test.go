package hub_test

import (
	"slices"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// A model is the hub as one would write it if memory and time were free: it
// keeps everything that was ever said and who was owed it. It is told what was
// done to the hub and says what must have come of it.
type model struct {
	limits   hub.Limits
	top      uint64
	clients  map[string]*modelClient
	channels map[string]*modelChannel
	events   []*event // of this life of the log, by seq
	retries  []*modelRetry
	lives    int // client objects so far: an id that is created again is somebody else
}

type modelClient struct {
	id        string
	life      int
	away      bool // let go
	subs      []*modelSub
	created   time.Time
	seen      time.Time
	attached  int
	awaySince time.Time
}

type modelSub struct {
	channel string
	since   uint64
}

type modelChannel struct {
	lastID    uint64
	messages  []*event // kept
	notices   []*event // kept
	uncounted bool     // members came or went without a notice
}

// An event is a message or a notice.
type event struct {
	seq, id uint64
	channel string
	notice  bool
	at      time.Time
	owed    map[int]bool // the clients' lives that must hear it, or hear that they do not
	evicted bool
	deleted bool // with its channel; until that is told, it may be told as a gap
	exclude []string
	ttl     time.Duration
}

// late reports whether e is not worth hearing any more.
func (e *event) late() bool { return e.ttl > 0 && time.Since(e.at) > e.ttl }

// A modelRetry is a publish id that has been used.
type modelRetry struct {
	channel, id string
	data        int
	at          time.Time
	event       *event
}

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

func (m *model) say(channel string, notice bool, seq uint64) *event {
	ch := m.channels[channel]
	owed, _ := m.members(channel)
	ch.lastID++
	e := &event{seq: seq, id: ch.lastID, channel: channel, notice: notice, at: time.Now(), owed: owed}
	m.events = append(m.events, e)
	ring, limit := &ch.messages, m.limits.ChannelMessages
	if notice {
		ring, limit = &ch.notices, m.limits.ChannelNotices
	}
	*ring = append(*ring, e)
	for limit > 0 && len(*ring) > limit {
		(*ring)[0].evicted = true
		*ring = (*ring)[1:]
	}
	return e
}

// begin makes sure that a channel exists.
func (m *model) begin(channel string) {
	if m.channels[channel] != nil {
		return
	}
	if m.channels[hub.AdminChannel] == nil {
		m.channels[hub.AdminChannel] = &modelChannel{}
		m.say(hub.AdminChannel, true, m.next())
		if channel == hub.AdminChannel {
			return
		}
	}
	m.channels[channel] = &modelChannel{}
	m.say(hub.AdminChannel, true, m.next())
}

func (m *model) publish(channel string) *event {
	m.begin(channel)
	return m.say(channel, false, m.next())
}

// broadcast says something on several channels, which are all begun first.
func (m *model) broadcast(channels []string) (said []*event) {
	for _, channel := range channels {
		m.begin(channel)
	}
	for _, channel := range channels {
		said = append(said, m.say(channel, false, m.next()))
	}
	return said
}

// publishOnce publishes under an id. It returns nil and the reason if that is
// refused.
func (m *model) publishOnce(channel, id string, data int) (e *event, repeated bool, refusal error) {
	m.retries = slices.DeleteFunc(m.retries, func(r *modelRetry) bool { return time.Since(r.at) > m.limits.PublishIDAge })
	for _, r := range m.retries {
		switch {
		case r.channel != channel || r.id != id:
		case r.data == data:
			return r.event, true, nil
		default:
			return nil, false, hub.ErrConflict
		}
	}
	if len(m.retries) >= m.limits.PublishIDs {
		return nil, false, hub.ErrLimitReached
	}
	e = m.publish(channel)
	m.retries = append(m.retries, &modelRetry{channel, id, data, time.Now(), e})
	return e, false, nil
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
		c.subs = slices.DeleteFunc(c.subs, func(s *modelSub) bool { return s.channel == name })
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
		m.lives++
		m.clients[id] = &modelClient{id: id, life: m.lives, created: time.Now(), seen: time.Now()}
	case c.away:
		m.revive(c)
	}
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
	_, n := m.members(channel)
	if extra > 0 && c.away {
		n++
	}
	if n <= m.limits.NoticeMembers {
		m.say(channel, true, seq)
	} else {
		m.channels[channel].uncounted = true
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
	seq := m.next()
	c.subs = append(c.subs, &modelSub{channel, seq - 1})
	m.tell(channel, seq, 0, c)
	return true
}

func (m *model) unsubscribe(id, channel string) (ok bool) {
	c := m.clients[id]
	if c == nil {
		return false
	}
	if s := c.sub(channel); s != nil {
		c.subs = slices.DeleteFunc(c.subs, func(o *modelSub) bool { return o == s })
		seq := m.next()
		if !c.away {
			m.tell(channel, seq, 0, c)
		}
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
		return !c.away
	}
	// It leaves its channels one after another.
	for _, s := range c.subs {
		m.tell(s.channel, m.next(), 0, c)
	}
	return true
}

// due reports whether c may be let go now.
func (m *model) due(c *modelClient, idle hub.Idle) bool {
	now := time.Now()
	return !c.away && c.attached == 0 && now.Sub(c.seen) > idle.After && now.Sub(c.created) >= idle.MinAge
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

func (m *model) evictAged() {
	cutoff := time.Now().Add(-m.limits.Window)
	for _, ch := range m.channels {
		for _, ring := range []*[]*event{&ch.messages, &ch.notices} {
			for len(*ring) > 0 && (*ring)[0].at.Before(cutoff) {
				(*ring)[0].evicted = true
				*ring = (*ring)[1:]
			}
		}
	}
}

// tidy tells counts, forgets who has been away too long and drops what matters to nobody.
func (m *model) tidy() {
	uncounted := 0
	for _, ch := range m.channels {
		if ch.uncounted {
			ch.uncounted = false
			uncounted++
		}
	}
	if uncounted > 0 {
		m.next()
	}
	forgot := 0
	for id, c := range m.clients {
		if c.away && time.Since(c.awaySince) > m.limits.LetGoAge {
			delete(m.clients, id)
			forgot++
		}
	}
	if forgot > 0 {
		m.next()
	}
	dropped := 0
	for name, ch := range m.channels {
		owed, _ := m.members(name)
		if name == hub.AdminChannel || len(owed) > 0 || len(ch.messages) > 0 {
			continue
		}
		for _, e := range ch.notices {
			e.evicted = true
		}
		delete(m.channels, name)
		dropped++
	}
	if dropped > 0 {
		m.next()
	}
}
