package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// zmtpSide reads one direction of a connection between ZeroMQ sockets (ZMTP 3).
type zmtpSide struct {
	*side
	reads  bool     // its sender is a subscriber, as READY has said
	frames []string // of the message so far
	more   int      // frames that are not shown
}

// NewZMTP returns a reader of a connection that speaks ZMTP.
func NewZMTP(emit func(Event)) *Conn {
	c := newConn(emit)
	for _, s := range []*side{&c.up, &c.down} {
		z := &zmtpSide{side: s}
		s.gather(fixed(64), z.greeting)
	}
	return c
}

func (z *zmtpSide) greeting(p []byte) {
	if p[0] != 0xff || p[9] != 0x7f || p[10] < 3 {
		z.giveUp()
		return
	}
	mechanism := line(bytes.TrimRight(p[12:32], "\x00"))
	z.tell(Event{Kind: KindZMTP, Title: fmt.Sprintf("greeting: ZMTP %d.%d, %s", p[10], p[11], mechanism)})
	z.next()
}

func (z *zmtpSide) next() { z.gather(zmtpHead, z.frame) }

const (
	zmtpMore    = 1
	zmtpLong    = 2
	zmtpCommand = 4
)

func zmtpHead(held []byte) int {
	n := 2
	if len(held) > 0 && held[0]&zmtpLong != 0 {
		n = 9
	}
	if len(held) < n {
		return 0
	}
	return n
}

func (z *zmtpSide) frame(head []byte) {
	flags, size := head[0], uint64(head[1])
	if flags&zmtpLong != 0 {
		size = binary.BigEndian.Uint64(head[1:])
	}
	if flags&^(zmtpMore|zmtpLong|zmtpCommand) != 0 || size > 1<<62 {
		z.giveUp()
		return
	}
	var payload []byte
	z.pass(size, func(p []byte) { payload = beginning(payload, p, maxText+1) }, func() {
		if flags&zmtpCommand != 0 {
			z.command(payload)
		} else {
			z.message(payload, size, flags&zmtpMore != 0)
		}
		z.next()
	})
}

// message tells of a message with its last frame.
func (z *zmtpSide) message(payload []byte, size uint64, more bool) {
	text, cut := readable(payload, maxText)
	if cut || size > uint64(len(payload)) {
		text += fmt.Sprintf(" … (%d bytes)", size)
	}
	if len(z.frames) < maxFrames {
		z.frames = append(z.frames, text)
	} else {
		z.more++
	}
	if more {
		return
	}
	frames := z.frames
	count := len(frames) + z.more
	z.frames, z.more = nil, 0
	e := Event{Kind: KindZMTP, Cut: count > len(frames)}
	switch {
	case count == 1 && z.reads && len(payload) > 0 && payload[0] <= 1: // as subscribers of ZMTP 3.0 say it
		e.Title = []string{"unsubscribes from ", "subscribes to "}[payload[0]] + topic(payload[1:])
	case count == 1:
		e.Title = "message: " + line(payload)
	default:
		e.Title = fmt.Sprintf("message of %d frames: %s", count, line([]byte(strings.Join(frames, " | "))))
	}
	all, cut := readable([]byte(strings.Join(frames, "\n")), maxText)
	e.Text, e.Cut = all, e.Cut || cut
	z.tell(e)
}

func topic(p []byte) string {
	if len(p) == 0 {
		return "all topics"
	}
	return fmt.Sprintf("topics that begin with %q", line(p))
}

// command tells of a command: a name, and what is behind it.
func (z *zmtpSide) command(p []byte) {
	if len(p) == 0 || len(p) < 1+int(p[0]) {
		z.tell(Event{Kind: KindZMTP, Title: "a command that makes no sense"})
		return
	}
	name, data := string(p[1:1+p[0]]), p[1+p[0]:]
	e := Event{Kind: KindZMTP, Title: line([]byte(name))}
	switch name {
	case "READY":
		all := properties(data)
		z.reads = slices.ContainsFunc(all, isSubscriber)
		e.Text = strings.Join(all, "\n")
		e.Title += ": " + line([]byte(strings.Join(all, ", ")))
	case "SUBSCRIBE", "CANCEL":
		e.Title += ": " + topic(data)
	case "ERROR":
		if len(data) > 0 {
			e.Title += ": " + line(data[1:])
		}
	}
	z.tell(e)
}

func isSubscriber(property string) bool {
	return strings.EqualFold(property, "Socket-Type = SUB") || strings.EqualFold(property, "Socket-Type = XSUB")
}

// properties are those of a READY command: each a name, and a value with four
// bytes for its length.
func properties(p []byte) (all []string) {
	for len(p) > 0 {
		n := 1 + int(p[0])
		if len(p) < n+4 {
			return append(all, "…")
		}
		size := uint64(binary.BigEndian.Uint32(p[n:]))
		if uint64(len(p)) < uint64(n)+4+size {
			return append(all, "…")
		}
		end := n + 4 + int(size)
		all = append(all, line(p[1:n])+" = "+line(p[n+4:end]))
		p = p[end:]
	}
	return all
}
