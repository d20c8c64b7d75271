package producer

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/shaveet/shaveet/server/zmtp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// A bench is a producer whose server is the test. It runs in a bubble.
type bench struct {
	t     *testing.T
	dials chan net.Conn // our ends, as the producer connects
	end   func()        // ends the producer, and waits

	mu         sync.Mutex // guards all below
	refuse     bool
	refusals   []time.Time
	made, sent []Point
}

func start(t *testing.T, c Config) *bench {
	b := &bench{t: t, dials: make(chan net.Conn)}
	c.Logger = quiet
	c.Made = func(p Point) { b.note(&b.made, p) }
	c.Sent = func(p Point) { b.note(&b.sent, p) }
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); run(ctx, c, b.dial) }()
	b.end = func() { cancel(); <-ended }
	return b
}

func (b *bench) note(list *[]Point, p Point) {
	b.mu.Lock()
	defer b.mu.Unlock()
	*list = append(*list, p)
}

func (b *bench) counts() (made, sent int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.made), len(b.sent)
}

func (b *bench) dial(ctx context.Context) (net.Conn, error) {
	b.mu.Lock()
	refuse := b.refuse
	if refuse {
		b.refusals = append(b.refusals, time.Now())
	}
	b.mu.Unlock()
	if refuse {
		return nil, errors.New("refused")
	}
	ours, theirs := net.Pipe()
	select {
	case b.dials <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (b *bench) setRefuse(yes bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refuse = yes
}

// A roomy connection takes what is written at once, as the buffers of the
// kernel do: in a handshake both sides write first.
type roomy struct {
	net.Conn
	out  chan []byte
	once sync.Once
}

func (r *roomy) Write(p []byte) (int, error) {
	r.out <- append([]byte(nil), p...)
	return len(p), nil
}

func (r *roomy) Close() error {
	r.once.Do(func() { close(r.out) })
	return r.Conn.Close()
}

// server accepts the producer as a socket of this type.
func (b *bench) server(kind zmtp.SocketType) *zmtp.Conn {
	b.t.Helper()
	c := &roomy{Conn: <-b.dials, out: make(chan []byte, 100)}
	go func() {
		for p := range c.out {
			if _, err := c.Conn.Write(p); err != nil {
				for range c.out {
				}
				return
			}
		}
	}()
	z, err := zmtp.NewConn(c, zmtp.Options{Type: kind})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { z.Close() })
	return z
}

// receive returns the next n points that the server gets.
func (b *bench) receive(z *zmtp.Conn, n int) (points []Point) {
	b.t.Helper()
	for range n {
		frames, err := z.Receive()
		if err != nil {
			b.t.Fatal(err)
		}
		var p Point
		if err := json.Unmarshal(frames[0], &p); len(frames) != 1 || err != nil {
			b.t.Fatalf("%q: %v", frames, err)
		}
		points = append(points, p)
	}
	return points
}

// inOrder wants every point that there was from the first on.
func inOrder(t *testing.T, points []Point, every int64) {
	t.Helper()
	for i, p := range points {
		if p.X != points[0].X+int64(i)*every || p.X%every != 0 || p.Y != 2.5*(1+math.Sin(float64(p.X)/500)) {
			t.Fatalf("point %d is %v, after %v", i, p, points[:i])
		}
	}
}

// Ten times a second a subscriber gets a message of one frame: a JSON object
// with a time and the sine of it.
func TestSine(t *testing.T) {
	for _, push := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, Config{Push: push})
			z := b.server(map[bool]zmtp.SocketType{false: zmtp.SUB, true: zmtp.PULL}[push])
			if !push {
				z.Subscribe(nil)
			}
			began := time.Now()
			points := b.receive(z, 50)
			inOrder(t, points, 100)
			if took := time.Since(began); took != 5*time.Second || points[49].X != time.Now().UnixMilli() {
				t.Errorf("50 points took %v, and the last is %v", took, points[49])
			}
			b.end()
			if made, sent := b.counts(); made != 50 || sent != 50 {
				t.Errorf("%d made, %d sent", made, sent)
			}
		})
	}
}

// PUB sends what is subscribed to, and nothing else.
func TestSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{Interval: 50 * time.Millisecond})
		z := b.server(zmtp.SUB)
		got := make(chan Point, most)
		go func() { // reads whatever comes, or nothing could
			for {
				frames, err := z.Receive()
				if err != nil {
					return
				}
				var p Point
				if err := json.Unmarshal(frames[0], &p); err != nil {
					t.Error(err)
				}
				got <- p
			}
		}()
		some := func() {
			t.Helper()
			var points []Point
			for range 10 {
				points = append(points, <-got)
			}
			inOrder(t, points, 50)
		}
		none := func(why string) {
			t.Helper()
			synctest.Wait()
			for len(got) > 0 {
				<-got
			}
			time.Sleep(10*time.Second + time.Millisecond) // not when a point is made
			synctest.Wait()
			if len(got) > 0 {
				t.Errorf("%d points came: %s", len(got), why)
			}
		}
		cancel := func(topic string) { z.Send([]byte("\x00" + topic)) }

		none("nobody has subscribed")
		z.Subscribe([]byte(`{"y"`))
		none("the topic is another")
		z.Subscribe([]byte(`{"x":`))
		z.Subscribe([]byte(`{"x":`))
		z.Subscribe([]byte(`{`))
		some()
		cancel(`{"x":`) // of both, as libzmq does
		cancel(`never`)
		some()
		cancel(`{`)
		none("it is cancelled")
		z.Subscribe(nil)
		some()
		b.end()
	})
}

