package redis_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/broker/redis"
	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/tests/redistest"
	"github.com/shaveet/shaveet/tests/torture/faultproxy"
)

// through returns the URL of a server behind a proxy.
func through(s *redistest.Server, p *faultproxy.Proxy) string {
	return strings.Replace(s.URL(), s.Addr, p.Addr(), 1)
}

// A crowd publishes numbers on channels from all nodes, and keeps saying one
// until it is told where it went.
type crowd struct {
	nodes []*node
	again bool // under a publish id, as often as it takes; else once

	mu    sync.Mutex
	where map[string]hub.Position // of what was said, by channel and number
	tried map[string]bool         // said, and nobody knows whether it was heard
}

func (c *crowd) publish(t *testing.T, channel string, many int, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	for i := 1; i <= many; i++ {
		name := channel + "/" + strconv.Itoa(i)
		for {
			n := c.nodes[r.IntN(len(c.nodes))]
			pub := hub.Publication{Channel: channel, Sender: []byte(`"x"`), Data: []byte(strconv.Itoa(i))}
			if c.again {
				pub.PublishID = name
			}
			p, err := n.Publish(t.Context(), pub)
			if err == nil {
				c.mu.Lock()
				c.where[name] = p.Position
				c.mu.Unlock()
				break
			}
			if !errors.Is(err, hub.ErrUnavailable) {
				t.Errorf("%s: %v", name, err)
				return
			}
			if !c.again {
				c.mu.Lock()
				c.tried[name] = true
				c.mu.Unlock()
				break
			}
		}
	}
}

// hear reads a channel from node to node, until it has heard the last number.
func hear(t *testing.T, nodes []*node, cr hub.Credentials, last int, seed uint64) *listener {
	l := &listener{cr: cr}
	r := rand.New(rand.NewPCG(seed, 2))
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for ctx.Err() == nil && (len(l.heard) == 0 || l.heard[len(l.heard)-1] < last) {
		n := nodes[r.IntN(len(nodes))]
		s, err := n.Attach(ctx, []hub.Credentials{l.cr}, hub.Start{At: l.at})
		if errors.Is(err, hub.ErrUnavailable) {
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", cr.ID, err)
			return l
		}
		for range 1 + r.IntN(4) {
			turn, end := context.WithTimeout(ctx, time.Duration(r.IntN(100))*time.Millisecond)
			b, err := s.Next(turn)
			end()
			if err == nil && r.IntN(3) > 0 { // the answer may have been lost
				l.take(b)
				s.Commit()
			}
		}
		s.Close()
	}
	return l
}

func TestConnectionsThatBreak(t *testing.T) {
	for _, again := range []bool{true, false} {
		t.Run(fmt.Sprintf("again=%v", again), func(t *testing.T) {
			testConnectionsThatBreak(t, again)
		})
	}
}

func testConnectionsThatBreak(t *testing.T, again bool) {
	const channels, many = 4, 150
	server := redistest.Start(t)
	calm := join(t, redis.Options{URL: server.URL()})
	var ids []hub.Credentials
	for i := range channels {
		cr := calm.create(t, "reader"+strconv.Itoa(i))
		calm.subscribe(t, cr.ID, "c"+strconv.Itoa(i))
		ids = append(ids, cr)
	}
	c := &crowd{again: again, where: make(map[string]hub.Position), tried: make(map[string]bool)}
	var proxies []*faultproxy.Proxy
	for i := range 3 {
		p := faultproxy.Start(t, server.Addr, uint64(i), faultproxy.Faults{Cut: 150, Reset: 150, Pieces: 200, Reach: 60_000})
		proxies = append(proxies, p)
		c.nodes = append(c.nodes, join(t, redis.Options{URL: through(server, p), Timeout: 2 * time.Second}))
	}
	var all sync.WaitGroup
	heard := make([]*listener, channels)
	stop := make(chan struct{})
	var chaos sync.WaitGroup
	chaos.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(60 * time.Millisecond):
				proxies[i%len(proxies)].Sever()
			}
		}
	})
	var speaking sync.WaitGroup
	for i := range channels {
		speaking.Go(func() { c.publish(t, "c"+strconv.Itoa(i), many, uint64(i)) })
	}
	all.Go(func() {
		speaking.Wait()
		for i := range channels {
			calm.say(t, "c"+strconv.Itoa(i), many+1)
		}
	})
	for i := range channels {
		all.Go(func() { heard[i] = hear(t, c.nodes, ids[i], many+1, uint64(i)) })
	}
	all.Wait()
	close(stop)
	chaos.Wait()
	for i, l := range heard {
		c.verify(t, "c"+strconv.Itoa(i), l, many)
	}
}

