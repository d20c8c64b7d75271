package browser

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

// slack is how many numbers may be said while an event has yet to happen.
const slack = 60

// transports are all, the best first.
var transports = []string{"websocket", "sse", "stream", "longpoll", "jsonp"}

// A world is one run: a server, nginx before it, a network before that, and
// pages in a browser. All methods are for the test's goroutine.
type world struct {
	t         *testing.T
	plan      *plan
	rand      *rand.Rand
	truth     *truth
	srv       *live.Server
	nginx     *nginx
	wire      *wire
	admin     *admin
	backend   *backend
	publisher *publisher
	chromium  *chromium
	tabs      []*tab
	turn      int     // of the transports to switch to
	story     [][]any // what happened and when, for the pictures
}

// A tab is one page.
type tab struct {
	name   string
	frozen bool
}

// glance is what a page says of itself.
type glance struct {
	State, Why, Transport string
	Last                  map[string]int // numbers, by channel
}

func newWorld(t *testing.T, seed uint64, p *plan, c *chromium) *world {
	t.Helper()
	w := &world{t: t, plan: p, rand: rand.New(rand.NewPCG(seed, 1)), truth: newTruth(), chromium: c}
	w.srv = live.Start(t, "--listen", live.FreeAddr(t), "--public-listen", live.FreeAddr(t),
		"--drain-delay", "100ms", "--drain-timeout", "2s", "--retry-time", "200ms",
		"--heartbeat-time", "2s", "--poll-timeout", "2s", "--idle-time", "1h", "--sessions-per-client", "100",
		"--window", "1h", "--channel-bytes", "67108864", "--publish-ids", "1000000")
	w.admin = newAdmin(t, w.srv.Main)
	w.backend = &backend{admin: w.admin, channels: p.channels, truth: w.truth}
	w.nginx = startNginx(t, strings.TrimPrefix(w.srv.Public, "http://"), w.backend.serve(t))
	w.wire = newWire(t, w.nginx.addr)
	w.publisher = &publisher{admin: w.admin, truth: w.truth, channels: p.channels, burst: p.burst, pause: p.pause,
		rand: rand.New(rand.NewPCG(seed, 2)), changed: make(chan struct{})}
	w.born()
	return w
}

// born notes a new life of the server.
func (w *world) born() {
	w.t.Helper()
	var info struct{ Position position }
	if err := w.admin.do(w.t.Context(), "info", struct{}{}, &info); err != nil {
		w.t.Fatal(err)
	}
	w.truth.mu.Lock()
	defer w.truth.mu.Unlock()
	if w.truth.life(info.Position.epoch) >= 0 {
		w.truth.faults = append(w.truth.faults, "an epoch has come twice")
	}
	w.truth.lives = append(w.truth.lives, info.Position.epoch)
}

// open opens the pages and waits until all are connected.
func (w *world) open() {
	w.t.Helper()
	w.t.Cleanup(func() {
		// The test's own context is over by now.
		_ = w.chromium.do(context.Background(), "close", map[string]any{"case": w.plan.name}, nil)
	})
	for _, name := range w.plan.tabs {
		query := url.Values{"case": {w.plan.name}, "name": {name}}
		if w.plan.by != "" {
			query.Set("by", w.plan.by)
		}
		if strings.HasPrefix(name, "shared") {
			query.Set("shared", "")
		}
		w.tabs = append(w.tabs, &tab{name: name})
		w.do("open", w.tabs[len(w.tabs)-1], map[string]any{"url": "http://" + w.wire.addr() + "/?" + query.Encode()}, nil)
	}
	w.calm()
}

// do has the browser do something with a page.
func (w *world) do(order string, p *tab, params map[string]any, into any) {
	w.t.Helper()
	all := map[string]any{"case": w.plan.name, "page": p.name}
	for name, value := range params {
		all[name] = value
	}
	if err := w.chromium.do(w.t.Context(), order, all, into); err != nil {
		w.t.Fatalf("%s: %v", p.name, err)
	}
}

// until waits until every page that is awake says something that is ok. hurry:
// those that wait before their next attempt are told now and then that the
// network is back, by which they make it at once.
func (w *world) until(what string, hurry bool, ok func(glance) bool) {
	w.t.Helper()
	for _, p := range w.tabs {
		if p.frozen {
			continue
		}
		var g glance
		deadline := time.Now().Add(patience)
		for tries := 1; ; tries++ {
			g = glance{}
			if w.do("look", p, nil, &g); g.State != "" && ok(g) {
				break
			}
			if time.Now().After(deadline) {
				w.t.Fatalf("%s: %s: not within %v: %+v", p.name, what, patience, g)
			}
			if hurry && g.State == "waiting" && tries%50 == 0 {
				w.do("hurry", p, nil, nil)
			}
			time.Sleep(30 * time.Millisecond)
		}
	}
}

// calm waits until all pages are connected.
func (w *world) calm() {
	w.t.Helper()
	w.until("connected", true, func(g glance) bool { return g.State == "connected" })
}