// While there is no server PUB drops, and a new connection begins with nothing
// old and without the old one's subscriptions.
func TestPubLosesItsServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{})
		z := b.server(zmtp.SUB)
		z.Subscribe(nil)
		b.receive(z, 5)
		z.Close()
		time.Sleep(10 * time.Second)
		z = b.server(zmtp.SUB)
		time.Sleep(10 * time.Second)
		began := time.Now().UnixMilli()
		z.Subscribe(nil)
		points := b.receive(z, 5)
		inOrder(t, points, 100)
		if points[0].X < began {
			t.Errorf("a point of %d ms before the subscription", began-points[0].X)
		}
		b.end()
		if made, sent := b.counts(); made < 200 || sent > 11 {
			t.Errorf("%d made, %d sent", made, sent)
		}
	})
}

// PUSH keeps what it cannot send, up to its limit, and then waits.
func TestPushLosesItsServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{Push: true})
		z := b.server(zmtp.PULL)
		points := b.receive(z, 5)
		z.Close()
		time.Sleep(50 * time.Second)
		z = b.server(zmtp.PULL)
		points = append(points, b.receive(z, 600)...)
		inOrder(t, points, 100)
		z.Close()

		b.setRefuse(true)
		before, _ := b.counts()
		time.Sleep(10 * time.Minute)
		if made, _ := b.counts(); made < before+most || made > before+most+3 {
			t.Errorf("%d made without a server, want %d and a few", made-before, most)
		}
		b.setRefuse(false)
		z = b.server(zmtp.PULL)
		inOrder(t, b.receive(z, most), 100)
		now := time.Now().UnixMilli()
		points = b.receive(z, 20)
		if last := points[19].X; last < now { // nobody wants a sine of ten minutes ago
			t.Errorf("a point of %d ms before", now-last)
		}
		b.end()
	})
}

// The attempts to connect become rarer, and begin anew with a connection.
func TestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{})
		for range 2 {
			z := b.server(zmtp.SUB)
			z.Subscribe(nil)
			b.receive(z, 1)
			b.setRefuse(true)
			z.Close()
			time.Sleep(time.Minute)
			synctest.Wait()
			b.mu.Lock()
			times := b.refusals
			b.refusals = nil
			b.mu.Unlock()
			if n := len(times); n < 30 || n > 70 {
				t.Errorf("%d attempts in a minute", n)
			}
			most := firstPause
			for i, at := range times[1:] {
				most = min(2*most, longestPause)
				if pause := at.Sub(times[i]); pause < most/2 || pause > most {
					t.Errorf("pause %d: %v, want up to %v", i, pause, most)
				}
			}
			b.setRefuse(false)
		}
		b.end()
	})
}

// A peer that is none is not worth more than another attempt.
func TestStrangers(t *testing.T) {
	for name, meet := range map[string]func(net.Conn){
		"another protocol":   func(c net.Conn) { go io.Copy(io.Discard, c); io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") },
		"silence":            func(c net.Conn) { go io.Copy(io.Discard, c) },
		"a greeting and bye": func(c net.Conn) { c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, Config{})
				meet(<-b.dials)
				z := b.server(zmtp.SUB)
				z.Subscribe(nil)
				inOrder(t, b.receive(z, 5), 100)
				b.end()
			})
		})
	}
}

// Run ends when it is told to, wherever it is.
func TestEnds(t *testing.T) {
	for name, reach := range map[string]func(b *bench){
		"connecting":     func(*bench) {},
		"in a pause":     func(b *bench) { (<-b.dials).Close(); b.setRefuse(true) },
		"in a handshake": func(b *bench) { <-b.dials },
		"sending to who does not read": func(b *bench) {
			z := b.server(zmtp.SUB)
			z.Subscribe(nil)
			time.Sleep(5 * time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, Config{})
				reach(b)
				synctest.Wait()
				began := time.Now()
				b.end()
				if took := time.Since(began); took > 0 {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]Config{
		"no endpoint":           {},
		"not an endpoint":       {Endpoint: "http://127.0.0.1:5555"},
		"no host":               {Endpoint: "tcp://*:5555"},
		"a time that runs back": {Endpoint: "tcp://127.0.0.1:5555", Interval: -time.Second},
		"no time at all":        {Endpoint: "tcp://127.0.0.1:5555", Interval: time.Microsecond},
	} {
		if err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), ": ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// It is a real ZeroMQ socket: by TCP and by IPC.
func TestEndpoints(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			address, scheme := "127.0.0.1:0", "tcp://"
			if network == "unix" {
				address, scheme = t.TempDir()+"/s", "ipc://"
			}
			l, err := net.Listen(network, address)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() {
				ended <- Run(ctx, Config{Endpoint: scheme + l.Addr().String(), Interval: time.Millisecond, Logger: quiet})
			}()
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			z, err := zmtp.NewConn(c, zmtp.Options{Type: zmtp.SUB})
			if err != nil {
				t.Fatal(err)
			}
			defer z.Close()
			z.Subscribe(nil)
			b := &bench{t: t}
			b.receive(z, 10)
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}
