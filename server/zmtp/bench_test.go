package zmtp_test

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/shaveet/shaveet/server/zmtp"
)

// loop says the same over and over.
type loop struct {
	said string
	at   int
}

func (l *loop) Read(p []byte) (n int, err error) {
	for n < len(p) {
		k := copy(p[n:], l.said[l.at:])
		n += k
		l.at = (l.at + k) % len(l.said)
	}
	return n, nil
}

// BenchmarkReceive reads messages of 200 bytes from memory, so it is all ours.
func BenchmarkReceive(b *testing.B) {
	for name, said := range map[string]string{
		"one frame": message(repeat(200)), "two frames": message("topic", repeat(195)),
	} {
		b.Run(name, func(b *testing.B) {
			c, s := scripted(b, pull, hello("PUSH"))
			s.then = &loop{said: said}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Receive(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSend sends messages of 200 bytes by loopback, to one who reads them
// without a look; so does BenchmarkWrite, in batches of 64.
func BenchmarkSend(b *testing.B) {
	c := sender(b)
	body := []byte(repeat(200))
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Send(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	const batch = 64
	c := sender(b)
	body := []byte(repeat(200))
	var p []byte
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if p = zmtp.AppendMessage(p, body); n%batch == batch-1 {
			if err := c.Write(p); err != nil {
				b.Fatal(err)
			}
			p = p[:0]
		}
	}
}

func sender(b *testing.B) *zmtp.Conn {
	b.Helper()
	left, right := connected(b)
	var running sync.WaitGroup
	b.Cleanup(func() { left.Close(); running.Wait() })
	running.Go(func() {
		io.WriteString(right, hello("PULL"))
		io.Copy(io.Discard, struct{ io.Reader }{right})
	})
	c, err := zmtp.NewConn(left, zmtp.Options{Type: zmtp.PUSH})
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// BenchmarkLoopback receives messages of 200 bytes that come by loopback, as
// many at once as may be.
func BenchmarkLoopback(b *testing.B) {
	left, right := connected(b)
	var running sync.WaitGroup
	b.Cleanup(func() { left.Close(); right.Close(); running.Wait() })
	running.Go(func() {
		io.WriteString(right, hello("PUSH"))
		io.Copy(right, struct{ io.Reader }{&loop{said: message(repeat(200))}})
	})
	running.Go(func() { io.Copy(io.Discard, struct{ net.Conn }{right}) })
	c, err := zmtp.NewConn(left, pull)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Receive(); err != nil {
			b.Fatal(err)
		}
	}
}
