package zmtp_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/zmtp"
)

// together is who goes with whom, as https://rfc.zeromq.org/spec/37/ has it.
const together = `
       REQ REP DEALER ROUTER PUB XPUB SUB XSUB PUSH PULL
REQ    -   *   -      *      -   -    -   -    -    -
REP    *   -   *      -      -   -    -   -    -    -
DEALER -   *   *      *      -   -    -   -    -    -
ROUTER *   -   *      *      -   -    -   -    -    -
PUB    -   -   -      -      -   -    *   *    -    -
XPUB   -   -   -      -      -   -    *   *    -    -
SUB    -   -   -      -      *   *    -   -    -    -
XSUB   -   -   -      -      *   *    -   -    -    -
PUSH   -   -   -      -      -   -    -   -    -    *
PULL   -   -   -      -      -   -    -   -    *    -`

// Two connections of this package shake hands, or both refuse.
func TestSocketTypes(t *testing.T) {
	rows := strings.Split(strings.TrimPrefix(together, "\n"), "\n")
	types := strings.Fields(rows[0])
	for _, row := range rows[1:] {
		cells := strings.Fields(row)
		for i, cell := range cells[1:] {
			shakeHands(t, zmtp.SocketType(cells[0]), zmtp.SocketType(types[i]), cell == "*")
		}
	}
}

func shakeHands(t *testing.T, a, b zmtp.SocketType, good bool) {
	t.Helper()
	left, right := connected(t)
	var far *zmtp.Conn
	var farErr error
	var running sync.WaitGroup
	running.Go(func() { far, farErr = zmtp.NewConn(right, zmtp.Options{Type: b}) })
	near, err := zmtp.NewConn(left, zmtp.Options{Type: a})
	running.Wait()
	if good {
		if err != nil || farErr != nil || near.Peer() != b || far.Peer() != a {
			t.Errorf("%s and %s: %v, %v", a, b, err, farErr)
		}
		return
	}
	for _, side := range []struct {
		err      error
		me, peer zmtp.SocketType
	}{{err, a, b}, {farErr, b, a}} {
		want := fmt.Sprintf("the peer is a %q, which does not go with %s", side.peer, side.me)
		if side.err == nil || !zmtp.Broken(side.err) || !strings.Contains(side.err.Error(), want) {
			t.Errorf("%s with %s: %v, want %q", side.me, side.peer, side.err, want)
		}
	}
}

// connected returns both ends of a connection by loopback.
func connected(t testing.TB) (net.Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	left, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	right, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { left.Close(); right.Close() })
	return left, right
}

// What we say, byte for byte.
func TestOurGreeting(t *testing.T) {
	greeting := "\xff\x00\x00\x00\x00\x00\x00\x00\x00\x7f\x03\x01NULL" + strings.Repeat("\x00", 48)
	identity := "\x08Identity\x00\x00\x00\x00"
	for us, tt := range map[zmtp.SocketType]struct{ with, ready string }{
		"PUB":    {"SUB", "\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03PUB"},
		"SUB":    {"PUB", "\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB"},
		"PULL":   {"PUSH", "\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04PULL"},
		"REP":    {"REQ", "\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03REP"},
		"REQ":    {"REP", "\x04\x26\x05READY\x0bSocket-Type\x00\x00\x00\x03REQ" + identity},
		"DEALER": {"ROUTER", "\x04\x29\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER" + identity},
		"ROUTER": {"DEALER", "\x04\x29\x05READY\x0bSocket-Type\x00\x00\x00\x06ROUTER" + identity},
	} {
		s := &script{pieces: []string{hello(tt.with)}}
		c, err := zmtp.NewConn(s, zmtp.Options{Type: us})
		if err != nil || s.heard.String() != greeting+tt.ready {
			t.Errorf("%s says %q, %v; want %q", us, s.heard.String(), err, greeting+tt.ready)
			continue
		}
		if c.RemoteAddr().String() != "there" {
			t.Errorf("%v", c.RemoteAddr())
		}
		if c.Close(); !s.closed {
			t.Error("it is not closed")
		}
	}
	s := &script{pieces: []string{hello("PUSH")}}
	if _, err := zmtp.NewConn(s, zmtp.Options{Type: zmtp.SUB}); err == nil || !s.closed {
		t.Errorf("%v, closed: %v", err, s.closed)
	}
	if heard := s.heard.String(); !strings.HasSuffix(heard, "SUB\x04\x1a\x05ERROR\x13Invalid socket type") {
		t.Errorf("who does not go with us is told %q", heard)
	}
}

