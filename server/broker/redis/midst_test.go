package redis_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/broker/redis"
	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/tests/redistest"
	"github.com/shaveet/shaveet/tests/torture/faultproxy"
)

// Who begins while others come, go, speak and end, knows in the end what those know
// who have been there all the time. The state is read part by part, so it is of no
// one moment.
func TestBeginsInTheMidst(t *testing.T) {
	c := crowded(t)
	inTheMidst(t, c, func(when string) {
		stop := c.begin(t)
		b := join(t, c.opts)
		begun := b.Position().Seq
		until(t, "the others have gone on", func() bool { return c.Position().Seq > begun+100 })
		stop()
		c.same(t, when, b)
		b.end()
	})
}

// The same goes for nodes that have to read the state anew, since the log has not
// any more what they have missed.
func TestReadsAnewInTheMidst(t *testing.T) {
	c := crowded(t)
	b := join(t, c.opts)
	inTheMidst(t, c, func(when string) {
		restored := func() uint64 {
			p, _ := c.LogStats()
			q, _ := b.LogStats()
			return p.Restored + q.Restored
		}
		stop := c.begin(t)
		for before := restored(); restored() < before+2; {
			at := c.Position().Seq
			until(t, "the others have gone on", func() bool { return c.Position().Seq > at })
			c.server.Do("XTRIM", keysOf(c.server)+"entries", "MAXLEN", "0")
		}
		stop()
		c.same(t, when, b)
	})
}

// Nor does it take another entry for a node to notice that it has missed the last.
func TestLogWithoutItsEnd(t *testing.T) {
	server := redistest.Start(t)
	link := faultproxy.Start(t, server.Addr, 1, faultproxy.Faults{})
	a := join(t, redis.Options{URL: server.URL()})
	b := join(t, redis.Options{URL: through(server, link)})
	a.create(t, "bob")
	must(t, 0, b.Sync(t.Context()))
	link.Drop(faultproxy.Answers, true)
	a.subscribe(t, "bob", "news")
	server.Do("XTRIM", keysOf(server)+"entries", "MAXLEN", "0")
	link.Sever()
	link.Drop(faultproxy.Answers, false)
	until(t, "it knows what it has missed", func() bool { return b.Sync(t.Context()) == nil })
	sameState(t, "afterwards", a, b)
}

// inTheMidst does something in rounds, until it has failed.
func inTheMidst(t *testing.T, c *churn, round func(when string)) {
	rounds := 6
	if os.Getenv("SHAVEET_LONG") != "" {
		rounds = 200
	}
	for n := 0; n < rounds && !t.Failed(); n++ {
		round(fmt.Sprint("round ", n))
	}
}

// A churn has all kinds of things happen at a node.
type churn struct {
	*node
	server *redistest.Server
	opts   redis.Options

	mu   sync.Mutex               // guards all below
	keys map[string]string        // of clients and sockets, as they were told last
	said map[string]hub.Published // by publish id, what was answered first
}

// crowded returns one on a server of its own, with so many clients that it takes a
// while to read them.
func crowded(t *testing.T) *churn {
	server := redistest.Start(t)
	opts := redis.Options{URL: server.URL()}
	c := &churn{node: join(t, opts), server: server, opts: opts, keys: make(map[string]string), said: make(map[string]hub.Published)}
	var fill sync.WaitGroup
	for w := range 64 {
		fill.Go(func() {
			for i := range 100 {
				c.CreateClient(context.Background(), fmt.Sprint("fill", w, "-", i))
			}
		})
	}
	fill.Wait()
	return c
}

func (c *churn) note(cr hub.Credentials) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys[cr.ID] = cr.Key
}

func (c *churn) key(id string) hub.Credentials {
	c.mu.Lock()
	defer c.mu.Unlock()
	return hub.Credentials{ID: id, Key: c.keys[id]}
}

const (
	churnClients  = 20
	churnSockets  = 10
	churnRooms    = 12
	churnRetries  = 100
	churnSpace    = "/game"
	churnChannels = "room"
)

func churnClient(n int) string { return fmt.Sprint("c", n) }
func churnSocket(n int) string { return fmt.Sprintf("~socket%013d", n) }

// begin has it all happen, until stop.
func (c *churn) begin(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for ctx.Err() == nil {
				c.step(ctx, t)
			}
		})
	}
	all.Go(func() {
		for ctx.Err() == nil {
			c.Tidy(ctx)
			c.Expire(ctx, hub.Idle{After: time.Millisecond}, 3)
		}
	})
	return func() { cancel(); all.Wait() }
}

