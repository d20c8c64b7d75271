package hub_test

import (
	"slices"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// step is how many channels, or clients, the hub tidies with one entry.
const step = 4

// idle reports whether a channel holds nothing and matters to nobody. Volatile
// events and notices do not count.
func (m *model) idle(name string) bool {
	ch := m.channels[name]
	if ch == nil || name == hub.AdminChannel || len(ch.messages) > 0 {
		return false
	}
	owed, _ := m.members(name)
	return len(owed) == 0
}

// look takes note of a channel that may go: somebody has left it, or something
// in it has become too old.
func (m *model) look(name string) {
	if ch := m.channels[name]; m.idle(name) && !ch.listed {
		ch.listed = true
		m.mayGo = append(m.mayGo, name)
	}
}

func (m *model) evictAged() {
	cutoff := time.Now().Add(-m.limits.Window)
	for name, ch := range m.channels {
		for _, ring := range []*[]*event{&ch.messages, &ch.notices, &ch.volatile} {
			for len(*ring) > 0 && (*ring)[0].at.Before(cutoff) {
				(*ring)[0].evicted = true
				*ring = (*ring)[1:]
				m.look(name)
			}
		}
	}
}

// tidy tells counts, forgets who has been away too long and drops what matters to nobody.
func (m *model) tidy() {
	m.expireRetries(len(m.retries))
	m.inSteps(&m.uncounted, func(name string) bool {
		ch := m.channels[name]
		if ch == nil || !ch.uncounted {
			return false
		}
		ch.uncounted = false
		return true
	})
	forgot := 0
	for id, c := range m.clients {
		if c.away && time.Since(c.awaySince) > m.limits.LetGoAge {
			delete(m.clients, id)
			forgot++
			for _, s := range c.subs {
				m.look(s.channel)
			}
		}
	}
	m.top += uint64(forgot+step-1) / step
	m.inSteps(&m.mayGo, m.drop)
}

// inSteps empties a list, and takes a number for every so many of the names if
// anything has been done for them.
func (m *model) inSteps(names *[]string, do func(string) bool) {
	slices.Sort(*names)
	for part := range slices.Chunk(slices.Compact(*names), step) {
		done := false
		for _, name := range part {
			done = do(name) || done
		}
		if done {
			m.next()
		}
	}
	*names = nil
}

// drop ends a channel if it is of no use to anybody.
func (m *model) drop(name string) bool {
	ch := m.channels[name]
	if ch == nil {
		return false
	}
	ch.listed = false
	if !m.idle(name) {
		return false
	}
	for _, e := range slices.Concat(ch.notices, ch.volatile) {
		e.evicted = true
	}
	delete(m.channels, name)
	return true
}
