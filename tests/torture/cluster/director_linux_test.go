package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A fault is one kind of what can happen. do makes it happen, and has all be as
// before when it returns.
type fault struct {
	kind    string
	effects effect
	weight  int
	needs   need
	do      func(ctx context.Context, w *world, r *rand.Rand) error
}

// A need is what a fault cannot do without.
type need uint8

const (
	aRedis    need = 1 << iota
	aReplica       // and sentinels
	aSolitary      // a log of the node's own
	aPeer          // nodes that talk to each other
)

// has reports whether the world has what a fault needs.
func (w *world) has(n need) bool {
	return (n&aRedis == 0 || w.store != nil) && (n&aReplica == 0 || w.store != nil && len(w.store.sentinels) > 0) && (n&aSolitary == 0 || w.store == nil) && (n&aPeer == 0 || w.store != nil && w.plan.peers)
}

// kinds are the faults that this world can have.
func (w *world) kinds() (all []*fault) {
	for _, f := range slices.Concat(nodeFaults, redisFaults, clientFaults) {
		if w.has(f.needs) && (w.plan.kinds == nil || slices.Contains(w.plan.kinds, f.kind)) {
			all = append(all, f)
		}
	}
	return all
}

// direct has everything happen that is in store.
func (w *world) direct(ctx context.Context, t testing.TB) {
	kinds := w.kinds()
	if len(kinds) == 0 {
		return
	}
	began := time.Now()
	var under sync.WaitGroup
	slots := make(chan struct{}, w.plan.most)
	for i, a := range w.plan.schedule(kinds) {
		pause(ctx, time.Until(began.Add(a.at)))
		if i < len(kinds) {
			under.Wait() // the first of each kind comes alone
		}
		slots <- struct{}{}
		under.Go(func() {
			w.happen(ctx, t, a)
			<-slots
		})
	}
	under.Wait()
}

// happen lets one fault happen, and waits until all is well again.
func (w *world) happen(ctx context.Context, t testing.TB, a appointment) {
	i := w.journal.begin(a.fault.kind, a.fault.effects)
	err := a.fault.do(ctx, w, rand.New(rand.NewPCG(a.seed, 3)))
	if errors.Is(err, syscall.ECONNREFUSED) && !w.journal.alone(i) {
		w.journal.note("faults in vain: another one had taken their Redis away")
		err = nil
	}
	healed := time.Now()
	if well := w.well(ctx); err == nil {
		err = well
	}
	w.journal.end(i, time.Since(healed), err)
	if err != nil {
		w.journal.find("%s: %v", a.fault.kind, err)
	}
	if testing.Verbose() {
		t.Logf("%6.1f s: %s took %v, then %v until all was well", time.Since(w.begun).Seconds(), a.fault.kind,
			healed.Sub(i.began).Round(time.Millisecond), time.Since(healed).Round(time.Millisecond))
	}
}

// mostRecovery is how long it may take after a fault until all is well.
const mostRecovery = 40 * time.Second

// well waits until what is said at any node is heard at any other.
func (w *world) well(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, mostRecovery, errors.New("not well again in time"))
	defer cancel()
	w.probed.Lock()
	defer w.probed.Unlock()
	for {
		err := w.probeOnce(ctx)
		if err == nil {
			return nil
		}
		if !pause(ctx, 20*time.Millisecond) {
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

// probeOnce says something at each node, and listens at each.
func (w *world) probeOnce(ctx context.Context) error {
	for _, n := range w.roster.nodes {
		c := newCaller(n.admin)
		c.http.Timeout = time.Second
		replies, err := c.post(ctx, append(w.probe.calls(), call{"2.0", "publish", publication{Channel: "probe", Data: n.name}, 9}))
		c.http.CloseIdleConnections()
		if err != nil {
			return err
		}
		last := replies[len(replies)-1]
		var at struct{ Position position }
		if last.Error != nil || json.Unmarshal(last.Result, &at) != nil || !w.probe.take(replies) {
			return fmt.Errorf("%s: %v", n.name, last.Error)
		}
		at.Position.seq--
		for _, m := range w.roster.nodes {
			if err := w.listen(m, at.Position); err != nil {
				return fmt.Errorf("what is said at %s is not heard at %s: %w", n.name, m.name, err)
			}
		}
	}
	return nil
}

// listen asks a node for what comes after a position.
func (w *world) listen(n *node, at position) error {
	conn, err := net.DialTimeout("tcp", n.public, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	l := &line{conn, bufio.NewReader(conn)}
	l.patient(2 * time.Second)
	path := fmt.Sprintf("/longpoll?client_id=probe_!!_%s&cursor=%s&wait=1000", w.probe.currentKey(), at)
	if err := l.request("GET", path, "", ""); err != nil {
		return err
	}
	_, text, err := l.answer()
	if err != nil {
		return err
	}
	var b batch
	if err := json.Unmarshal(text, &b); err != nil || len(b.Messages) == 0 {
		return fmt.Errorf("%w: %.200s", errors.Join(err, errors.New("no message")), text)
	}
	return nil
}

// intrude tries all the time what nobody may.
func (w *world) intrude(ctx context.Context) {
	for pause(ctx, 500*time.Millisecond) {
		n := w.roster.pick()
		for _, try := range []struct{ addr, method, path, fields, body string }{
			{n.public, "GET", "/longpoll?wait=0&client_id=v0000_!!_00000000000000000000000000000000", "", ""},
			{n.public, "GET", "/message_updates?callback=cb&client_id=v0000_!!_00000000000000000000000000000000", "", ""},
			{n.public, "POST", "/rpc", "", `{"method":"info","id":1}`},
			{n.admin, "POST", "/rpc", "Origin: http://evil.example\r\n", `{"method":"info","id":1}`},
			{n.public, "GET", "/metrics", "", ""},
		} {
			w.attempt(try.addr, try.method, try.path, try.fields, try.body)
		}
	}
}

// attempt makes a request that must be refused.
func (w *world) attempt(addr, method, path, fields, body string) {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return
	}
	defer conn.Close()
	l := newLine(conn)
	l.patient(2 * time.Second)
	if l.request(method, path, fields, body) != nil {
		return
	}
	h, text, err := l.answer()
	if err != nil {
		return
	}
	w.figures.probes.Add(1)
	if h.status != 404 && h.status != 503 && h.status != 403 {
		w.journal.find("%s %s is answered %d %.200s", method, path, h.status, text)
	}
}
