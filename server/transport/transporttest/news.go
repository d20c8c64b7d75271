package transporttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/shaveet/shaveet/server/hub"
)

// News is what a reader is told at once.
type News struct {
	Cursor   string // where it is now; "" if it was not told
	Signals  []Signal
	Messages []Message
	More     bool // something else was waiting already
}

// A Message is what somebody has said.
type Message struct {
	Channel string
	ID      uint64
	Text    string // a string's content; of anything else the JSON
	Sender  string // as JSON

	// Only with positions.
	Position string
	Time     int64 // Unix ms
	System   bool
	Event    string // what it is called, if it is an event
	Args     string // its arguments, as JSON
	Volatile bool
}

// A Signal is what no message can tell. Readers without positions know only of
// those who join and leave.
type Signal struct {
	Type     string                `json:"type"`
	Channel  string                `json:"channel,omitempty"`
	From     string                `json:"from,omitempty"`
	To       string                `json:"to,omitempty"`
	Reason   string                `json:"reason,omitempty"`
	Channels map[string]Membership `json:"channels,omitempty"`
	Joined   string                `json:"joined,omitempty"`
	Left     string                `json:"left,omitempty"`
	Count    int                   `json:"count,omitempty"`
	Resync   bool                  `json:"resync,omitempty"`
	ID       uint64                `json:"id,omitempty"`
	Cursor   string                `json:"cursor,omitempty"`
	Client   string                `json:"client,omitempty"`
	RetryMS  int64                 `json:"retry_ms,omitempty"`
}

// A Membership is where a channel begins for a reader.
type Membership struct {
	Since string `json:"since"`
	ID    uint64 `json:"id"`
}

// ParseBatch reads a batch as it is on the wire. It wants it exactly as it
// should be: on one line, with nothing that has no name, the messages in order
// and none of them beyond the cursor.
func ParseBatch(line []byte) (News, error) {
	var batch struct {
		Cursor   string            `json:"cursor"`
		Signals  []Signal          `json:"signals"`
		Messages []json.RawMessage `json:"messages"`
		More     bool              `json:"more"`
	}
	if bytes.ContainsAny(line, "\r\n") {
		return News{}, fmt.Errorf("more than one line: %q", line)
	}
	if err := decode(line, &batch); err != nil {
		return News{}, err
	}
	if batch.Signals == nil || batch.Messages == nil {
		return News{}, fmt.Errorf("no signals or no messages: %s", line)
	}
	n := News{Cursor: batch.Cursor, Signals: batch.Signals, More: batch.More}
	for _, raw := range batch.Messages {
		m, err := ParseMessage(raw)
		if err != nil {
			return News{}, err
		}
		n.Messages = append(n.Messages, m)
	}
	return n, n.check()
}

// ParseMessage reads a message as it is on the wire.
func ParseMessage(raw []byte) (Message, error) {
	var m struct {
		Channel string          `json:"channel"`
		ID      uint64          `json:"id"`
		Pos     string          `json:"pos"`
		Sender  json.RawMessage `json:"sender"`
		Data    json.RawMessage `json:"data"`
		Time    int64           `json:"time"`
		System  bool            `json:"system"`

		Event    string          `json:"event"`
		Args     json.RawMessage `json:"args"`
		Volatile bool            `json:"volatile"`
	}
	if err := decode(raw, &m); err != nil {
		return Message{}, err
	}
	text := string(m.Data)
	if len(m.Data) > 0 && m.Data[0] == '"' {
		if err := json.Unmarshal(m.Data, &text); err != nil {
			return Message{}, err
		}
	}
	if m.Event != "" && text != "null" {
		return Message{}, fmt.Errorf("an event with data: %s", raw)
	}
	return Message{Channel: m.Channel, ID: m.ID, Text: text, Sender: string(m.Sender),
		Position: m.Pos, Time: m.Time, System: m.System,
		Event: m.Event, Args: string(m.Args), Volatile: m.Volatile}, nil
}

func decode(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%w: %s", err, raw)
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("something follows: %s", raw)
	}
	return nil
}

// check says whether positions are where they may be.
func (n *News) check() error {
	var last, cursor hub.Position
	var err error
	if n.Cursor != "" {
		if cursor, err = hub.ParsePosition(n.Cursor); err != nil {
			return err
		}
	}
	for _, m := range n.Messages {
		at, err := hub.ParsePosition(m.Position)
		if err != nil {
			return err
		}
		if at.Epoch != cursor.Epoch || at.Seq > cursor.Seq || at.Seq <= last.Seq {
			return fmt.Errorf("the message at %v comes after %v in a batch up to %v", at, last, cursor)
		}
		last = at
	}
	return nil
}

func (n *News) empty() bool { return len(n.Signals) == 0 && len(n.Messages) == 0 }

// texts returns what was said on the channel.
func (n *News) texts(channel string) []string {
	var texts []string
	for _, m := range n.Messages {
		if m.Channel == channel {
			texts = append(texts, m.Text)
		}
	}
	return texts
}

// signals returns the signals of a type.
func (n *News) signals(kind string) []Signal {
	return slices.DeleteFunc(slices.Clone(n.Signals), func(s Signal) bool { return s.Type != kind })
}

// tells reports whether there is exactly this signal.
func (n *News) tells(want Signal) bool {
	return slices.ContainsFunc(n.Signals, func(s Signal) bool { return sameSignal(s, want) })
}

func sameSignal(a, b Signal) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return bytes.Equal(x, y)
}

// ids returns the numbers that the news tell of a channel, in order.
func (n *News) ids(channel string) []uint64 {
	var ids []uint64
	for _, m := range n.Messages {
		if m.Channel == channel {
			ids = append(ids, m.ID)
		}
	}
	for _, s := range n.Signals {
		if s.Channel == channel && s.ID != 0 {
			ids = append(ids, s.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// gone returns the clients that are called gone.
func (n *News) gone() []string {
	var ids []string
	for _, s := range n.signals("gone") {
		ids = append(ids, s.Client)
	}
	return ids
}

// without returns the clients that are not called gone.
func (n *News) without(clients []hub.Credentials) []hub.Credentials {
	gone := n.gone()
	return slices.DeleteFunc(slices.Clone(clients), func(c hub.Credentials) bool { return slices.Contains(gone, c.ID) })
}

// merged returns what was told first and then.
func merged(first, then News) News {
	then.Signals = append(slices.Clone(first.Signals), then.Signals...)
	then.Messages = append(slices.Clone(first.Messages), then.Messages...)
	return then
}
