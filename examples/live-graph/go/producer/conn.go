package producer

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"github.com/shaveet/shaveet/server/zmtp"
)

type dial func(context.Context) (net.Conn, error)

func dialer(at zmtp.Endpoint) dial {
	d := net.Dialer{
		Timeout: 5 * time.Second,
		// Notices a server that has vanished without a word, after 25 s, where
		// nothing is being sent to it. Where something is, and is not
		// acknowledged, the kernel goes on trying first, on Linux for a quarter
		// of an hour: as long as that PUB may speak to nobody.
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3},
	}
	return func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, at.Network, at.Address) }
}

// The pauses between two attempts to connect.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 2 * time.Second
)

// connect keeps a connection with the server until ctx ends.
func (p *producer) connect(ctx context.Context) {
	var unsent []Point // a point that a connection has ended under, at most
	well := true       // for the log: one line for each change
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, longestPause) {
		z, err := p.meet(ctx)
		if err == nil {
			pause, well = firstPause, true
			p.Logger.Info("connected", "endpoint", p.Endpoint)
			unsent, err = p.serve(ctx, z, unsent)
		}
		if well && ctx.Err() == nil {
			well = false
			p.Logger.Warn("not connected", "endpoint", p.Endpoint, "error", err)
		}
		// Producers that have lost the same server do not all come back at once.
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
	}
}

// meet connects and shakes hands.
func (p *producer) meet(ctx context.Context) (*zmtp.Conn, error) {
	c, err := p.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { c.Close() })()
	kind := zmtp.PUB
	if p.Push {
		kind = zmtp.PUSH
	}
	return zmtp.NewConn(c, zmtp.Options{Type: kind})
}

// serve sends what there is to send until the connection ends, first what was
// not sent before it. It returns what this one has ended under, which the
// server may have got or not: the point says when it was made, so whoever gets
// it twice can tell.
func (p *producer) serve(ctx context.Context, z *zmtp.Conn, unsent []Point) ([]Point, error) {
	ended := make(chan error, 1)
	go func() { ended <- p.listen(z) }()
	stop := context.AfterFunc(ctx, func() { z.Close() })
	defer stop()
	for {
		var point Point
		if len(unsent) > 0 {
			point = unsent[0]
		} else {
			select {
			case err := <-ended:
				return p.forget(nil), err
			case point = <-p.queue:
			}
		}
		if err := z.Send([]byte(point.String())); err != nil {
			z.Close()
			<-ended
			return p.forget([]Point{point}), err
		}
		unsent = nil
		if p.Sent != nil {
			p.Sent(point)
		}
	}
}

// listen hears what the server subscribes to, until the connection ends.
func (p *producer) listen(z *zmtp.Conn) error {
	defer z.Close()
	for {
		if p.Push {
			if _, err := z.Receive(); err != nil { // nothing else is ever said
				return err
			}
			continue
		}
		topic, on, err := z.ReceiveSubscription()
		if err != nil {
			return err
		}
		p.subscribe(string(topic), on)
	}
}

// maxTopics is more than any server has use for.
const maxTopics = 1000

// subscribe changes what the server gets. Its subscriptions are a set, as they
// are to libzmq, whose SUB sends a second one for the same topic, but cancels
// only when the last of them ends.
func (p *producer) subscribe(topic string, on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if on {
		if len(p.topics) < maxTopics && !slices.Contains(p.topics, topic) {
			p.topics = append(p.topics, topic)
		}
	} else if i := slices.Index(p.topics, topic); i >= 0 {
		p.topics = slices.Delete(p.topics, i, i+1)
	}
}

// forget ends what was of a connection, and returns what is left to send of
// what was not sent. With a connection, PUB forgets all that was to go by it.
func (p *producer) forget(unsent []Point) []Point {
	if p.Push {
		return unsent
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.topics = nil
	for len(p.queue) > 0 {
		<-p.queue
	}
	return nil
}
