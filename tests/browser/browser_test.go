// Package browser has real pages in Chromium read numbered messages by every
// transport, through nginx and a bad network, while the server is killed and
// started again, nginx reads its file anew, and pages are loaded again, frozen,
// or switch. Every number must come once and in order, or lie in a hole that
// was announced.
//
// SHAVEET_LONG=1 runs ten times as many messages and all that can happen;
// SHAVEET_SEED=n draws another schedule. PICTURES=folder leaves a picture of a
// page of each case there.
package browser

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shaveet/shaveet/tests/live"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Those that run side by side wait most of the time, also on two processors.
	if err := flag.Set("test.parallel", fmt.Sprint(len(transports)+1)); err != nil {
		panic(err)
	}
	live.Main(m)
}

// TestEveryNumber is the promise, for each transport and for all by turns.
func TestEveryNumber(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	live.Binary(t) // before the clock runs
	full := os.Getenv("SHAVEET_LONG") != ""
	seed := uint64(1)
	if text := os.Getenv("SHAVEET_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	c := startChromium(t)
	t.Run("by", func(t *testing.T) { // returns when all are done, which run side by side
		for i, by := range append(transports[:len(transports):len(transports)], "") {
			name := by
			if by == "" {
				name = "all by turns"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				seed := seed*100 + uint64(i)
				everyNumber(t, seed, newPlan(seed, name, by, full), c)
			})
		}
	})
}

func everyNumber(t *testing.T, seed uint64, p *plan, c *chromium) {
	begun := time.Now()
	defer func() {
		if t.Failed() {
			t.Logf("the plan: %v", p)
		}
	}()
	w := newWorld(t, seed, p, c)
	w.open()
	w.run()
	w.finish()
	seen := make(map[string]int) // by all pages together
	for _, tab := range w.tabs {
		for what, n := range w.judge(tab) {
			seen[what] += n
		}
	}
	for _, what := range []string{"in holes", "frozen"} {
		if seen[what] == 0 {
			t.Errorf("nothing was %s: nothing has been tested of that", what)
		}
	}
	t.Logf("%v, %d connections, %d keys", time.Since(begun).Round(time.Second), w.wire.connections(), w.backend.keys)
	w.picture()
}

// judge takes what a page has noted and says what is wrong with it. It returns
// what has happened to it.
func (w *world) judge(p *tab) map[string]int {
	w.t.Helper()
	var taken struct {
		Record []entry
		Errors []string
	}
	w.do("take", p, nil, &taken)
	v := judge(w.truth, taken.Record)
	for _, f := range v.findings {
		w.t.Errorf("%s: %s", p.name, f)
	}
	if v.first >= 0 {
		around := taken.Record[max(0, v.first-15):min(v.first+5, len(taken.Record))]
		w.t.Logf("%s: what it has noted before and after the first of these: %v", p.name, around)
	}
	for _, e := range taken.Errors {
		w.t.Errorf("%s: uncaught: %s", p.name, e)
	}
	by := make(map[string]int)
	for _, e := range taken.Record {
		if e.Kind == "message" {
			by[e.By]++
		}
	}
	w.t.Logf("%s: %v %v", p.name, v.figures, by)
	// Otherwise it has not been through what it is to tell of.
	if got := v.figures["received"]; got < w.plan.messages/2 {
		w.t.Errorf("%s: only %d messages were received", p.name, got)
	}
	if v.figures["holes"] == 0 {
		w.t.Errorf("%s: no holes, although the server has been killed", p.name)
	}
	if w.plan.by != "" && len(by) != 1 || w.plan.by == "" && len(by) < 4 {
		w.t.Errorf("%s: read by %v", p.name, by)
	}
	return v.figures
}

// picture leaves one of the first page where PICTURES says.
func (w *world) picture() {
	dir := os.Getenv("PICTURES")
	if dir == "" {
		return
	}
	path, err := filepath.Abs(filepath.Join(dir, fmt.Sprintf("%s.png", w.plan.name)))
	if err != nil {
		w.t.Fatal(err)
	}
	w.do("picture", w.tabs[0], map[string]any{"path": path, "story": w.story}, nil)
}
