package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

// A world is one run: nodes, what is before and behind them, and everybody who
// uses them.
type world struct {
	plan    *plan
	roster  *roster
	store   *store    // nil: the nodes are one, with a log of its own
	front   *balancer // verified readers come by this
	back    *balancer // the backend and publishers
	backend *caller
	journal *journal
	figures *figures
	epochs  *epochs

	channels []*channel
	verified []*reader
	others   []*reader
	probe    *client
	probed   sync.Mutex

	begun   time.Time
	over    context.Context // ends when the run does
	end     context.CancelFunc
	errands sync.WaitGroup
	reading sync.WaitGroup
	leave   context.CancelFunc // has all readers leave
}

// now is the time since the world began, in µs.
func (w *world) now() int64 { return time.Since(w.begun).Microseconds() }

// newWorld starts the nodes and what they need. binary is the program.
func newWorld(t testing.TB, p *plan, binary string, env ...string) *world {
	w := &world{plan: p, journal: newJournal(), figures: &figures{}, epochs: &epochs{names: make(map[string]int)}, roster: &roster{}, begun: time.Now()}
	w.over, w.end = context.WithCancel(t.Context())
	t.Cleanup(w.close)
	if p.redis {
		w.store = newStore(w.over, t, p.sentinels)
	}
	w.roster.nodes = w.newNodes(t, binary, env)
	for _, n := range w.roster.nodes {
		ctx, cancel := context.WithTimeout(w.over, 30*time.Second)
		if err := n.start(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
		n.healthy.Store(true)
		if s, err := n.look(w.over); err == nil {
			w.figures.start = append(w.figures.start, s)
		}
		if !p.redis { // three names for one
			for range p.nodes - 1 {
				w.roster.nodes = append(w.roster.nodes, n)
			}
		}
	}
	w.front = newBalancer(t, func() string { return w.roster.pick().public })
	w.back = newBalancer(t, func() string { return w.roster.pick().admin })
	w.backend = newCaller(w.back.addr())
	w.populate()
	return w
}

// settings are those of all nodes: everything that takes minutes in earnest takes
// seconds here, so that it happens.
func (w *world) settings() []string {
	args := []string{"--window", w.plan.window.String(), "--idle-time", w.plan.idle.String(), "--min-age", w.plan.idle.String(), "--sweep-interval", "2s",
		"--let-go-age", w.plan.letGo.String(), "--socketio-recovery-time", w.plan.recovery.String(), "--socketio-ping-interval", ioPing.String(), "--retry-time", "100ms",
		"--drain-delay", "200ms", "--drain-timeout", "3s", "--log-level", "warn", "--notice-members", "100",
		"--subscriptions-per-client", "2000", "--channel-bytes", fmt.Sprint(16 << 20)}
	return args
}

func (w *world) newNodes(t testing.TB, binary string, env []string) []*node {
	many := w.plan.nodes
	if !w.plan.redis {
		many = 1
	}
	all := make([]*node, many)
	for i := range all {
		n := &node{name: fmt.Sprint("node", i), binary: binary, env: env, args: w.settings(), public: live.FreeAddr(t), admin: live.FreeAddr(t)}
		if w.store != nil {
			n.args = append(n.args, "--redis", w.store.url(t, n, i == many-1), "--node-dead-time", "5s")
		}
		if w.plan.peers && w.store != nil {
			addr := live.FreeAddr(t)
			n.peers = newLink(t, addr)
			n.args = append(n.args, "--node-listen", addr, "--node-advertise", n.peers.addr())
		}
		if dir := os.Getenv("SHAVEET_TORTURE_LOGS"); dir != "" {
			n.log = newLog(t, filepath.Join(dir, n.name+".log"))
			n.args = append(n.args, "--log-level", "info")
		}
		all[i] = n
	}
	return all
}

func newLog(t testing.TB, path string) *os.File {
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// url is where a node finds Redis: by a link of its own, or by asking the
// sentinels.
func (s *store) url(t testing.TB, n *node, asks bool) string {
	if asks && len(s.sentinels) > 0 {
		url := "redis://" + s.sentinels[0].addr + "?master_set=shaveet"
		for _, q := range s.sentinels[1:] {
			url += "&addr=" + q.addr
		}
		return url
	}
	l := newLink(t, s.primary.addr)
	n.links = append(n.links, l)
	s.links = append(s.links, l)
	return "redis://" + l.addr() + "/0"
}

// populate makes the channels and the readers, who do not read yet.
func (w *world) populate() {
	r := rand.New(rand.NewPCG(w.plan.seed, 5))
	for i := range w.plan.channels {
		w.channels = append(w.channels, newChannel(i, fmt.Sprintf("room%03d", i)))
	}
	crowds := make([]*channel, w.plan.crowds)
	for i := range crowds {
		crowds[i] = newChannel(len(w.channels)+i, fmt.Sprintf("crowd%02d", i))
	}
	for i := range w.plan.verified {
		var on []*channel
		for _, j := range r.Perm(len(w.channels))[:1+r.IntN(5)] {
			on = append(on, w.channels[j])
			w.channels[j].members++
		}
		w.verified = append(w.verified, w.newReader(newClient(fmt.Sprintf("v%04d", i), on), w.way(i, int(byLegacy)), true, uint64(1000+i)))
	}
	for i := range w.plan.background {
		c := newClient(fmt.Sprintf("b%04d", i), []*channel{crowds[i%len(crowds)]})
		w.others = append(w.others, w.newReader(c, w.way(i, int(ways)), false, uint64(100_000+i)))
	}
	w.probe = newClient("probe", []*channel{newChannel(-1, "probe")})
}

// way is how the reader i reads. Polls of Socket.IO need nodes that can hand them
// to each other.
func (w *world) way(i, of int) way {
	by := way(i % of)
	if by == byIOPolls || by == byIOUpgrade {
		if w.store != nil && !w.plan.peers {
			return byIOFrames
		}
	}
	return by
}

// clients are those of readers.
func clients(readers []*reader) []*client {
	all := make([]*client, len(readers))
	for i, r := range readers {
		all[i] = r.client
	}
	return all
}

// run lets everything happen, and returns the verdict.
func (w *world) run(t testing.TB) []string {
	err := w.play(t)
	w.end()
	w.reading.Wait()
	w.errands.Wait()
	w.judge()
	verdict := w.journal.verdict()
	if err != nil {
		verdict = append([]string{fmt.Sprintf("it did not come to its end: %v", err)}, verdict...)
	}
	return verdict
}

func (w *world) play(t testing.TB) error {
	ctx := w.over
	w.errands.Go(func() { w.roster.watch(ctx) })
	w.errands.Go(func() { w.watch(ctx) })
	w.errands.Go(func() { w.intrude(ctx) })
	if w.store != nil {
		w.errands.Go(func() { w.store.watch(ctx) })
	}
	setup, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("the clients cannot be made"))
	defer cancel()
	if err := w.createAll(setup, append(append(clients(w.verified), clients(w.others)...), w.probe)); err != nil {
		return err
	}
	w.comeAll(ctx)
	publishing, stop := context.WithCancel(ctx)
	var publishers sync.WaitGroup
	for i := range w.plan.publishers {
		p := w.newPublisher(i)
		publishers.Go(func() { p.run(publishing) })
	}
	w.mutter(publishing)
	pause(ctx, w.plan.calm)
	w.direct(ctx, t)
	pause(ctx, w.plan.calm)
	for w.plan.impatient && w.journal.verdict() == nil && time.Since(w.begun) < w.plan.lasts {
		pause(ctx, 50*time.Millisecond)
	}
	stop()
	publishers.Wait()
	if w.journal.verdict() != nil && w.plan.impatient {
		return nil
	}
	if err := w.finish(ctx); err != nil {
		return err
	}
	return w.goAway(ctx)
}

func (w *world) newPublisher(i int) *publisher {
	return &publisher{world: w, number: i, caller: newCaller(w.back.addr()), rand: rand.New(rand.NewPCG(w.plan.seed, uint64(10+i)))}
}

// comeAll has all readers come, some hundred at a time.
func (w *world) comeAll(ctx context.Context) {
	ctx, w.leave = context.WithCancel(ctx)
	for i, r := range append(append([]*reader{}, w.verified...), w.others...) {
		w.reading.Go(func() { r.run(ctx) })
		if i%200 == 199 {
			pause(ctx, 100*time.Millisecond)
		}
	}
}

// mutter says something on the crowded channels now and then.
func (w *world) mutter(ctx context.Context) {
	c := newCaller(w.back.addr())
	w.errands.Go(func() {
		defer c.http.CloseIdleConnections()
		for i := 0; pause(ctx, 200*time.Millisecond); i++ {
			_, _ = c.post(ctx, []call{{"2.0", "publish", publication{Channel: fmt.Sprintf("crowd%02d", i%w.plan.crowds), Data: "something"}, 1}})
		}
	})
}

// finish says the last words, and waits until all readers have them.
func (w *world) finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, w.plan.settle, errors.New("the time to settle is over"))
	defer cancel()
	p := w.newPublisher(99)
	defer p.caller.http.CloseIdleConnections()
	if err := p.finish(ctx); err != nil {
		return err
	}
	for {
		behind := w.behind()
		if len(behind) == 0 {
			return nil
		}
		if !pause(ctx, 100*time.Millisecond) {
			for _, r := range behind[:min(len(behind), 10)] {
				w.journal.find("%d of %d last words are heard by %s", r.lastWords.Load(), len(r.client.channels), r.plight())
			}
			return fmt.Errorf("%d readers do not hear the last word", len(behind))
		}
	}
}

