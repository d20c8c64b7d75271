package wire

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
)

// socket reads one direction of a WebSocket (RFC 6455).
type socket struct {
	*side
	deflate bool // frames may be compressed (RFC 7692)
	packed  bool // the message that is being read is
}

func newSocket(s *side, deflate bool) {
	s.hide = nil // there are no heads any more
	w := &socket{side: s, deflate: deflate}
	w.next()
}

func (w *socket) next() { w.gather(frameHead, w.frame) }

// frameHead is how long the head of a frame is.
func frameHead(held []byte) int {
	if len(held) < 2 {
		return 0
	}
	n := 2
	switch held[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if held[1]&0x80 != 0 {
		n += 4
	}
	if len(held) < n {
		return 0
	}
	return n
}

var opcodes = map[byte]string{0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}

func (w *socket) frame(head []byte) {
	opcode, size := head[0]&0x0f, uint64(head[1]&0x7f)
	rest := head[2:]
	switch size {
	case 126:
		size, rest = uint64(binary.BigEndian.Uint16(rest)), rest[2:]
	case 127:
		size, rest = binary.BigEndian.Uint64(rest), rest[8:]
	}
	if size > 1<<62 {
		w.giveUp()
		return
	}
	var mask []byte
	if head[1]&0x80 != 0 {
		mask = bytes.Clone(rest[:4])
	}
	if opcode != 0 && opcode < 8 {
		w.packed = w.deflate && head[0]&0x40 != 0
	}
	final := head[0]&0x80 != 0
	var payload []byte
	read := uint64(0)
	w.pass(size, func(p []byte) {
		payload = beginning(payload, p, maxBody)
		read += uint64(len(p))
	}, func() {
		for i := range payload {
			if mask != nil {
				payload[i] ^= mask[i%4]
			}
		}
		w.tellFrame(opcode, final, payload, read, mask != nil)
		w.next()
	})
}

func (w *socket) tellFrame(opcode byte, final bool, payload []byte, size uint64, masked bool) {
	name, known := opcodes[opcode]
	if !known {
		name = fmt.Sprintf("opcode %d", opcode)
	}
	if !final {
		name += ", not the last"
	}
	whole := uint64(len(payload)) == size
	e := Event{Kind: KindFrame}
	switch {
	case opcode == 8 && len(payload) >= 2:
		payload = fmt.Appendf(nil, "%d %s", binary.BigEndian.Uint16(payload), payload[2:])
	case w.packed && opcode < 8 && opcode != 0 && final && whole:
		name += fmt.Sprintf(", deflated to %d bytes", size)
		payload, whole = inflate(payload)
	case w.packed && opcode < 8:
		name += ", a part of what is deflated"
	}
	e.Text, e.Cut = readable(payload, maxText)
	e.Cut = e.Cut || !whole
	e.Title = name
	if masked {
		e.Title += ", masked"
	}
	if title := line(payload); e.Title == "text" {
		e.Title = title
	} else if title != "" {
		e.Title += ": " + title
	}
	w.tell(e)
}

// inflate returns the beginning of what was deflated, and whether it is all.
func inflate(p []byte) (text []byte, whole bool) {
	r := flate.NewReader(io.MultiReader(bytes.NewReader(p), bytes.NewReader([]byte{0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff})))
	text, err := io.ReadAll(io.LimitReader(r, maxText+1))
	return text, err == nil
}
