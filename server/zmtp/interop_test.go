package zmtp_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/zmtp"
	"github.com/shaveet/shaveet/tests/live"
)

// A publisher of libzmq sends us what we have subscribed to.
func TestLibzmqPublishes(t *testing.T) {
	everyWay(t, byTCP, zmtp.SUB, "XPUB", func(t *testing.T, c *zmtp.Conn, z *libzmq) {
		for _, prefix := range []string{"a", "b/", repeat(300)} {
			if err := c.Subscribe([]byte(prefix)); err != nil {
				t.Fatal(err)
			}
			z.receive("\x01" + prefix)
		}
		for _, topic := range []string{"c", "a", "", "b", "ab", "b/c", "A", repeat(299), repeat(301)} {
			z.send(topic, "of "+topic)
		}
		for _, topic := range []string{"a", "ab", "b/c", repeat(301)} {
			receive(t, c, topic, "of "+topic)
		}
	})
	everyWay(t, byTCP, zmtp.SUB, "PUB", func(t *testing.T, c *zmtp.Conn, z *libzmq) {
		for _, prefix := range []string{"a", "begin"} {
			if err := c.Subscribe([]byte(prefix)); err != nil {
				t.Fatal(err)
			}
		}
		begun := make(chan error, 1)
		go func() { _, err := c.Receive(); begun <- err }()
		live.Until(t, "it is subscribed to", patience, func() bool { z.send("begin"); return len(begun) > 0 })
		if err := <-begun; err != nil {
			t.Fatal(err)
		}
		for _, topic := range []string{"c", "a", "", "ab"} {
			z.send(topic, "x")
		}
		var got []string
		for len(got) < 2 {
			frames, err := c.Receive()
			if err != nil {
				t.Fatal(err)
			}
			if topic := string(frames[0]); topic != "begin" {
				got = append(got, topic)
			}
		}
		if !slices.Equal(got, []string{"a", "ab"}) {
			t.Errorf("we hear %q", got)
		}
	})
}

// Subscribers of libzmq tell us what they want, and hear what we say.
func TestLibzmqSubscribes(t *testing.T) {
	for _, them := range []string{"SUB", "XSUB"} {
		everyWay(t, byTCP, zmtp.PUB, them, func(t *testing.T, c *zmtp.Conn, z *libzmq) {
			change := func(on bool, prefix string) {
				t.Helper()
				if them == "XSUB" {
					z.send(map[bool]string{true: "\x01", false: "\x00"}[on] + prefix)
				} else {
					z.do(nil, "option", map[bool]string{true: "SUBSCRIBE", false: "UNSUBSCRIBE"}[on], hex.EncodeToString([]byte(prefix)))
				}
				if p, got, err := c.ReceiveSubscription(); string(p) != prefix || got != on || err != nil {
					t.Fatalf("%.50q, %v, %v; want %.50q, %v", p, got, err, prefix, on)
				}
			}
			change(true, "a")
			change(true, "")
			change(false, "")
			change(true, repeat(1000))
			for _, n := range []int{0, 1, 255, 256, 65536, 1 << 20} {
				if err := c.Send([]byte("a"), []byte(repeat(n)), nil); err != nil {
					t.Fatal(err)
				}
				z.receive("a", repeat(n), "")
			}
		})
	}
}

// Messages of all sizes come from libzmq in order, and go to it.
func TestLibzmqPushes(t *testing.T) {
	sizes := []int{0, 1, 254, 255, 256, 8191, 8192, 65535, 65536, 1 << 20}
	everyWay(t, meetings, zmtp.PULL, "PUSH", func(t *testing.T, c *zmtp.Conn, z *libzmq) {
		for _, n := range sizes {
			z.send(repeat(n))
			z.send("", repeat(n), "\x00\xff", "")
		}
		for _, n := range sizes {
			receive(t, c, repeat(n))
			receive(t, c, "", repeat(n), "\x00\xff", "")
		}
	})
	everyWay(t, meetings, zmtp.PUSH, "PULL", func(t *testing.T, c *zmtp.Conn, z *libzmq) {
		for _, n := range sizes {
			if err := c.Write(zmtp.AppendMessage(zmtp.AppendMessage(nil, []byte(repeat(n))), nil, []byte(repeat(n)), nil)); err != nil {
				t.Fatal(err)
			}
			z.receive(repeat(n))
			z.receive("", repeat(n), "")
		}
	})
}