// verify says what was lost, heard twice, or in the wrong order.
func (c *crowd) verify(t *testing.T, channel string, l *listener, many int) {
	t.Helper()
	if len(l.lost) > 0 {
		t.Errorf("%s: heard of holes: %+v", channel, l.lost)
	}
	last := 0
	heard := make(map[int]bool)
	for _, n := range l.heard {
		if n <= last {
			t.Errorf("%s: %d after %d", channel, n, last)
		}
		last, heard[n] = n, true
	}
	for i := 1; i <= many; i++ {
		name := channel + "/" + strconv.Itoa(i)
		if _, said := c.where[name]; said && !heard[i] {
			t.Errorf("%s: %d was said at %v and not heard", channel, i, c.where[name])
		}
		if !heard[i] && !c.tried[name] {
			t.Errorf("%s: %d is missing", channel, i)
		}
	}
}

func TestRedisHangs(t *testing.T) {
	server := redistest.Start(t)
	opts := redis.Options{URL: server.URL(), Timeout: 500 * time.Millisecond}
	a, b := join(t, opts), join(t, opts)
	l := &listener{cr: a.create(t, "bob")}
	a.subscribe(t, "bob", "news")
	a.say(t, "news", 1)
	l.listen(t, b, 1)
	server.Stop()
	var hung sync.WaitGroup
	for range 50 {
		hung.Go(func() {
			began := time.Now()
			if _, err := a.publish(t.Context(), "news", 2); !errors.Is(err, hub.ErrUnavailable) {
				t.Errorf("while Redis hangs: %v", err)
			}
			if d := time.Since(began); d > 5*time.Second {
				t.Errorf("a call was kept for %v", d)
			}
		})
	}
	hung.Wait()
	s, err := b.Attach(t.Context(), []hub.Credentials{l.cr}, hub.Start{At: l.at})
	if err != nil {
		t.Errorf("while Redis hangs, who is known is not let in: %v", err)
	} else {
		s.Close()
	}
	server.Cont()
	for {
		if _, err := a.publish(t.Context(), "news", 3); err == nil {
			break
		}
	}
	l.listen(t, b, 3)
	// What was not acknowledged may have been said; but each of it once.
	if n := len(l.heard); n > 52 || l.heard[0] != 1 || len(l.lost) > 0 {
		t.Errorf("heard %v, holes %v", l.heard, l.lost)
	}
}

func TestCopyThatLagsBehind(t *testing.T) {
	primary, replica := redistest.Start(t), redistest.Start(t)
	copying := faultproxy.Start(t, primary.Addr, 1, faultproxy.Faults{})
	replica.ReplicaOf(copying.Addr())
	link := faultproxy.Start(t, primary.Addr, 1, faultproxy.Faults{})
	opts := redis.Options{URL: through(primary, link), Timeout: 10 * time.Second}
	a, b := join(t, opts), join(t, opts)
	behind, ahead := &listener{cr: a.create(t, "behind")}, &listener{cr: a.create(t, "ahead")}
	a.subscribe(t, "behind", "news")
	a.subscribe(t, "ahead", "news")
	for i := 1; i <= 5; i++ {
		a.say(t, "news", i)
	}
	behind.listen(t, a, 5)
	for replica.Info("replication", "slave_repl_offset") != primary.Info("replication", "master_repl_offset") {
		time.Sleep(5 * time.Millisecond)
	}
	copying.Retarget("")
	copying.Sever()
	for i := 6; i <= 10; i++ { // acknowledged, and lost
		a.say(t, "news", i)
	}
	ahead.listen(t, b, 10)
	primary.Kill()
	replica.Promote()
	link.Retarget(replica.Addr)
	link.Sever()
	b.insist(t, "news", 11)
	for i := 12; i <= 20; i++ { // under the numbers of what was lost, and beyond
		b.say(t, "news", i)
	}
	must(t, 0, a.Sync(t.Context())) // or it may tell what it has of before, and then of the reset
	for name, l := range map[string]*listener{"behind": behind, "ahead": ahead} {
		l.heard = nil
		l.listen(t, a, 20)
		l.want(t, 11, 20)
		if len(l.lost) != 1 || l.lost[0].Type != hub.SignalReset {
			t.Errorf("who was %s heard of %+v, want one reset", name, l.lost)
		}
	}
}

func TestRedisIsFull(t *testing.T) {
	server := redistest.Start(t, "maxmemory-policy noeviction")
	opts := redis.Options{URL: server.URL(), Timeout: time.Second}
	a, b := join(t, opts), join(t, opts)
	l := &listener{cr: a.create(t, "bob")}
	a.subscribe(t, "bob", "news")
	a.say(t, "news", 1)
	server.Do("CONFIG", "SET", "maxmemory", "1mb")
	if _, err := a.publish(t.Context(), "news", 2); !errors.Is(err, hub.ErrUnavailable) {
		t.Errorf("in a full Redis: %v", err)
	}
	server.Do("CONFIG", "SET", "maxmemory", "0")
	a.say(t, "news", 3)
	l.listen(t, b, 3)
	if fmt.Sprint(l.heard) != "[1 3]" || len(l.lost) > 0 {
		t.Errorf("heard %v, holes %v", l.heard, l.lost)
	}
}