func (c *churn) step(ctx context.Context, t *testing.T) {
	id, socket, room := churnClient(rand.IntN(churnClients)), churnSocket(rand.IntN(churnSockets)), fmt.Sprint(churnChannels, rand.IntN(churnRooms))
	who := id
	if rand.IntN(3) == 0 {
		who = socket
	}
	pair := []hub.Pair{{Client: who, Channel: room}}
	switch rand.IntN(22) {
	case 0, 1:
		if key, _, err := c.CreateClient(ctx, id); err == nil {
			c.note(hub.Credentials{ID: id, Key: key})
		}
	case 2, 3:
		if cr, _, err := c.CreateSocket(ctx, socket, churnSpace, id); err == nil {
			c.note(cr)
		}
	case 4, 5, 6:
		c.Subscribe(ctx, pair)
	case 7, 8:
		c.Unsubscribe(ctx, pair)
	case 9:
		c.KillClient(ctx, id)
	case 10:
		c.DeleteChannel(ctx, room)
	case 11, 12:
		c.Publish(ctx, hub.Publication{Channel: room, Sender: json.RawMessage(`"x"`), Data: json.RawMessage(`1`)})
	case 13:
		if key, _, err := c.RotateKey(ctx, id); err == nil {
			c.note(hub.Credentials{ID: id, Key: key})
		}
	case 14:
		c.ForgetSocket(ctx, c.key(socket))
	case 15:
		c.SetSocketData(ctx, socket, fmt.Append(nil, rand.IntN(1000)))
	case 16, 17:
		c.Emit(ctx, hub.Emission{Namespace: churnSpace, Rooms: []string{socket, room, "client:" + id}, Event: "move", Args: json.RawMessage(`[]`), Sender: json.RawMessage(`"x"`)})
	case 18:
		n := rand.IntN(churnRetries)
		c.again(ctx, t, c.node, n)
	case 19:
		c.Broadcast(ctx, []string{room, "room0"}, hub.Publication{Sender: json.RawMessage(`"x"`), Data: json.RawMessage(`2`)})
	case 20, 21:
		c.poll(ctx, id)
	}
}

// again says something under a publish id, and wants the answer it had before.
func (c *churn) again(ctx context.Context, t *testing.T, n *node, which int) {
	id := fmt.Sprint("id", which)
	p, err := n.Publish(ctx, hub.Publication{Channel: fmt.Sprint(churnChannels, which%churnRooms), Sender: json.RawMessage(`"x"`), Data: json.RawMessage(`3`), PublishID: id})
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if before, said := c.said[id]; !said {
		c.said[id] = p
	} else if before.Repeated = p.Repeated; before != p {
		t.Errorf("%s was said at %+v, and then at %+v", id, before, p)
	}
}

// poll is a page of 2010 that asks once, and may break off.
func (c *churn) poll(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	p, err := c.AttachPoll(ctx, []hub.Credentials{c.key(id)}, nil)
	if err != nil {
		return
	}
	defer p.Close()
	if _, err := p.Next(ctx); err == nil {
		p.Done(rand.IntN(3) > 0)
	}
}

// same wants another node to know what this one knows.
func (c *churn) same(t *testing.T, when string, b *node) {
	t.Helper()
	for _, n := range []*node{c.node, b} {
		until(t, "it has read everything", func() bool { return n.Sync(t.Context()) == nil })
	}
	sameState(t, when, c.node, b)
	c.sameAnswers(t, when, b)
	c.sameTaken(t, when, b)
}

// sameAnswers repeats what was said under publish ids, at another node.
func (c *churn) sameAnswers(t *testing.T, when string, b *node) {
	t.Helper()
	for which := range churnRetries {
		c.again(t.Context(), t, b, which)
	}
	must(t, 0, c.Sync(t.Context()))
	must(t, 0, b.Sync(t.Context()))
	sameState(t, when+", after answers", c.node, b)
}