// goAway has everybody leave, and looks what remains.
func (w *world) goAway(ctx context.Context) error {
	w.leave()
	w.reading.Wait()
	limit := w.plan.letGo + w.plan.idle + 30*time.Second // dead nodes' sockets are let go of first
	if w.plan.leave {
		limit += 30 * time.Second
	} else if err := w.bury(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	left := time.Now()
	for what := "?"; ; {
		if now := w.remains(ctx); ctx.Err() == nil {
			what = now
		}
		if what == "" {
			w.figures.gone = time.Since(left)
			return nil
		}
		if !pause(ctx, 250*time.Millisecond) {
			return fmt.Errorf("%v after all have left there remains: %s", limit, what)
		}
	}
}

// bury kills all clients.
func (w *world) bury(ctx context.Context) error {
	all := append(append(clients(w.verified), clients(w.others)...), w.probe)
	var calls []call
	for _, c := range all {
		calls = append(calls, call{"2.0", "kill_client", map[string]any{"client_id": c.id}, 0})
	}
	for len(calls) > 0 {
		n := min(len(calls), 500)
		if _, err := w.backend.insist(ctx, calls[:n]); err != nil {
			return err
		}
		calls = calls[n:]
	}
	return nil
}

// close ends all that runs.
func (w *world) close() {
	w.end()
	w.reading.Wait()
	for _, b := range []*balancer{w.front, w.back} {
		if b != nil {
			b.close()
		}
	}
	w.errands.Wait()
	for _, n := range w.roster.nodes {
		_ = n.end(syscall.SIGKILL, 10*time.Second)
		if n.peers != nil {
			n.peers.close()
		}
	}
	if w.store != nil {
		for _, l := range w.store.links {
			l.close()
		}
	}
	quick.CloseIdleConnections()
	if w.backend != nil {
		w.backend.http.CloseIdleConnections()
	}
}
