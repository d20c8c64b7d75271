package zmtp_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/shaveet/shaveet/server/zmtp"
)

var pull = zmtp.Options{Type: zmtp.PULL}

// sizes are those at which something changes.
var sizes = []int{0, 1, 2, 254, 255, 256, 257, 16<<10 - 9, 16 << 10, 64<<10 - 1, 64 << 10, 64<<10 + 1, 300_000, 1<<20 - 1, 1 << 20}

// Messages of all sizes to the limit come as they were sent, in order, however
// they are cut.
func TestMessages(t *testing.T) {
	var all string
	for _, n := range sizes {
		all += message(repeat(n)) + message("", repeat(n), "") + message("last", fmt.Sprint(n))
	}
	all += frame(long, "") + frame(long, "short") + message(strings.Split(repeat(16), "")...)
	for _, piece := range []int{len(all), 100_000, 4096, 997} {
		var pieces []string
		for rest := all; rest != ""; rest = rest[min(piece, len(rest)):] {
			pieces = append(pieces, rest[:min(piece, len(rest))])
		}
		c, _ := scripted(t, pull, hello("PUSH"), pieces...)
		for _, n := range sizes {
			receive(t, c, repeat(n))
			receive(t, c, "", repeat(n), "")
			receive(t, c, "last", fmt.Sprint(n))
		}
		receive(t, c, "")
		receive(t, c, "short")
		receive(t, c, strings.Split(repeat(16), "")...)
		if _, err := c.Receive(); err != io.EOF {
			t.Fatal(err)
		}
	}
}

// What is received is the caller's: later messages leave it alone.
func TestFramesAreTheCallers(t *testing.T) {
	c, _ := scripted(t, pull, hello("PUSH"), message("first", "one"), message("other", "two"))
	first, err := c.Receive()
	if err != nil {
		t.Fatal(err)
	}
	receive(t, c, "other", "two")
	if got := bytes.Join(first, []byte(" ")); string(got) != "first one" {
		t.Errorf("it has become %q", got)
	}
}

// What we send, byte for byte.
func TestSend(t *testing.T) {
	c, s := scripted(t, zmtp.Options{Type: zmtp.PUSH}, hello("PULL"))
	for _, n := range sizes {
		s.heard.Reset()
		if err := c.Send([]byte(repeat(n))); err != nil || s.heard.String() != message(repeat(n)) {
			t.Errorf("%d bytes: %v, and the peer hears %.20q", n, err, s.heard.String())
		}
	}
	s.heard.Reset()
	batch := zmtp.AppendMessage([]byte("\x00\x01x"), []byte("a"), nil, []byte(repeat(256)))
	if err := c.Write(zmtp.AppendMessage(batch, nil)); err != nil {
		t.Error(err)
	}
	want := "\x00\x01x" + "\x01\x01a" + "\x01\x00" + "\x02\x00\x00\x00\x00\x00\x00\x01\x00" + repeat(256) + "\x00\x00"
	if s.heard.String() != want {
		t.Errorf("the peer hears %.50q, want %.50q", s.heard.String(), want)
	}
}

// What is over a limit is passed over, what is at it is not, and the next
// message comes in any case.
func TestLimits(t *testing.T) {
	const most, frames = 1000, 3
	for name, tt := range map[string]struct {
		sent  []string
		limit string // none: it passes
	}{
		"at the limit":              {[]string{repeat(1000)}, ""},
		"one above":                 {[]string{repeat(1001)}, "bytes"},
		"a sum at the limit":        {[]string{repeat(500), repeat(499), "x"}, ""},
		"a sum one above":           {[]string{repeat(500), repeat(500), "x"}, "bytes"},
		"the first of three":        {[]string{repeat(1001), "", "x"}, "bytes"},
		"the last of three":         {[]string{"", "", repeat(1001)}, "bytes"},
		"nothing behind the limit":  {[]string{repeat(1000), "", ""}, ""},
		"as many frames as allowed": {[]string{"", "", ""}, ""},
		"one more":                  {[]string{"", "", "", ""}, "frames"},
		"many more":                 {strings.Split(repeat(5000), ""), "frames"},
		"both":                      {[]string{"", "", "", repeat(1001)}, "frames"},
		"both, bytes first":         {[]string{repeat(1001), "", "", ""}, "bytes"},
		"far above":                 {[]string{repeat(1 << 20), repeat(1 << 20)}, "bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			opts := zmtp.Options{Type: zmtp.PULL, MaxMessageBytes: most, MaxFrames: frames}
			c, _ := scripted(t, opts, hello("PUSH"), strings.Repeat(message(tt.sent...)+message("next"), 2))
			for range 2 {
				switch tt.limit {
				case "":
					receive(t, c, tt.sent...)
				case "bytes":
					receiveLimit(t, c, "bytes", most)
				case "frames":
					receiveLimit(t, c, "frames", frames)
				}
				receive(t, c, "next")
			}
		})
	}
	c, _ := scripted(t, pull, hello("PUSH"), message(repeat(1<<20+1)), message(strings.Split(repeat(17), "")...))
	receiveLimit(t, c, "bytes", 1<<20) // as documented
	receiveLimit(t, c, "frames", 16)
	if text := (&zmtp.LimitError{Limit: "frames", Max: 3}).Error(); text != "zmtp: a message has more than 3 frames" {
		t.Error(text)
	}
}

