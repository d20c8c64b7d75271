// Package engineio turns bytes into packets of Engine.IO and back. It owns no
// connection and never waits. What comes in one WebSocket message is read by
// [DecodeText] and [DecodeBinary], what comes in one HTTP body by a [Payload]:
//
//	payload := engineio.NewPayload(body, limits)
//	for {
//		p, err := payload.Next()
//		if err == io.EOF {
//			break
//		}
//		if err != nil {
//			… // the session is closed
//		}
//	}
//
// This file has protocol 4, eio3.go has protocol 3. What is decoded is part of
// the bytes that came, and base64 is decoded where it stands: nothing is copied,
// and whoever keeps a packet keeps all that it came with.
//
// Peers are not trusted. Whatever is not as the protocol says is an error, also
// where the stock server makes something of it: base64 that is not canonical,
// numbers that are not plain digits, text that is not UTF-8.
package engineio

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"io"
	"strconv"
	"time"
	"unicode/utf8"
)

// A Type says what a packet is for.
type Type uint8

// The types of packets.
const (
	Open Type = iota
	Close
	Ping
	Pong
	Message
	Upgrade
	Noop
)

// A Packet is what Engine.IO carries. Only messages can be binary.
type Packet struct {
	Type   Type
	Binary bool
	Data   []byte
}

// Why bytes are not taken. Each is the end of the session.
var (
	ErrEmpty    = errors.New("engineio: a packet without a type")
	ErrType     = errors.New("engineio: an unknown type of packet")
	ErrBase64   = errors.New("engineio: not base64")
	ErrUTF8     = errors.New("engineio: text that is not UTF-8")
	ErrLength   = errors.New("engineio: a length that is wrong")
	ErrForm     = errors.New("engineio: not a form with one d")
	ErrTooLarge = errors.New("engineio: too many bytes")
	ErrTooMany  = errors.New("engineio: too many packets")
)

// Limits bound one payload. Zero stands for the default.
type Limits struct {
	Bytes   int
	Packets int
}

// The default limits. The bytes are those of the stock server, which has no
// limit for packets.
const (
	DefaultBytes   = 1_000_000
	DefaultPackets = 1 << 14
)

// separator is between the packets of a payload. No JSON has it inside.
const separator = 0x1e

// canonical is the base64 that encoders write.
var canonical = base64.StdEncoding.Strict()

// DecodeText returns the packet of a WebSocket message of text, which must be
// UTF-8. Peers without binary send b and base64, which is decoded in text itself.
func DecodeText(text []byte) (Packet, error) {
	if len(text) > 0 && text[0] == 'b' {
		data, err := decodeBase64(text[1:])
		return Packet{Type: Message, Binary: true, Data: data}, err
	}
	return decodePlain(text)
}

// DecodeBinary returns the packet of a binary WebSocket message.
func DecodeBinary(data []byte) Packet {
	return Packet{Type: Message, Binary: true, Data: data}
}

// decodePlain returns the packet of text that is not base64.
func decodePlain(text []byte) (Packet, error) {
	if len(text) == 0 {
		return Packet{}, ErrEmpty
	}
	t := Type(text[0] - '0')
	if t > Noop {
		return Packet{}, ErrType
	}
	return Packet{Type: t, Data: text[1:len(text):len(text)]}, nil
}

// decodeBase64 decodes text in place: what is written never passes what is
// read.
func decodeBase64(text []byte) ([]byte, error) {
	if bytes.IndexByte(text, '\n') >= 0 || bytes.IndexByte(text, '\r') >= 0 { // which the decoder would skip
		return nil, ErrBase64
	}
	n, err := canonical.Decode(text, text)
	if err != nil {
		return nil, ErrBase64
	}
	return text[:n:n], nil
}

// A Payload is the body of one polling request, of which Next takes the packets.
type Payload struct {
	form    form
	rest    []byte
	packets int // that may still come
	err     error
}

// A form is how packets are told apart.
type form uint8

