package chatterboxapp

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	held      = 1000 // lines, to know one that comes again
	handedOut = 100  // of these, to newcomers
)

// limits are how many characters the fields of a line may have.
var limits = map[string]int{"u": 40, "m": 2000, "id": 64, "w": 40}

// saying is what is said: who says what. The id is the web application's, so
// that a second attempt is not a second line; w is what that is called.
type saying struct {
	U  string `json:"u"`
	M  string `json:"m"`
	ID string `json:"id,omitempty"`
	W  string `json:"w,omitempty"`
}

// message is what Shaveet's readers hear, whoever has said it.
type message struct {
	ID   int64           `json:"id"`
	Pos  string          `json:"pos"`
	Time int64           `json:"time"`
	Data json.RawMessage `json:"data"`
}

// line is a message that is one, with what pages want of it.
type line struct {
	ID   int64  `json:"id"`
	Pos  string `json:"pos"`
	Time int64  `json:"time"`
	Data saying `json:"data"`
}

// line returns false if the message is none: whoever reaches the socket can say
// anything.
func (m message) line() (l line, ok bool) {
	var data map[string]json.RawMessage // beside ours there may be what is not to be read, such as numbers of any length
	if json.Unmarshal(m.Data, &data) != nil {
		return l, false
	}
	text := map[string]*string{"u": &l.Data.U, "m": &l.Data.M, "id": &l.Data.ID, "w": &l.Data.W}
	for name, limit := range limits {
		value, there := data[name]
		if there && (value[0] != '"' || json.Unmarshal(value, text[name]) != nil) || utf8.RuneCountInString(*text[name]) > limit {
			return l, false
		}
	}
	l.ID, l.Pos, l.Time = m.ID, m.Pos, m.Time
	return l, l.Data.U != "" && l.Data.M != ""
}

// key is what a line is known by.
func (l line) key() string { return cmp.Or(l.Data.ID, l.Pos) }

// lines are what was said lately, the oldest first. A line is there once, however
// often and by whichever way it comes. Its methods may be called by many
// goroutines.
type lines struct {
	mu   sync.Mutex // guards all below
	held []line
	keys map[string]bool // of held
	more chan struct{}   // closed with the next line
}

func newLines() *lines { return &lines{keys: map[string]bool{}, more: make(chan struct{})} }

// add adds a message, if it is a line and not there.
func (l *lines) add(m message) {
	added, ok := m.line()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !ok || l.keys[added.key()] {
		return
	}
	l.keys[added.key()] = true
	l.held = append(l.held, added)
	slices.SortStableFunc(l.held, func(a, b line) int { return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.ID, b.ID)) })
	if len(l.held) > held {
		delete(l.keys, l.held[0].key())
		l.held = slices.Delete(l.held, 0, 1)
	}
	close(l.more)
	l.more = make(chan struct{})
}

// newest are those for newcomers.
func (l *lines) newest() []line {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]line{}, l.held[max(0, len(l.held)-handedOut):]...)
}

func (l *lines) has(key string) bool {
	has, _ := l.look(key)
	return has
}

func (l *lines) look(key string) (has bool, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.keys[key], l.more
}

// hears reports whether a line comes within so long, or was there before.
func (l *lines) hears(ctx context.Context, key string, within time.Duration) bool {
	end := time.NewTimer(within)
	defer end.Stop()
	for {
		has, more := l.look(key)
		if has {
			return true
		}
		select {
		case <-more:
		case <-end.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}
