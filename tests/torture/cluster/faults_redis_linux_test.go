package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"
)

// Of redisFaults, all that start the server again begin an epoch, and what the
// server had not written down by then is lost.
var redisFaults = []*fault{
	{"Redis SIGSTOP", coldNode, 6, aRedis, func(ctx context.Context, w *world, r *rand.Rand) error {
		return w.freeze(ctx, between(r, 300*time.Millisecond, 2*time.Second))
	}},
	{"Redis SIGSTOP for long", endsEpoch | forgets, 3, aReplica, func(ctx context.Context, w *world, r *rand.Rand) error {
		return w.freeze(ctx, between(r, 6*time.Second, 9*time.Second))
	}},
	{"Redis SIGKILL, AOF", endsEpoch | forgets, 6, aRedis, func(ctx context.Context, w *world, r *rand.Rand) error {
		return w.rebirth(ctx, between(r, 100*time.Millisecond, 600*time.Millisecond), false)
	}},
	{"Redis SIGKILL, empty", endsEpoch | forgets, 3, aRedis, func(ctx context.Context, w *world, r *rand.Rand) error {
		return w.rebirth(ctx, between(r, 100*time.Millisecond, 600*time.Millisecond), true)
	}},
	{"Redis FLUSHALL", endsEpoch | forgets, 2, aRedis, func(ctx context.Context, w *world, r *rand.Rand) error {
		return w.store.now().all("FLUSHALL")
	}},
	{"Redis maxmemory", 0, 2, aRedis, func(ctx context.Context, w *world, r *rand.Rand) error {
		s := w.store.now()
		err := s.all("CONFIG SET maxmemory 1mb")
		pause(ctx, between(r, 2*time.Second, 4*time.Second))
		if e := s.all("CONFIG SET maxmemory 0"); err == nil {
			err = e
		}
		return err
	}},
	{"Redis CLIENT KILL", coldNode, 5, aRedis, func(ctx context.Context, w *world, r *rand.Rand) error {
		for range 5 {
			_ = w.store.now().all("CLIENT KILL TYPE normal")
			pause(ctx, 100*time.Millisecond)
		}
		return nil
	}},
	{"Redis CLIENT KILL, replicas and pubsub", coldNode, 3, aRedis, func(ctx context.Context, w *world, r *rand.Rand) error {
		return w.store.now().all("CLIENT KILL TYPE pubsub", "CLIENT KILL TYPE replica")
	}},
	{"Redis tiny output buffers", coldNode, 3, aRedis, func(ctx context.Context, w *world, r *rand.Rand) error {
		s := w.store.now()
		if _, err := s.do("CONFIG", "SET", "client-output-buffer-limit", "normal 20kb 10kb 1"); err != nil {
			return err
		}
		some, cancel := context.WithTimeout(ctx, 3*time.Second)
		w.burst(some, r, 300)
		cancel()
		_, err := s.do("CONFIG", "SET", "client-output-buffer-limit", "normal 0 0 0")
		return err
	}},
	{"Redis SCRIPT FLUSH", 0, 3, aRedis, func(ctx context.Context, w *world, r *rand.Rand) error {
		for range 5 {
			if err := w.store.now().all("SCRIPT FLUSH"); err != nil {
				return err
			}
			pause(ctx, 100*time.Millisecond)
		}
		return nil
	}},
	{"log trimmed behind a node", coldNode, 5, aRedis, func(ctx context.Context, w *world, r *rand.Rand) error {
		n := w.anyNode(r)
		n.signal(syscall.SIGSTOP)
		defer n.signal(syscall.SIGCONT)
		pause(ctx, between(r, 300*time.Millisecond, 3*time.Second))
		return w.store.now().trimLog()
	}},
	{"log trimmed all the time", coldNode, 5, aRedis, func(ctx context.Context, w *world, r *rand.Rand) error {
		for range 20 {
			if err := w.store.now().trimLog(); err != nil {
				return err
			}
			pause(ctx, between(r, 20*time.Millisecond, 200*time.Millisecond))
		}
		return nil
	}},
	{"Redis busy", coldNode, 3, aRedis, func(ctx context.Context, w *world, r *rand.Rand) error {
		return w.store.now().all("DEBUG SLEEP 1.5")
	}},
	{"Redis read-only", endsEpoch | forgets, 3, aRedis, func(ctx context.Context, w *world, r *rand.Rand) error {
		s := w.store.now()
		err := s.all("REPLICAOF 127.0.0.1 1")
		pause(ctx, time.Second)
		_ = s.all("REPLICAOF NO ONE")
		if err == nil {
			err = w.settle(ctx)
		}
		return err
	}},
	{"Sentinel failover", endsEpoch | forgets, 4, aReplica, func(ctx context.Context, w *world, r *rand.Rand) error {
		before, release := w.primary()
		defer release()
		for patient := time.Now().Add(20 * time.Second); pause(ctx, 200*time.Millisecond); {
			if !w.store.copyKnown() && time.Now().Before(patient) {
				continue
			}
			if err := w.store.sentinels[0].all("SENTINEL FAILOVER shaveet"); err == nil {
				break
			}
		}
		return w.deposed(ctx, before)
	}},
	{"Redis killed, Sentinel promotes", endsEpoch | forgets, 3, aReplica, func(ctx context.Context, w *world, r *rand.Rand) error {
		before, release := w.primary()
		defer release()
		before.kill()
		return w.resurrect(ctx, before)
	}},
	{"lagging replica promoted", endsEpoch | forgets, 4, aReplica, func(ctx context.Context, w *world, r *rand.Rand) error {
		before, release := w.primary()
		defer release()
		if err := before.all("ACL SETUSER default -psync", "CLIENT KILL TYPE replica"); err != nil {
			return err
		}
		some, cancel := context.WithTimeout(ctx, 3*time.Second)
		w.burst(some, r, 200)
		cancel()
		pause(ctx, between(r, 500*time.Millisecond, 2*time.Second))
		before.kill()
		return w.resurrect(ctx, before)
	}},
}

