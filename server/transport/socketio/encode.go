package socketio

import (
	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport"
	"github.com/shaveet/shaveet/server/transport/socketio/engine"
	"github.com/shaveet/shaveet/server/transport/socketio/engineio"
	"github.com/shaveet/shaveet/server/transport/socketio/packet"
	"github.com/shaveet/shaveet/server/wsframe"
)

// The wire forms of messages, each made once for all sockets. A channel belongs
// to one namespace, so the namespace needs no forms of its own.
const (
	formFrames      hub.Form = 32 + iota // frames of a WebSocket, with the position as last argument
	formFramesBare                       // without
	formPackets                          // packets of a polling payload, with the position
	formPacketsBare                      // without
)

// messageEvent is the event by which what is no event is heard.
const messageEvent = "message"

// put puts m as an event.
func (c *conn) put(out *engine.Writer, m *hub.Message) {
	if transport.IsPresence(m) {
		return
	}
	bare := c.old || c.settings.RecoveryTime == 0
	form := out.Form()
	switch {
	case form == engine.Frames && bare:
		out.Raw(m.Encoding(formFramesBare, framesBare))
	case form == engine.Frames:
		out.Raw(m.Encoding(formFrames, frames))
	case form == engine.Packets && bare:
		out.Raw(m.Encoding(formPacketsBare, packetsBare))
	case form == engine.Packets:
		out.Raw(m.Encoding(formPackets, packets))
	default:
		for _, one := range eventOf(m, bare) {
			put(out, one)
		}
	}
}

// eventOf returns m as the messages of Engine.IO that it is. Binary arguments
// are attached; if they cannot be, they stay what they are elsewhere.
func eventOf(m *hub.Message, bare bool) []message {
	array := arrayOf(m)
	p := packet.Packet{Type: packet.Event}
	p.Namespace, _ = hub.SplitRoom(m.Channel())
	split, attached := array, [][]byte(nil)
	if m.Event != "" {
		if raw, found, err := packet.AppendSplit(nil, array, limitsFor(array)); err == nil && len(found) > 0 {
			split, attached = raw, found
			p.Type, p.Attachments = packet.BinaryEvent, len(found)
		}
	}
	if !bare {
		split = packet.AppendLonger(nil, split, m.Position().String())
	}
	p.JSON = split
	return packetOf(&p, attached)
}

// limitsFor are those of what has been taken in already, by limits of its own.
func limitsFor(array []byte) *packet.Limits {
	return &packet.Limits{Bytes: len(array) + 1, Depth: len(array) + 1}
}

// arrayOf returns the event's name and arguments as one array.
func arrayOf(m *hub.Message) []byte {
	if m.Event == "" {
		return packet.AppendArray(nil, messageEvent, transport.Modern(m))
	}
	array := packet.AppendArray(nil, m.Event)
	return packet.AppendJoined(array, m.Data)
}

func frames(m *hub.Message) []byte     { return appendFrames(eventOf(m, false)) }
func framesBare(m *hub.Message) []byte { return appendFrames(eventOf(m, true)) }

func appendFrames(all []message) (b []byte) {
	for _, one := range all {
		if one.binary {
			b = wsframe.AppendBinary(b, one.data)
			continue
		}
		start := len(b)
		b = engineio.AppendPacket(wsframe.Begin(b), engineio.Packet{Type: engineio.Message, Data: one.data})
		b = wsframe.End(b, start, wsframe.Text)
	}
	return b
}

func packets(m *hub.Message) []byte     { return appendPackets(eventOf(m, false)) }
func packetsBare(m *hub.Message) []byte { return appendPackets(eventOf(m, true)) }

func appendPackets(all []message) (b []byte) {
	for _, one := range all {
		b = engineio.AppendPayload(b, engineio.Packet{Type: engineio.Message, Binary: one.binary, Data: one.data})
	}
	return b
}
