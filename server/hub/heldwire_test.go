package hub_test

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/transporttest"
)

// signalTypes are the signals by their names on the wire.
var signalTypes = map[string]hub.SignalType{
	"reset": hub.SignalReset, "channels": hub.SignalChannels, "gap": hub.SignalGap, "gone": hub.SignalGone,
	"superseded": hub.SignalSuperseded, "skip": hub.SignalSkip, "drain": hub.SignalDrain,
}

// signalType returns what a signal tells, and 0 for who joins or leaves, which is a
// message to the hub.
func signalType(s transporttest.Signal) (kind hub.SignalType, known bool) {
	switch {
	case s.Type != "presence":
		kind, known = signalTypes[s.Type]
		return kind, known
	case s.Resync:
		return hub.SignalResync, true
	case s.Joined == "" && s.Left == "":
		return hub.SignalCount, true
	}
	return 0, true
}

// parseBatch reads a batch as it is on the wire.
func parseBatch(text []byte) (b hub.Batch, err error) {
	news, err := transporttest.ParseBatch(text)
	if err != nil {
		return b, err
	}
	b.More = news.More
	position := func(s string) (at hub.Position) {
		if s != "" && err == nil {
			at, err = hub.ParsePosition(s)
		}
		return at
	}
	b.Position = position(news.Cursor)
	for _, s := range news.Signals {
		kind, known := signalType(s)
		switch {
		case !known:
			return b, fmt.Errorf("a strange signal: %s", text)
		case kind == 0:
			b.Messages = append(b.Messages, hub.NewMessage(s.Channel, 0, s.ID))
			continue
		}
		signal := hub.Signal{Type: kind, Channel: s.Channel, From: position(cmp.Or(s.From, s.Cursor)), To: position(s.To), ID: s.ID, Client: s.Client}
		for name, m := range s.Channels {
			if signal.Channels == nil {
				signal.Channels = map[string]hub.Membership{}
			}
			signal.Channels[name] = hub.Membership{Since: position(m.Since), ID: m.ID}
		}
		b.Signals = append(b.Signals, signal)
	}
	for _, m := range news.Messages {
		b.Messages = append(b.Messages, hub.NewMessage(m.Channel, position(m.Position).Seq, m.ID))
	}
	return b, err
}

// findNotices gives notices the place in the log that is not on the wire.
func (w *world) findNotices(b *hub.Batch) {
	for i, m := range b.Messages {
		if m.Seq > 0 {
			continue
		}
		for _, e := range slices.Backward(w.model.events) {
			if e.kind == notice && e.channel == m.Channel() && e.id == m.ID && e.seq <= b.Position.Seq {
				b.Messages[i] = hub.NewMessage(e.channel, e.seq, e.id)
				break
			}
		}
	}
	slices.SortStableFunc(b.Messages, func(m, o *hub.Message) int { return cmp.Compare(m.Seq, o.Seq) })
}
