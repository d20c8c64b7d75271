package packet

import (
	"bytes"
	"strings"
)

// Parse reads a packet from text, which must be UTF-8.
func Parse(text []byte, limits *Limits) (Packet, error) { return parse(text, limits, "") }

// parse is Parse for the reader of a connection, on which most packets are for
// the same namespace as the one before.
func parse(text []byte, limits *Limits, before string) (p Packet, err error) {
	if len(text) > limits.bytes() {
		return p, ErrTooLarge
	}
	if len(text) == 0 || text[0]-'0' > byte(BinaryAck) {
		return p, ErrType
	}
	p.Type = Type(text[0] - '0')
	rest := text[1:]
	if p.Type.Binary() {
		if rest, err = p.readAttachments(rest, limits); err != nil {
			return p, err
		}
	}
	if rest, err = p.readNamespace(rest, limits, before); err != nil {
		return p, err
	}
	if rest, err = p.readID(rest); err != nil {
		return p, err
	}
	return p, p.readJSON(rest, limits)
}

func (p *Packet) readAttachments(text []byte, limits *Limits) (rest []byte, err error) {
	for i, c := range text {
		if c == '-' && p.Attachments > 0 {
			return text[i+1:], nil
		}
		if c -= '0'; c > 9 {
			break
		}
		if p.Attachments = p.Attachments*10 + int(c); p.Attachments > limits.attachments() {
			break
		}
	}
	return nil, ErrAttachments
}

func (p *Packet) readNamespace(text []byte, limits *Limits, before string) (rest []byte, err error) {
	p.Namespace = Root
	if len(text) == 0 || text[0] != '/' {
		return text, nil
	}
	name, rest := text, text[len(text):]
	if i := bytes.IndexByte(text, ','); i >= 0 {
		name, rest = text[:i], text[i+1:]
	}
	if len(name) > limits.namespace() {
		return nil, ErrNamespace
	}
	if len(name) > 1 {
		if p.Namespace = before; string(name) != before {
			p.Namespace = string(name)
		}
	}
	return rest, nil
}

// mostID is the last number before JavaScript begins to leave some out. What is
// beyond it could not be told as it came.
const mostID = 1<<53 - 1

func (p *Packet) readID(text []byte) (rest []byte, err error) {
	for i, c := range text {
		if c -= '0'; c > 9 {
			return text[i:], nil
		}
		p.HasID = true
		if p.ID = p.ID*10 + uint64(c); p.ID > mostID {
			return nil, ErrID
		}
	}
	return nil, nil
}

// readJSON takes what is behind everything else. There is no space in front of
// it, which the stock server would take for an id.
func (p *Packet) readJSON(text []byte, limits *Limits) error {
	kind := p.Type.Plain()
	if len(text) == 0 {
		if kind == Event {
			return ErrPayload
		}
		return nil
	}
	switch c := text[0]; {
	case c == '{' && (kind == Connect || kind == ConnectError):
	case c == '"' && kind == ConnectError:
	case c == '[' && (kind == Event || kind == Ack):
	default:
		return ErrPayload
	}
	s := scanner{p: text, most: p.Attachments}
	if p.Type.Binary() {
		s.seek = placeholders
	}
	end, err := s.document(limits.depth())
	if err != nil {
		return err
	}
	p.JSON = text[:end:end]
	if p.spots = s.spots; !inOrder(p.spots, p.Attachments) {
		return ErrPlaceholder
	}
	switch kind {
	case Event:
		return p.readName()
	case Ack:
		p.args = 1
	}
	return nil
}

// inOrder reports whether each placeholder has an attachment of its own.
// Otherwise a few bytes could ask for the same attachment over and over.
func inOrder(spots []spot, attachments int) bool {
	for i, s := range spots {
		if s.from < 0 || s.from >= attachments {
			return false
		}
		for _, other := range spots[:i] {
			if other.from == s.from {
				return false
			}
		}
	}
	return true
}

// readName takes the first element of the array, which is JSON already.
func (p *Packet) readName() error {
	s := scanner{p: p.JSON, at: 1}
	s.space()
	start := s.at
	switch c := s.peek(); {
	case c == '"':
		s.text()
		p.Name = p.JSON[start+1 : s.at-1 : s.at-1]
		if bytes.IndexByte(p.Name, '\\') >= 0 {
			p.Name = appendUnescaped(nil, p.Name)
		}
		if Reserved(string(p.Name)) {
			return ErrName
		}
	case c == '-' || '0' <= c && c <= '9':
		s.number()
		p.Name = p.JSON[start:s.at:s.at]
	default:
		return ErrPayload
	}
	if s.space(); s.peek() == ',' {
		s.at++
		s.space()
	}
	p.args = s.at
	return nil
}

// CutQuery returns the name and the query of the namespace that a CONNECT of
// Socket.IO 4 asks for.
func CutQuery(namespace string) (name, query string) {
	name, query, _ = strings.Cut(namespace, "?")
	return name, query
}

// ValidNamespace reports whether packets can carry the name within the limits:
// clients that find a comma in it read something else.
func ValidNamespace(name string, limits *Limits) bool {
	return strings.HasPrefix(name, "/") && !strings.Contains(name, ",") && len(name) <= limits.namespace()
}
