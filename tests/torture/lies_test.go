package torture

import (
	"bytes"
	"encoding/json"
	"slices"
	"sync"
)

// loose is a batch that can be changed.
type loose struct {
	Cursor   string            `json:"cursor,omitempty"`
	Signals  []json.RawMessage `json:"signals"`
	Messages []message         `json:"messages"`
	More     bool              `json:"more,omitempty"`
}

// A lie is what is done to batches on their way: it returns what the reader is
// told instead of b. first: b is the first of its connection.
type lie func(first bool, b loose) []loose

// each is a lie that changes every batch.
func each(change func(*loose)) lie {
	return func(_ bool, b loose) []loose {
		change(&b)
		return []loose{b}
	}
}

// chosen are the messages that are lied about, always the same.
func chosen(m message) bool { return m.Data.N%50 == 7 }

func drop(b *loose) { b.Messages = slices.DeleteFunc(b.Messages, chosen) }

func swap(b *loose) {
	if n := len(b.Messages); n > 1 {
		b.Messages[0], b.Messages[n-1] = b.Messages[n-1], b.Messages[0]
	}
}

func double(b *loose) {
	if n := len(b.Messages); n > 0 {
		b.Messages = append(b.Messages, b.Messages[n-1])
	}
}

func change(b *loose) {
	for i := range b.Messages {
		if chosen(b.Messages[i]) {
			b.Messages[i].Data.Pad += "!"
		}
	}
}

func invent(b *loose) {
	if n := len(b.Messages); n > 0 {
		b.Messages[n-1].Data.N += 1_000_000
		b.Messages[n-1].Pos.seq += 1_000_000 // where there is no true one
	}
}

// excuse drops a message and calls it lost.
func excuse(b *loose) {
	for _, m := range b.Messages {
		if chosen(m) {
			from := m.Pos
			from.seq--
			text, _ := json.Marshal(map[string]any{"type": "gap", "channel": m.Channel, "from": from, "to": m.Pos, "reason": "count"})
			b.Signals = append(b.Signals, text)
		}
	}
	drop(b)
}

// hurry names a cursor of the future.
func hurry(b *loose) {
	if at, err := parsePosition(b.Cursor); err == nil && at.seq > 20 && len(b.Messages) > 0 {
		at.seq++
		b.Cursor = at.String()
	}
}

func hush(b *loose) {
	b.Signals = slices.DeleteFunc(b.Signals, func(s json.RawMessage) bool { return bytes.Contains(s, []byte(`"reset"`)) })
}

// lose loses batches in the middle of a stream.
func lose() lie {
	var mu sync.Mutex
	n := 0
	return func(first bool, b loose) []loose {
		mu.Lock()
		defer mu.Unlock()
		if n++; !first && n%5 == 0 && len(b.Messages) > 0 {
			return nil
		}
		return []loose{b}
	}
}

// again tells the last batch of a stream once more at the beginning of the
// next.
func again() lie {
	var mu sync.Mutex
	var last []loose
	return func(first bool, b loose) []loose {
		mu.Lock()
		defer mu.Unlock()
		all := []loose{b}
		if first {
			all = append(slices.Clone(last), b)
		}
		if len(b.Messages) > 0 {
			last = []loose{b}
		}
		return all
	}
}
