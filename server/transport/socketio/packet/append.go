package packet

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Append appends p as text. Its attachments follow as messages of their own.
func Append(dst []byte, p *Packet) []byte {
	dst = append(dst, '0'+byte(p.Type))
	if p.Type.Binary() {
		dst = strconv.AppendInt(dst, int64(p.Attachments), 10)
		dst = append(dst, '-')
	}
	dst = appendNamespace(dst, p.Namespace)
	if p.HasID {
		dst = strconv.AppendUint(dst, p.ID, 10)
	}
	return append(dst, p.JSON...)
}

func appendNamespace(dst []byte, name string) []byte {
	if name != Root && name != "" {
		dst = append(append(dst, name...), ',')
	}
	return dst
}

// AppendConnected appends the answer to a CONNECT: the public id of the socket
// and, with recovery, the private one of what can be recovered.
func AppendConnected(dst []byte, namespace, sid, pid string) []byte {
	dst = appendNamespace(append(dst, '0'+byte(Connect)), namespace)
	dst = appendText(append(dst, `{"sid":`...), sid)
	if pid != "" {
		dst = appendText(append(dst, `,"pid":`...), pid)
	}
	return append(dst, '}')
}

// AppendConnectError appends the refusal of a CONNECT. data is JSON, or nil.
func AppendConnectError(dst []byte, namespace, message string, data []byte) []byte {
	dst = appendNamespace(append(dst, '0'+byte(ConnectError)), namespace)
	dst = appendText(append(dst, `{"message":`...), message)
	if data != nil {
		dst = append(append(dst, `,"data":`...), data...)
	}
	return append(dst, '}')
}

// AppendError appends the refusal of a CONNECT in Socket.IO 4: data if there is
// any, which is JSON, and the message otherwise.
func AppendError(dst []byte, namespace, message string, data []byte) []byte {
	dst = appendNamespace(append(dst, '0'+byte(ConnectError)), namespace)
	if data != nil {
		return append(dst, data...)
	}
	return appendText(dst, message)
}

// AppendArray appends the JSON array of an event: its name and its arguments,
// each of which is JSON.
func AppendArray(dst []byte, name string, args ...[]byte) []byte {
	dst = appendText(append(dst, '['), name)
	for _, arg := range args {
		dst = append(append(dst, ','), arg...)
	}
	return append(dst, ']')
}

// AppendLonger appends array, the JSON array of an event, with text as one more
// argument: how clients are told from where to go on.
func AppendLonger(dst, array []byte, text string) []byte {
	array = bytes.TrimRight(array, " \t\r\n")
	array = bytes.TrimRight(array[:len(array)-1], " \t\r\n") // without the ]
	return append(appendText(append(append(dst, array...), ','), text), ']')
}

// appendText appends s as a JSON string.
func appendText(dst []byte, s string) []byte {
	if simple(s) {
		return append(append(append(dst, '"'), s...), '"')
	}
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // every string can be written
	}
	return append(dst, text...)
}

// simple reports whether s is between quotes what it is in JSON: ids are.
func simple(s string) bool {
	for i := range len(s) {
		if c := s[i]; !plain[c] || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

const (
	binaryHead = `{"$binary":"`
	binaryTail = `"}`
)

// AppendArgs appends the arguments of an event or an acknowledgement as a JSON
// array, without the event's name and with a base64 object for each attachment.
// The packet is one that an [Assembler] has said is whole.
func (p *Packet) AppendArgs(dst []byte) []byte {
	size := len(p.JSON) - p.args + 2
	for _, s := range p.spots {
		size += len(binaryHead) + base64.StdEncoding.EncodedLen(len(p.Attached[s.from])) + len(binaryTail)
	}
	dst = append(slices.Grow(dst, size), '[')
	if p.JSON == nil {
		return append(dst, ']')
	}
	at := p.args
	for _, s := range p.spots {
		dst = append(append(dst, p.JSON[at:s.start]...), binaryHead...)
		dst = base64.StdEncoding.AppendEncode(dst, p.Attached[s.from])
		dst = append(dst, binaryTail...)
		at = s.end
	}
	return append(dst, p.JSON[at:]...)
}

// AppendSplit appends raw, which is JSON, with a placeholder for each base64
// object in it, and returns what these say, in order. If there are none it is
// raw that it appends. It refuses what is not JSON or is beyond the limits.
func AppendSplit(dst, raw []byte, limits *Limits) (split []byte, attached [][]byte, err error) {
	if len(raw) > limits.bytes() {
		return dst, nil, ErrTooLarge
	}
	s := scanner{p: raw, seek: binaries, most: limits.attachments()}
	s.space()
	if _, err := s.document(limits.depth()); err != nil {
		return dst, nil, err
	}
	if len(s.spots) > 0 && s.literal {
		return dst, nil, ErrPlaceholder
	}
	at := 0
	for i, spot := range s.spots {
		dst = append(append(dst, raw[at:spot.start]...), `{"_placeholder":true,"num":`...)
		dst = append(strconv.AppendInt(dst, int64(i), 10), '}')
		attached = append(attached, s.store[spot.from:spot.to:spot.to])
		at = spot.end
	}
	return append(dst, raw[at:]...), attached, nil
}

// AppendJoined returns the JSON array dst with the elements of another one
// behind its own, of which there is at least one.
func AppendJoined(dst, array []byte) []byte {
	array = bytes.TrimSpace(array)
	inside := bytes.TrimSpace(array[1 : len(array)-1])
	if len(inside) == 0 {
		return dst
	}
	dst = append(dst[:len(dst)-1], ',')
	return append(append(dst, inside...), ']')
}