// Peers that are good, each in its way.
func TestGoodPeers(t *testing.T) {
	padded := func(n int) string { // a READY of n bytes
		p := property("Socket-Type", "PUB")
		return command("READY", p+property("X-Pad", repeat(n-len("\x05READY")-len(p)-len(property("X-Pad", "")))))
	}
	g := greeting(3, 1, "NULL")
	for name, said := range map[string]string{
		"3.1":                      hello("PUB"),
		"3.0":                      greeting(3, 0, "NULL") + ready("PUB"),
		"3.2":                      greeting(3, 2, "NULL") + ready("PUB"),
		"4.0":                      greeting(4, 0, "NULL") + ready("PUB"),
		"255.255":                  greeting(255, 255, "NULL") + ready("PUB"),
		"another padding":          "\xff12345678\x7f" + g[10:] + ready("PUB"),
		"a length in it":           "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f" + g[10:] + ready("PUB"),
		"something in the filler":  g[:40] + "0123" + g[44:] + ready("PUB"),
		"a long frame":             g + frame(isCommand|long, "\x05READY"+property("Socket-Type", "PUB")),
		"small letters":            g + command("READY", property("socket-type", "PUB")),
		"big letters":              g + command("READY", property("SOCKET-TYPE", "PUB")),
		"unknown metadata":         g + command("READY", property("X-Color", "blue")+property("Socket-Type", "PUB")+property("Z", "")),
		"an identity":              g + command("READY", property("Identity", "\x01me")+property("Socket-Type", "PUB")),
		"a READY of 255 bytes":     g + padded(255),
		"a READY of 256 bytes":     g + padded(256),
		"a READY of 8 KiB":         g + padded(8<<10),
		"a name of 255 characters": g + command("READY", property(repeat(255), "")+property("Socket-Type", "PUB")),
	} {
		for cut, pieces := range map[string][]string{"whole": {said, message("hi")}, "in bytes": inBytes(said + message("hi"))} {
			c, err := zmtp.NewConn(&script{pieces: pieces}, zmtp.Options{Type: zmtp.SUB})
			if err != nil || c.Peer() != zmtp.PUB {
				t.Errorf("%s, %s: %v", name, cut, err)
				continue
			}
			receive(t, c, "hi")
		}
	}
}

// noise is 200 bytes, always the same.
func noise() string {
	random := rand.New(rand.NewPCG(1, 2))
	p := make([]byte, 200)
	for i := range p {
		p[i] = byte(random.Uint32())
	}
	return string(p)
}

