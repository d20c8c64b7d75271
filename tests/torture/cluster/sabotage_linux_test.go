package cluster

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

// A sabotage is a mistake built into the program, which is at work if the
// environment names it. Somebody must notice.
type sabotage struct {
	name  string
	redis bool
	kinds []string // of faults without which it does no harm
	want  []string // one of these is found
}

var sabotages = []sabotage{
	{name: ""}, // and nothing is found
	{name: "drop", want: []string{"nothing announces a hole", "has not come to"}},
	{name: "double", want: []string{"comes a second time", "comes after"}},
	{name: "swap", want: []string{"comes after", "follows id", "has not come to"}},
	// Who is told one message at a time drops the second as a repeat, and misses it.
	{name: "reuse", want: []string{"are both at", "comes after", "nothing announces a hole", "has not come to"}},
	{name: "hush", redis: true, kinds: []string{"Redis FLUSHALL", "Redis SIGKILL, AOF"}, want: []string{"nothing tells of another epoch"}},
	{name: "deaf node", redis: true, want: []string{"has the id", "nothing announces a hole", "has not come to"}},
}

// sabotagedSource is added to the package hub. Of ten thousand deliveries one is
// spoiled.
const sabotagedSource = `package hub

import (
	"os"
	"slices"
	"sync/atomic"
)

var (
	sabotage  = os.Getenv("SABOTAGE")
	delivered atomic.Uint64
	applied   atomic.Uint64
)

// Deaf reports whether an entry is passed over.
func Deaf(e *Entry) bool {
	return sabotage == "deaf node" && e.Foreign && len(e.Messages) + len(e.Pairs) == 0 && e.Message != nil && applied.Add(1)%50 == 0
}

func sabotaged(b Batch) Batch {
	if sabotage == "hush" {
		b.Signals = slices.DeleteFunc(b.Signals, func(s Signal) bool { return s.Type == SignalReset })
		return b
	}
	if sabotage == "" || sabotage == "deaf node" {
		return b
	}
	for i, m := range b.Messages {
		if m.Notice != 0 || delivered.Add(1)%10_000 != 0 {
			continue
		}
		all := slices.Clone(b.Messages)
		switch {
		case sabotage == "drop":
			all = slices.Delete(all, i, i+1)
		case sabotage == "double":
			all = slices.Insert(all, i, m)
		case i == 0 || all[i-1].Notice != 0:
			delivered.Add(^uint64(0)) // it needs a neighbour
			continue
		case sabotage == "swap":
			all[i-1], all[i] = all[i], all[i-1]
		case sabotage == "reuse":
			all[i] = &Message{Seq: all[i-1].Seq, ID: m.ID, Sender: m.Sender, Data: m.Data, Time: m.Time, channel: m.channel, name: m.name, at: m.at}
		}
		b.Messages, b.Common = all, nil
		return b
	}
	return b
}
`

// edits put the sabotages to work: file, what stands there, what is put in its
// place.
var edits = [][3]string{
	{"server/hub/session.go", "func (s *Session) Collect() Batch {\n",
		"func (s *Session) Collect() Batch { return sabotaged(s.collectWell()) }\n\nfunc (s *Session) collectWell() Batch {\n"},
	{"server/broker/redis/run.go", "id := b.state.Apply(*e)\n", "id := uint64(0)\n\t\tif !hub.Deaf(e) {\n\t\t\tid = b.state.Apply(*e)\n\t\t}\n"},
}

// buildSabotaged builds the program with all the sabotages in it.
func buildSabotaged(t *testing.T) string {
	root, dir := live.Root(t), t.TempDir()
	replace := map[string]string{}
	write := func(path, text string) {
		file := filepath.Join(dir, strings.ReplaceAll(path, "/", "_"))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(root, path)] = file
	}
	for _, e := range edits {
		text, err := os.ReadFile(filepath.Join(root, e[0]))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), e[1]) {
			t.Fatalf("%s does not contain %q any more: the sabotage must follow the code", e[0], e[1])
		}
		write(e[0], strings.Replace(string(text), e[1], e[2], 1))
	}
	write("server/hub/sabotaged.go", sabotagedSource)
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file, binary := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "shaveet")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-ldflags=-s -w", "-overlay="+file, "-o", binary, "./cmd/shaveet")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	return binary
}

// TestTheVerdictNotices what a server may do wrong.
func TestTheVerdictNotices(t *testing.T) {
	binary := buildSabotaged(t)
	for _, s := range sabotages {
		t.Run("sabotage "+s.name, func(t *testing.T) {
			p := quickly(1)
			p.impatient, p.redis, p.kinds, p.faults = true, s.redis, append([]string{}, s.kinds...), len(s.kinds)
			p.verified, p.background, p.channels, p.crowds, p.rate = 150, 0, 5, 1, 60
			p.lasts, p.settle, p.calm = 15*time.Second, 5*time.Second, 200*time.Millisecond
			if len(s.kinds) == 0 {
				// One delivery of ten thousand: on a slow machine that is rare,
				// and a reader may take a repeat for one it must drop.
				p.lasts = 2 * time.Minute
			}
			w := newWorld(t, p, binary, "SABOTAGE="+s.name)
			if s.name == "" {
				p.lasts = 3 * time.Second
			}
			found := w.run(t)
			if s.name == "" && len(found) == 0 {
				return
			}
			for _, f := range found {
				for _, want := range s.want {
					if strings.Contains(f, want) {
						return
					}
				}
			}
			t.Errorf("nobody notices; found is %.500q; %s", found, w.summary())
		})
	}
}
