package hub

import "sync"

// ages lists all messages that are kept, by how long they are to be kept, each
// list with the oldest first. It finds the one to evict when the hub holds too
// much or a message has become too old, without looking at any channel.
type ages struct {
	mu    sync.Mutex // guards all; no other lock is taken under it
	lists []*ageList // few: one for each window that messages were kept with
}

type ageList struct {
	window int64 // ns
	oldest *Message
	newest *Message
}

// push adds m, which is the newest of all.
func (a *ages) push(m *Message, window int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.listLocked(window)
	m.list, m.older = l, l.newest
	if l.newest != nil {
		l.newest.newer = m
	} else {
		l.oldest = m
	}
	l.newest = m
}

func (a *ages) listLocked(window int64) *ageList {
	for _, l := range a.lists {
		if l.window == window {
			return l
		}
	}
	// The window of an empty list may be one that nobody has any more.
	for _, l := range a.lists {
		if l.oldest == nil {
			l.window = window
			return l
		}
	}
	l := &ageList{window: window}
	a.lists = append(a.lists, l)
	return l
}

func (a *ages) remove(m *Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := m.list
	if m.older != nil {
		m.older.newer = m.newer
	} else {
		l.oldest = m.newer
	}
	if m.newer != nil {
		m.newer.older = m.older
	} else {
		l.newest = m.older
	}
	m.older, m.newer, m.list = nil, nil, nil
}

// front returns the oldest message of all, or nil.
func (a *ages) front() (oldest *Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range a.lists {
		if m := l.oldest; m != nil && (oldest == nil || m.Seq < oldest.Seq) {
			oldest = m
		}
	}
	return oldest
}

// aged returns a message that is older than its window, or nil.
func (a *ages) aged(now int64) *Message {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range a.lists {
		if m := l.oldest; m != nil && m.at < now-l.window {
			return m
		}
	}
	return nil
}
