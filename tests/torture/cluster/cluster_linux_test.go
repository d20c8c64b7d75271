package cluster

import (
	"debug/buildinfo"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

func TestMain(m *testing.M) { live.Main(m) }

// seed is SHAVEET_SEED, or the one of every day.
func seed(t testing.TB) uint64 {
	text := os.Getenv("SHAVEET_SEED")
	if text == "" {
		return 1
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// torture runs a plan, and has the test fail if anything is wrong.
func torture(t testing.TB, p *plan, binary string) *world {
	p.peers = knows(t, binary, "node_listen")
	w := newWorld(t, p, binary)
	for _, v := range w.run(t) {
		t.Error(v)
	}
	t.Log(w.summary())
	return w
}

// knows reports whether the program has a setting.
func knows(t testing.TB, binary, key string) bool {
	config := exec.Command(binary, "config")
	config.Env = environment()
	out, err := config.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(out), key)
}

// detectsRaces reports whether the program was built with the race detector.
func detectsRaces(t testing.TB, binary string) bool {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// TestCluster is a small cluster, and some of what can happen to it.
func TestCluster(t *testing.T) {
	torture(t, quickly(seed(t)), live.Binary(t))
}

// TestOneNode is the same behind three names for one node, whose log is its own.
func TestOneNode(t *testing.T) {
	p := quickly(seed(t))
	p.redis, p.nodes, p.faults = false, 3, 9
	p.kinds = append(p.kinds, "node SIGKILL, alone", "storm of reconnections", "double polls", "transports switched", "readers stalled")
	torture(t, p, live.Binary(t))
}

// TestTorture is the whole of it, for as long as SHAVEET_TORTURE says, or for a
// minute among the long tests. SHAVEET_FAULTS names the only kinds of faults that
// there are to be, with "; " between them, and SHAVEET_TORTURE_LOGS the directory
// that has what the nodes log.
func TestTorture(t *testing.T) {
	text := os.Getenv("SHAVEET_TORTURE")
	if text == "" && os.Getenv("SHAVEET_LONG") != "" {
		text = "60s"
	}
	if text == "" {
		t.Skip("neither SHAVEET_TORTURE, how long it is to last, nor SHAVEET_LONG is set")
	}
	lasts, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	p := full(seed(t), lasts)
	if detectsRaces(t, live.Binary(t)) { // which takes several times the work and the memory
		p.verified, p.background, p.memory = p.verified/4, p.background/4, 4*p.memory
	}
	p.peers = knows(t, live.Binary(t), "node_listen")
	if kinds := os.Getenv("SHAVEET_FAULTS"); kinds != "" {
		p.kinds = strings.Split(kinds, "; ")
	}
	w := newWorld(t, p, live.Binary(t))
	verdict := w.run(t)
	for _, v := range verdict {
		t.Error(v)
	}
	report := w.report(lasts, verdict)
	t.Log(report)
	if path := os.Getenv("SHAVEET_TORTURE_RESULT"); path != "" {
		if err := os.WriteFile(path, []byte(report), 0o644); err != nil {
			t.Error(err)
		}
	}
}
