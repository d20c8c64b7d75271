package zmtp

import (
	"encoding/binary"
	"io"
	"slices"
)

// The flags of a frame.
const (
	flagMore    = 1 << iota // another frame of the message follows
	flagLong                // the size has eight bytes instead of one
	flagCommand             // it is a command and no part of a message

	allFlags = flagMore | flagLong | flagCommand
)

// maxHeader is how many bytes a frame's header has at most.
const maxHeader = 9

// digits is how many bytes a frame's size has.
func digits(flags byte) int {
	if flags&flagLong != 0 {
		return 8
	}
	return 1
}

// A header is what is before a frame.
type header struct {
	flags byte
	size  uint64
}

// readHeader reads the header that begins with these flags.
func readHeader(flags byte, r io.ByteReader) (h header, err error) {
	if flags&^allFlags != 0 || flags&flagCommand != 0 && flags&flagMore != 0 {
		return h, wrong("a frame has the flags %#x", flags)
	}
	h.flags = flags
	for range digits(flags) {
		b, err := r.ReadByte()
		if err != nil {
			return h, unexpected(err)
		}
		h.size = h.size<<8 | uint64(b)
	}
	if h.size>>63 != 0 {
		return h, wrong("a frame says it has %d bytes", h.size)
	}
	return h, nil
}

// AppendMessage appends to dst a message of these frames, of which there must
// be at least one.
func AppendMessage(dst []byte, frames ...[]byte) []byte {
	n := 0
	for _, frame := range frames {
		n += maxHeader + len(frame)
	}
	dst = slices.Grow(dst, n)
	for i, frame := range frames {
		var flags byte
		if i < len(frames)-1 {
			flags = flagMore
		}
		dst = append(appendHeader(dst, flags, len(frame)), frame...)
	}
	return dst
}

func appendHeader(dst []byte, flags byte, size int) []byte {
	if size < 256 {
		return append(dst, flags, byte(size))
	}
	return binary.BigEndian.AppendUint64(append(dst, flags|flagLong), uint64(size))
}

// maxCommand is how many bytes a command may have. The longest are metadata and
// subscriptions.
const maxCommand = 8 << 10

func appendCommand(dst []byte, name string, body []byte) []byte {
	dst = appendHeader(dst, flagCommand, 1+len(name)+len(body))
	dst = append(append(dst, byte(len(name))), name...)
	return append(dst, body...)
}

// splitCommand returns the parts of a command.
func splitCommand(p []byte) (name string, body []byte, err error) {
	if len(p) == 0 || int(p[0]) > len(p)-1 || p[0] == 0 {
		return "", nil, wrong("a command has no name")
	}
	n := int(p[0])
	return string(p[1 : 1+n]), p[1+n:], nil
}

// refusal is what an ERROR command says. The text is the peer's.
func refusal(body []byte) error {
	reason := "for no reason"
	if len(body) > 0 && int(body[0]) == len(body)-1 {
		reason = string(body[1:])
	}
	return wrong("the peer refuses: %q", reason)
}
