package zmtp_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/server/zmtp"
)

// cut cuts p into pieces of these lengths, over and over.
func cut(p, lengths []byte) (pieces []string) {
	for i := 0; len(p) > 0; i++ {
		n := len(p)
		if len(lengths) > 0 {
			n = min(n, int(lengths[i%len(lengths)])+1)
		}
		pieces = append(pieces, string(p[:n]))
		p = p[n:]
	}
	return pieces
}

// A transcript is what is made of a peer's bytes: a line for each message and
// for the error at the end, and what the peer is answered.
type transcript struct {
	lines    []string
	answered string
}

func (tr *transcript) add(format string, args ...any) {
	tr.lines = append(tr.lines, fmt.Sprintf(format, args...))
}

// ours is what a connection makes of all that it receives.
func ours(c *zmtp.Conn, s *script) (tr transcript) {
	for {
		frames, err := c.Receive()
		over, limited := errors.AsType[*zmtp.LimitError](err)
		switch {
		case err == nil:
			tr.add("%q", frames)
			continue
		case limited:
			tr.add("over %s", over.Limit)
			continue
		case zmtp.Broken(err):
			tr.add("broken")
		default:
			tr.add("%v", err)
		}
		tr.answered = s.heard.String()
		return tr
	}
}

// A reference reads the same in the plainest way, from memory.
type reference struct {
	rest   []byte
	bytes  int
	frames int
	tr     transcript
}

// A plainFrame has a body, or as much of it as has come.
type plainFrame struct {
	flags byte
	size  uint64
	body  []byte
}

func (f plainFrame) cut() bool { return uint64(len(f.body)) < f.size }

// next takes the next frame off. How it ends is "" if there is one.
func (r *reference) next() (f plainFrame, ends string) {
	if len(r.rest) == 0 {
		return f, "EOF"
	}
	f.flags = r.rest[0]
	if f.flags > 7 || f.flags == 5 || f.flags == 7 {
		return f, "broken"
	}
	at := 2
	if f.flags&2 != 0 {
		at = 9
	}
	if len(r.rest) < at {
		return f, "unexpected EOF"
	}
	if f.size = uint64(r.rest[1]); at == 9 {
		f.size = binary.BigEndian.Uint64(r.rest[1:])
	}
	if f.size >= 1<<63 || f.flags&4 != 0 && f.size > 8192 {
		return f, "broken"
	}
	f.body = r.rest[at:]
	f.body = f.body[:min(uint64(len(f.body)), f.size)]
	r.rest = r.rest[at+len(f.body):]
	return f, ""
}

// obey does what a command says.
func (r *reference) obey(f plainFrame) (ends string) {
	if f.cut() {
		return "unexpected EOF"
	}
	if len(f.body) == 0 || f.body[0] == 0 || int(f.body[0]) >= len(f.body) {
		return "broken"
	}
	name, arguments := string(f.body[1:1+f.body[0]]), f.body[1+f.body[0]:]
	switch {
	case name == "ERROR", name == "PING" && (len(arguments) < 2 || len(arguments) > 18):
		return "broken"
	case name == "PING":
		r.tr.answered += command("PONG", string(arguments[2:]))
	}
	return ""
}

// message reads one, or a command, or what is neither.
func (r *reference) message() (ends string) {
	var bodies [][]byte
	sum, over, within := uint64(0), "", false
	for {
		f, ends := r.next()
		switch {
		case ends == "EOF" && within:
			return "unexpected EOF"
		case ends != "":
			return ends
		case f.flags&4 != 0:
			if ends := r.obey(f); ends != "" || !within {
				return ends
			}
			continue
		}
		within = true
		sum += min(f.size, 1<<32) // which is over all limits, and does not overflow
		switch {
		case over != "":
		case len(bodies) == r.frames:
			over = "over frames"
		case sum > uint64(r.bytes):
			over = "over bytes"
		}
		if f.cut() {
			return "unexpected EOF"
		}
		if bodies = append(bodies, f.body); f.flags&1 == 0 {
			if over == "" {
				over = fmt.Sprintf("%q", bodies)
			}
			r.tr.add("%s", over)
			return ""
		}
	}
}

