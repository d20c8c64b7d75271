package edges_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	soakReaders  = 10_000
	soakChannels = 20
	soakRate     = 10 // messages a second, on one channel after the other
	soakSize     = 200
	soakChurn    = 100 // readers that leave in a second
	soakAway     = 5 * time.Second
	soakSample   = 10 * time.Second
)

// TestSoak holds ten thousand readers for as long as SHAVEET_SOAK says. They come
// and go all the time, and nobody misses anything, hears it twice or out of order;
// and what the server needs does not grow.
func TestSoak(t *testing.T) {
	text := os.Getenv("SHAVEET_SOAK")
	if text == "" {
		t.Skip("SHAVEET_SOAK, how long it is to last, is not set")
	}
	lasts, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	const needed = soakReaders + 500
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Max < needed {
		t.Fatalf("there may be %d descriptors, %d are needed on each side: ulimit -n", limit.Max, needed)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	s := start(t, "--max-connections", fmt.Sprint(needed-200), "--socketio-max-connections", fmt.Sprint(2*soakReaders))
	k := &soak{s: s, crowd: newCrowd(s, soakReaders, soakChannels, allWays), away: make(map[*seat]time.Time)}
	k.speaker = k.crowd.speaker(soakSize)
	k.crowd.comeAll()
	s.awaitSessions(soakReaders)
	k.run(lasts)

	if len(k.broken) > 0 {
		k.broken = append(k.broken, fmt.Sprintf("Socket.IO has closed for %v", k.reasons()))
	}
	var verdict []string
	k.crowd.each(func(r *seat) { verdict = append(verdict, r.faults...) })
	verdict = append(append(verdict, k.broken...), k.growth()...)
	for _, v := range verdict[:min(len(verdict), 50)] {
		t.Error(v)
	}
	report := k.report(lasts, verdict)
	t.Log(report)
	if path := os.Getenv("SHAVEET_SOAK_RESULT"); path != "" {
		if err := os.WriteFile(path, []byte(report), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// A soak is one under way. All is of one goroutine, but the crowd.
type soak struct {
	s       *server
	crowd   *crowd
	speaker *speaker
	began   time.Time
	away    map[*seat]time.Time // who has left, and is to come when
	left    [3]int              // how many have: said goodbye, closed, broken
	broken  []string            // connections that have ended without our doing
	samples []sample
	cpu     time.Duration // up to the last sample
}

// A sample is what the server needs at a time.
type sample struct {
	at                             time.Duration
	rss, goroutines, open, session int
	cpu                            float64 // processors, since the last one
	delivered                      float64
}

// run speaks, and has readers leave and come back, until the time is over. Then all
// come back, and hear what is left.
func (k *soak) run(lasts time.Duration) {
	k.began, k.cpu = time.Now(), k.s.cpu()
	tick := time.NewTicker(time.Second / soakRate)
	defer tick.Stop()
	for said := 0; time.Since(k.began) < lasts; said++ {
		<-tick.C
		k.speaker.say(said%soakChannels, 1)
		k.churn(soakChurn / soakRate)
		if at := time.Since(k.began); at >= time.Duration(len(k.samples)+1)*soakSample {
			k.sample(at)
		}
	}
	for r := range k.away {
		k.crowd.come(r)
	}
	for channel := range k.speaker.said {
		k.speaker.say(channel, 1)
	}
	k.crowd.await("everybody is back and has been told everything", func(r *seat) bool {
		return r.stands && r.next == k.speaker.said[r.channel] || len(r.faults) > 0
	})
}

// churn has n readers leave, and those come back whose time it is. Who was sent
// away comes back, too, but that is noted.
func (k *soak) churn(n int) {
	now := time.Now()
	var back []*seat
	for r, at := range k.away {
		if now.After(at) {
			back = append(back, r)
			delete(k.away, r)
		}
	}
	k.crowd.each(func(r *seat) {
		if r.fd == 0 && r.ended != "" {
			k.broken = append(k.broken, fmt.Sprintf("after %v a connection by %s has ended: %s", now.Sub(k.began).Round(time.Second), r.way, r.ended))
			r.ended = ""
			back = append(back, r)
		}
	})
	k.crowd.mu.Lock()
	for _, r := range k.crowd.some(n) {
		if !r.stands {
			continue // it is on its way
		}
		how := rand.IntN(len(k.left))
		switch how {
		case 0:
			if bye := r.goodbye(); len(bye) > 0 {
				syscall.Write(r.fd, bye)
			}
			k.crowd.leave(r)
		case 1:
			k.crowd.leave(r)
		case 2:
			k.crowd.reset(r)
		}
		k.left[how]++
		k.away[r] = now.Add(rand.N(soakAway))
	}
	k.crowd.mu.Unlock()
	k.crowd.come(back...)
}

func (k *soak) sample(at time.Duration) {
	m, cpu := k.s.metrics(), k.s.cpu()
	var before time.Duration
	if n := len(k.samples); n > 0 {
		before = k.samples[n-1].at
	}
	k.samples = append(k.samples, sample{at: at, rss: k.s.memory(), goroutines: int(m["go_goroutines"]), open: k.s.descriptors(),
		session: int(m["shaveet_sessions"]), cpu: (cpu - k.cpu).Seconds() / (at - before).Seconds(), delivered: m["shaveet_messages_delivered_total"]})
	k.cpu = cpu
}

// growth says what was not flat: what is above a tenth more, and some beside, in the
// last third of the time after the first fifth, compared with the first third of
// it. Medians are compared, so that a single moment decides nothing.
func (k *soak) growth() (bad []string) {
	settled := k.samples[len(k.samples)/5:]
	third := len(settled) / 3
	if third == 0 {
		return []string{"there are too few samples to tell what grows"}
	}
	for _, of := range []struct {
		what  string
		value func(sample) int
		more  int
	}{
		{"MiB", func(s sample) int { return s.rss >> 20 }, 16},
		{"goroutines", func(s sample) int { return s.goroutines }, 100},
		{"descriptors", func(s sample) int { return s.open }, 100},
	} {
		first, last := median(settled[:third], of.value), median(settled[len(settled)-third:], of.value)
		if last > first+first/10+of.more {
			bad = append(bad, fmt.Sprintf("from %d %s it has grown to %d", first, of.what, last))
		}
	}
	return bad
}

func median(samples []sample, value func(sample) int) int {
	var all []int
	for _, s := range samples {
		all = append(all, value(s))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// report is what the result file says.
func (k *soak) report(lasts time.Duration, verdict []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Soak

Many readers for a long time, with the real program: what it needs must not grow, and nobody may miss anything. Written by the test itself ([tests/edges](../tests/edges/soak_linux_test.go)), on %s.

- **Machine:** %s. The readers ran on the same one.
- **Command:** `+"`SHAVEET_SOAK=%v SHAVEET_SOAK_RESULT=$PWD/docs/soak.md go test -run Soak -timeout 60m ./tests/edges`, or `make soak`"+`
- **Readers:** %d, as many each by %s, on %d channels of %d members. All are on one connection each.
- **Messages:** %d a second, of %d bytes, numbered on each channel: %d were said. With notices of who is on a channel, %.0f were delivered to readers.
- **Coming and going:** about %d readers left in a second and came back within %v, from where they were: %d after a goodbye in good order (of WebSockets and Socket.IO; others just close), %d closed, %d broke their connection.
- **Checked:** each reader, for each message, that it is the next one. Connections that ended on the server's side: %d.

| time | memory (RSS) | goroutines | descriptors | readers | processors |
| --- | --- | --- | --- | --- | --- |
`, k.began.UTC().Format("2 January 2006"), machine(), lasts, soakReaders, names(allWays), soakChannels, soakReaders/soakChannels,
		soakRate, soakSize, k.sum(), k.samples[len(k.samples)-1].delivered, soakChurn, soakAway, k.left[0], k.left[1], k.left[2], len(k.broken))
	for i, s := range k.samples {
		minute := int(s.at / time.Minute)
		begins := i == 0 || int(k.samples[i-1].at/time.Minute) < minute
		if begins && (minute == 1 || minute > 0 && minute%5 == 0) || i == len(k.samples)-1 {
			fmt.Fprintf(&b, "| %v | %d MiB | %d | %d | %d | %.2f |\n", s.at.Round(time.Second), s.rss>>20, s.goroutines, s.open, s.session, s.cpu)
		}
	}
	b.WriteString("\nReaders are those held at that moment: who is on the way back, or between two polls, is missing. Flat means: in the last third of what is behind the first fifth of the time, the median of the samples (one each 10 s) is no more than a tenth above that of the first third, and 16 MiB, or 100 goroutines or descriptors.\n\n")
	if len(verdict) == 0 {
		b.WriteString("**Verdict: passed.** Nothing was lost, doubled or reordered, no connection was ended by the server, and memory, goroutines and descriptors were flat.\n")
		return b.String()
	}
	fmt.Fprintf(&b, "**Verdict: failed**, by %d findings. The first of them:\n\n", len(verdict))
	for _, v := range verdict[:min(len(verdict), 20)] {
		fmt.Fprintf(&b, "- %s\n", v)
	}
	return b.String()
}

// reasons says how often Socket.IO has ended a connection for what.
func (k *soak) reasons() map[string]float64 {
	all := make(map[string]float64)
	for name, n := range k.s.metrics() {
		if reason, ok := strings.CutPrefix(name, "shaveet_socketio_sessions_closed_total{reason="); ok && n > 0 {
			all[strings.TrimSuffix(reason, "}")] = n
		}
	}
	return all
}

func (k *soak) sum() (n int) {
	for _, said := range k.speaker.said {
		n += int(said)
	}
	return n
}

func names(ways []way) string {
	var all []string
	for _, w := range ways {
		all = append(all, string(w))
	}
	return strings.Join(all, ", ")
}

// machine says on what it ran.
func machine() string {
	cpus, _ := os.ReadFile("/proc/cpuinfo")
	model, n := "an unknown processor", 0
	for line := range strings.Lines(string(cpus)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			n++
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%d × %s, Linux %s", n, model, strings.TrimSpace(string(kernel)))
}