// Peers that wait for an answer behind this are refused at once.
func TestBadPeers(t *testing.T) {
	const old, notReady = "before version 3", "does not speak ZMTP"
	g := greeting(3, 1, "NULL")
	pub := property("Socket-Type", "PUB")
	for name, tt := range map[string]struct{ said, says string }{
		"ZMTP 1.0":                {"\x01\x00", notReady},
		"ZMTP 1.0 with a name":    {"\x06\x00hello", notReady},
		"ZMTP 1.0, long":          {"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x00", notReady},
		"ZMTP 2.0":                {signature + "\x01", old},
		"ZMTP 2.0 without delay":  {signature + "\x01\x02\x00\x00", old},
		"ZMTP 2.1":                {signature + "\x02", old},
		"version 0":               {signature + "\x00", old},
		"PLAIN":                   {greeting(3, 1, "PLAIN"), `the mechanism "PLAIN"`},
		"CURVE":                   {greeting(3, 1, "CURVE"), `the mechanism "CURVE"`},
		"CURVE of 3.0":            {greeting(3, 0, "CURVE"), `the mechanism "CURVE"`},
		"no mechanism":            {greeting(3, 1, ""), `the mechanism ""`},
		"NULL in small letters":   {greeting(3, 1, "null"), `the mechanism "null"`},
		"NULL and more":           {greeting(3, 1, "NULLS"), `the mechanism "NULLS"`},
		"NULL and more behind":    {greeting(3, 1, "NULL\x00S"), `the mechanism "NULL\x00S"`},
		"a long mechanism":        {greeting(3, 1, repeat(20)), repeat(20)},
		"HTTP":                    {"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", notReady},
		"TLS":                     {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + noise(), notReady},
		"SSH":                     {"SSH-2.0-x\r\n", notReady},
		"one byte":                {"\n", notReady},
		"noise":                   {"\x17" + noise(), notReady},
		"noise that begins well":  {"\xff12345678\x00" + noise(), notReady},
		"noise with a signature":  {signature + "\x03" + noise(), "the mechanism"},
		"noise behind a greeting": {g + "\x04\x10\x99" + noise(), "a command has no name"},

		"a message":             {g + message("hello"), "something else than a command"},
		"no READY":              {g + command("HELLO", ""), `has the command "HELLO"`},
		"a PING":                {g + command("PING", "\x00\x00"), `has the command "PING"`},
		"ready in small":        {g + command("ready", pub), `has the command "ready"`},
		"READY and more":        {g + frame(isCommand|more, "\x05READY"+pub), "the flags 0x5"},
		"an unknown flag":       {g + frame(isCommand|8, "\x05READY"+pub), "the flags 0xc"},
		"no command":            {g + frame(isCommand, ""), "a command has no name"},
		"an empty name":         {g + frame(isCommand, "\x00"), "a command has no name"},
		"half a name":           {g + frame(isCommand, "\x05READ"), "a command has no name"},
		"too long":              {g + announce(isCommand, 8<<10+1), "at most 8192 bytes"},
		"far too long":          {g + announce(isCommand, 1<<62), "at most 8192 bytes"},
		"negative":              {g + announce(isCommand, 1<<63), "9223372036854775808 bytes"},
		"no socket type":        {g + command("READY", ""), `the peer is a ""`},
		"an empty socket type":  {g + ready(""), `the peer is a ""`},
		"an unknown type":       {g + ready("PAIR"), `the peer is a "PAIR"`},
		"a type in small":       {g + ready("pub"), `the peer is a "pub"`},
		"half a type":           {g + command("READY", pub[:len(pub)-1]), "cut short"},
		"half a size":           {g + command("READY", pub[:14]), "cut short"},
		"no size":               {g + command("READY", pub[:12]), "cut short"},
		"half a property":       {g + command("READY", pub[:5]), "cut short"},
		"a byte too much":       {g + command("READY", pub+"\x01"), "cut short"},
		"a property of no name": {g + command("READY", pub+property("", "x")), "cut short"},
		"a huge property":       {g + command("READY", pub+"\x01x\xff\xff\xff\xff"), "cut short"},
		"a negative property":   {g + command("READY", pub+"\x01x\x80\x00\x00\x00"), "cut short"},

		"an ERROR":               {g + command("ERROR", "\x04busy"), `the peer refuses: "busy"`},
		"an ERROR of no reason":  {g + command("ERROR", "\x00"), `the peer refuses: ""`},
		"an ERROR of no bytes":   {g + command("ERROR", ""), `the peer refuses: "for no reason"`},
		"an ERROR cut short":     {g + command("ERROR", "\x05busy"), `the peer refuses: "for no reason"`},
		"an ERROR and more":      {g + command("ERROR", "\x03busy"), `the peer refuses: "for no reason"`},
		"an ERROR to be printed": {g + command("ERROR", "\x03\x1b\n\xff"), `the peer refuses: "\x1b\n\xff"`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, p := newPeer(t, false)
				p.says(0, tt.said)
				began := time.Now()
				c, err := zmtp.NewConn(ours, zmtp.Options{Type: zmtp.SUB})
				if c != nil || err == nil || !zmtp.Broken(err) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("%v, want %q", err, tt.says)
				}
				if time.Since(began) != 0 {
					t.Errorf("it took %v", time.Since(began))
				}
				if _, err := ours.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
					t.Errorf("it is still open: %v", err)
				}
			})
		})
	}
}

