package chatterboxapp

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"

	"github.com/shaveet/shaveet/server/zmtp"
)

// shaveetSockets are where Shaveet's two sockets would be.
type shaveetSockets struct{ pull, pub net.Listener }

func listen(t *testing.T) (s shaveetSockets) {
	t.Helper()
	for _, l := range []*net.Listener{&s.pull, &s.pub} {
		var err error
		if *l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { (*l).Close() })
	}
	return s
}

// accept waits until the bus is connected with both.
func (s shaveetSockets) accept(t *testing.T) (pull, pub *zmtp.Conn) {
	t.Helper()
	for _, each := range []struct {
		at   net.Listener
		kind zmtp.SocketType
		z    **zmtp.Conn
	}{{s.pull, zmtp.PULL, &pull}, {s.pub, zmtp.PUB, &pub}} {
		c, err := each.at.Accept()
		if err == nil {
			*each.z, err = zmtp.NewConn(c, zmtp.Options{Type: each.kind})
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { (*each.z).Close() })
	}
	if topic, on, err := pub.ReceiveSubscription(); string(topic) != channel || !on || err != nil {
		t.Fatalf("it subscribes to %q, %v: %v", topic, on, err)
	}
	return pull, pub
}

func (s shaveetSockets) config() Config {
	return Config{
		RPCURL: "http://127.0.0.1:1/", Logger: slog.New(slog.DiscardHandler),
		Pull: "tcp://" + s.pull.Addr().String(), Pub: "tcp://" + s.pub.Addr().String(),
	}
}

// says waits until the socket takes a line: it is connected a moment after its
// peer is.
func says(t *testing.T, b *bus, text string) {
	t.Helper()
	for t.Context().Err() == nil {
		if err := b.say([]byte(text)); err == nil {
			return
		} else if !errors.Is(err, errAway) {
			t.Fatal(err)
		}
	}
}

// While Shaveet is away nothing is taken; when it comes back both sockets are
// connected again; and nothing of them is left in the end.
func TestBus(t *testing.T) {
	sockets := listen(t)
	heard := make(chan string, 10)
	b, err := newBus(sockets.config(), func(frames [][]byte) { heard <- string(frames[len(frames)-1]) })
	if err != nil {
		t.Fatal(err)
	}
	if err := b.say([]byte("too early")); !errors.Is(err, errAway) {
		t.Errorf("before it runs it says: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { b.run(ctx) })
	for _, life := range []string{"first", "second"} {
		pull, pub := sockets.accept(t)
		says(t, b, life)
		if frames, err := pull.Receive(); err != nil || len(frames) != 1 || string(frames[0]) != life {
			t.Fatalf("%s: said was %q, %v", life, frames, err)
		}
		if err := errors.Join(pub.Send(make([]byte, 2<<20)), pub.Send([]byte(channel), []byte(life))); err != nil {
			t.Fatal(err)
		}
		if got := <-heard; got != life { // and what was too large was passed over
			t.Errorf("%s: heard was %.80q", life, got)
		}
		pull.Close()
		pub.Close()
	}
	cancel()
	running.Wait()
	if err := b.say([]byte("too late")); !errors.Is(err, errAway) {
		t.Errorf("when it has ended it says: %v", err)
	}
}

func TestEndpoints(t *testing.T) {
	good := "tcp://127.0.0.1:5556"
	for _, tt := range []struct {
		pull, pub string
		ok        bool
	}{
		{good, good, true}, {good, "ipc:///run/pub", true}, {"", good, false}, {good, "127.0.0.1:5557", false},
		{good, "tcp://*:5557", false}, {"tcp://127.0.0.1:x", good, false},
	} {
		if _, err := New(Config{Pull: tt.pull, Pub: tt.pub}); (err == nil) != tt.ok {
			t.Errorf("%q, %q: %v", tt.pull, tt.pub, err)
		}
	}
}
