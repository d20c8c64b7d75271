package websocket

import (
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport"
	"github.com/shaveet/shaveet/server/wsframe"
)

// encode appends a batch as frames: as one, or, deflated, as one for each
// message, because those are the same for all readers. A batch with signals is
// never cut: what they say holds for the messages behind them, too.
func (c *conn) encode(dst []byte, b *hub.Batch, retry time.Duration, _ bool) []byte {
	for i := range b.Signals {
		c.note(&b.Signals[i])
	}
	if c.deflate && onlyMessages(b) {
		return appendDeflated(dst, b)
	}
	start := len(dst)
	dst = transport.AppendSharedBatch(wsframe.Begin(dst), b, retry)
	return wsframe.End(dst, start, wsframe.Text)
}

// note notes how the connection will have to be closed if the session ends with
// s.
func (c *conn) note(s *hub.Signal) {
	switch s.Type {
	case hub.SignalGone:
		c.code = codeGone
	case hub.SignalSuperseded:
		c.code = codeSuperseded
	case hub.SignalDrain:
		c.code = wsframe.CodeRestart
	}
}

func onlyMessages(b *hub.Batch) bool {
	for _, m := range b.Messages {
		if transport.IsPresence(m) {
			return false
		}
	}
	return len(b.Signals) == 0 && len(b.Messages) > 0
}

// appendDeflated appends each message as a batch and a frame of its own. All
// but the last are followed by something at once.
func appendDeflated(dst []byte, b *hub.Batch) []byte {
	for i, m := range b.Messages {
		if i < len(b.Messages)-1 || b.More {
			dst = append(dst, m.Encoding(transport.FormDeflatedMore, deflatedMore)...)
		} else {
			dst = append(dst, m.Encoding(transport.FormDeflated, deflated)...)
		}
	}
	return dst
}

func deflated(m *hub.Message) []byte {
	return wsframe.AppendDeflated(nil, wsframe.Text, transport.EncodeBatch(m))
}

func deflatedMore(m *hub.Message) []byte {
	b := hub.Batch{Position: m.Position(), Messages: []*hub.Message{m}, More: true}
	return wsframe.AppendDeflated(nil, wsframe.Text, transport.AppendBatch(nil, &b, 0))
}