// run has all of it happen: numbers are said, and what the plan has in store
// befalls whoever says and hears them.
func (w *world) run() {
	w.t.Helper()
	ctx, cancel := context.WithCancelCause(w.t.Context())
	var publishing sync.WaitGroup
	defer publishing.Wait()
	defer cancel(errors.New("the run is over"))
	begun := time.Now()
	p := w.publisher
	publishing.Go(func() {
		if err := p.run(ctx, w.plan.messages); err != nil {
			cancel(err)
		}
	})
	await := func(what string, ok func() bool) {
		w.t.Helper()
		ctx, cancel := context.WithTimeoutCause(ctx, 2*patience, errors.New("it takes too long"))
		defer cancel()
		if !p.wait(ctx, ok) {
			w.t.Fatalf("%s: %v", what, context.Cause(ctx))
		}
	}
	reached := func(n int) {
		w.t.Helper()
		p.change(func() { p.allowed = min(n+slack, w.plan.messages) })
		await(fmt.Sprintf("number %d is said", n), func() bool { return p.said >= n })
	}
	for _, e := range w.plan.events {
		reached(e.at)
		if deeds[e.what] != "" {
			await("the client is known", p.known) // it could not come to be while nothing gets through
		}
		if e.calm {
			w.calm()
		}
		w.story = append(w.story, []any{e.at, e.what})
		waited := time.Now()
		w.happen(e)
		w.t.Logf("%v: %v, took %v", waited.Sub(begun).Round(time.Millisecond), e, time.Since(waited).Round(time.Millisecond))
	}
	reached(w.plan.messages)
}

// happen has an event happen.
func (w *world) happen(e event) {
	w.t.Helper()
	p := w.tabs[e.tab]
	switch e.what {
	case "cut":
		w.wire.cut()
	case "snip":
		w.wire.snip(func() int { return w.rand.IntN(2000) })
	case "network down", "network up":
		w.wire.refuse(e.what == "network down")
	case "stall", "stall before death", "flow":
		w.wire.stall(e.what != "flow")
	case "long stall":
		w.wire.stall(true)
		w.until("has noticed the stall", false, func(g glance) bool { return g.State != "connected" })
		w.wire.stall(false)
	case "reload nginx":
		w.nginx.reload(w.t)
	case "SIGKILL", "SIGTERM", "SIGKILL and flow":
		w.restart(e.what == "SIGTERM")
		w.wire.stall(false)
	case "offline", "online":
		w.do("offline", p, map[string]any{"value": e.what == "offline"}, nil)
		w.wire.refuse(e.what == "offline") // the browser leaves alone what is under way
	case "switch":
		w.turn++
		w.connectBy([]string{transports[w.turn%len(transports)]})
	case "break":
		w.breakOne()
	default:
		w.befall(p, e.what)
	}
}

// befall has something happen to one page.
func (w *world) befall(p *tab, what string) {
	w.t.Helper()
	switch what {
	case "load again":
		for p.frozen { // another one, then; never are all
			p = w.tabs[(slices.Index(w.tabs, p)+1)%len(w.tabs)]
		}
		w.do("reload", p, nil, nil)
	case "freeze", "thaw":
		p.frozen = what == "freeze"
		w.do(what, p, nil, nil)
	case "another tab in front":
		w.do("front", w.tabs[(slices.Index(w.tabs, p)+1)%len(w.tabs)], nil, nil)
	case "this tab in front":
		w.do("front", p, nil, nil)
	default:
		w.t.Fatalf("there is no deed %q", what)
	}
}

// restart ends the server, gently or not, and starts another in its place.
func (w *world) restart(gently bool) {
	w.t.Helper()
	w.publisher.dies(w.t.Context())
	if gently {
		w.srv.Stop()
	}
	w.srv.Restart()
	w.born()
	w.publisher.change(func() { w.publisher.dying = false; w.publisher.life++ })
}

// connectBy has all pages that are awake close, and connect by other transports:
// from where the library has kept that they are, or where they say themselves.
func (w *world) connectBy(names []string) {
	w.t.Helper()
	for _, p := range w.tabs {
		if !p.frozen {
			w.do("go", p, map[string]any{"transports": names, "by": []string{"resume", "cursor"}[w.rand.IntN(2)]}, nil)
		}
	}
}

// breakOne has the pages choose, and takes away from them what they have chosen,
// until all have found another.
func (w *world) breakOne() {
	w.t.Helper()
	w.connectBy(transports)
	var chosen string
	w.until("connected", true, func(g glance) bool {
		chosen = g.Transport
		return g.State == "connected" && chosen != ""
	})
	w.wire.ban(chosen)
	w.until("connected by another than "+chosen, false, func(g glance) bool {
		return g.State == "connected" && g.Transport != "" && g.Transport != chosen
	})
	w.wire.ban("")
	w.story = append(w.story, []any{"", "no " + chosen})
}

// finish says the last numbers, when the client is known, and waits until every
// page has heard them.
func (w *world) finish() {
	w.t.Helper()
	live.Until(w.t, "the client is known", patience, w.publisher.known)
	if err := w.publisher.sayLast(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.until("has heard the last numbers", true, func(g glance) bool {
		return !slices.ContainsFunc(w.plan.channels, func(c string) bool { return g.Last[c] != len(w.truth.said[c]) })
	})
}