const (
	separated form = iota // protocol 4
	counted3              // protocol 3, text
	binary3               // protocol 3, binary
)

// NewPayload returns the payload that body is in protocol 4. Next writes to
// body.
func NewPayload(body []byte, limits *Limits) Payload {
	return newPayload(body, limits, separated)
}

func newPayload(body []byte, limits *Limits, form form) Payload {
	if body == nil {
		body = []byte{} // nil says that all is read
	}
	p := Payload{form: form, rest: body, packets: cmp.Or(limits.Packets, DefaultPackets)}
	if len(body) > cmp.Or(limits.Bytes, DefaultBytes) {
		p.err = ErrTooLarge
	}
	return p
}

// Next returns the next packet, and io.EOF behind the last. After an error there
// is nothing but that error.
func (p *Payload) Next() (Packet, error) {
	if p.err != nil {
		return Packet{}, p.err
	}
	var packet Packet
	switch p.form {
	case separated:
		packet, p.err = p.separated()
	case counted3:
		packet, p.err = p.counted3()
	case binary3:
		packet, p.err = p.binary3()
	}
	if p.err == nil {
		if p.packets--; p.packets < 0 {
			p.err = ErrTooMany
		}
	}
	if p.err != nil {
		return Packet{}, p.err
	}
	return packet, nil
}

func (p *Payload) separated() (Packet, error) {
	if p.rest == nil {
		return Packet{}, io.EOF
	}
	text := p.rest
	if i := bytes.IndexByte(text, separator); i >= 0 {
		text, p.rest = text[:i], text[i+1:]
	} else {
		p.rest = nil
	}
	return decodeChecked(text)
}

// decodeChecked is DecodeText for text of which nobody has seen to that it is
// UTF-8.
func decodeChecked(text []byte) (Packet, error) {
	if !utf8.Valid(text) {
		return Packet{}, ErrUTF8
	}
	return DecodeText(text)
}

// AppendPacket appends p as text: as a WebSocket message, or for [AppendShared].
// A binary message becomes base64, for polling and for peers that asked for it by
// b64=1; to all others its data goes as a binary WebSocket message, as it is.
func AppendPacket(dst []byte, p Packet) []byte {
	if p.Binary {
		return base64.StdEncoding.AppendEncode(append(dst, 'b'), p.Data)
	}
	return append(append(dst, '0'+byte(p.Type)), p.Data...)
}

// AppendPayload appends p to body, which is empty or has packets already.
func AppendPayload(body []byte, p Packet) []byte {
	return AppendPacket(separate(body), p)
}

// AppendShared appends to body a packet that [AppendPacket] has made before,
// perhaps for many.
func AppendShared(body, packet []byte) []byte {
	return append(separate(body), packet...)
}

func separate(body []byte) []byte {
	if len(body) > 0 {
		body = append(body, separator)
	}
	return body
}

// A Handshake is what the first packet tells the client.
type Handshake struct {
	SID          string // letters, digits, - and _
	Upgrade      bool   // whether it may go on by WebSocket
	PingInterval time.Duration
	PingTimeout  time.Duration
	MaxPayload   int
}

// AppendOpen appends the open packet that tells h, in both protocols' form for
// text.
func AppendOpen(dst []byte, h *Handshake) []byte {
	dst = append(dst, `0{"sid":"`...)
	dst = append(dst, h.SID...)
	dst = append(dst, `","upgrades":[`...)
	if h.Upgrade {
		dst = append(dst, `"websocket"`...)
	}
	dst = append(dst, `],"pingInterval":`...)
	dst = strconv.AppendInt(dst, h.PingInterval.Milliseconds(), 10)
	dst = append(dst, `,"pingTimeout":`...)
	dst = strconv.AppendInt(dst, h.PingTimeout.Milliseconds(), 10)
	dst = append(dst, `,"maxPayload":`...)
	dst = strconv.AppendInt(dst, int64(h.MaxPayload), 10)
	return append(dst, '}')
}
