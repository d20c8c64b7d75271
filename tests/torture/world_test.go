package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/torture/faultproxy"
)

// A world is one run: a server, a backend, readers, and what is between them.
type world struct {
	seed    uint64
	plan    *plan
	machine machine
	lies    bool // something stands between readers and the server, and may lie
	truth   *truth
	keys    *keyring
	clients []string // of all readers
	readers []*reader

	front *faultproxy.Proxy // readers come through here
	back  *faultproxy.Proxy // publishers, with faults or without
	calm  *faultproxy.Proxy // what must happen once goes this way
	admin *caller
	rand  *rand.Rand // the director's

	deeds  chan deed
	saying sync.RWMutex // held by who publishes, and wholly by who wants quiet

	mu    sync.Mutex          // guards all below
	next  int                 // number to be said next
	given int                 // deeds handed to the director
	end   position            // everything is said
	stand map[string]position // of the readers, by their names
	moved chan struct{}       // closed and replaced when stand changes

	said     context.Context // ends when everything is said
	saidLast context.CancelFunc
}

// newWorld prepares a run. relay, if not nil, stands between the readers and
// the front: it is given the front's address and returns its own.
func newWorld(t testing.TB, seed uint64, p *plan, m machine, relay func(string) string, wrong wrong) *world {
	w := &world{seed: seed, plan: p, machine: m, truth: newTruth(), keys: newKeyring(), deeds: make(chan deed),
		stand: make(map[string]position), moved: make(chan struct{}),
		rand: rand.New(rand.NewPCG(seed, 1))}
	w.said, w.saidLast = context.WithCancel(context.Background())
	w.front = faultproxy.Start(t, "", seed, p.faults)
	faults := faultproxy.Faults{}
	if p.troubled {
		faults = p.faults
	}
	w.back = faultproxy.Start(t, "", seed+1, faults)
	w.calm = faultproxy.Start(t, "", seed+2, faultproxy.Faults{})
	w.admin = newCaller(w.calm.Addr(), seed, 2)
	addr := w.front.Addr()
	if relay != nil {
		w.lies = true
		addr = relay(addr)
	}
	for i, clients := range p.readers {
		r := newReader(w, fmt.Sprint(i), addr, clients)
		r.wrong = wrong
		w.readers = append(w.readers, r)
		for _, c := range clients {
			if !slices.Contains(w.clients, c) {
				w.clients = append(w.clients, c)
			}
		}
	}
	return w
}

// run lets it all happen, and returns what the verdict finds wrong.
func (w *world) run(ctx context.Context) (findings []string) {
	if err := w.begin(ctx); err != nil {
		return []string{err.Error()}
	}
	defer w.admin.http.CloseIdleConnections()
	defer w.machine.kill()
	defer w.saidLast()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var readers, publishers, director sync.WaitGroup
	try := func(g *sync.WaitGroup, f func(context.Context) error) {
		g.Go(func() {
			if err := f(ctx); err != nil {
				cancel(err) // the first to fail ends all
			}
		})
	}
	for _, r := range w.readers {
		try(&readers, r.run)
	}
	try(&director, w.direct)
	for i := range w.plan.publishers {
		p := &publisher{newCaller(w.back.Addr(), w.seed, uint64(10+i)), w}
		try(&publishers, p.run)
	}
	publishers.Wait()
	close(w.deeds)
	director.Wait()
	if ctx.Err() == nil {
		if err := w.finish(ctx); err != nil {
			cancel(err)
		}
	}
	readers.Wait()
	if ctx.Err() != nil {
		findings = append(findings, fmt.Sprintf("it did not come to its end: %v", context.Cause(ctx)))
		for _, r := range w.readers {
			findings = append(findings, fmt.Sprintf("reader %s by %v stands at %v and wants %v", r.name, r.way, r.cursor, w.final()))
		}
	}
	return append(findings, judge(w)...)
}

// begin starts the server and puts everybody on every channel.
func (w *world) begin(ctx context.Context) error {
	addr, err := w.machine.start()
	if err != nil {
		return err
	}
	return w.wake(ctx, addr)
}

// wake has the new server behind the proxies, and tells it of the clients, as
// backends do that hear of unknown clients.
func (w *world) wake(ctx context.Context, addr string) error {
	w.calm.Retarget(addr)
	at, err := w.top(ctx)
	if err != nil {
		return err
	}
	w.truth.born(at.epoch)
	w.front.Retarget(addr)
	w.back.Retarget(addr)
	for _, c := range w.clients {
		if err := w.create(ctx, c); err != nil {
			return err
		}
	}
	return w.joinAll(ctx)
}

func (w *world) top(ctx context.Context) (position, error) {
	var info struct{ Position position }
	err := w.admin.do(ctx, "info", struct{}{}, &info)
	return info.Position, err
}

