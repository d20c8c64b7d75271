package hub

import "sync"

// ages is the list of all messages that are kept, oldest first. It finds the
// one to evict when the hub holds too much or a message has become too old,
// without looking at any channel.
type ages struct {
	mu     sync.Mutex // guards all; no other lock is taken under it
	oldest *Message
	newest *Message
}

func (a *ages) push(m *Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m.older = a.newest
	if a.newest != nil {
		a.newest.newer = m
	} else {
		a.oldest = m
	}
	a.newest = m
}

func (a *ages) remove(m *Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if m.older != nil {
		m.older.newer = m.newer
	} else {
		a.oldest = m.newer
	}
	if m.newer != nil {
		m.newer.older = m.older
	} else {
		a.newest = m.older
	}
	m.older, m.newer = nil, nil
}

func (a *ages) front() *Message {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.oldest
}