// Questions and answers have an empty frame before them; what else is before
// it is for who routes.
func TestLibzmqAsks(t *testing.T) {
	everyWay(t, byTCP, zmtp.REP, "REQ", func(t *testing.T, c *zmtp.Conn, z *libzmq) {
		for range 3 {
			z.send("how", "are you?")
			receive(t, c, "", "how", "are you?")
			if err := c.Send(nil, []byte("fine")); err != nil {
				t.Fatal(err)
			}
			z.receive("fine")
		}
	})
	everyWay(t, byTCP, zmtp.REQ, "REP", func(t *testing.T, c *zmtp.Conn, z *libzmq) {
		if err := c.Send(nil, []byte("how are you?")); err != nil {
			t.Fatal(err)
		}
		z.receive("how are you?")
		z.send("fine")
		receive(t, c, "", "fine")
	})
	everyWay(t, byTCP, zmtp.DEALER, "ROUTER", func(t *testing.T, c *zmtp.Conn, z *libzmq) {
		if err := c.Send([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		var got []string
		z.do(&got, "receive")
		if len(got) != 2 || got[1] != hex.EncodeToString([]byte("hello")) {
			t.Fatalf("%q", got)
		}
		z.do(nil, "send", got[0], hex.EncodeToString([]byte("you")))
		receive(t, c, "you")
	})
}

// libzmq's heartbeats are answered while somebody receives, and then we may
// say nothing for as long as we like. If nobody does, it hangs up.
func TestLibzmqHeartbeats(t *testing.T) {
	beats := map[string]any{"HEARTBEAT_IVL": 100, "HEARTBEAT_TIMEOUT": 2000, "HEARTBEAT_TTL": 2000}
	for _, m := range byTCP {
		for _, receives := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, receiving: %t", m.name, receives), func(t *testing.T) {
				t.Parallel()
				c, z := met(t, m, zmtp.PULL, "PUSH", beats)
				if !receives {
					z.events("DISCONNECTED")
					return
				}
				ended := make(chan error, 1)
				go func() { _, err := c.Receive(); ended <- err }()
				var names []string
				z.do(&names, "events", []string{"DISCONNECTED"}, 4000) // twice what it waits for an answer
				if slices.Contains(names, "DISCONNECTED") {
					t.Errorf("libzmq sees %q", names)
				}
				z.send("hello")
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// A slow connection reads little at a time, and keeps what it has read.
type slow struct {
	net.Conn
	read bytes.Buffer
}

func (s *slow) Read(p []byte) (int, error) {
	time.Sleep(200 * time.Microsecond)
	n, err := s.Conn.Read(p[:min(len(p), 8<<10)])
	s.read.Write(p[:n])
	return n, err
}

// To one who reads slowly, libzmq sends its pings between the frames of a
// message as well.
func TestLibzmqPingsWithinMessages(t *testing.T) {
	t.Parallel()
	const messages, frames, size = 40, 16, 30_000
	z := newLibzmq(t, "PUSH", map[string]any{"HEARTBEAT_IVL": 10, "HEARTBEAT_TIMEOUT": 60_000, "SNDBUF": 20_000})
	conn := dial(t, z, "tcp://127.0.0.1:0")
	if err := conn.(*net.TCPConn).SetReadBuffer(20_000); err != nil {
		t.Fatal(err)
	}
	s := &slow{Conn: conn}
	c, err := zmtp.NewConn(s, pull)
	if err != nil {
		t.Fatal(err)
	}
	var sending sync.WaitGroup
	sending.Go(func() {
		if err := z.try(nil, "send_many", messages, frames, size); err != nil {
			t.Error(err)
		}
	})
	defer sending.Wait()
	for i := range messages {
		var want []string
		for j := range frames {
			want = append(want, fmt.Sprintf("%d %d ", i, j)+repeat(size))
		}
		receive(t, c, want...)
	}
	if n := commandsWithin(s.read.Bytes()[64:]); n == 0 {
		t.Error("no command came within a message, so this has shown nothing")
	} else {
		t.Logf("%d commands within messages", n)
	}
}

// commandsWithin counts the commands between frames of a message.
func commandsWithin(p []byte) (n int) {
	r := reference{rest: p}
	within := false
	for {
		f, ends := r.next()
		switch {
		case ends != "":
			return n
		case f.flags&isCommand == 0:
			within = f.flags&more != 0
		case within:
			n++
		}
	}
}

// Whom we refuse is told so, and whom libzmq refuses as well.
func TestLibzmqIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		us      zmtp.SocketType
		them    string
		options map[string]any
		says    string
	}{
		"another type": {zmtp.PUB, "PUSH", nil, `the peer is a "PUSH", which does not go with PUB`},
		"PAIR":         {zmtp.PULL, "PAIR", nil, `the peer is a "PAIR"`},
		"PLAIN": {zmtp.PULL, "PUSH", map[string]any{
			"PLAIN_USERNAME": hex.EncodeToString([]byte("a")), "PLAIN_PASSWORD": hex.EncodeToString([]byte("b")),
		}, `the mechanism "PLAIN"`},
		"CURVE": {zmtp.PULL, "PUSH", map[string]any{
			"CURVE_SERVER": 1, "CURVE_SECRETKEY": hex.EncodeToString([]byte(strings.Repeat("k", 32))),
		}, `the mechanism "CURVE"`},
	} {
		for _, m := range byTCP {
			t.Run(name+", "+m.name, func(t *testing.T) {
				t.Parallel()
				z := newLibzmq(t, tt.them, tt.options)
				_, err := zmtp.NewConn(m.meet(t, z), zmtp.Options{Type: tt.us, HandshakeTimeout: patience})
				// libzmq may hang up before it has said who it is.
				if err == nil || !strings.Contains(err.Error(), tt.says) && !hungUp(err) {
					t.Error(err)
				}
				seen := z.events("DISCONNECTED", "HANDSHAKE_FAILED_PROTOCOL", "HANDSHAKE_FAILED_NO_DETAIL")
				if slices.Contains(seen, "HANDSHAKE_SUCCEEDED") {
					t.Errorf("libzmq sees %q", seen)
				}
			})
		}
	}
}

func hungUp(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
