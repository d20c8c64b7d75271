package wsframe

import (
	"encoding/binary"
)

// AppendText appends a text message, which must be valid UTF-8, as one frame.
func AppendText(dst, payload []byte) []byte { return appendFrame(dst, Text, payload) }

// AppendBinary appends a binary message as one frame.
func AppendBinary(dst, payload []byte) []byte { return appendFrame(dst, Binary, payload) }

// AppendPing appends a ping of at most 125 bytes; what is over is cut off.
func AppendPing(dst, payload []byte) []byte { return appendFrame(dst, Ping, short(payload)) }

// AppendPong appends the answer to a ping.
func AppendPong(dst, payload []byte) []byte { return appendFrame(dst, Pong, short(payload)) }

// AppendClose appends a close frame. A reason that is too long for one is cut.
// With [CodeNone] neither a code nor the reason is sent.
func AppendClose(dst []byte, code uint16, reason string) []byte {
	if code == CodeNone {
		return appendFrame(dst, Close, nil)
	}
	if len(reason) > maxControl-2 {
		reason = reason[:maxControl-2]
		reason = reason[:len(reason)-cutEnd([]byte(reason))]
	}
	dst = appendHead(dst, byte(Close), 2+len(reason))
	dst = binary.BigEndian.AppendUint16(dst, code)
	return append(dst, reason...)
}

// Begin makes room in dst for the head of a message whose payload is appended
// next; [End] puts it there.
func Begin(dst []byte) []byte { return append(dst, 0, 0, 0, 0) }

// End ends the message that was begun when dst was start bytes long. Its
// payload stands behind the room that [Begin] made.
func End(dst []byte, start int, op Op) []byte {
	const room = 4
	size := len(dst) - start - room
	var buf [10]byte
	head := appendHead(buf[:0], byte(op), size)
	if more := len(head) - room; more > 0 {
		dst = append(dst, head[:more]...) // any bytes: the payload moves over them
	}
	copy(dst[start+len(head):], dst[start+room:start+room+size])
	copy(dst[start:], head)
	return dst[:start+len(head)+size]
}

// maxControl is how many bytes a control frame may have.
const maxControl = 125

func short(payload []byte) []byte { return payload[:min(len(payload), maxControl)] }

func appendFrame(dst []byte, op Op, payload []byte) []byte {
	return append(appendHead(dst, byte(op), len(payload)), payload...)
}

// appendHead appends the head of the only frame of a message. first is its
// opcode, and the bit for compression.
func appendHead(dst []byte, first byte, size int) []byte {
	dst = append(dst, first|0x80)
	switch {
	case size < 126:
		return append(dst, byte(size))
	case size < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, 126), uint16(size))
	}
	return binary.BigEndian.AppendUint64(append(dst, 127), uint64(size))
}
