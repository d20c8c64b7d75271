package zmtp_test

import (
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/zmtp"
)

// A peer that stops in the midst of a message is given up when its time is up,
// wherever that is.
func TestStalls(t *testing.T) {
	for name, said := range map[string]string{
		"within a short header":          "\x00",
		"within a long header":           announce(0, 300)[:1],
		"later in it":                    announce(0, 300)[:8],
		"before a body":                  announce(0, 300),
		"within a body":                  announce(0, 300) + "x",
		"within a long body":             announce(0, 100_000) + repeat(99_999),
		"between frames":                 frame(more, "x"),
		"between large frames":           frame(more, repeat(20_000)),
		"within a second header":         frame(more, "x") + "\x00",
		"within a second body":           frame(more, "x") + "\x00\x05four",
		"within a command":               command("PING", "\x00\x00")[:3],
		"within a command in a message":  frame(more, "x") + command("PING", "\x00\x00")[:3],
		"behind a command in a message":  frame(more, "x") + command("PING", "\x00\x00"),
		"within what is too large":       announce(0, 1<<62) + repeat(50_000),
		"at the start of that":           announce(0, 1<<62),
		"between frames of that":         announce(more, 200_000) + repeat(200_000),
		"behind a command in that":       announce(more, 200_000) + repeat(200_000) + command("X", ""),
		"within a header behind another": message("first") + "\x02\x00",
	} {
		for limitName, limit := range map[string]time.Duration{"": 0, ", as told": 3 * time.Second} {
			t.Run(name+limitName, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { stalls(t, said, limit) })
			})
		}
	}
}

func stalls(t *testing.T, said string, limit time.Duration) {
	c, p := piped(t, zmtp.Options{Type: zmtp.PULL, MaxMessageBytes: 150_000, StallTimeout: limit}, "PUSH")
	time.Sleep(time.Minute)
	p.says(0, said)
	began := time.Now()
	var err error
	for err == nil {
		_, err = c.Receive()
	}
	if limit == 0 {
		limit = 30 * time.Second // as documented
	}
	if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || zmtp.Broken(err) || took != limit {
		t.Errorf("after %v: %v; want it to end after %v", took, err, limit)
	}
}

// A peer may be slow within a message, and silent between two as long as it
// likes: no deadline is left behind by what was before.
func TestSilenceBetweenMessages(t *testing.T) {
	ping := command("PING", "\x00\x00")
	for name, pieces := range map[string][]string{
		"from the beginning":   {""},
		"behind a message":     {message("a")},
		"behind a slow one":    inBytes(message("a", "b")),
		"behind a long one":    {message(repeat(300))[:200], message(repeat(300))[200:]},
		"behind one that fits": {message(repeat(16<<10 - 9))},
		"behind a slow header": {"\x00", "\x01x"},
		"behind a slow body":   {"\x00\x02x", "x" + message("a")},
		"behind a ping":        {ping},
		"behind a slow ping":   inBytes(ping),
		"behind what is large": {message(repeat(150_001))},
		"behind slow large":    {message(repeat(150_001))[:3], message(repeat(150_001))[3:140_000], message(repeat(150_001))[140_000:]},
		"behind several":       {message("a") + ping + message("b", "c")[:2], message("b", "c")[2:]},
		"slow between frames":  {frame(more, "x"), ping, frame(0, "y")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, p := piped(t, zmtp.Options{Type: zmtp.PULL, MaxMessageBytes: 150_000}, "PUSH")
				time.Sleep(24 * time.Hour)
				p.says(29*time.Second, pieces...)
				time.AfterFunc(24*time.Hour, func() { p.says(0, message("the last")) })
				began := time.Now()
				for {
					frames, err := c.Receive()
					if _, over := errors.AsType[*zmtp.LimitError](err); err != nil && !over {
						t.Fatalf("after %v: %v", time.Since(began), err)
					}
					if len(frames) == 1 && string(frames[0]) == "the last" {
						break
					}
				}
				if time.Since(began) != 24*time.Hour {
					t.Errorf("it came after %v", time.Since(began))
				}
			})
		})
	}
}

// Who sends to a peer that does not read ends when its time is up, and who
// tries again ends at once.
func TestWriteTimeout(t *testing.T) {
	for _, limit := range []time.Duration{0, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			ours, p := newPeer(t, true)
			p.running.Go(func() { // it hears the handshake and no more
				io.WriteString(p, hello("PULL"))
			})
			p.running.Go(func() { io.CopyN(io.Discard, p, int64(len(hello("PUSH")))) })
			c, err := zmtp.NewConn(ours, zmtp.Options{Type: zmtp.PUSH, WriteTimeout: limit})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour) // between writes there is none
			if limit == 0 {
				limit = 10 * time.Second // as documented
			}
			began := time.Now()
			for range 3 { // the first takes the time, and no other
				if err := c.Send([]byte("hello")); !errors.Is(err, os.ErrDeadlineExceeded) || zmtp.Broken(err) {
					t.Error(err)
				}
				if time.Since(began) != limit {
					t.Errorf("it took %v, and %v is the limit", time.Since(began), limit)
				}
			}
		})
	}
}

// A peer that has its pings answered and does not read is given up.
func TestPingsUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, p := newPeer(t, true)
		p.running.Go(func() { io.WriteString(p, hello("PUSH")+command("PING", "\x00\x00")) })
		p.running.Go(func() { io.CopyN(io.Discard, p, int64(len(hello("PULL")))) })
		c, err := zmtp.NewConn(ours, pull)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := c.Receive(); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != 10*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// Close ends what others wait for.
func TestClose(t *testing.T) {
	for name, call := range map[string]func(*zmtp.Conn) error{
		"Receive":             func(c *zmtp.Conn) error { _, err := c.Receive(); return err },
		"ReceiveSubscription": func(c *zmtp.Conn) error { _, _, err := c.ReceiveSubscription(); return err },
		"Send":                func(c *zmtp.Conn) error { return c.Send([]byte("hello")) },
		"Subscribe":           func(c *zmtp.Conn) error { return c.Subscribe([]byte("hello")) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, p := newPeer(t, true)
				p.running.Go(func() { io.WriteString(p, hello("DEALER")) })
				p.running.Go(func() { io.CopyN(io.Discard, p, 64+43) })
				c, err := zmtp.NewConn(ours, zmtp.Options{Type: zmtp.DEALER})
				if err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 1)
				go func() { ended <- call(c) }()
				time.Sleep(time.Second)
				began := time.Now()
				if err := c.Close(); err != nil {
					t.Error(err)
				}
				if err := <-ended; !errors.Is(err, io.ErrClosedPipe) || time.Since(began) != 0 {
					t.Errorf("after %v: %v", time.Since(began), err)
				}
				if _, err := c.Receive(); err == nil {
					t.Error("one that is closed can be received from")
				}
			})
		})
	}
}
