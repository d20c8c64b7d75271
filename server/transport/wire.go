package transport

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/shaveet/shaveet/server/hub"
)

// AppendBatch appends b to dst as readers that hold a position get it: one JSON
// object without line breaks,
//
//	{"cursor":POSITION,"signals":[…],"messages":[…],"more":true}
//
// cursor is left out where the reader has no position yet, and more where
// nothing else is waiting. Who joins and leaves is told by signals. retry is
// when a reader that has to go may come again.
func AppendBatch(dst []byte, b *hub.Batch, retry time.Duration) []byte {
	dst = append(dst, '{')
	if !b.Position.IsZero() {
		dst = append(dst, `"cursor":`...)
		dst = appendPosition(dst, b.Position)
		dst = append(dst, ',')
	}
	dst = append(dst, `"signals":[`...)
	for i := range b.Signals {
		dst = AppendSignal(dst, &b.Signals[i], retry)
		dst = append(dst, ',')
	}
	for _, m := range b.Messages {
		if IsPresence(m) {
			dst = append(dst, Modern(m)...)
			dst = append(dst, ',')
		}
	}
	dst = append(closed(dst), `,"messages":[`...)
	for _, m := range b.Messages {
		if !IsPresence(m) {
			dst = append(dst, Modern(m)...)
			dst = append(dst, ',')
		}
	}
	dst = closed(dst)
	if b.More {
		dst = append(dst, `,"more":true`...)
	}
	return append(dst, '}')
}

// AppendSharedBatch appends what [AppendBatch] does, for streams: the bytes of a
// batch that is one message and nothing else are made once for all readers. Its
// cursor is the message's own position, also where the reader has more.
func AppendSharedBatch(dst []byte, b *hub.Batch, retry time.Duration) []byte {
	if b.Common != nil && len(b.Signals) == 0 {
		return append(dst, b.Common.Encoding(FormBatch, encodeCommon)...)
	}
	if !isOne(b) {
		return AppendBatch(dst, b, retry)
	}
	return append(dst, b.Messages[0].Encoding(FormBatch, EncodeBatch)...)
}

func encodeCommon(b *hub.Batch) []byte {
	if isOne(b) { // it has its bytes already, or others want them
		return b.Messages[0].Encoding(FormBatch, EncodeBatch)
	}
	return AppendBatch(nil, b, 0)
}

// isOne reports whether b is one message and nothing else.
func isOne(b *hub.Batch) bool {
	return len(b.Signals) == 0 && len(b.Messages) == 1 && !b.More && !IsPresence(b.Messages[0])
}

// EncodeBatch returns a batch that has nothing but m.
func EncodeBatch(m *hub.Message) []byte {
	b := make([]byte, 0, modernSize(m)+80)
	b = append(b, `{"cursor":`...)
	b = appendPosition(b, m.Position())
	b = append(b, `,"signals":[],"messages":[`...)
	return append(AppendModern(b, m), "]}"...)
}

// closed ends an array whose elements each have a comma behind them.
func closed(dst []byte) []byte {
	if last := len(dst) - 1; dst[last] == ',' {
		dst = dst[:last]
	}
	return append(dst, ']')
}

// IsPresence reports whether m says who joined or left, which readers that hold
// a position are told by a signal and not by a message.
func IsPresence(m *hub.Message) bool {
	return m.Notice != 0 && m.Notice != hub.NoticeNewChannel
}

// Modern returns m as one JSON object without line breaks: a message, or the
// presence signal that it is. All readers of m share the bytes, so nobody may
// write to them.
func Modern(m *hub.Message) []byte { return m.Encoding(FormModern, encodeModern) }

func encodeModern(m *hub.Message) []byte { return AppendModern(make([]byte, 0, modernSize(m)), m) }

func modernSize(m *hub.Message) int {
	return len(m.Channel()) + len(m.Sender) + len(m.Data) + len(m.Event) + 128
}

// AppendModern appends what [Modern] returns, for encodings that have it inside.
func AppendModern(b []byte, m *hub.Message) []byte {
	if IsPresence(m) {
		return appendPresence(b, m)
	}
	b = append(b, `{"channel":`...)
	b = appendText(b, m.Channel())
	b = append(b, `,"id":`...)
	b = strconv.AppendUint(b, m.ID, 10)
	b = append(b, `,"pos":`...)
	b = appendPosition(b, m.Position())
	b = append(b, `,"sender":`...)
	b = appendRaw(b, m.Sender)
	b = append(b, `,"data":`...)
	if m.Event != "" { // who looks for data alone finds none
		b = append(b, `null,"event":`...)
		b = appendText(b, m.Event)
		b = append(b, `,"args":`...)
	}
	b = appendRaw(b, m.Data)
	b = append(b, `,"time":`...)
	b = strconv.AppendInt(b, m.Time, 10)
	if m.System {
		b = append(b, `,"system":true`...)
	}
	if m.Volatile {
		b = append(b, `,"volatile":true`...)
	}
	return append(b, '}')
}