// trimLog takes from the log's stream all that is in it: who has not read that by
// now has to read the state.
func (s *redis) trimLog() error {
	set, err := s.do("HGET", "{shaveet}:log", "set")
	if err != nil {
		return err
	}
	_, err = s.do("XTRIM", "{shaveet}:"+set+":entries", "MAXLEN", "0")
	return err
}

// freeze has the primary stand still for some time.
func (w *world) freeze(ctx context.Context, d time.Duration) error {
	s := w.store.now()
	s.signal(syscall.SIGSTOP)
	pause(ctx, d)
	s.signal(syscall.SIGCONT)
	return w.settle(ctx)
}

// primary returns the primary, which nobody else ends or starts before release.
func (w *world) primary() (s *redis, release func()) {
	for {
		s := w.store.now()
		s.life.Lock()
		if s == w.store.now() {
			return s, s.life.Unlock
		}
		s.life.Unlock() // meanwhile another one is
	}
}

// rebirth kills the primary and starts it again, with what it has written down or
// with nothing.
func (w *world) rebirth(ctx context.Context, later time.Duration, empty bool) error {
	s, release := w.primary()
	defer release()
	s.kill()
	if empty {
		if err := s.wipe(); err != nil {
			return err
		}
	}
	pause(ctx, later)
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := s.start(ctx); err != nil {
		return err
	}
	return w.settle(ctx)
}

// deposed waits until another server is the primary.
func (w *world) deposed(ctx context.Context, before *redis) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for w.store.now() == before {
		if !pause(ctx, 50*time.Millisecond) {
			return fmt.Errorf("Sentinel promotes nobody")
		}
	}
	return w.settle(ctx)
}

// resurrect waits until another server is the primary, and has the old one come
// back as its copy.
func (w *world) resurrect(ctx context.Context, old *redis) error {
	if err := w.deposedAlone(ctx, old); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := old.start(ctx); err != nil {
		return err
	}
	return w.settle(ctx)
}

func (w *world) deposedAlone(ctx context.Context, before *redis) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if now := w.store.now(); now != before {
			if role, err := now.do("ROLE"); err == nil && strings.HasPrefix(role, "master") {
				return nil
			}
		}
		if !pause(ctx, 50*time.Millisecond) {
			return fmt.Errorf("Sentinel promotes nobody")
		}
	}
}

func (w *world) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return w.store.settled(ctx)
}
