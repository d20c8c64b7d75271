package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/bench"
)

// measured is a document of a run in which everything went well: all rounds of
// ours cost half of what the other's do, and are twice as quick.
func measured(all []cell) *document {
	d := &document{
		machine: machine{CPU: "A processor", Cores: 2, Memory: 24, Kernel: "Linux 6.1", Go: "go1.26", Date: "1 May 2026", Began: "0.10, 0.2, 0.3", Ended: "1.9, 1.0, 0.5", Took: 20 * time.Minute},
		cells:   all, runs: make(map[string]*runs),
	}
	for i, c := range all {
		s := &runs{}
		for round := range c.rounds {
			x := float64(1000*(i+100) + round)
			s.ours = append(s.ours, &bench.Result{Workload: c.workload, PerCPU: 2 * x, PerSecond: x, Deliveries: 1e6,
				Latency: bench.Times{P50: 1, P99: 2}, PerReader: bench.Memory{RSS: 1500, PSS: 1400}, Kernel: 8000})
			if c.yardstick || c.peer != "" {
				s.other = append(s.other, &bench.Result{Workload: c.workload, PerCPU: x, PerSecond: x, Latency: bench.Times{P50: 2, P99: 4}, PerReader: bench.Memory{RSS: 3000, PSS: 2800}})
			}
		}
		d.runs[c.name] = s
	}
	for _, w := range windows {
		d.profiles = append(d.profiles, profile{window: w, total: "Duration: 3s", flat: []string{"flat flat%", "1s 90%"}, cum: []string{"flat flat%", "0s 0%"}, writeShare: 0.8, callShare: 0.9})
	}
	for _, w := range windows[1:] {
		d.traces = append(d.traces, trace{window: w, seconds: 1, deliveries: 100_000, writes: 10_000, all: 12_000, calls: []called{{"write", 10_000}}})
	}
	return d
}

// complete has the figures of make bench-peers as well.
func complete() *document {
	d := measured(cells())
	d.peers = measured(peerCells()).comparison()
	return d
}

// gaps are what a template shows if something is missing, or reckoned wrongly.
var gaps = regexp.MustCompile(`<no value>|NaN|Inf\b|%!|<nil>|\|\s*\||not measured|is not known`)

// If all was measured, nothing is missing on the pages.
func TestPagesHaveNoGaps(t *testing.T) {
	for name, text := range map[string]string{"performance": performanceText, "peers": peersText} {
		d := complete()
		if name == "peers" {
			d = measured(peerCells())
		}
		page, err := d.render(text)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(page) {
			// The first column of the goals' head is empty, and of none it is not known.
			line = strings.Replace(strings.Replace(line, "|  | what", "| what", 1), "of 0 it is not known", "", 1)
			if gap := gaps.FindString(line); gap != "" {
				t.Errorf("%s.md has a gap, %q: %s", name, gap, line)
			}
		}
		if strings.Contains(page, "Missing") || strings.Contains(page, "Not as it should be") {
			t.Errorf("%s.md tells of what is missing, or of what was lost, and all is well", name)
		}
		for _, target := range regexp.MustCompile(`\]\(([^)#]+)`).FindAllStringSubmatch(page, -1) {
			file := filepath.Join("../../docs", target[1])
			made := filepath.Base(file) == "peers.md" || filepath.Base(file) == "performance.md"
			if _, err := os.Stat(file); err != nil && !made {
				t.Errorf("%s.md points to nothing: %v", name, err)
			}
		}
	}
}

// Every cell is in a table or a goal: what is measured is also told.
func TestEveryCellIsTold(t *testing.T) {
	for name, of := range map[string]struct {
		text  string
		cells []cell
	}{"performance": {performanceText, cells()}, "peers": {peersText, peerCells()}} {
		whole := measured(of.cells)
		before, err := whole.render(of.text)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range of.cells {
			d := measured(of.cells)
			d.runs[c.name] = &runs{err: errors.New("a plague")}
			after, err := d.render(of.text)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Count(after, notMeasured) == strings.Count(before, notMeasured) {
				t.Errorf("%s.md has the same numbers without %s", name, c.name)
			}
			if want := fmt.Sprintf("%s: %d of its rounds are missing: a plague", c.name, c.rounds); !strings.Contains(after, want) {
				t.Errorf("%s.md does not say that %s is missing", name, c.name)
			}
		}
	}
}

// finished is what is printed at the end, and whether all is well.
func finished(t *testing.T, d *document, write bool) (string, error) {
	t.Helper()
	var out bytes.Buffer
	o := order{runner: runner{stderr: io.Discard}, docs: t.TempDir(), write: write}
	err := o.finish(d, &out)
	if write {
		if page, e := os.ReadFile(filepath.Join(o.docs, "performance.md")); e != nil || len(page) < 5000 {
			t.Errorf("the page has %d bytes: %v", len(page), e)
		}
	}
	return out.String(), err
}

