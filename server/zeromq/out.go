package zeromq

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/zmtp"
)

// An outlet is what a PUB socket's peers are sent: the newest messages of its
// channels, in the log's order, kept once for all. A peer is a number, that of
// the next message it gets; one that is too slow finds that what it would get
// is not there any more. Nothing is queued for anybody.
type outlet struct {
	socket *socket
	tap    *hub.Tap
	news   chan struct{} // holds a token when the tap has something
	flush  chan chan struct{}
	over   context.CancelFunc
	ended  chan struct{}

	mu       sync.Mutex // guards all below
	messages []*hub.Message
	first    uint64 // number of messages[0]
	bytes    int
	more     chan struct{} // closed when there are more
}

func newOutlet(k *socket) *outlet {
	ctx, cancel := context.WithCancel(context.Background())
	o := &outlet{socket: k, news: make(chan struct{}, 1), flush: make(chan chan struct{}), over: cancel, ended: make(chan struct{}), more: make(chan struct{})}
	o.tap = k.hub.Tap(k.Channels, func() {
		select {
		case o.news <- struct{}{}:
		default:
		}
	})
	go o.fill(ctx)
	return o
}

func (o *outlet) close() {
	o.over()
	<-o.ended
}

// fill takes over what is said, until ctx ends.
func (o *outlet) fill(ctx context.Context) {
	defer close(o.ended)
	defer o.tap.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.news:
			o.collect()
		case done := <-o.flush:
			for o.collect() > 0 {
			}
			close(done)
		}
	}
}

// collect takes over what is there, and returns how much that was.
func (o *outlet) collect() int {
	messages, lost := o.tap.Collect()
	if lost > 0 {
		o.socket.counts.drop(byRing, uint64(lost))
	}
	if len(messages) > 0 {
		o.add(messages)
	}
	return len(messages)
}

// fillUp has all be there that has been said.
func (o *outlet) fillUp() {
	done := make(chan struct{})
	o.flush <- done
	<-done
}

// add adds messages, and lets go of the oldest.
func (o *outlet) add(messages []*hub.Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.messages = append(o.messages, messages...)
	for _, m := range messages {
		o.bytes += size(m)
	}
	gone := 0
	for o.bytes > o.socket.BacklogBytes && gone < len(o.messages)-1 {
		o.bytes -= size(o.messages[gone])
		gone++
	}
	clear(o.messages[:gone])
	o.messages = o.messages[gone:]
	o.first += uint64(gone)
	close(o.more)
	o.more = make(chan struct{})
}

// size is about what a message keeps.
func size(m *hub.Message) int { return m.Size() + len(m.Channel()) }

// atOnce and bytesAtOnce are how much a peer is sent by one write, which all has
// to be taken in time; one message may be larger.
const (
	atOnce      = 64
	bytesAtOnce = 64 << 10
)

// from puts the next messages from number at on into dst, which is empty, and
// returns them, the number behind them, how many are missing before them, and
// where to wait when there are none.
func (o *outlet) from(dst []*hub.Message, at uint64) (all []*hub.Message, next, missing uint64, more <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if at < o.first {
		missing, at = o.first-at, o.first
	}
	all = dst
	bytes := 0
	for _, m := range o.messages[at-o.first:] {
		if bytes += size(m); len(all) > 0 && (len(all) == atOnce || bytes > bytesAtOnce) {
			break
		}
		all = append(all, m)
	}
	return all, at + uint64(len(all)), missing, o.more
}

func (o *outlet) top() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.first + uint64(len(o.messages))
}

// serve sends a peer what it has subscribed to, from now on.
func (o *outlet) serve(ctx context.Context, c *zmtp.Conn) error {
	peer, leave := context.WithCancelCause(context.Background())
	subs := &subscriptions{most: o.socket.MaxSubscriptions, longest: o.socket.hub.Limits().NameBytes, all: make(map[string]bool)}
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		leave(subs.follow(c))
		c.Close() // whatever is being written
	}()
	err := o.send(ctx, peer, c, subs)
	c.Close()
	<-heard
	return err
}

// send sends until the peer has gone, or ctx has ended and all has been sent
// that was said before.
func (o *outlet) send(ctx, peer context.Context, c *zmtp.Conn, subs *subscriptions) error {
	var batch []*hub.Message
	var out, body []byte
	ending := ctx.Done()
	for at := o.top(); ; {
		if peer.Err() != nil {
			return context.Cause(peer)
		}
		var missing uint64
		var more <-chan struct{}
		batch, at, missing, more = o.from(batch[:0], at)
		if missing > 0 {
			o.socket.counts.drop(byBacklog, missing)
		}
		sent := 0
		out = out[:0]
		for _, m := range batch {
			if subs.want(m.Channel()) && !late(m) {
				body = o.socket.opts.Encode(body[:0], m)
				out = zmtp.AppendMessage(out, []byte(m.Channel()), body)
				sent++
			}
		}
		if sent > 0 {
			if err := c.Write(out); err != nil {
				return err
			}
			o.socket.counts.sent.Add(uint64(sent))
		}
		clear(batch)
		if len(batch) > 0 {
			continue
		}
		if cap(out) > keptBytes {
			out, body = nil, nil
		}
		if ending == nil {
			return ctx.Err()
		}
		select {
		case <-ending:
			ending = nil
			o.fillUp() // then once more
		case <-peer.Done():
		case <-more:
		}
	}
}

// late reports whether m is not worth hearing any more.
func late(m *hub.Message) bool {
	return m.Terms != nil && m.Terms.TTL > 0 && time.Since(time.UnixMilli(m.Time)) > m.Terms.TTL
}

// keptBytes is how large a buffer a peer that waits may keep.
const keptBytes = 64 << 10

// subscriptions are what a peer wants to have: what begins with one of them.
type subscriptions struct {
	most    int
	longest int // bytes of a channel's name: what is longer stands for nothing

	mu  sync.Mutex
	all map[string]bool
}

var errSubscriptions = errors.New("the peer has more than max_subscriptions")

// follow keeps up with what c subscribes to, until the connection ends.
func (s *subscriptions) follow(c *zmtp.Conn) error {
	for {
		prefix, on, err := c.ReceiveSubscription()
		var over *zmtp.LimitError
		if errors.As(err, &over) {
			continue
		}
		if err != nil {
			return err
		}
		if err := s.change(string(prefix), on); err != nil {
			return err
		}
	}
}

// change notes a change. What has been asked for twice is taken back once: so
// libzmq counts, and of its own doublets tells us only the beginning.
func (s *subscriptions) change(prefix string, on bool) error {
	if len(prefix) > s.longest {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !on:
		delete(s.all, prefix)
	case !s.all[prefix] && len(s.all) >= s.most:
		return errSubscriptions
	default:
		s.all[prefix] = true
	}
	return nil
}

// want reports whether a message of this channel is wanted. It looks at the
// beginnings of its name or at the subscriptions, whichever are fewer.
func (s *subscriptions) want(channel string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) > len(channel) {
		for n := range len(channel) + 1 {
			if s.all[channel[:n]] {
				return true
			}
		}
		return false
	}
	for prefix := range s.all {
		if strings.HasPrefix(channel, prefix) {
			return true
		}
	}
	return false
}
