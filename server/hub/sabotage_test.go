package hub_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A sabotage is one way to get delivery wrong: a change of the hub's source,
// or a reader that misunderstands what it gets. Each was once somebody's idea.
type sabotage struct {
	name   string
	reader string      // the reader's variant
	edits  [][3]string // file, what stands there, what is put in its place
}

var sabotages = []sabotage{
	{name: "members_first", edits: [][3]string{
		{"session.go", "top := h.visible.Load()\n\th.yield()\n\n\tvar b Batch", "var b Batch"},
		{"session.go", "s.readMemberships(&b)\n", "s.readMemberships(&b)\n\th.yield()\n\ttop := h.visible.Load()\n"},
	}},
	{name: "since_outside", edits: [][3]string{
		{"hub.go", "step func()\n", "step func()\n\toutside uint64\n"},
		{"commands.go", "r, err := h.append(ctx, Command{Op: OpSubscribe", "h.outside = h.visible.Load()\n\th.yield()\n\tr, err := h.append(ctx, Command{Op: OpSubscribe"},
		{"apply.go", "since: seq - 1,", "since: h.outside,"},
	}},
	{name: "walk", edits: [][3]string{{"reader.go", "if parts > 1 {", "if false {"}}},
	{name: "gap_first", reader: "gap_first"},
	{name: "gap_merge", reader: "gap_merge"},
	{name: "gap_capped_at_S", edits: [][3]string{
		{"session.go", "reset     bool", "seen uint64\n\treset     bool"},
		{"session.go", "s.readMemberships(&b)\n", "s.seen = top\n\ts.readMemberships(&b)\n"},
		{"session.go", "To: h.position(r.evicted)", "To: h.position(min(r.evicted, s.seen))"},
	}},
	{name: "cap_posS", edits: [][3]string{{"session.go", "top = b.Messages[len(b.Messages)-1].Seq", "_ = cut"}}},
	{name: "hb_top", edits: [][3]string{{"session.go", "b.Position = h.position(s.offered)", "b.Position = h.Position()"}}},
	{name: "fold_last", reader: "fold_last"},
	{name: "no_channels_signal", edits: [][3]string{{"session.go", "if changed && !s.unlisted {", "if false {"}}},
	{name: "notice_in_ring", edits: [][3]string{{"apply.go", "Notice: kind}\n\tch.keep(&ch.notices, m, seq)", "Notice: kind}\n\tch.keep(&ch.messages, m, seq)"}}},
	{name: "epoch_kept", edits: [][3]string{{"session.go", "at.Epoch != h.epoch.Load() || at.Seq > top", "at.Seq > top"}}},
	{name: "beyond_top_waits", edits: [][3]string{{"session.go", "at.Epoch != h.epoch.Load() || at.Seq > top", "at.Epoch != h.epoch.Load()"},
		{"session.go", "at.Epoch != h.epoch.Load()", "false && at.Epoch != h.epoch.Load()"}}},
	{name: "revival_from_now", edits: [][3]string{{"apply.go", "m.joined = h.stamp.wall\n", "m.since = seq - 1\n"}}},
	{name: "gone_moves_on", edits: [][3]string{{"session.go", "return s.goneBatch()", "s.clients = slices.DeleteFunc(s.clients, func(c *client) bool { return c.state == dead })\n\t\tb.Signals = append(b.Signals, Signal{Type: SignalGone})"}}},
	{name: "let_go_survives_unsubscribe", edits: [][3]string{{"check.go", "away.unsubscribe(c, p)", ""}}},
	{name: "exclude_ignored", edits: [][3]string{{"reader.go", "!m.late(now) && !r.excluded(m)", "!m.late(now)"}}},
	{name: "late_delivered", edits: [][3]string{{"reader.go", "!m.late(now) && !r.excluded(m)", "!r.excluded(m)"}, {"reader.go", "now := r.hub.now()\n\tkept", "kept"}}},
	{name: "skip_untold", edits: [][3]string{{"reader.go", "} else if skips != nil && !m.Volatile {", "} else if false {"}}},
	{name: "old_key_reads_on", edits: [][3]string{{"apply.go", "c.revoked[r] = true", "_ = r"}}},
	{name: "disconnect_ignored", edits: [][3]string{{"apply.go", "r.dismissed.Store(true)", ""}}},
	{name: "delete_untold", edits: [][3]string{{"session.go", "changed = changed || at > s.cursor\n", ""}}},
	{name: "publish_id_forgotten", edits: [][3]string{{"publishids.go", "p.seen[e.id] = e", ""}}},
	{name: "publish_id_for_ever", edits: [][3]string{{"publishids.go", "e != nil && e.at >= before", "e != nil"}, {"publishids.go", "p.expireLocked(before, 2)", ""}}},
	{name: "kept_too_long", edits: [][3]string{{"ages.go", "l := a.listLocked(window)", "l := a.listLocked(2*window)"}}},
	{name: "ids_start_again_too_early", edits: [][3]string{{"channel.go", "ch.size() == 0 && ch.absent == 0 &&", "ch.size() == 0 &&"}}},
}

// TestSabotage proves that TestDelivery can fail: with every sabotage it must.
func TestSabotage(t *testing.T) {
	if os.Getenv("SHAVEET_HISTORIES") != "" {
		t.Skip("this is a sabotaged run itself")
	}
	for _, s := range sabotages {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command("go", "test", "-count=1", "-timeout=5m", "-vet=off", "-run=^TestDelivery$", "-overlay="+overlay(t, s.edits), ".")
			cmd.Env = append(os.Environ(), "SHAVEET_HISTORIES=20000", "SHAVEET_READER="+s.reader)
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatal("nobody noticed")
			}
			if !strings.Contains(string(out), "--- FAIL: TestDelivery") {
				t.Fatalf("the test did not run:\n%s", out)
			}
		})
	}
}

// overlay writes edited copies of the hub's files and returns the file that
// tells the Go tool to use them.
func overlay(t *testing.T, edits [][3]string) string {
	t.Helper()
	dir := t.TempDir()
	contents := map[string]string{}
	for _, e := range edits {
		file, old, new := e[0], e[1], e[2]
		if _, ok := contents[file]; !ok {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			contents[file] = string(b)
		}
		if !strings.Contains(contents[file], old) {
			t.Fatalf("%s does not contain %q any more: the sabotage must follow the code", file, old)
		}
		contents[file] = strings.Replace(contents[file], old, new, 1)
	}
	replace := map[string]string{}
	for file, content := range contents {
		real, err := filepath.Abs(file)
		if err != nil {
			t.Fatal(err)
		}
		replace[real] = filepath.Join(dir, file)
		if err := os.WriteFile(replace[real], []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