// What a peer may not say ends the connection, be it that Receive reads it or
// ReceiveSubscription, between messages or within one.
func TestBrokenFrames(t *testing.T) {
	for name, tt := range map[string]struct{ said, says string }{
		"a negative size":       {announce(0, 1<<63), "9223372036854775808 bytes"},
		"all bits of the size":  {announce(0, 1<<64-1), "18446744073709551615 bytes"},
		"MORE on a command":     {frame(isCommand|more, "\x04PING\x00\x00"), "the flags 0x5"},
		"flag 8":                {"\x08\x00", "the flags 0x8"},
		"flag 16":               {"\x11\x00", "the flags 0x11"},
		"flag 32":               {"\x20\x00", "the flags 0x20"},
		"flag 64":               {"\x40\x00", "the flags 0x40"},
		"flag 128":              {"\x84\x00", "the flags 0x84"},
		"all flags":             {"\xff", "the flags 0xff"},
		"a command of no bytes": {"\x04\x00", "a command has no name"},
		"a command of no name":  {frame(isCommand, "\x00PING"), "a command has no name"},
		"half a name":           {frame(isCommand, "\x05PING"), "a command has no name"},
		"a long command":        {announce(isCommand, 8<<10+1), "a command has 8193 bytes"},
		"a huge command":        {announce(isCommand, 1<<62), "a command has 4611686018427387904 bytes"},
		"a PING of no time":     {command("PING", ""), "a PING has 0 bytes"},
		"a PING of half a time": {command("PING", "\x00"), "a PING has 1 bytes"},
		"a long PING":           {command("PING", "\x00\x00"+repeat(17)), "a PING has 19 bytes"},
		"an ERROR":              {command("ERROR", "\x04gone"), `the peer refuses: "gone"`},
	} {
		receives := map[string]func(*zmtp.Conn) error{
			"Receive":             func(c *zmtp.Conn) error { _, err := c.Receive(); return err },
			"ReceiveSubscription": func(c *zmtp.Conn) error { _, _, err := c.ReceiveSubscription(); return err },
		}
		for before, start := range map[string]string{
			"":                     "",
			"within":               frame(more, "x"),
			"within what is large": frame(more, repeat(1001)),
		} {
			for by, receive := range receives {
				c, s := scripted(t, zmtp.Options{Type: zmtp.XPUB, MaxMessageBytes: 1000}, hello("XSUB"), start+tt.said, message("next"))
				err := receive(c)
				if !zmtp.Broken(err) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("%s, %s, by %s: %v, want %q", name, before, by, err, tt.says)
				}
				if s.heard.Len() > 0 {
					t.Errorf("%s: the peer hears %q", name, s.heard.String())
				}
			}
		}
	}
}

// The end between two messages is one, and anywhere else it is not expected.
func TestEnds(t *testing.T) {
	for _, said := range []string{
		frame(more, "a") + frame(more|long, "b") + frame(0, repeat(300)),
		frame(more, repeat(1001)) + frame(0, "x"),
		frame(more, "a") + command("PING", "\x00\x00") + frame(0, "b"),
		command("PING", "\x00\x00"),
	} {
		for n := range len(said) {
			want := io.ErrUnexpectedEOF
			if n == 0 {
				want = io.EOF
			}
			c, _ := scripted(t, zmtp.Options{Type: zmtp.PULL, MaxMessageBytes: 1000}, hello("PUSH"), message("first"), said[:n])
			receive(t, c, "first")
			if frames, err := c.Receive(); frames != nil || err != want || zmtp.Broken(err) {
				t.Errorf("behind %d bytes of %.50q: %q, %v; want %v", n, said, frames, err, want)
			}
		}
	}
}