// A handshake that is broken off anywhere is that, and no fault of the
// protocol; one that stops there ends when its time is up.
func TestHandshakeStops(t *testing.T) {
	said := hello("PUB")
	for n := range len(said) {
		_, err := zmtp.NewConn(&script{pieces: []string{said[:n]}}, zmtp.Options{Type: zmtp.SUB})
		if !errors.Is(err, io.ErrUnexpectedEOF) || zmtp.Broken(err) {
			t.Errorf("broken off behind %d bytes: %v", n, err)
		}
	}
	for _, limit := range []time.Duration{0, time.Second, time.Minute} {
		for name, tt := range map[string]struct {
			pause  time.Duration
			pieces []string
			deaf   bool
		}{
			"silent":           {pieces: []string{""}},
			"silent, and deaf": {deaf: true},
			"deaf":             {pieces: []string{said}, deaf: true},
			"a byte of it":     {pieces: []string{said[:1]}},
			"a greeting":       {pieces: []string{said[:64]}},
			"almost all":       {pieces: []string{said[:len(said)-1]}},
			"drips":            {pause: time.Second, pieces: inBytes(said)},
			"drips its READY":  {pause: time.Second, pieces: append([]string{said[:64]}, inBytes(greeting(3, 1, "NULL") + command("READY", property("X", repeat(200))))[64:]...)},
			"at the last byte": {pause: time.Hour, pieces: []string{said[:len(said)-1], said[len(said)-1:]}},
		} {
			t.Run(fmt.Sprint(name, " ", limit), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					handshakeTimesOut(t, limit, tt.pause, tt.pieces, tt.deaf)
				})
			})
		}
	}
}

func handshakeTimesOut(t *testing.T, limit, pause time.Duration, pieces []string, deaf bool) {
	ours, p := newPeer(t, deaf)
	p.says(pause, pieces...)
	began := time.Now()
	_, err := zmtp.NewConn(ours, zmtp.Options{Type: zmtp.SUB, HandshakeTimeout: limit})
	if !errors.Is(err, os.ErrDeadlineExceeded) || zmtp.Broken(err) {
		t.Error(err)
	}
	if limit == 0 {
		limit = 5 * time.Second // as documented
	}
	if took := time.Since(began); took != limit {
		t.Errorf("it took %v, and %v is the limit", took, limit)
	}
}

// One that is refused, and does not read why, takes no longer than others.
func TestRefusalUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, p := newPeer(t, true)
		p.says(0, hello("PUSH"))
		p.running.Go(func() { io.CopyN(io.Discard, p, int64(len(hello("SUB")))) })
		began := time.Now()
		_, err := zmtp.NewConn(ours, zmtp.Options{Type: zmtp.SUB})
		if !zmtp.Broken(err) || time.Since(began) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// A peer may take almost all of the time, and then the time is forgotten.
func TestHandshakeJustInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		said := hello("PUB")
		ours, p := newPeer(t, false)
		p.says(4999*time.Millisecond, said[:70], said[70:])
		c, err := zmtp.NewConn(ours, zmtp.Options{Type: zmtp.SUB})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		p.says(0, message("hi"))
		receive(t, c, "hi")
		if err := c.Subscribe(nil); err != nil {
			t.Error(err)
		}
	})
}
