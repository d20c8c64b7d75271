package zmtp

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"strings"
)

// A SocketType is what a peer does on its connection.
type SocketType string

// The socket types, and which of them go together.
const (
	PUB    SocketType = "PUB"
	SUB    SocketType = "SUB"
	XPUB   SocketType = "XPUB"
	XSUB   SocketType = "XSUB"
	PUSH   SocketType = "PUSH"
	PULL   SocketType = "PULL"
	REQ    SocketType = "REQ"
	REP    SocketType = "REP"
	DEALER SocketType = "DEALER"
	ROUTER SocketType = "ROUTER"
)

var partners = map[SocketType][]SocketType{
	PUB:    {SUB, XSUB},
	SUB:    {PUB, XPUB},
	XPUB:   {SUB, XSUB},
	XSUB:   {PUB, XPUB},
	PUSH:   {PULL},
	PULL:   {PUSH},
	REQ:    {REP, ROUTER},
	REP:    {REQ, DEALER},
	DEALER: {REP, DEALER, ROUTER},
	ROUTER: {REQ, DEALER, ROUTER},
}

// The greeting: a signature, the version, the mechanism, and nothing.
const (
	greetingSize  = 64
	signatureSize = 10
	mechanismAt   = 12
	mechanismEnd  = 32
)

func greeting() []byte {
	g := make([]byte, greetingSize)
	g[0], g[9] = 0xFF, 0x7F
	g[10], g[11] = 3, 1
	copy(g[mechanismAt:], "NULL")
	return g
}

// shakeHands says who we are and hears who the peer is. Both sides speak at
// once. All of it reads and writes without setting another deadline: there is
// one for the whole.
func (c *Conn) shakeHands() error {
	if _, err := c.conn.Write(greeting()); err != nil {
		return err
	}
	if err := c.readGreeting(); err != nil {
		return err
	}
	ready := appendProperty(nil, "Socket-Type", string(c.opts.Type))
	if c.opts.Type == REQ || c.opts.Type == DEALER || c.opts.Type == ROUTER {
		ready = appendProperty(ready, "Identity", "")
	}
	if _, err := c.conn.Write(appendCommand(nil, "READY", ready)); err != nil {
		return err
	}
	return c.readReady()
}

func (c *Conn) readGreeting() error {
	var g [greetingSize]byte
	read := func(from, to int) error {
		_, err := io.ReadFull(c.in, g[from:to])
		return unexpected(err)
	}
	// An older peer says less and then waits, and so may one of another protocol.
	// What it is must be seen early.
	if err := read(0, 1); err != nil {
		return err
	}
	if g[0] != 0xFF {
		return wrong("the peer does not speak ZMTP 2 or later")
	}
	if err := read(1, signatureSize); err != nil {
		return err
	}
	if g[signatureSize-1]&1 == 0 {
		return wrong("the peer does not speak ZMTP 2 or later")
	}
	if err := read(signatureSize, signatureSize+1); err != nil {
		return err
	}
	if g[10] < 3 {
		return wrong("the peer speaks ZMTP of before version 3")
	}
	if err := read(signatureSize+1, greetingSize); err != nil {
		return err
	}
	if m := bytes.TrimRight(g[mechanismAt:mechanismEnd], "\x00"); string(m) != "NULL" {
		return wrong("the peer wants the mechanism %q, and we have NULL alone", m)
	}
	c.v31 = g[10] > 3 || g[11] >= 1
	return nil
}

// readReady reads the peer's metadata, and sees whether we go together.
func (c *Conn) readReady() error {
	flags, err := c.in.ReadByte()
	if err != nil {
		return unexpected(err)
	}
	h, err := readHeader(flags, c.in)
	if err != nil {
		return err
	}
	if flags&flagCommand == 0 || h.size > maxCommand {
		return wrong("the handshake has something else than a command of at most %d bytes", maxCommand)
	}
	p := make([]byte, h.size)
	if _, err := io.ReadFull(c.in, p); err != nil {
		return unexpected(err)
	}
	name, body, err := splitCommand(p)
	if err != nil {
		return err
	}
	switch name {
	case "ERROR":
		return refusal(body)
	case "READY":
	default:
		return wrong("the handshake has the command %q", name)
	}
	properties, err := readProperties(body)
	if err != nil {
		return err
	}
	c.peer = SocketType(properties["socket-type"])
	if !slices.Contains(partners[c.opts.Type], c.peer) {
		err := wrong("the peer is a %.32q, which does not go with %s", c.peer, c.opts.Type)
		reason := "Invalid socket type"
		c.conn.Write(appendCommand(nil, "ERROR", append([]byte{byte(len(reason))}, reason...)))
		return err
	}
	return nil
}

func appendProperty(dst []byte, name, value string) []byte {
	dst = append(append(dst, byte(len(name))), name...)
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(value))), value...)
}

// readProperties returns the metadata, by names in small letters.
func readProperties(p []byte) (map[string]string, error) {
	all := make(map[string]string)
	for len(p) > 0 {
		n := int(p[0])
		if n == 0 || len(p) < 1+n+4 {
			return nil, wrong("metadata are cut short")
		}
		name, rest := string(p[1:1+n]), p[1+n:]
		size := binary.BigEndian.Uint32(rest)
		if rest = rest[4:]; uint64(size) > uint64(len(rest)) {
			return nil, wrong("metadata are cut short")
		}
		all[strings.ToLower(name)] = string(rest[:size])
		p = rest[size:]
	}
	return all, nil
}
