package bench

import (
	"encoding/binary"
	"fmt"
)

// The opcodes of RFC 6455.
const (
	opText   = 1
	opBinary = 2
	opClose  = 8
	opPing   = 9
	opPong   = 10
)

// A frame is what a server sends on a WebSocket. Ours and those that it is
// compared with send each message in one.
type frame struct {
	op   byte
	data []byte
}

// readFrame reads a frame from the beginning of p, and returns how long it is;
// 0 means that it is not whole.
func readFrame(p []byte) (n int, f frame, err error) {
	if len(p) < 2 {
		return 0, f, nil
	}
	if p[0]&0xf0 != 0x80 || p[1]&0x80 != 0 {
		return 0, f, fmt.Errorf("a frame begins with %#x %#x, which nobody has asked for", p[0], p[1])
	}
	size, head := uint64(p[1]), 2
	switch p[1] {
	case 126:
		head = 4
		if len(p) < head {
			return 0, f, nil
		}
		size = uint64(binary.BigEndian.Uint16(p[2:]))
	case 127:
		head = 10
		if len(p) < head {
			return 0, f, nil
		}
		size = binary.BigEndian.Uint64(p[2:])
	}
	if size > maxUnit {
		return 0, f, errTooLong
	}
	n = head + int(size)
	if len(p) < n {
		return 0, f, nil
	}
	return n, frame{p[0] & 0x0f, p[head:n]}, nil
}

// appendFrame appends a frame as clients send it. Its mask is zeros.
func appendFrame(dst []byte, op byte, data []byte) []byte {
	dst = append(dst, 0x80|op)
	switch n := len(data); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, 0x80|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(n))
	}
	return append(append(dst, 0, 0, 0, 0), data...)
}

// serverFrame is a text frame as servers send it.
func serverFrame(data []byte) []byte {
	f := appendFrame(nil, opText, data)
	masked := len(f) - len(data)
	f[1] &^= 0x80
	return append(f[:masked-4], data...)
}

// closedBy is what a close frame says.
func closedBy(data []byte) error {
	if len(data) < 2 {
		return &closedError{"the server closed the WebSocket"}
	}
	return &closedError{fmt.Sprintf("the server closed the WebSocket (%d %s)", binary.BigEndian.Uint16(data), data[2:])}
}

const upgradeFields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2hhdmVldC1iZW5jaC1rZQ==\r\n"

// upgraded checks the head of the answer to an upgrade.
func upgraded(h head) error {
	if h.status != 101 {
		return &closedError{fmt.Sprintf("the server answered %d to an upgrade", h.status)}
	}
	return nil
}
