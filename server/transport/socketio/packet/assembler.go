package packet

import "bytes"

// An Assembler reads the packets of one connection, and waits for the attachments
// of those that have some. Nothing may be fed to it behind an error. It is for one
// goroutine.
type Assembler struct {
	limits    *Limits
	namespace string // of the packet before
	pending   *Packet
	room      int // how many bytes the attachments of pending may still have
}

// Begin has the assembler be of another connection. Nothing may be missing.
func (a *Assembler) Begin(limits *Limits) { a.limits = limits }

// NewAssembler returns one that keeps to limits, of which it reads at each
// packet.
func NewAssembler(limits *Limits) *Assembler { return &Assembler{limits: limits} }

// Text reads a message of text, which must be UTF-8. A whole packet is part of
// text; of one that waits for attachments a copy is kept.
func (a *Assembler) Text(text []byte) (p Packet, whole bool, err error) {
	if a.pending != nil {
		return Packet{}, false, ErrText
	}
	p, err = parse(text, a.limits, a.namespace)
	if err != nil {
		return Packet{}, false, err
	}
	a.namespace = p.Namespace
	if !p.Type.Binary() {
		return p, true, nil
	}
	a.room = a.limits.bytes() - len(text)
	a.pending = p.clone()
	return Packet{}, false, nil
}

// Binary reads a binary message, which it copies. The packet is whole if that was
// its last attachment.
func (a *Assembler) Binary(data []byte) (p Packet, whole bool, err error) {
	if a.pending == nil {
		return Packet{}, false, ErrBinary
	}
	if a.room -= len(data); a.room < 0 {
		a.pending = nil
		return Packet{}, false, ErrTooLarge
	}
	a.pending.Attached = append(a.pending.Attached, bytes.Clone(data))
	if len(a.pending.Attached) < a.pending.Attachments {
		return Packet{}, false, nil
	}
	p, a.pending = *a.pending, nil
	return p, true, nil
}

// Waiting returns the namespace of the packet whose attachments are missing, if
// there is one, and how many bytes of it have come.
func (a *Assembler) Waiting() (namespace string, bytes int) {
	if a.pending == nil {
		return "", 0
	}
	return a.pending.Namespace, a.limits.bytes() - a.room
}

// Pending reports whether attachments are missing.
func (a *Assembler) Pending() bool { return a.pending != nil }

// clone returns p with bytes of its own.
func (p *Packet) clone() *Packet {
	c := *p
	c.JSON = bytes.Clone(p.JSON)
	c.Name = bytes.Clone(p.Name)
	return &c
}
