package cluster

import (
	"context"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"
)

// between draws a time.
func between(r *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(r.Int64N(int64(to-from)))
}

func (w *world) anyNode(r *rand.Rand) *node { return w.roster.nodes[r.IntN(len(w.roster.nodes))] }

// linked is a node whose way to Redis is a link.
func (w *world) linked(r *rand.Rand) *node {
	for {
		if n := w.anyNode(r); len(n.links) > 0 {
			return n
		}
	}
}

// suffer has something befall a node's way to Redis for some time.
func suffer(ctx context.Context, w *world, r *rand.Rand, from, to time.Duration, t trouble) error {
	n := w.linked(r)
	for _, l := range n.links {
		l.set(t)
		defer l.set(trouble{})
	}
	pause(ctx, between(r, from, to))
	return nil
}

var nodeFaults = []*fault{
	{"node SIGSTOP", coldNode, 8, 0, func(ctx context.Context, w *world, r *rand.Rand) error {
		n := w.anyNode(r)
		n.signal(syscall.SIGSTOP)
		defer n.signal(syscall.SIGCONT)
		pause(ctx, between(r, time.Second, 6*time.Second))
		return nil
	}},
	{"node SIGKILL", coldNode, 8, aRedis, func(ctx context.Context, w *world, r *rand.Rand) error {
		return w.anyNode(r).again(ctx, syscall.SIGKILL, between(r, 200*time.Millisecond, 2*time.Second))
	}},
	{"node SIGKILL, alone", endsEpoch | forgets, 4, aSolitary, func(ctx context.Context, w *world, r *rand.Rand) error {
		return w.anyNode(r).again(ctx, syscall.SIGKILL, between(r, 100*time.Millisecond, 500*time.Millisecond))
	}},
	{"nodes SIGTERM, rolling", coldNode, 6, aRedis, func(ctx context.Context, w *world, r *rand.Rand) error {
		for _, n := range w.roster.nodes {
			if err := n.again(ctx, syscall.SIGTERM, 0); err != nil {
				return err
			}
		}
		return nil
	}},
	{"node SIGTERM, late start", coldNode, 4, aRedis, func(ctx context.Context, w *world, r *rand.Rand) error {
		return w.anyNode(r).again(ctx, syscall.SIGTERM, between(r, 6*time.Second, 9*time.Second))
	}},
	{"node partition", coldNode, 6, aRedis, func(ctx context.Context, w *world, r *rand.Rand) error {
		return suffer(ctx, w, r, 2*time.Second, 9*time.Second, trouble{ask: true, answer: true})
	}},
	{"node hears nothing of Redis", coldNode, 4, aRedis, func(ctx context.Context, w *world, r *rand.Rand) error {
		return suffer(ctx, w, r, 2*time.Second, 8*time.Second, trouble{answer: true})
	}},
	{"node tells Redis nothing", coldNode, 4, aRedis, func(ctx context.Context, w *world, r *rand.Rand) error {
		return suffer(ctx, w, r, 2*time.Second, 8*time.Second, trouble{ask: true})
	}},
	{"node with a slow link", coldNode, 4, aRedis, func(ctx context.Context, w *world, r *rand.Rand) error {
		return suffer(ctx, w, r, 2*time.Second, 5*time.Second, trouble{delay: 30 * time.Millisecond})
	}},
	{"node with a cut link", coldNode, 4, aRedis, func(ctx context.Context, w *world, r *rand.Rand) error {
		for range 5 {
			for _, l := range w.linked(r).links {
				l.cut()
			}
			pause(ctx, between(r, 50*time.Millisecond, 400*time.Millisecond))
		}
		return nil
	}},
	{"replies dropped after some bytes", coldNode, 4, aRedis, func(ctx context.Context, w *world, r *rand.Rand) error {
		return suffer(ctx, w, r, time.Second, 3*time.Second, trouble{after: 3000 + r.IntN(30_000)})
	}},
	{"nodes cut off all at once", coldNode, 3, aRedis, func(ctx context.Context, w *world, r *rand.Rand) error {
		for _, l := range w.store.links {
			l.set(trouble{ask: true, answer: true})
			defer l.set(trouble{})
		}
		pause(ctx, between(r, time.Second, 5*time.Second))
		return nil
	}},
	{"peer ports blocked", 0, 4, aPeer, func(ctx context.Context, w *world, r *rand.Rand) error {
		for _, n := range w.roster.nodes {
			n.peers.set(trouble{ask: true, answer: true})
			defer n.peers.set(trouble{})
		}
		pause(ctx, between(r, 2*time.Second, 6*time.Second))
		return nil
	}},
	{"peers cut", 0, 4, aPeer, func(ctx context.Context, w *world, r *rand.Rand) error {
		for range 5 {
			for _, n := range w.roster.nodes {
				n.peers.cut()
			}
			pause(ctx, 100*time.Millisecond)
		}
		return nil
	}},
	{"processors squeezed", 0, 2, 0, func(ctx context.Context, w *world, r *rand.Rand) error {
		return w.stutter(ctx, r)
	}},
	{"descriptors squeezed", 0, 2, 0, func(ctx context.Context, w *world, r *rand.Rand) error {
		return w.anyNode(r).crowded(ctx, 1500, between(r, time.Second, 3*time.Second))
	}},
}

// again ends a node and starts it some time later.
func (n *node) again(ctx context.Context, s syscall.Signal, later time.Duration) error {
	err := n.end(s, 30*time.Second)
	pause(ctx, later)
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	if e := n.start(ctx); e != nil {
		return e
	}
	if err != nil && strings.Contains(err.Error(), "drain_timeout") {
		return nil // somebody did not read on
	}
	return err
}

// stutter has all nodes stand still for most of the time.
func (w *world) stutter(ctx context.Context, r *rand.Rand) error {
	for range 30 {
		for _, n := range w.roster.nodes {
			n.signal(syscall.SIGSTOP)
		}
		pause(ctx, 80*time.Millisecond)
		for _, n := range w.roster.nodes {
			n.signal(syscall.SIGCONT)
		}
		pause(ctx, 20*time.Millisecond)
	}
	return nil
}

// crowded has many connections be open that say nothing.
func (n *node) crowded(ctx context.Context, many int, lasts time.Duration) error {
	var all []*line
	for range many {
		c, err := dial(ctx, n.public)
		if err != nil {
			break
		}
		all = append(all, c)
	}
	pause(ctx, lasts)
	for _, c := range all {
		reset(c.Conn)
	}
	return nil
}