// sameState wants two nodes to say the same of everything.
func sameState(t *testing.T, when string, a, b *node) {
	t.Helper()
	for _, pattern := range []string{"*", "/*", "@*"} {
		x, _ := a.ListChannels(hub.Listing{Limit: 1000, Pattern: pattern})
		y, _ := b.ListChannels(hub.Listing{Limit: 1000, Pattern: pattern})
		differ(t, when, "channels "+pattern, x, y)
		for _, ch := range x {
			differ(t, when, "who is on "+ch.Name, sorted(a.Members(ch.Name)), sorted(b.Members(ch.Name)))
			differ(t, when, "what is kept of "+ch.Name, kept(t, a, ch.Name), kept(t, b, ch.Name))
		}
	}
	u, _ := a.ListClients(hub.Listing{Limit: 1000, Pattern: "c*"})
	v, _ := b.ListClients(hub.Listing{Limit: 1000, Pattern: "c*"})
	differ(t, when, "clients", known(u), known(v))
	if p, q := a.Stats(), b.Stats(); p.Clients != q.Clients || p.Sockets != q.Sockets || p.Channels != q.Channels {
		t.Errorf("%s: stats %+v, and %+v", when, p, q)
	}
	for _, c := range u {
		p, _ := a.ClientChannels(c.ID)
		q, _ := b.ClientChannels(c.ID)
		differ(t, when, "channels of "+c.ID, sorted(p), sorted(q))
	}
	for n := range churnSockets {
		id := churnSocket(n)
		differ(t, when, "data of "+id, []string{string(a.SocketData(id))}, []string{string(b.SocketData(id))})
		differ(t, when, "rooms of "+id, sorted(a.SocketRooms(id, churnSpace)), sorted(b.SocketRooms(id, churnSpace)))
		for owner := range churnClients {
			at, is := a.SocketSince(id, churnSpace, churnClient(owner))
			bt, it := b.SocketSince(id, churnSpace, churnClient(owner))
			if at != bt || is != it {
				t.Errorf("%s: %s of c%d is there: %t since %v, and %t since %v", when, id, owner, is, at, it, bt)
			}
		}
	}
}

func differ[T comparable](t *testing.T, when, what string, x, y []T) {
	t.Helper()
	if !slices.Equal(x, y) {
		t.Errorf("%s: %s:\n%+v\n%+v", when, what, x, y)
	}
}

func sorted(all []string) []string {
	slices.Sort(all)
	return all
}

// known is what all nodes know of clients.
func known(all []hub.ClientInfo) (same []hub.ClientInfo) {
	for _, c := range all {
		same = append(same, hub.ClientInfo{ID: c.ID, LetGo: c.LetGo, Channels: c.Channels})
	}
	return same
}

// kept is a channel's messages, and its last id.
func kept(t *testing.T, n *node, channel string) (all []string) {
	t.Helper()
	h, err := n.History(hub.HistoryQuery{Channel: channel, Limit: 1 << 20})
	must(t, 0, err)
	for _, m := range h.Messages {
		all = append(all, fmt.Sprint(m.Seq, " ", m.ID, " ", m.Event, string(m.Data)))
	}
	return append(all, fmt.Sprint(h.LastID))
}

// sameTaken has pages of 2010 come to one node and then to the other, and wants
// them to be given the same.
func (c *churn) sameTaken(t *testing.T, when string, b *node) {
	t.Helper()
	live, _ := c.ListClients(hub.Listing{Limit: 1000, Pattern: "c*"})
	live = slices.DeleteFunc(live, func(i hub.ClientInfo) bool { return i.LetGo })
	var pairs []hub.Pair
	for _, i := range live {
		pairs = append(pairs, hub.Pair{Client: i.ID, Channel: "everybody"})
	}
	_, err := c.Subscribe(t.Context(), pairs)
	must(t, 0, err)
	c.say(t, "everybody", 1) // so there is something for each
	must(t, 0, b.Sync(t.Context()))
	for _, i := range live { // of two who were told a key at the same time, nobody knows who has the newer one
		key, _, err := c.RotateKey(t.Context(), i.ID)
		c.note(hub.Credentials{ID: i.ID, Key: must(t, key, err)})
	}
	for _, i := range live {
		differ(t, when, "what is left for "+i.ID, leftFor(t, c.node, c.key(i.ID)), leftFor(t, b, c.key(i.ID)))
	}
}

// leftFor is what a page of 2010 is given, without who has joined and left, which is
// not kept in Redis; it takes nothing.
func leftFor(t *testing.T, n *node, cr hub.Credentials) (left []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	p, err := n.AttachPoll(ctx, []hub.Credentials{cr}, nil)
	if err != nil {
		t.Errorf("%s: %v", cr.ID, err)
		return nil
	}
	defer p.Close()
	messages, err := p.Next(ctx)
	if err != nil {
		t.Errorf("%s: %v", cr.ID, err)
	}
	for _, m := range messages {
		if m.Notice == 0 {
			left = append(left, fmt.Sprint(m.Seq, " ", m.Channel()))
		}
	}
	p.Done(false)
	return left
}
