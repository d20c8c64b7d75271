package zmtp_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shaveet/shaveet/server/zmtp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The first byte of a frame is made of these.
const (
	more      = 1
	long      = 2
	isCommand = 4
)

// frame returns a short frame as a peer sends it, or a long one where it must.
func frame(flags byte, body string) string {
	if len(body) > 255 || flags&long != 0 {
		return announce(flags, uint64(len(body))) + body
	}
	return string([]byte{flags, byte(len(body))}) + body
}

// announce returns the header of a long frame.
func announce(flags byte, size uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte{flags | long}, size))
}

func message(bodies ...string) (all string) {
	for i, body := range bodies {
		flags := byte(more)
		if i == len(bodies)-1 {
			flags = 0
		}
		all += frame(flags, body)
	}
	return all
}

func command(name, body string) string {
	return frame(isCommand, string([]byte{byte(len(name))})+name+body)
}

func property(name, value string) string {
	size := binary.BigEndian.AppendUint32(nil, uint32(len(value)))
	return string([]byte{byte(len(name))}) + name + string(size) + value
}

const signature = "\xff\x00\x00\x00\x00\x00\x00\x00\x00\x7f"

func greeting(major, minor byte, mechanism string) string {
	pad := func(s string, n int) string { return s + strings.Repeat("\x00", n-len(s)) }
	return signature + string([]byte{major, minor}) + pad(mechanism, 20) + pad("", 32)
}

func ready(socketType string) string { return command("READY", property("Socket-Type", socketType)) }

// hello is all a good peer of this type says in the handshake.
func hello(socketType string) string { return greeting(3, 1, "NULL") + ready(socketType) }

// A script is a connection whose peer says these pieces, whatever it is told,
// and then no more.
type script struct {
	pieces []string
	then   io.Reader // what it says behind them; nil: nothing

	heard     bytes.Buffer
	closed    bool
	deadlines int // how often one has been set to read
}

func (s *script) Read(p []byte) (int, error) {
	for len(s.pieces) > 0 && s.pieces[0] == "" {
		s.pieces = s.pieces[1:]
	}
	switch {
	case s.closed:
		return 0, net.ErrClosed
	case len(s.pieces) > 0:
		n := copy(p, s.pieces[0])
		s.pieces[0] = s.pieces[0][n:]
		return n, nil
	case s.then != nil:
		return s.then.Read(p)
	}
	return 0, io.EOF
}

func (s *script) Write(p []byte) (int, error) {
	if s.closed {
		return 0, net.ErrClosed
	}
	return s.heard.Write(p)
}

func (s *script) Close() error                     { s.closed = true; return nil }
func (s *script) LocalAddr() net.Addr              { return &net.UnixAddr{Name: "here", Net: "unix"} }
func (s *script) RemoteAddr() net.Addr             { return &net.UnixAddr{Name: "there", Net: "unix"} }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { s.deadlines++; return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// scripted returns a connection behind its handshake, and forgets what was
// said in that.
func scripted(t testing.TB, opts zmtp.Options, peer string, said ...string) (*zmtp.Conn, *script) {
	t.Helper()
	s := &script{pieces: append([]string{peer}, said...)}
	c, err := zmtp.NewConn(s, opts)
	if err != nil {
		t.Fatal(err)
	}
	s.heard.Reset()
	s.deadlines = 0
	return c, s
}

// A peer is the far end of a pipe. It hears all that it is told, until it is
// told to be deaf.
type peer struct {
	net.Conn
	running sync.WaitGroup

	mu    sync.Mutex // guards heard
	heard bytes.Buffer
}

// newPeer returns our end, and the peer's. Both are closed with the test.
func newPeer(t testing.TB, deaf bool) (net.Conn, *peer) {
	ours, theirs := net.Pipe()
	p := &peer{Conn: theirs}
	if !deaf {
		p.listen()
	}
	t.Cleanup(func() { ours.Close(); theirs.Close(); p.running.Wait() })
	return ours, p
}

func (p *peer) listen() {
	p.running.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, err := p.Read(buf)
			p.mu.Lock()
			p.heard.Write(buf[:n])
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
}

// says has it say the pieces, with so much time before each but the first.
func (p *peer) says(pause time.Duration, pieces ...string) {
	p.running.Go(func() {
		for i, piece := range pieces {
			if i > 0 {
				time.Sleep(pause)
			}
			if _, err := io.WriteString(p, piece); err != nil {
				return
			}
		}
	})
}

// piped returns a connection behind its handshake with a peer that hears.
func piped(t testing.TB, opts zmtp.Options, socketType string) (*zmtp.Conn, *peer) {
	t.Helper()
	ours, p := newPeer(t, false)
	p.says(0, hello(socketType))
	c, err := zmtp.NewConn(ours, opts)
	if err != nil {
		t.Fatal(err)
	}
	return c, p
}

// receive wants the next message to be this.
func receive(t testing.TB, c *zmtp.Conn, want ...string) {
	t.Helper()
	frames, err := c.Receive()
	if err != nil {
		t.Fatalf("%v, where %.100q should come", err, want)
	}
	if len(frames) != len(want) {
		t.Fatalf("a message has %d frames, not the %d of %.100q", len(frames), len(want), want)
	}
	for i, f := range frames {
		if string(f) != want[i] {
			t.Fatalf("frame %d is %.100q (%d bytes), want %.100q (%d)", i, f, len(f), want[i], len(want[i]))
		}
	}
}

// receiveLimit wants the next message to be over this limit.
func receiveLimit(t testing.TB, c *zmtp.Conn, limit string, most int) {
	t.Helper()
	frames, err := c.Receive()
	over, ok := errors.AsType[*zmtp.LimitError](err)
	if frames != nil || !ok || over.Limit != limit || over.Max != most || zmtp.Broken(err) {
		t.Fatalf("%.100q, %v; want it to be over %d %s", frames, err, most, limit)
	}
}

// inBytes cuts s into its bytes.
func inBytes(s string) []string {
	pieces := make([]string, len(s))
	for i := range pieces {
		pieces[i] = s[i : i+1]
	}
	return pieces
}

func repeat(n int) string { return strings.Repeat("x", n) }

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
