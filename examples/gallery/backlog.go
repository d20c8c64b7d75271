package gallery

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/shaveet/shaveet/examples/gallery/wire"
)

// What is kept of an example for pages that come, or are behind. Nothing waits
// for a page: one that is too slow misses events, and is told how many.
const (
	backlogEvents = 400
	backlogBytes  = 1 << 20
)

// shown is an event as the page gets it.
type shown struct {
	ID   uint64  `json:"id"` // grows by 1, in one example
	Time float64 `json:"at"` // Unix ms
	Door string  `json:"door"`
	Conn int     `json:"conn"`
	Raw  string  `json:"raw,omitempty"` // base64
	wire.Event
}

// backlog has the newest events of an example. Its methods may be called by
// many goroutines.
type backlog struct {
	mu    sync.Mutex // guards all below
	last  uint64     // id of the newest event
	lines [][]byte   // each an event in JSON, the newest last
	bytes int
	doors map[string]passed // of all events, kept or not
	more  chan struct{}     // closed with the next event
}

// passed is what has passed at a door since the beginning.
type passed struct {
	Bytes int `json:"bytes"`
	Calls int `json:"calls"`
}

func newBacklog() *backlog {
	return &backlog{doors: map[string]passed{}, more: make(chan struct{})}
}

// add keeps an event, and lets go of what is too old for it.
func (b *backlog) add(door string, conn int, e wire.Event) {
	s := shown{Time: float64(e.At.UnixMicro()) / 1000, Door: door, Conn: conn, Raw: base64.StdEncoding.EncodeToString(e.Raw), Event: e}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	s.ID = b.last
	sum := b.doors[door]
	sum.Bytes += e.Bytes
	if e.Call != nil {
		sum.Calls += max(1, e.Call.Rest)
	}
	b.doors[door] = sum
	text, err := json.Marshal(s)
	if err != nil { // it would be a fault of package wire; the page sees a gap
		text = nil
	}
	b.lines = append(b.lines, text)
	b.bytes += len(text)
	for len(b.lines) > backlogEvents || b.bytes > backlogBytes && len(b.lines) > 1 {
		b.bytes -= len(b.lines[0])
		b.lines[0] = nil
		b.lines = b.lines[1:]
	}
	close(b.more)
	b.more = make(chan struct{})
}

// after returns the events behind the one with this id, as far as they are kept,
// how many are not kept any more, the id of the newest, and what is closed when
// there are more. A page that knows none has missed none.
func (b *backlog) after(id uint64) (lines [][]byte, lost, last uint64, more <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	id = min(id, b.last)
	before := b.last - uint64(len(b.lines)) // the id before the oldest
	if id > 0 && id < before {
		lost = before - id
	}
	lines = b.lines[max(id, before)-before:]
	return slices.Clone(lines), lost, b.last, b.more
}

// passed returns what has passed at each door, in JSON.
func (b *backlog) passed() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	text, _ := json.Marshal(b.doors) // numbers alone
	return text
}

// watcher joins a connection's reader to a backlog.
type watcher struct{ *wire.Conn }

func (b *backlog) watch(door, title string, reader func(emit func(wire.Event)) *wire.Conn) func(conn int) *watcher {
	return func(conn int) *watcher {
		w := &watcher{reader(func(e wire.Event) { b.add(door, conn, e) })}
		w.Open(time.Now(), title)
		return w
	}
}
