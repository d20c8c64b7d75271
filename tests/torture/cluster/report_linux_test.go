package cluster

import (
	"cmp"
	"fmt"
	"maps"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A tally is what has become of all messages.
type tally struct{ said, acknowledged, refused, unknown, deliveries int64 }

func (w *world) tally() (t tally) {
	for _, ch := range w.channels {
		ch.mu.Lock()
		for _, s := range ch.sayings {
			t.said++
			switch outcome(s.outcome.Load()) {
			case acknowledged:
				t.acknowledged++
			case refused:
				t.refused++
			default:
				t.unknown++
			}
		}
		ch.mu.Unlock()
	}
	t.deliveries = w.figures.calm.count() + w.figures.troubled.count()
	return t
}

// summary is a line or two of it all.
func (w *world) summary() string {
	t := w.tally()
	return fmt.Sprintf("%v: %d messages acknowledged, %d unknown, %d refused; %d deliveries verified (p99 %v calm, %v under faults), %d others; %d epochs; %d incidents; nothing left after %v; %v",
		w.plan, t.acknowledged, t.unknown, t.refused, t.deliveries, w.figures.calm.quantile(990), w.figures.troubled.quantile(990),
		w.figures.light.Load(), len(w.epochs.births()), len(w.journal.incidents), w.figures.gone.Round(time.Millisecond), w.journal.notes)
}

// report is docs/torture.md.
func (w *world) report(lasts time.Duration, verdict []string) string {
	var b strings.Builder
	t, f := w.tally(), w.figures
	fmt.Fprintf(&b, "# Torture\n\nThree nodes on one Redis, and everything that can go wrong with them, while readers check every message. "+
		"Written by the test itself ([tests/torture/cluster](../tests/torture/cluster)), on %s.\n\n", time.Now().Format("2 January 2006"))
	fmt.Fprintf(&b, "- **Command:** `SHAVEET_SEED=%d SHAVEET_TORTURE=%v SHAVEET_TORTURE_RESULT=$PWD/docs/torture.md go test -run Torture -timeout 60m ./tests/torture/cluster`, or `make torture`\n", w.plan.seed, lasts)
	fmt.Fprintf(&b, "- **Versions:** %s, %s, %s/%s with %d processors, which readers, nodes and Redis shared\n", version("redis-server", "--version"), runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	fmt.Fprintf(&b, "- **Cast:** %d nodes, a Redis with a replica and %d sentinels, a balancer that sends every request and connection to another node; "+
		"%d verified readers on %d channels, %d others, %d publishers. Readers came by %s\n", w.plan.nodes, w.plan.sentinels, w.plan.verified, w.plan.channels, w.plan.background, w.plan.publishers, strings.Join(w.allWays(), ", "))
	fmt.Fprintf(&b, "- **Messages:** %d said: %d acknowledged, %d refused, of %d the publisher never knew. %d deliveries verified, one by one; %d batches of other readers\n", t.said, t.acknowledged, t.refused, t.unknown, t.deliveries, f.light.Load())
	fmt.Fprintf(&b, "- **Lives of the log:** %d\n", len(w.epochs.births()))
	fmt.Fprintf(&b, "- **From publish to reader:** p50 %v, p99 %v when all was calm; p50 %v, p99 %v during faults, and just after\n",
		f.calm.quantile(500), f.calm.quantile(990), f.troubled.quantile(500), f.troubled.quantile(990))
	fmt.Fprintf(&b, "- **Most that a node needed:** %d MiB of memory, %d goroutines, %d descriptors; %d readers on all nodes at once\n", f.most.memory>>20, f.most.goroutines, f.most.descriptors, f.sessions)
	for i, s := range f.end {
		fmt.Fprintf(&b, "- **Left of node %d** after all had gone: %d sessions, %d clients, %d goroutines, %d descriptors, %d MiB\n", i, s.sessions, s.clients, s.goroutines, s.descriptors, s.memory>>20)
	}
	fmt.Fprintf(&b, "- **Requests that must be refused**, and were: %d\n\n", f.probes.Load())
	w.reportFaults(&b)
	b.WriteString("## What readers and publishers were told\n\nEach of these has its reason in the list of faults; one that has none is a violation.\n\n| what | how often |\n| --- | --- |\n")
	for _, what := range slices.Sorted(maps.Keys(w.journal.notes)) {
		fmt.Fprintf(&b, "| %s | %d |\n", what, w.journal.notes[what])
	}
	b.WriteString("\n## Verdict\n\n")
	if len(verdict) == 0 {
		b.WriteString("**Passed.** Nothing that had to arrive was lost, came twice or out of order without a word; every hole was announced, and had its reason; nothing remained.\n")
	}
	for _, v := range verdict {
		fmt.Fprintf(&b, "- %s\n", v)
	}
	return b.String()
}

func (w *world) allWays() (all []string) {
	for _, x := range w.others {
		if len(all) < int(ways) {
			all = append(all, x.was.String())
		}
	}
	return all
}

// version is what a program says of itself.
func version(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return name
	}
	words := strings.Fields(string(out))
	return strings.Join(words[:min(3, len(words))], " ")
}

// reportFaults lists what has happened, by kind.
func (w *world) reportFaults(b *strings.Builder) {
	byKind := make(map[string][]*incident)
	for _, i := range w.journal.incidents {
		byKind[i.kind] = append(byKind[i.kind], i)
	}
	fmt.Fprintf(b, "## Faults\n\n%d of %d kinds. Recovery is the time from the end of a fault until what is said at any node is heard at any other; alone, and together with other faults.\n\n"+
		"| fault | times | worst recovery, alone | worst, together |\n| --- | --- | --- | --- |\n", len(w.journal.incidents), len(byKind))
	for _, kind := range slices.Sorted(maps.Keys(byKind)) {
		worst := func(alone bool) string {
			var all []*incident
			for _, i := range byKind[kind] {
				if i.alone == alone {
					all = append(all, i)
				}
			}
			if len(all) == 0 {
				return "–"
			}
			most := slices.MaxFunc(all, func(a, b *incident) int { return cmp.Compare(a.recovery, b.recovery) })
			return most.recovery.Round(time.Millisecond).String()
		}
		fmt.Fprintf(b, "| %s | %d | %s | %s |\n", kind, len(byKind[kind]), worst(true), worst(false))
	}
	b.WriteString("\n")
}