func TestWhatIsWrongIsTold(t *testing.T) {
	name := fanOut("sse", 1000, 16)
	for what, c := range map[string]struct {
		spoil func(d *document)
		want  string // in the error and on the page; empty: all is well
	}{
		"all is well":                   {func(*document) {}, ""},
		"a cell failed":                 {func(d *document) { d.runs[name].err = errors.New("a flood") }, "a flood"},
		"a profile failed":              {func(d *document) { d.profiles[1].err = errors.New("a fire") }, "a fire"},
		"strace is not there":           {func(d *document) { d.traces[0].err = errors.New("no strace") }, "no strace"},
		"the kernel's part is unknown":  {func(d *document) { d.runs[idle("sse")].ours[1].Kernel = 0 }, "idle sse: the kernel's part of memory"},
		"the kernel's part is negative": {func(d *document) { d.runs[idle("sse")].ours[1].Kernel = -9000 }, "idle sse: the kernel's part of memory"},
		"no latency was told": {func(d *document) {
			for _, r := range d.runs[name].ours {
				r.Latency = bench.Times{}
			}
		}, name + ": its latency"},
		"no CPU time was told":     {func(d *document) { d.runs[name].ours[1].PerCPU = 0 }, name + ": 1 of its rounds"},
		"the other's is not there": {func(d *document) { d.runs[name].other[1].PerCPU = 0 }, name + ": 1 of its rounds"},
		"the other has lost something": {func(d *document) {
			d.runs[name].other[1] = &bench.Result{Faults: bench.Faults{Lost: 1}}
		}, name + ": 1 of its rounds are missing: messages to the other's readers"},
		"a message was lost": {func(d *document) {
			r := &runner{runs: d.runs}
			r.note(cell{name: name}, &bench.Result{Faults: bench.Faults{Lost: 7}}, nil, nil)
			d.faults = r.faults
		}, "Lost:7"},
		"a message came twice": {func(d *document) {
			r := &runner{runs: d.runs}
			r.note(cell{name: name}, &bench.Result{Faults: bench.Faults{Duplicated: 8}}, nil, nil)
			d.faults = r.faults
		}, "Duplicated:8"},
	} {
		t.Run(what, func(t *testing.T) {
			d := complete()
			c.spoil(d)
			said, err := finished(t, d, true)
			if (err != nil) != (c.want != "") || !strings.Contains(said, c.want) {
				t.Errorf("it ends with %v, and says:\n%s", err, said)
			}
			page, _ := d.render(performanceText)
			if !strings.Contains(page, c.want) {
				t.Errorf("the page does not tell of %q", c.want)
			}
		})
	}
}

// Goals are judged by the figures.
func TestGoals(t *testing.T) {
	find := func(d *document, what string) goal {
		for _, g := range d.goals() {
			if g.Number+" "+g.What == what {
				return g
			}
		}
		t.Errorf("there is no goal %q", what)
		return goal{}
	}
	numbers := make(map[string]bool)
	for _, g := range complete().goals() {
		numbers[g.Number] = true
		if g.Reached != reached && g.Reached != notReached && g.Reached != reachedOlder {
			t.Errorf("of %s, %s, it is not known", g.Number, g.What)
		}
	}
	for i := range 10 {
		if n := fmt.Sprintf("G%d", i+1); !numbers[n] {
			t.Errorf("there is nothing of %s", n)
		}
	}
	for _, c := range []struct {
		what  string
		cell  string
		spoil func(r *bench.Result)
		want  string
	}{
		{"G1 fan-out to 1,000, sse, w=1", fanOut("sse", 1000, 1), func(r *bench.Result) {}, reached},
		{"G1 fan-out to 1,000, sse, w=1", fanOut("sse", 1000, 1), func(r *bench.Result) { r.PerCPU *= 0.44 }, notReached},
		{"G2 fan-out to 1,000, stream, w=64", fanOut("stream", 1000, 64), func(r *bench.Result) {}, notReached}, // twice is not four times
		{"G2 fan-out to 1,000, stream, w=64", fanOut("stream", 1000, 64), func(r *bench.Result) { r.PerCPU *= 2.1 }, reached},
		{"G3 fan-out to 1,000, longpoll, w=1", fanOut("longpoll", 1000, 1), func(r *bench.Result) { r.PerCPU *= 0.3 }, notReached},
		{"G7 idle memory of a reader, socketio", idle("socketio"), func(r *bench.Result) { r.PerReader.RSS = 2048 }, reached},
		{"G7 idle memory of a reader, socketio", idle("socketio"), func(r *bench.Result) { r.PerReader.RSS = 2049 }, notReached},
		{"G7 idle memory of a reader over TLS, sse", idleTLS("sse"), func(r *bench.Result) { r.PerReader.RSS = 15_000 }, notReached},
		{"G8 connect, subscribe, disconnect, sse", churn("sse"), func(r *bench.Result) { r.PerCPU = 14_999 }, notReached},
		{"G9 50 messages/s to 1,000, p50, stream", latency("stream"), func(r *bench.Result) { r.Latency.P50 = 2.7 }, notReached},
		{"G9 50 messages/s to 1,000, p50, stream", latency("stream"), func(r *bench.Result) { r.Latency.P50 = 2.5 }, reached},
	} {
		d := complete()
		for _, r := range d.runs[c.cell].ours {
			c.spoil(r)
		}
		if g := find(d, c.what); g.Reached != c.want {
			t.Errorf("%+v, want %s", g, c.want)
		}
	}
	d := complete()
	d.runs[fanOut("sse", 1000, 1)].ours = nil
	if g := find(d, "G1 fan-out to 1,000, sse, w=1"); g.Reached != notMeasured || g.Ratio != notMeasured {
		t.Errorf("%+v, want it not measured", g)
	}
}

func TestFlatness(t *testing.T) {
	for _, c := range []struct {
		by   float64
		want string
	}{{1, reached}, {0.71, reached}, {1.29, reached}, {0.69, notReached}, {1.31, notReached}, {0, notMeasured}} {
		d := &document{runs: make(map[string]*runs)}
		for _, s := range spreads {
			speed := 1000.0
			if s.readers == 8000 {
				speed *= c.by
			}
			d.runs[many(s.readers, s.channels, bench.ByCall)] = &runs{ours: []*bench.Result{{PerCPU: speed}}}
		}
		if g := d.flatness(bench.ByCall); g.Reached != c.want {
			t.Errorf("with 8,000 at %v of 5,000: %+v, want %s", c.by, g, c.want)
		}
	}
}
