package webhook

import (
	"crypto/sha256"
	"sync"
	"time"
)

// A memory knows which calls were heard, as long as they would be taken again.
type memory struct {
	most int

	mu    sync.Mutex // guards all below
	calls map[key]heard
	order []entry   // as they came; one that came again has several
	late  time.Time // calls signed up to here are late: some of them are forgotten
}

// A key stands for an id, however long that is.
type key [16]byte

// heard is when a call was signed last, and what has become of it.
type heard struct {
	at       int64 // seconds of Unix
	answered bool
}

type entry struct {
	key key
	at  int64
}

// What is known of a call.
type verdict uint8

const (
	isNew verdict = iota
	isUnderWay
	isAnswered
	isLate
)

func newMemory(most int) *memory { return &memory{most: most, calls: make(map[key]heard)} }

// take notes that a call has come, which was signed at a time, and says what is
// known of it. If it is new, done has to be called.
func (m *memory) take(id string, at, now time.Time) verdict {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(now)
	if !at.After(m.late) {
		return isLate
	}
	k := keyOf(id)
	before, known := m.calls[k]
	if known && before.at >= at.Unix() {
		return before.verdict()
	}
	m.calls[k] = heard{at.Unix(), before.answered}
	m.order = append(m.order, entry{k, at.Unix()})
	m.makeRoom()
	if known {
		return before.verdict()
	}
	return isNew
}

func (h heard) verdict() verdict {
	if h.answered {
		return isAnswered
	}
	return isUnderWay
}

// done notes what has become of a call that was new: it was answered, or may come
// again.
func (m *memory) done(id string, answered bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := keyOf(id)
	h, known := m.calls[k]
	switch {
	case !known:
	case answered:
		m.calls[k] = heard{h.at, true}
	default:
		delete(m.calls, k)
	}
}

// forget forgets what is too old to be taken again. m.mu is held.
func (m *memory) forget(now time.Time) {
	for len(m.order) > 0 && now.Sub(time.Unix(m.order[0].at, 0)) > Window {
		m.dropFirst()
	}
}

// makeRoom forgets more than that if there are too many. m.mu is held.
func (m *memory) makeRoom() {
	for len(m.order) > m.most {
		m.dropFirst()
	}
}

// dropFirst takes the first entry away, and the call if it has no later one. What
// is as old is not taken any more. m.mu is held.
func (m *memory) dropFirst() {
	first := m.order[0]
	m.order = m.order[1:]
	if at := time.Unix(first.at, 0); at.After(m.late) {
		m.late = at
	}
	if m.calls[first.key].at == first.at {
		delete(m.calls, first.key)
	}
}

func keyOf(id string) key {
	sum := sha256.Sum256([]byte(id))
	return key(sum[:16])
}
