package chatterboxapp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/shaveet/shaveet/server/zmtp"
)

// bus is what joins the web applications: a PUSH socket, by which lines are
// said, and a SUB socket, by which all of them hear what was said on the
// channel, whoever has said it.
type bus struct {
	pull, pub zmtp.Endpoint
	heard     func(frames [][]byte)
	log       *slog.Logger

	mu  sync.Mutex // guards out
	out *zmtp.Conn // nil while Shaveet is away
}

func newBus(c Config, heard func([][]byte)) (*bus, error) {
	b := &bus{heard: heard, log: c.Logger}
	if b.log == nil {
		b.log = slog.Default()
	}
	for at, text := range map[*zmtp.Endpoint]string{&b.pull: c.Pull, &b.pub: c.Pub} {
		var err error
		if *at, err = zmtp.ParseEndpoint(text); err != nil {
			return nil, fmt.Errorf("endpoint: %w", err)
		}
		if strings.HasPrefix(at.Address, ":") {
			return nil, fmt.Errorf("endpoint: %q must name a host", text)
		}
	}
	return b, nil
}

// run keeps both connected until ctx ends.
func (b *bus) run(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { b.keep(ctx, b.pull, zmtp.PUSH, b.speak) })
	both.Go(func() { b.keep(ctx, b.pub, zmtp.SUB, b.listen) })
	both.Wait()
}

var errAway = errors.New("nobody takes it")

// say sends a line. It keeps nothing while Shaveet is away, as a PUSH socket of
// libzmq would: visitors would be told that it was said. And when a line was
// sent it is not known to be said before it is heard.
func (b *bus) say(text []byte) error {
	b.mu.Lock()
	out := b.out
	b.mu.Unlock()
	if out == nil {
		return errAway
	}
	return out.Send(text)
}

func (b *bus) speak(z *zmtp.Conn) error {
	turn := func(out *zmtp.Conn) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.out = out
	}
	turn(z)
	defer turn(nil)
	for {
		if _, err := z.Receive(); err != nil { // nothing but its end is ever said
			return err
		}
	}
}

func (b *bus) listen(z *zmtp.Conn) error {
	if err := z.Subscribe([]byte(channel)); err != nil {
		return err
	}
	for {
		frames, err := z.Receive()
		if tooLarge := (*zmtp.LimitError)(nil); errors.As(err, &tooLarge) {
			continue
		}
		if err != nil {
			return err
		}
		b.heard(frames)
	}
}

// The pauses between two attempts to connect.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 2 * time.Second
)

// keep keeps a connection to an endpoint, which use uses until it ends.
func (b *bus) keep(ctx context.Context, at zmtp.Endpoint, kind zmtp.SocketType, use func(*zmtp.Conn) error) {
	well := true // for the log: one line for each change
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, longestPause) {
		z, err := meet(ctx, at, kind)
		if err == nil {
			pause, well = firstPause, true
			b.log.Info("connected", "socket", kind, "endpoint", at)
			stop := context.AfterFunc(ctx, func() { z.Close() })
			err = use(z)
			stop()
			z.Close()
		}
		if well && ctx.Err() == nil {
			well = false
			b.log.Warn("not connected", "socket", kind, "endpoint", at, "error", err)
		}
		// Those that have lost the same server do not all come back at once.
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
	}
}

// meet connects and shakes hands.
func meet(ctx context.Context, at zmtp.Endpoint, kind zmtp.SocketType) (*zmtp.Conn, error) {
	d := net.Dialer{
		Timeout: 5 * time.Second,
		// Who vanishes without a word is noticed.
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3},
	}
	c, err := d.DialContext(ctx, at.Network, at.Address)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { c.Close() })()
	return zmtp.NewConn(c, zmtp.Options{Type: kind, WriteTimeout: 3 * time.Second})
}