func (r *reference) read() transcript {
	for {
		if ends := r.message(); ends != "" {
			r.tr.add("%s", ends)
			return r.tr
		}
	}
}

func same(a, b transcript) bool { return slices.Equal(a.lines, b.lines) && a.answered == b.answered }

// FuzzReceive feeds bytes in pieces, and wants the same of them as the
// reference does, at a cost that is bounded by their number.
func FuzzReceive(f *testing.F) {
	ping := command("PING", "\x00\x00abc")
	for i, said := range []string{
		"", message(""), message("a", "", "b"), message(repeat(300)), ping, command("ERROR", "\x01x"), command("X", ""),
		frame(more, "a") + ping + frame(0, "b"), frame(more, repeat(150)) + ping + frame(0, "b") + message("c"),
		message("a", "b", "c", "d") + message("e"), message(repeat(100)) + message(repeat(101)) + message("x", repeat(99)),
		announce(0, 1<<62) + "x", announce(0, 1<<63), announce(0, 1<<30) + repeat(100), announce(more, 1<<32-1), announce(isCommand, 8193),
		frame(isCommand, ""), frame(isCommand, "\x00"), frame(5, "x"), "\x08", "\x02\x00\x00", frame(more, "x"),
		command("PING", "\x00"), command("PING", repeat(19)), message("\x01a") + command("SUBSCRIBE", "b"),
	} {
		f.Add([]byte(said), []byte{byte(i), 3, 1}, i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, said, cuts []byte, roomy bool) {
		opts := zmtp.Options{Type: zmtp.PULL, MaxMessageBytes: 100, MaxFrames: 3}
		if roomy {
			opts.MaxMessageBytes, opts.MaxFrames = 1<<30, 1000
		}
		c, s := scripted(t, opts, hello("PUSH"), cut(said, cuts)...)
		var got transcript
		cost := allocated(func() { got = ours(c, s) })
		r := reference{rest: said, bytes: opts.MaxMessageBytes, frames: opts.MaxFrames}
		if want := r.read(); !same(got, want) {
			t.Fatalf("we read %.300q, the reference %.300q", got, want)
		}
		if most := uint64(128<<10 + 300*len(said)); cost > most {
			t.Fatalf("%d bytes cost %d", len(said), cost)
		}
	})
}

// FuzzHandshake feeds bytes to a handshake, which is to be as the reference
// has it. What comes behind it is not lost.
func FuzzHandshake(f *testing.F) {
	g := greeting(3, 1, "NULL")
	for i, said := range []string{
		hello("PUB"), hello("XPUB") + message("hi"), hello("SUB"), greeting(3, 0, "NULL") + ready("PUB"), greeting(2, 0, "NULL"),
		greeting(3, 1, "PLAIN") + ready("PUB"), "GET / HTTP/1.1\r\n", "\x01\x00", g, g[:11], g + message("x"),
		g + command("ERROR", "\x01x"), g + frame(isCommand|long, "\x05READY"+property("socket-type", "PUB")),
		g + command("READY", property("X", "y")+property("SOCKET-TYPE", "PUB")) + message("hi"),
		g + command("READY", property("Socket-Type", "PUB")+"\x01x\xff\xff\xff\xff"), g + announce(isCommand, 8193), g + announce(isCommand, 1<<63),
	} {
		f.Add([]byte(said), []byte{byte(i), 63, 1})
	}
	f.Fuzz(func(t *testing.T, said, cuts []byte) {
		s := &script{pieces: cut(said, cuts)}
		var c *zmtp.Conn
		var err error
		cost := allocated(func() { c, err = zmtp.NewConn(s, zmtp.Options{Type: zmtp.SUB, MaxMessageBytes: 100, MaxFrames: 3}) })
		if most := uint64(64<<10 + 100*len(said)); cost > most {
			t.Fatalf("%d bytes cost %d", len(said), cost)
		}
		peer, rest, ends := plainHandshake(said)
		switch {
		case ends == "broken" && zmtp.Broken(err) && s.closed, ends == "cut" && errors.Is(err, io.ErrUnexpectedEOF) && s.closed:
			return
		case ends != "" || err != nil:
			t.Fatalf("%v, and the reference has %q", err, ends)
		case string(c.Peer()) != peer || s.closed:
			t.Fatalf("the peer is a %q, want %q", c.Peer(), peer)
		}
		s.heard.Reset()
		r := reference{rest: rest, bytes: 100, frames: 3}
		if got, want := ours(c, s), r.read(); !same(got, want) {
			t.Fatalf("behind the handshake we read %.300q, the reference %.300q", got, want)
		}
	})
}