// A call whose answer is lost, with the Redis that gave it, may be in the log
// or not. It is made again only where that changes nothing.
func TestAnswersThatGoWithTheEpoch(t *testing.T) {
	server := redistest.Start(t, redistest.AOF)
	link := faultproxy.Start(t, server.Addr, 1, faultproxy.Faults{})
	a := join(t, redis.Options{URL: through(server, link), Timeout: 20 * time.Second})
	b := join(t, redis.Options{URL: server.URL(), Timeout: 20 * time.Second})
	l := &listener{cr: a.create(t, "bob")}
	a.subscribe(t, "bob", "news")
	a.say(t, "news", 1)
	l.listen(t, b, 1)
	key := strings.TrimSpace(server.Do("KEYS", "*:entries"))
	before := server.Do("XLEN", key)
	link.Drop(faultproxy.Answers, true)
	said := make(chan error, 1)
	go func() {
		_, err := a.publish(t.Context(), "news", 2)
		said <- err
	}()
	for end := time.Now().Add(20 * time.Second); server.Do("XLEN", key) == before; {
		if time.Now().After(end) {
			t.Fatal("the log does not get it")
		}
	}
	server.Restart()
	link.Drop(faultproxy.Answers, false)
	err := <-said
	h, herr := b.History(hub.HistoryQuery{Channel: "news", Limit: 10})
	must(t, 0, herr)
	var heard []string
	for _, m := range h.Messages {
		heard = append(heard, string(m.Data))
	}
	if fmt.Sprint(heard) != "[1 2]" || err != nil && !errors.Is(err, hub.ErrUnavailable) {
		t.Errorf("said once, with %v: the channel has %v", err, heard)
	}
}

// Whoever writes to the log's keys ends an epoch with it; calls meanwhile are
// answered, one way or the other, as soon as that is so.
func TestStrangerWhoGoesOn(t *testing.T) {
	server := redistest.Start(t)
	opts := redis.Options{URL: server.URL(), Timeout: 2 * time.Minute}
	a, b := join(t, opts), join(t, opts)
	cr := a.create(t, "bob")
	a.subscribe(t, "bob", "news")
	key := strings.TrimSpace(server.Do("KEYS", "*:entries"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var speaking sync.WaitGroup
	for i, n := range []*node{a, b} {
		speaking.Go(func() {
			for k := range 40 {
				if _, err := n.publish(ctx, "news", 100*i+k); err != nil && !errors.Is(err, hub.ErrUnavailable) {
					t.Errorf("a call got %v", err)
				}
			}
		})
	}
	for range 20 {
		server.Do("XADD", key, "*", "x", "y")
	}
	speaking.Wait()
	l := &listener{cr: cr}
	a.insist(t, "news", 1000)
	l.listen(t, b, 1000)
}

// Who cannot read what another version has written ends, and leaves the log alone.
func TestEntryOfAnotherVersion(t *testing.T) {
	server := redistest.Start(t)
	opts := redis.Options{URL: server.URL()}
	h := hub.New(hub.Config{NewKey: func() string { return "k" }}, open(t, opts))
	ended := make(chan error, 1)
	go func() { ended <- h.Run(t.Context()) }()
	<-h.Ready()
	for i := range 3 {
		_, _, err := h.CreateClient(t.Context(), "bob"+strconv.Itoa(i))
		must(t, 0, err)
	}
	key := strings.TrimSpace(server.Do("KEYS", "*:entries"))
	server.Do("EVAL", `local e = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1][2]
		redis.call('XADD', KEYS[1], '*', 'b', e[2] .. '\255', 't', '1')`, "1", key)
	select {
	case err := <-ended:
		if !strings.Contains(err.Error(), "another version") {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it goes on")
	}
	if n := strings.TrimSpace(server.Do("XLEN", key)); n != "4" {
		t.Errorf("the log has %s entries, want 4", n)
	}
}

// A channel that nobody can have made is passed over by who begins.
func TestNamelessChannel(t *testing.T) {
	server := redistest.Start(t)
	opts := redis.Options{URL: server.URL()}
	a := join(t, opts)
	a.create(t, "bob")
	a.subscribe(t, "bob", "news")
	server.Do("HSET", keysOf(server)+"channels", "", "3")
	server.Do("SADD", keysOf(server)+"clients", "")
	server.Do("HSET", keysOf(server)+"c:", "k", "key")
	b := join(t, opts)
	sameState(t, "with one", a, b)
}

// Where the log's own key makes no sense any more, a node says so and ends.
func TestDamagedLog(t *testing.T) {
	for _, seq := range []string{"abc", "-5", "1e300", "0.5"} {
		server := redistest.Start(t)
		h := hub.New(hub.Config{NewKey: func() string { return "k" }}, open(t, redis.Options{URL: server.URL()}))
		ended := make(chan error, 1)
		go func() { ended <- h.Run(t.Context()) }()
		<-h.Ready()
		server.Do("HSET", "{shaveet}:log", "seq", seq)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		h.CreateClient(ctx, "bob") // which may hear of it first
		cancel()
		select {
		case err := <-ended:
			if !strings.Contains(err.Error(), "{shaveet}:log is not the log") {
				t.Errorf("%s: it ended with %v", seq, err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: it goes on", seq)
		}
	}
}