func (w *world) create(ctx context.Context, client string) error {
	var key string
	if err := w.admin.do(ctx, "create_client", map[string]any{"client_id": client}, &key); err != nil {
		return err
	}
	w.keys.set(client, key)
	return nil
}

func (w *world) joinAll(ctx context.Context) error {
	for _, c := range w.clients {
		for _, ch := range w.plan.channels {
			if err := w.join(ctx, c, ch); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *world) join(ctx context.Context, client, channel string) error {
	if w.truth.isOn(client, channel) {
		return nil
	}
	var at struct{ Position position }
	params := map[string]any{"client_id": client, "channel_name": channel, "position": true}
	if err := w.admin.do(ctx, "subscribe", params, &at); err != nil {
		return err
	}
	w.truth.joined(client, channel, at.Position)
	return nil
}

func (w *world) leave(ctx context.Context, client, channel string) error {
	return w.truth.end(func(s *stay) bool { return s.client == client && s.channel == channel }, func() error {
		return w.admin.do(ctx, "unsubscribe", map[string]any{"client_id": client, "channel_name": channel}, nil)
	})
}

// numbers gives out n numbers to be said, or as many as are left.
func (w *world) numbers(n int) (first, given int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first = w.next
	given = min(n, w.plan.messages-first)
	w.next += given
	return first, given
}

// progress hands the next deed to the director when it is time for it. It
// waits until the one before is done.
func (w *world) progress(ctx context.Context) {
	for {
		w.mu.Lock()
		due := (w.given+1)*w.plan.messages/(len(w.plan.deeds)+1) <= w.next && w.given < len(w.plan.deeds)
		var d deed
		if due {
			d = w.plan.deeds[w.given]
			w.given++
		}
		w.mu.Unlock()
		if !due {
			return
		}
		select {
		case w.deeds <- d:
		case <-ctx.Done():
			return
		}
	}
}

// direct does what the plan has in store.
func (w *world) direct(ctx context.Context) error {
	for d := range w.deeds {
		if ctx.Err() != nil {
			continue
		}
		if err := w.actInQuiet(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// actInQuiet has, where the plan has lulls, the publishers and all readers wait
// when the deed is done.
func (w *world) actInQuiet(ctx context.Context, d deed) error {
	if w.plan.lulls {
		w.saying.Lock()
		defer w.saying.Unlock()
		at, err := w.top(ctx)
		if err != nil {
			return err
		}
		w.caughtUp(ctx, at)
	}
	return w.act(ctx, d)
}

// caughtUp waits until all readers stand at the position.
func (w *world) caughtUp(ctx context.Context, at position) {
	for {
		w.mu.Lock()
		all := len(w.stand) == len(w.readers)
		for _, p := range w.stand {
			all = all && p.epoch == at.epoch && p.seq >= at.seq
		}
		moved := w.moved
		w.mu.Unlock()
		if all {
			return
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return
		}
	}
}

// stands notes where a reader is.
func (w *world) stands(name string, at position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stand[name] = at
	close(w.moved)
	w.moved = make(chan struct{})
}

// finish has everybody on every channel and says the last word on each, by
// which readers know that they have everything.
func (w *world) finish(ctx context.Context) error {
	if err := w.joinAll(ctx); err != nil {
		return err
	}
	var last position
	p := &publisher{w.admin, w}
	for _, ch := range w.plan.channels {
		s := &saying{n: w.extra(), channel: ch, pad: "the end"}
		w.truth.saying(s)
		if err := p.say(ctx, []*saying{s}); err != nil {
			return err
		}
		last = s.pos
	}
	w.mu.Lock()
	w.end = last
	w.mu.Unlock()
	w.saidLast()
	return nil
}

// through reports whether a reader that stands there has everything.
func (w *world) through(at position) bool {
	end := w.final()
	return !end.none() && at.epoch == end.epoch && at.seq >= end.seq
}

// standing is where a reader is.
func (w *world) standing(name string) position {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stand[name]
}

// final is the position of the last word; none as long as it is not said.
func (w *world) final() position {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.end
}

// someClients are one or more of the clients.
func (w *world) someClients(r *rand.Rand) []string {
	n := 1 + r.IntN(len(w.clients))
	some := make([]string, 0, n)
	for _, i := range r.Perm(len(w.clients))[:n] {
		some = append(some, w.clients[i])
	}
	return some
}

// errSlow ends a run that takes longer than any should.
var errSlow = errors.New("it takes too long")

// torture runs a seed and returns what was found wrong.
func torture(t testing.TB, seed uint64, p *plan, m machine, relay func(string) string, wrong wrong) (*world, []string) {
	w := newWorld(t, seed, p, m, relay, wrong)
	enough := 50*time.Second + time.Duration(p.messages)*time.Millisecond
	ctx, cancel := context.WithTimeoutCause(t.Context(), enough, errSlow)
	defer cancel()
	return w, w.run(ctx)
}