// plainHandshake reads the handshake of who goes with a SUB.
func plainHandshake(said []byte) (peer string, rest []byte, ends string) {
	for i, good := range map[int]func(byte) bool{
		0:  func(b byte) bool { return b == 0xff },
		9:  func(b byte) bool { return b%2 == 1 },
		10: func(b byte) bool { return b >= 3 },
	} {
		if len(said) > i && !good(said[i]) {
			return "", nil, "broken"
		}
	}
	if len(said) < 64 {
		return "", nil, "cut"
	}
	if string(said[12:32]) != "NULL"+strings.Repeat("\x00", 16) {
		return "", nil, "broken"
	}
	r := reference{rest: said[64:]}
	f, ends := r.next()
	switch {
	case ends == "broken" || ends == "" && (f.flags&4 == 0):
		return "", nil, "broken"
	case ends != "" || f.cut():
		return "", nil, "cut"
	}
	p, found := strings.CutPrefix(string(f.body), "\x05READY")
	for found && p != "" {
		name := int(p[0])
		if name == 0 || len(p) < 1+name+4 {
			return "", nil, "broken"
		}
		size := uint64(binary.BigEndian.Uint32([]byte(p[1+name:])))
		if uint64(len(p)-1-name-4) < size {
			return "", nil, "broken"
		}
		if strings.ToLower(p[1:1+name]) == "socket-type" {
			peer = p[1+name+4:][:size]
		}
		p = p[1+name+4+int(size):]
	}
	if peer != "PUB" && peer != "XPUB" {
		return "", nil, "broken"
	}
	return peer, r.rest, ""
}

// FuzzParseEndpoint wants an endpoint to be what it is written as, and only
// what cannot be reached from outside to be local.
func FuzzParseEndpoint(f *testing.F) {
	for _, s := range []string{
		"tcp://127.0.0.1:5555", "tcp://*:1", "tcp://[::1]:0", "tcp://[fe80::1%eth0]:1", "tcp://a:b:1", "tcp://[*]:1", "tcp://[]:1",
		"tcp://:1", "ipc://x", "ipc://@x", "ipc://", "tcp://localhost:65536", "udp://x:1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := zmtp.ParseEndpoint(s)
		if err != nil {
			if e != (zmtp.Endpoint{}) {
				t.Fatalf("%q: %v and %v", s, e, err)
			}
			return
		}
		again, err := zmtp.ParseEndpoint(e.String())
		if err != nil || again != e {
			t.Fatalf("%q is %v, and then %v, %v", s, e, again, err)
		}
		switch e.Network {
		case "unix":
			if s != "ipc://"+e.Address || !e.Local() {
				t.Fatalf("%q: %v", s, e)
			}
		case "tcp":
			if e.Local() && !strings.Contains(e.Address, "127.") && !strings.HasPrefix(e.Address, "localhost:") && !isLoopback6(e.Address) {
				t.Fatalf("%q is local", s)
			}
		default:
			t.Fatalf("%q: %v", s, e)
		}
	})
}

// isLoopback6 is whether it is ::1, which has many ways to be written.
func isLoopback6(address string) bool {
	host := strings.NewReplacer("0", "", ":", "").Replace(address[:strings.LastIndex(address, ":")])
	return host == "[1]" || strings.HasPrefix(strings.ToLower(host), "[ffff7f")
}