// appendPresence appends the signal that a notice of joining or leaving is. The
// notice's sender is the client's id as a string already.
func appendPresence(b []byte, m *hub.Message) []byte {
	b = append(b, `{"type":"presence","channel":`...)
	b = appendText(b, m.Channel())
	if m.Notice == hub.NoticeJoined {
		b = append(b, `,"joined":`...)
		b = appendRaw(b, m.Sender)
	} else {
		b = append(b, `,"left":`...)
		b = appendRaw(b, m.Sender)
		b = append(b, `,"reason":`...)
		b = appendText(b, leftBecause[m.Notice])
	}
	b = append(b, `,"id":`...)
	b = strconv.AppendUint(b, m.ID, 10)
	return append(b, '}')
}

var leftBecause = map[hub.Notice]string{
	hub.NoticeLeft: "unsubscribed", hub.NoticeLetGo: "idle", hub.NoticeKilled: "killed",
}

// signalNames are the types of signals on the wire.
var signalNames = [...]string{
	hub.SignalReset: "reset", hub.SignalChannels: "channels", hub.SignalGap: "gap",
	hub.SignalResync: PresenceName, hub.SignalCount: PresenceName, hub.SignalGone: "gone",
	hub.SignalSuperseded: "superseded", hub.SignalSkip: "skip", hub.SignalDrain: "drain",
}

// PresenceName is the type of the signals that tell who is there.
const PresenceName = "presence"

// SignalName returns what the type of s is called on the wire.
func SignalName(s *hub.Signal) string { return signalNames[s.Type] }

// AppendSignal appends s to dst as one JSON object without line breaks. retry
// is what a drain tells.
func AppendSignal(dst []byte, s *hub.Signal, retry time.Duration) []byte {
	dst = append(dst, `{"type":"`...)
	dst = append(dst, SignalName(s)...)
	dst = append(dst, '"')
	switch s.Type {
	case hub.SignalGap:
		dst = appendMember(dst, `,"channel":`, s.Channel)
		dst = append(dst, `,"from":`...)
		dst = appendPosition(dst, s.From)
		dst = append(dst, `,"to":`...)
		dst = appendPosition(dst, s.To)
		dst = appendMember(dst, `,"reason":`, s.Reason.String())
	case hub.SignalChannels:
		dst = append(dst, `,"channels":`...)
		dst = appendMemberships(dst, s.Channels)
	case hub.SignalCount:
		dst = appendMember(dst, `,"channel":`, s.Channel)
		dst = append(dst, `,"count":`...)
		dst = strconv.AppendInt(dst, int64(s.Count), 10)
	case hub.SignalResync:
		dst = appendMember(dst, `,"channel":`, s.Channel)
		dst = append(dst, `,"resync":true,"to":`...)
		dst = appendPosition(dst, s.To)
	case hub.SignalSkip:
		dst = appendMember(dst, `,"channel":`, s.Channel)
		dst = append(dst, `,"id":`...)
		dst = strconv.AppendUint(dst, s.ID, 10)
	case hub.SignalReset:
		dst = append(dst, `,"cursor":`...)
		dst = appendPosition(dst, s.From)
	case hub.SignalGone:
		dst = appendMember(dst, `,"client":`, s.Client)
	case hub.SignalDrain:
		dst = append(dst, `,"retry_ms":`...)
		dst = strconv.AppendInt(dst, retry.Milliseconds(), 10)
	}
	return append(dst, '}')
}

// appendMemberships appends where channels begin, in the order of their names.
func appendMemberships(dst []byte, all map[string]hub.Membership) []byte {
	dst = append(dst, '{')
	for i, name := range slices.Sorted(maps.Keys(all)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendText(dst, name)
		dst = append(dst, `:{"since":`...)
		dst = appendPosition(dst, all[name].Since)
		dst = append(dst, `,"id":`...)
		dst = strconv.AppendUint(dst, all[name].ID, 10)
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

func appendMember(dst []byte, before, text string) []byte {
	return appendText(append(dst, before...), text)
}

func appendPosition(dst []byte, p hub.Position) []byte {
	return append(p.Append(append(dst, '"')), '"')
}

// appendText appends s as a JSON string.
func appendText(dst []byte, s string) []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // every string can be written
	}
	return append(dst, text...)
}

// appendRaw appends the JSON value raw: as it is, but on one line and in valid
// UTF-8, without which a WebSocket would break.
func appendRaw(dst, raw []byte) []byte {
	if !utf8.Valid(raw) {
		raw = bytes.ToValidUTF8(raw, []byte("\ufffd"))
	}
	if bytes.ContainsAny(raw, "\r\n") {
		var line bytes.Buffer
		if err := json.Compact(&line, raw); err == nil {
			raw = line.Bytes()
		}
	}
	return append(dst, raw...)
}