// Commands come between messages, and libzmq has them between frames as well.
func TestCommands(t *testing.T) {
	ping := func(context string) string { return command("PING", "\x12\x34"+context) }
	for name, tt := range map[string]struct{ said, heard string }{
		"a PING":                {ping("abc"), "\x04\x08\x04PONGabc"},
		"a PING of no context":  {ping(""), "\x04\x05\x04PONG"},
		"a PING of the longest": {ping(repeat(16)), "\x04\x15\x04PONG" + repeat(16)},
		"a PING in a long one":  {frame(isCommand|long, "\x04PING\x00\x00z"), "\x04\x06\x04PONGz"},
		"several":               {ping("1") + ping("2") + ping("3"), command("PONG", "1") + command("PONG", "2") + command("PONG", "3")},
		"a PONG":                {command("PONG", "abc"), ""},
		"unknown":               {command("HURRY", "up"), ""},
		"of the longest name":   {command(repeat(255), ""), ""},
		"of the longest":        {command("X", repeat(8<<10-2)), ""},
		"a second READY":        {ready("PUB"), ""},
		"a subscription":        {command("SUBSCRIBE", "a"), ""},
		"ping in small letters": {command("ping", ""), ""},
	} {
		t.Run(name, func(t *testing.T) {
			opts := zmtp.Options{Type: zmtp.PULL, MaxMessageBytes: 1000, MaxFrames: 3}
			said := tt.said + message("a") + // between messages
				frame(more, "b") + tt.said + frame(more, "c") + tt.said + frame(0, "d") + // within one
				frame(more, repeat(1001)) + tt.said + frame(0, "e") + // within what is passed over
				tt.said
			c, s := scripted(t, opts, hello("PUSH"), said)
			receive(t, c, "a")
			receive(t, c, "b", "c", "d")
			receiveLimit(t, c, "bytes", 1000)
			if _, err := c.Receive(); err != io.EOF {
				t.Error(err)
			}
			if want := strings.Repeat(tt.heard, 5); s.heard.String() != want {
				t.Errorf("the peer hears %q, want %q", s.heard.String(), want)
			}
		})
	}
}

// A peer that cannot be answered is heard out.
func TestPongFails(t *testing.T) {
	for _, said := range []string{command("PING", "\x00\x00") + frame(0, "x"), frame(more, "x") + command("PING", "\x00\x00") + frame(0, "y")} {
		s := &script{pieces: []string{hello("PUSH"), said, message("next")}}
		c, err := zmtp.NewConn(&mute{script: s}, pull)
		if err != nil {
			t.Fatal(err)
		}
		if frames, err := c.Receive(); err != nil || string(frames[0]) != "x" {
			t.Errorf("%q, %v", frames, err)
		}
		receive(t, c, "next")
		if _, err := c.Receive(); err != io.EOF {
			t.Error(err)
		}
	}
}

var errMute = errors.New("no more")

// A mute connection fails to write behind the handshake, but for a byte.
type mute struct {
	*script
	writes int
}

func (m *mute) Write(p []byte) (int, error) {
	if m.writes++; m.writes > 2 {
		m.script.Write(p[:1])
		return 1, errMute
	}
	return m.script.Write(p)
}

// Behind a write that was cut off nothing is sent: it would be taken for the
// rest of it.
func TestNothingBehindACutOff(t *testing.T) {
	m := &mute{script: &script{pieces: []string{hello("PULL")}}}
	c, err := zmtp.NewConn(m, zmtp.Options{Type: zmtp.PUSH})
	if err != nil {
		t.Fatal(err)
	}
	before := m.heard.Len()
	for range 3 {
		if err := c.Send([]byte("hello")); !errors.Is(err, errMute) {
			t.Errorf("sending: %v", err)
		}
	}
	if n := m.heard.Len() - before; n != 1 {
		t.Errorf("the peer hears %d bytes, want the one that got through", n)
	}
}

// Many send at once while pings are answered, and every message comes whole
// and each sender's in order.
func TestManySend(t *testing.T) {
	const senders, messages = 4, 300
	left, right := connected(t)
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { manySend(t, right, senders, messages) })
	if _, err := io.WriteString(left, hello("PULL")); err != nil {
		t.Fatal(err)
	}
	running.Go(func() {
		for range messages {
			io.WriteString(left, command("PING", "\x00\x00"))
		}
		left.(*net.TCPConn).CloseWrite()
	})
	all, err := io.ReadAll(left)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(all, []byte(command("PONG", ""))); n != messages {
		t.Errorf("%d pings are answered, of %d", n, messages)
	}
	c, _ := scripted(t, pull, string(all[:64])+ready("PUSH"), string(all[64+len(ready("PUSH")):]))
	next := [senders]int{}
	for range senders * messages {
		frames, err := c.Receive()
		if err != nil {
			t.Fatal(err)
		}
		var sender, number int
		if _, err := fmt.Sscan(string(frames[0]), &sender, &number); err != nil || len(frames) != 2 || len(frames[1]) != number*10 {
			t.Fatalf("%.50q, %v", frames, err)
		}
		if number != next[sender] {
			t.Fatalf("sender %d: message %d comes where %d should", sender, number, next[sender])
		}
		next[sender]++
	}
}

// manySend sends, hears pings, and closes when all is said and answered.
func manySend(t *testing.T, conn net.Conn, senders, messages int) {
	defer conn.Close()
	c, err := zmtp.NewConn(conn, zmtp.Options{Type: zmtp.PUSH})
	if err != nil {
		t.Error(err)
		return
	}
	var running sync.WaitGroup
	defer running.Wait()
	for sender := range senders {
		running.Go(func() {
			for i := range messages {
				if err := c.Send(fmt.Appendf(nil, "%d %d", sender, i), []byte(repeat(i*10))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	if _, err := c.Receive(); err != io.EOF {
		t.Error(err)
	}
}
