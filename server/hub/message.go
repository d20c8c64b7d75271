package hub

import (
	"encoding/json"
	"sync/atomic"
	"time"
)

// A Notice says what the system tells by a message; 0 means that somebody else
// speaks.
type Notice uint8

// The notices.
const (
	NoticeJoined     Notice = iota + 1 // the sender subscribed, or was revived
	NoticeLeft                         // the sender unsubscribed
	NoticeLetGo                        // the sender was idle
	NoticeKilled                       // the sender was killed
	NoticeNewChannel                   // on the admin channel: a channel began
)

// noticeData has the data of the notices that are the same for everybody.
var noticeData = [...]json.RawMessage{
	NoticeJoined: json.RawMessage(`{"type":"subscribe"}`),
	NoticeLeft:   json.RawMessage(`{"type":"unsubscribe","gc":false}`),
	NoticeLetGo:  json.RawMessage(`{"type":"unsubscribe","gc":true}`),
	NoticeKilled: json.RawMessage(`{"type":"unsubscribe","gc":true,"reason":"killed"}`),
}

// overhead is what a stored message is charged beside its bytes.
const overhead = 256

// Terms limit whom a message is for.
type Terms struct {
	Exclude []string      // ids of clients that do not hear it, in order
	TTL     time.Duration // how long it is worth hearing; 0: as long as it is kept

	// Of an event, see [Emission]: who reads for one of these clients, or one of
	// these channels, does not hear it, and who hears another copy of Union does
	// not hear this one.
	ExceptClients  []string
	ExceptChannels []string
	Union          *Union // nil: it is the only copy
}

// A Message is one thing said on one channel. It never changes once it is in
// the log, and everybody who reads it shares it: do not write to its slices.
type Message struct {
	Seq    uint64          // number in the log
	ID     uint64          // number in the channel: 1, 2, 3, …
	Sender json.RawMessage // who said it, any JSON value
	Data   json.RawMessage // what was said, any JSON value, as it was given
	Time   int64           // Unix time of the numbering, in milliseconds
	Event  string          // what it is called, if it is an event; Data is the array of its arguments then
	System bool            // said by the system, or by the backend in its name
	Notice Notice          // what kind of notice it is, 0 if none

	// Volatile: heard by those who could take it when it was said, and by
	// nobody later. It takes no number in the channel: its ID is the last one's.
	Volatile bool

	Terms *Terms // nil for a message that is for everybody, as long as it is kept

	channel      *channel
	name         string // of the channel, until it is resolved
	at           int64  // monotonic time of the numbering, in ns since the hub began
	older, newer *Message
	list         *ageList // which older and newer belong to
	encoded      atomic.Pointer[encoding]
}

// MessageOn returns an empty message for a channel, for who reads one that
// another process has said.
func MessageOn(channel string) *Message { return &Message{name: channel} }

// Channel returns the name of the channel the message was said on.
func (m *Message) Channel() string { return m.name }

// Position returns where the message stands in the log it was published to.
func (m *Message) Position() Position { return Position{m.channel.epoch, m.Seq} }

// Size is how many bytes m counts for where memory is limited.
func (m *Message) Size() int { return m.charge() }

func (m *Message) charge() int {
	n := len(m.Sender) + len(m.Data) + len(m.Event) + overhead
	if m.Terms != nil {
		n += m.Terms.size()
	}
	return n
}

func (t *Terms) size() (n int) {
	for _, list := range [...][]string{t.Exclude, t.ExceptClients, t.ExceptChannels} {
		for _, id := range list {
			n += len(id) + 16 // of the string itself
		}
	}
	return n
}

// late reports whether m is not worth hearing any more.
func (m *Message) late(now int64) bool {
	return m.Terms != nil && m.Terms.TTL > 0 && now-m.at > int64(m.Terms.TTL)
}

// A Form names one of the wire forms messages are encoded in. The forms are
// declared by those who encode.
type Form uint8

// An encoding is a message's bytes in one wire form: a link of the list that
// Message.encoded heads.
type encoding struct {
	form  Form
	bytes []byte
	next  *encoding
}

// closed heads the list of a message that has been evicted: nothing is kept.
var closed = new(encoding)

// Encoding returns m in the given wire form. The first caller encodes, by
// encode; whoever comes later shares its bytes for as long as the message is
// kept. The bytes must not be written to. Safe for concurrent use.
func (m *Message) Encoding(form Form, encode func(*Message) []byte) []byte {
	head := m.encoded.Load()
	for e := head; e != nil; e = e.next {
		if e.form == form && e != closed {
			return e.bytes
		}
	}
	bytes := encode(m)
	if head == closed || m.channel == nil || m.channel.hub.full(len(bytes)) {
		return bytes
	}
	// Losing the race costs one encoding that is not shared.
	if m.encoded.CompareAndSwap(head, &encoding{form, bytes, head}) {
		m.channel.hub.bytes.Add(int64(len(bytes)))
	}
	return bytes
}

// dropEncodings lets go of the encodings and returns how many bytes they had.
func (m *Message) dropEncodings() int {
	n := 0
	for e := m.encoded.Swap(closed); e != nil; e = e.next {
		n += len(e.bytes)
	}
	return n
}
