// Package packet turns text into packets of Socket.IO 5 and back. It owns no
// connection. An [Assembler] takes what the messages of one Engine.IO session
// carry:
//
//	p, whole, err := assembler.Text(m.Data) // or Binary, if it is
//	if err != nil {
//		… // the session is closed
//	}
//	if whole {
//		call(p.Namespace, p.Name, p.AppendArgs(nil))
//	}
//
// The JSON of packets is checked and stays raw: no tree is built of it, so names
// of members mean nothing here, whichever they are.
//
// # Binary
//
// Socket.IO sends binary arguments behind a packet, and has an object with
// "_placeholder": true in the place of each. Everywhere else here a binary
// argument is the object
//
//	{"$binary":"<base64>"}
//
// of exactly this one member, in canonical base64. [Packet.AppendArgs] puts such
// objects in, and [AppendSplit] takes them out.
//
// Two things follow for objects that only look so. A client that sends the object
// {"$binary":…} itself has sent binary, for nobody can tell the difference; one
// that is not quite so, of two members or of other text, stays what it is. And an
// object with "_placeholder": true stays what it is among arguments without
// binary; next to binary no client could tell it from ours, so AppendSplit refuses
// it with [ErrPlaceholder].
//
// # Socket.IO 4
//
// Clients of the versions 1 and 2, which speak Engine.IO 3, send the same packets.
// What differs: they are in the namespace / without asking, and are told so by a
// CONNECT without payload; they connect to others with a query behind the name,
// see [CutQuery]; and type 4 is any JSON for them, see [AppendError].
package packet

import (
	"cmp"
	"errors"
)

// A Type says what a packet is for.
type Type uint8

// The types of packets. ConnectError is called ERROR in Socket.IO 4.
const (
	Connect Type = iota
	Disconnect
	Event
	Ack
	ConnectError
	BinaryEvent
	BinaryAck
)

// Binary reports whether attachments belong to packets of the type.
func (t Type) Binary() bool { return t >= BinaryEvent }

// Plain returns the type without regard to whether it is binary.
func (t Type) Plain() Type {
	if t.Binary() {
		return t - BinaryEvent + Event
	}
	return t
}

// A Packet is what Socket.IO carries. Its bytes are part of what it was read
// from.
type Packet struct {
	Type      Type
	Namespace string
	ID        uint64 // of the acknowledgement; events need not have one
	HasID     bool

	// JSON is an array for events, which begins with the name, and for
	// acknowledgements; an object for CONNECT; an object or a string for
	// CONNECT_ERROR. It is nil if there is none, as only events must have some:
	// an acknowledgement is an empty one then.
	JSON []byte

	// Name is what an event is called: the text of a string, the digits of a
	// number as they were written. Halves of UTF-16 pairs in it are U+FFFD.
	Name []byte

	// Attachments is how many there are, and Attached what they are. Only an
	// Assembler has them.
	Attachments int
	Attached    [][]byte

	args  int    // where in JSON the arguments begin
	spots []spot // where in JSON the placeholders are
}

// Root is the namespace that has no name in packets.
const Root = "/"

// Why a packet is not taken. Each is the end of the connection.
var (
	ErrType        = errors.New("socketio: an unknown type of packet")
	ErrAttachments = errors.New("socketio: a number of attachments that is none or too large")
	ErrNamespace   = errors.New("socketio: a namespace that is too long or cannot be")
	ErrID          = errors.New("socketio: an id beyond what numbers can be")
	ErrJSON        = errors.New("socketio: not JSON")
	ErrDepth       = errors.New("socketio: JSON that is nested too deep")
	ErrPayload     = errors.New("socketio: not the JSON that the type of packet has")
	ErrName        = errors.New("socketio: the name of the event is reserved")
	ErrPlaceholder = errors.New("socketio: a placeholder without an attachment of its own")
	ErrTooLarge    = errors.New("socketio: too many bytes")
	ErrText        = errors.New("socketio: text where an attachment should be")
	ErrBinary      = errors.New("socketio: an attachment of nothing")
)

// Limits bound a packet. Zero stands for the default.
type Limits struct {
	Bytes       int // of a packet with all its attachments
	Attachments int
	Namespace   int // bytes of the name, and of the query of Socket.IO 4
	Depth       int // of arrays and objects in each other
}

// The default limits. Ten attachments are what stock clients and servers take.
const (
	DefaultBytes       = 4 << 20
	DefaultAttachments = 10
	DefaultNamespace   = 256
	DefaultDepth       = 100
)

func (l *Limits) bytes() int       { return cmp.Or(l.Bytes, DefaultBytes) }
func (l *Limits) attachments() int { return cmp.Or(l.Attachments, DefaultAttachments) }
func (l *Limits) namespace() int   { return cmp.Or(l.Namespace, DefaultNamespace) }
func (l *Limits) depth() int       { return cmp.Or(l.Depth, DefaultDepth) }

// Reserved reports whether no event may have that name, since it means something
// else to clients or servers.
func Reserved(name string) bool {
	switch name {
	case "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener":
		return true
	}
	return false
}
