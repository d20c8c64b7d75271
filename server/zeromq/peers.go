package zeromq

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"time"

	"github.com/shaveet/shaveet/server/zmtp"
)

// A serving works with one peer until the connection ends, and says why it did.
type serving func(ctx context.Context, c *zmtp.Conn) error

// alive notices peers that have vanished without a word.
var alive = net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3}

var dialer = net.Dialer{Timeout: 5 * time.Second, KeepAliveConfig: alive}

// listen binds an endpoint. Nobody else's programs may use the file of one.
func listen(at zmtp.Endpoint) (net.Listener, error) {
	if at.Network == "unix" {
		return listenUnix(at.Address)
	}
	lc := net.ListenConfig{KeepAliveConfig: alive}
	return lc.Listen(context.Background(), at.Network, at.Address)
}

// accept serves those who come to us, as many as there is room for, until ctx
// ends.
func (k *socket) accept(ctx context.Context, serve serving) {
	defer context.AfterFunc(ctx, func() { k.listener.Close() })()
	for {
		c, err := k.listener.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				c.Close()
			}
			for range cap(k.room) { // until all have gone
				k.room <- struct{}{}
			}
			return
		case err != nil: // no descriptors, most likely
			k.report(err)
			pause(ctx, 100*time.Millisecond)
			continue
		}
		select {
		case k.room <- struct{}{}:
			go func() {
				defer func() { <-k.room }()
				k.meet(ctx, c, serve)
			}()
		default:
			c.Close()
			k.counts.refused.Add(1)
			k.report(errors.New("there are max_peers already"))
		}
	}
}

// The pauses between two attempts to connect.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

// connect keeps a connection with a peer until ctx ends.
func (k *socket) connect(ctx context.Context, at zmtp.Endpoint, serve serving) {
	told := false // one line says for how long it may be that nobody is there
	for most := firstPause; ctx.Err() == nil; most = min(2*most, longestPause) {
		c, err := k.dial(ctx, at.Network, at.Address)
		if err == nil && k.meet(ctx, c, serve) {
			most, told = firstPause, false
		} else if err != nil && ctx.Err() == nil && !told && k.rare.allow() {
			k.log.Warn("zeromq peer not found, and tried again and again", "error", err)
			told = true
		}
		// Those who have lost the same peer do not all come back at once.
		pause(ctx, firstPause/2+rand.N(most))
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// meet shakes hands with a peer and works with it. It reports whether there was
// anything to work with.
func (k *socket) meet(ctx context.Context, c net.Conn, serve serving) (met bool) {
	defer context.AfterFunc(ctx, func() { k.leave(c) })()
	z, err := zmtp.NewConn(c, k.options())
	if err != nil {
		k.counts.refused.Add(1)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			err = fmt.Errorf("it has not greeted in time, as those do not that speak no ZMTP: %w", err)
		case errors.Is(err, io.ErrUnexpectedEOF):
			err = fmt.Errorf("it has hung up in the handshake, as those do that want another mechanism than NULL: %w", err)
		}
		if ctx.Err() == nil {
			k.report(err)
		}
		return false
	}
	defer z.Close()
	k.counts.peers.Add(1)
	defer k.counts.peers.Add(-1)
	k.log.Debug("zeromq peer connected", "peer", z.RemoteAddr(), "type", z.Peer())
	err = serve(ctx, z)
	if ctx.Err() == nil && !errors.Is(err, io.EOF) {
		k.report(err)
	}
	k.log.Debug("zeromq peer gone", "peer", z.RemoteAddr(), "error", err)
	return true
}

// lastWords is how long a peer may take to say what it has begun with, when we
// go.
const lastWords = time.Second

// leave ends a connection, so that what is under way is not lost with it. A peer
// that sends us messages sees that we go, and what it has sent by then still
// comes; one that asks has its answer; one that hears us has what was said.
func (k *socket) leave(c net.Conn) {
	err := net.ErrClosed
	half, ok := c.(interface {
		CloseRead() error
		CloseWrite() error
	})
	switch {
	case !ok:
	case k.takesIn():
		err = half.CloseWrite()
	case k.Type == "rep":
		err = half.CloseRead()
	default:
		err = nil
	}
	if err != nil {
		c.Close()
		return
	}
	time.AfterFunc(lastWords, func() { c.Close() })
}

var types = map[string]zmtp.SocketType{"sub": zmtp.SUB, "pull": zmtp.PULL, "pub": zmtp.PUB, "rep": zmtp.REP}

// maxMessageBytes is the limit that is configured, or what follows from others
// that may have changed.
func (k *socket) maxMessageBytes() int {
	switch {
	case k.MaxMessageBytes > 0:
		return k.MaxMessageBytes
	case k.Type == "rep":
		return k.opts.MaxAsk + topicRoom
	case k.Type == "pub":
		return 2 * topicRoom
	}
	return k.hub.Limits().MessageBytes + topicRoom
}

func (k *socket) options() zmtp.Options {
	return zmtp.Options{Type: types[k.Type], MaxMessageBytes: k.maxMessageBytes(), MaxFrames: k.MaxFrames}
}

// report says what is wrong with a peer, not more often than once a second.
func (k *socket) report(err error) {
	if k.rare.allow() {
		k.log.Warn("zeromq peer", "error", err)
	}
}
