package engineio

import (
	"encoding/base64"
	"encoding/binary"
	"io"
	"strconv"
	"unicode/utf8"
)

// DecodeText3 returns the packet of a WebSocket message of text in protocol 3,
// where base64 has the type in front. It decodes base64 in text itself.
func DecodeText3(text []byte) (Packet, error) {
	if len(text) == 0 || text[0] != 'b' {
		return decodePlain(text)
	}
	if len(text) == 1 {
		return Packet{}, ErrEmpty
	}
	if text[1] != '0'+byte(Message) {
		return Packet{}, ErrType
	}
	data, err := decodeBase64(text[2:])
	return Packet{Type: Message, Binary: true, Data: data}, err
}

// DecodeBinary3 returns the packet of a binary WebSocket message in protocol 3,
// which begins with the type.
func DecodeBinary3(data []byte) (Packet, error) {
	if len(data) == 0 {
		return Packet{}, ErrEmpty
	}
	if Type(data[0]) != Message {
		return Packet{}, ErrType
	}
	return Packet{Type: Message, Binary: true, Data: data[1:len(data):len(data)]}, nil
}

// AppendText3 appends p as text in protocol 3, a binary message as base64.
func AppendText3(dst []byte, p Packet) []byte {
	if p.Binary {
		return base64.StdEncoding.AppendEncode(append(dst, 'b', '0'+byte(Message)), p.Data)
	}
	return AppendPacket(dst, p)
}

// AppendBinary3 appends data as a binary WebSocket message in protocol 3.
func AppendBinary3(dst, data []byte) []byte {
	return append(append(dst, byte(Message)), data...)
}

// NewPayload3 returns the payload that body is in protocol 3, of which there are
// two: text, and binary where the content type says octet-stream. Next writes to
// body.
func NewPayload3(body []byte, binary bool, limits *Limits) Payload {
	if binary {
		return newPayload(body, limits, binary3)
	}
	p := newPayload(body, limits, counted3)
	if len(body) == 0 {
		p.err = ErrEmpty // no packets at all are 0:
	}
	return p
}

// counted3 takes the next packet that is not empty: its length, a colon, itself.
func (p *Payload) counted3() (Packet, error) {
	for len(p.rest) > 0 {
		n, digits := length(p.rest, '0', ':')
		if digits < 0 {
			return Packet{}, ErrLength
		}
		text := p.rest[digits+1:]
		end, err := cutUnits(text, n)
		if err != nil {
			return Packet{}, err
		}
		if p.rest = text[end:]; end > 0 {
			return DecodeText3(text[:end])
		}
		if p.packets--; p.packets < 0 {
			return Packet{}, ErrTooMany
		}
	}
	return Packet{}, io.EOF
}

// binary3 takes the next packet: whether it is binary, its length, 255, itself.
func (p *Payload) binary3() (Packet, error) {
	if len(p.rest) == 0 {
		return Packet{}, io.EOF
	}
	kind := p.rest[0]
	if kind > 1 {
		return Packet{}, ErrType
	}
	n, digits := length(p.rest[1:], 0, 0xff)
	if digits < 0 {
		return Packet{}, ErrLength
	}
	data := p.rest[digits+2:]
	if n > len(data) {
		return Packet{}, ErrLength
	}
	data, p.rest = data[:n], data[n:]
	if kind == 1 {
		return DecodeBinary3(data)
	}
	if !utf8.Valid(data) {
		return Packet{}, ErrUTF8
	}
	return DecodeText3(data)
}

// length reads the digits, of which the first is called zero, up to end. It says
// how many they were, and -1 if they are no length that can be.
func length(p []byte, zero, end byte) (n, digits int) {
	for i, c := range p {
		if c == end {
			if i == 0 {
				return 0, -1
			}
			return n, i
		}
		if c -= zero; c > 9 {
			return 0, -1
		}
		if n = n*10 + int(c); n > len(p) { // every unit is a byte at least
			return 0, -1
		}
	}
	return 0, -1
}

// cutUnits returns at which byte of text so many UTF-16 code units end.
func cutUnits(text []byte, units int) (int, error) {
	at := 0
	for units > 0 {
		if units >= 8 && ascii(text[at:]) {
			at += 8
			units -= 8
			continue
		}
		if at == len(text) {
			return 0, ErrLength
		}
		if text[at] < utf8.RuneSelf {
			at++
			units--
			continue
		}
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size == 1 {
			return 0, ErrUTF8
		}
		if at += size; size == 4 {
			units--
		}
		units--
	}
	if units < 0 {
		return 0, ErrLength // in the middle of a character
	}
	return at, nil
}

// countUnits returns how many UTF-16 code units text has, which is UTF-8.
func countUnits(text []byte) (n int) {
	for len(text) > 0 {
		if ascii(text) {
			text = text[8:]
			n += 8
			continue
		}
		c := text[0]
		text = text[1:]
		if c&0xc0 != 0x80 { // the first byte of a character
			n++
		}
		if c >= 0xf0 { // of four bytes, which are two units
			n++
		}
	}
	return n
}

// ascii reports whether text begins with eight bytes of ASCII.
func ascii(text []byte) bool {
	return len(text) >= 8 && binary.LittleEndian.Uint64(text)&0x8080808080808080 == 0
}

// AppendPayload3 appends p to body, a payload of text in protocol 3.
func AppendPayload3(body []byte, p Packet) []byte {
	if p.Binary {
		body = strconv.AppendInt(body, int64(2+base64.StdEncoding.EncodedLen(len(p.Data))), 10)
	} else {
		body = strconv.AppendInt(body, int64(1+countUnits(p.Data)), 10)
	}
	return AppendText3(append(body, ':'), p)
}

// AppendEmpty3 appends the payload of text without packets.
func AppendEmpty3(body []byte) []byte { return append(body, "0:"...) }

// AppendBinaryPayload3 appends p to body, a binary payload in protocol 3. Peers
// get one if they can, and if one of the packets is binary.
func AppendBinaryPayload3(body []byte, p Packet) []byte {
	kind, first := byte(0), '0'+byte(p.Type)
	if p.Binary {
		kind, first = 1, byte(Message)
	}
	body = append(body, kind)
	digits := len(body)
	body = strconv.AppendInt(body, int64(1+len(p.Data)), 10)
	for i := digits; i < len(body); i++ {
		body[i] -= '0'
	}
	return append(append(body, 0xff, first), p.Data...)
}
