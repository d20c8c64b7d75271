package hub_test

import (
	"cmp"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// A sabotage is one way to get delivery wrong: a change of the hub's source,
// or a reader that misunderstands what it gets. Each was once somebody's idea.
type sabotage struct {
	name   string
	test   string      // who notices; "": TestDelivery
	reader string      // the reader's variant
	edits  [][3]string // file, what stands there, what is put in its place
}

var sabotages = []sabotage{
	{name: "members_first", edits: [][3]string{
		{"session.go", "if b, ok := s.shared(top); ok {\n\t\treturn b\n\t}\n", ""},
		{"session.go", "s.readMemberships(&b)\n", "s.readMemberships(&b)\n\th.yield()\n\ttop = h.visible.Load()\n"},
	}},
	{name: "common_members_first", edits: [][3]string{
		{"common.go", "m, ok := s.only(s.clients[0])\n", "m, ok := s.only(s.clients[0])\n\ts.hub.yield()\n\ttop = s.hub.visible.Load()\n"}}},
	{name: "common_beyond_the_top", edits: [][3]string{
		{"common.go", "c == nil || c.newest > top", "c == nil"}, {"common.go", "if newest > top {", "if false {"}}},
	{name: "common_from_anywhere", test: "TestCommon", edits: [][3]string{{"common.go", "c.from == from &&", ""}}},
	{name: "common_of_before", test: "TestHeldDelivery", edits: [][3]string{{"common.go", "&& c.newest == newest", ""}}},
	{name: "common_of_changed_memberships", edits: [][3]string{{"common.go", "|| c.changed > s.cursor", ""}}},
	{name: "common_to_the_excluded", edits: [][3]string{{"common.go", "m.Terms != nil || m.Volatile", "m.Volatile"}}},
	{name: "common_without_gaps", edits: [][3]string{{"common.go", "ch.messages.evicted > from ||", ""}}},
	{name: "common_of_one_channel_of_many", edits: [][3]string{{"common.go", "one != nil ||", ""}}},
	{name: "common_without_volatile", edits: [][3]string{{"common.go", "ch.volatile != nil && ", "false && "}}},
	{name: "common_of_any_namespace", test: "TestCommon", edits: [][3]string{{"common.go", "|| namespace != \"\" && !belongs(ch.name, namespace)", "|| namespace == \"?\""}}},
	{name: "common_larger_than_a_batch", edits: [][3]string{{"common.go", "cut || len(all) == 0", "cut && len(all) == 0"}}},
	{name: "common_to_the_gone", edits: [][3]string{{"common.go", "!c.openTo(s.reader) ||", ""}}},
	{name: "since_outside", edits: [][3]string{
		{"hub.go", "step func()\n", "step func()\n\toutside uint64\n"},
		{"commands.go", "r, err := h.append(ctx, Command{Op: OpSubscribe", "h.outside = h.visible.Load()\n\th.yield()\n\tr, err := h.append(ctx, Command{Op: OpSubscribe"},
		{"apply.go", "since: t.seq - 1,", "since: h.outside,"},
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
	{name: "epoch_kept", edits: [][3]string{{"era.go", "p.Epoch == h.epoch.Load() && p.Seq <= h.visible.Load()", "p.Seq <= h.visible.Load()"}}},
	{name: "beyond_top_waits", edits: [][3]string{{"era.go", "p.Epoch == h.epoch.Load() && p.Seq <= h.visible.Load()", "true"}}},
	{name: "revival_from_now", edits: [][3]string{{"apply.go", "m.joined = h.stamp.wall\n", "m.since = t.seq - 1\n"}}},
	{name: "gone_moves_on", edits: [][3]string{{"session.go", "return s.goneBatch()", "s.clients = slices.DeleteFunc(s.clients, func(c *client) bool { return c.state == dead })\n\t\tb.Signals = append(b.Signals, Signal{Type: SignalGone})"}}},
	{name: "let_go_survives_unsubscribe", edits: [][3]string{{"check.go", "away.unsubscribe(c, p)", ""}}},
	{name: "exclude_ignored", edits: [][3]string{{"reader.go", "!m.late(now) && !r.excluded(m)", "!m.late(now)"}}},
	{name: "late_delivered", edits: [][3]string{{"reader.go", "!m.late(now) && !r.excluded(m)", "!r.excluded(m)"}, {"reader.go", "now := r.hub.now()\n\tkept", "kept"}}},
	{name: "skip_untold", edits: [][3]string{{"reader.go", "} else if skips != nil && !m.Volatile {", "} else if false {"}}},
	{name: "old_key_reads_on", edits: [][3]string{{"apply.go", "c.revoked[r] = true", "_ = r"}}},
	{name: "renewed_with_an_old_key", edits: [][3]string{{"client.go", "return c.key.Load() == key && c.state == live", "return c.state == live"}}},
	{name: "renewed_though_gone", edits: [][3]string{{"client.go", "return c.key.Load() == key && c.state == live", "return c.key.Load() == key"}}},
	{name: "renewed_where_it_was", edits: [][3]string{{"session.go", "if !again.beginNow(Start{At: at}) {", "if again.life, again.cursor = s.hub.life.Load(), s.cursor; false {"}}},
	{name: "disconnect_ignored", edits: [][3]string{{"apply.go", "r.dismissed.Store(true)", ""}}},
	{name: "delete_untold", edits: [][3]string{{"session.go", "changed = changed || at > s.cursor\n", ""}}},
	{name: "publish_id_forgotten", edits: [][3]string{{"publishids.go", "p.seen[e.id] = e", ""}}},
	{name: "publish_id_for_ever", edits: [][3]string{{"publishids.go", "e != nil && e.at >= before", "e != nil"}, {"publishids.go", "p.expireLocked(before, 2)", ""}}},
	{name: "kept_too_long", edits: [][3]string{{"ages.go", "l := a.listLocked(window)", "l := a.listLocked(2*window)"}}},
	{name: "ids_start_again_too_early", edits: [][3]string{{"channel.go", "ch.size() == 0 && ch.absent == 0 &&", "ch.size() == 0 &&"}}},
	{name: "union_unset", edits: [][3]string{{"apply.go", "t.Union.First = seq", "_ = t"}}},
	{name: "union_ignored", edits: [][3]string{{"emit.go", "if r.hearsElsewhere(m, t.Union) {", "if false {"}}},
	{name: "union_forgotten_by_the_next_batch", edits: [][3]string{{"emit.go", "if u.First <= r.behind {\n\t\treturn true\n\t}", ""}}},
	{name: "union_by_the_last_room", edits: [][3]string{{"emit.go", "u.Channels[:m.Seq-u.First]", "u.Channels[m.Seq-u.First+1:]"}}},
	{name: "union_by_who_came_later", edits: [][3]string{{"emit.go", "s.channel.name != name || s.member.since >= u.First", "s.channel.name != name"}}},
	{name: "except_client_ignored", edits: [][3]string{{"emit.go", "return c.id == id })", "_ = id\nreturn false })"}}},
	{name: "except_room_ignored", edits: [][3]string{{"emit.go", "len(t.ExceptChannels) > 0 &&", "false &&"}}},
	{name: "except_without_pasts", edits: [][3]string{{"emit.go", "return c.pasts != nil &&", "return false &&"}}},
	{name: "except_of_now", edits: [][3]string{{"emit.go", "since < seq && (until == 0 || seq < until)", "until == 0"}}},
	{name: "except_other_sockets", edits: [][3]string{{"emit.go", "return c.id == id })", "o := r.hub.clients.get(id)\nreturn c.id == id || o != nil && o.owner.Load() == c })"}}},
	{name: "volatile_kept", edits: [][3]string{{"reader.go", "max(s.from, r.writable)", "s.from"}}},
	{name: "volatile_numbered", edits: [][3]string{{"channel.go", "if !m.Volatile {\n\t\tch.lastID++\n\t}", "ch.lastID++"}}},
	{name: "volatile_in_ring", edits: [][3]string{{"channel.go", "case m.Volatile:", "case false:"}}},
	{name: "volatile_skipped", edits: [][3]string{{"reader.go", "} else if skips != nil && !m.Volatile {", "} else if skips != nil {"}}},
	{name: "writable_not_moved", edits: [][3]string{{"session.go", "s.writable = s.hub.visible.Load()", "_ = s"}}},
	{name: "namespace_ignored", edits: [][3]string{{"session.go", "namespace != \"\" && !belongs(", "false && !belongs("}}},
	{name: "quiet_announced", edits: [][3]string{{"apply.go", "if quiet(name) {", "if false {"}}},
	{name: "direct_joined_twice", edits: [][3]string{{"emit.go", "if ch := h.channels.get(name); ch != nil && c.subLocked(ch) != nil {", "if false {"}}},
	{name: "direct_joined_away", edits: [][3]string{{"emit.go", "c.stateNow() == live", "true"}}},
	{name: "emit_not_once", edits: [][3]string{{"emit.go", "top.Earlier, err = h.checkRetry(cmd)", "err = nil"}}},
	{name: "forgotten_stays_a_member", edits: [][3]string{{"sockets.go", "cmd.Pairs = c.pairs()", ""}}},
	{name: "forgotten_with_any_key", edits: [][3]string{{"sockets.go", "!c.opens(cmd.Key) ||", ""}}},
	{name: "forgotten_while_read", edits: [][3]string{{"sockets.go", "|| c.attached.Load() > 0", ""}}},
	{name: "socket_of_anybody", edits: [][3]string{{"sockets.go", "|| c.owner.Load() != h.clients.get(owner)", ""}}},
	{name: "poll_hears_what_another_took", test: "TestPolls", edits: [][3]string{{"emit.go", "if !r.poll || ", "if true || "}}},
	{name: "poll_forgets_the_last_answer", test: "TestPolls", edits: [][3]string{{"emit.go", "|| s.from >= u.First && s.from < m.Seq", ""}}},
	{name: "pass_dropped_without_room", test: "TestHeldDelivery", edits: [][3]string{
		{parked, "return c.owe(p[n:], said, end)", "return c.said(said, end)"}}},
	{name: "remainder_written_twice", test: "TestHeldDelivery", edits: [][3]string{{parked, "c.owe(p[n:], said, end)", "c.owe(p, said, end)"}}},
	{name: "remainder_in_what_is_lent", test: "TestHeldDelivery", edits: [][3]string{{parked, "&unsent{p: bytes.Clone(p),", "&unsent{p: p,"}}},
	{name: "woken_in_vain_while_it_owes", test: "TestHeldDelivery", edits: [][3]string{{parked, "c.parked.later |= now & (woken | draining)\n", ""}}},
	{name: "woken_in_vain_as_its_turn_ends", test: "TestHeldDelivery", edits: [][3]string{{parked, "if left&events != 0 || !c.state.CompareAndSwap(left, left&^running) {", "if c.state.And(^(events | running)); left == 0 {"}}},
	{name: "room_not_asked_for", test: "TestHeldDelivery", edits: [][3]string{{parked, "if !c.parked.roomToo {", "if false {"}}},
	{name: "left_out_of_the_line", test: "TestHeldDelivery", edits: [][3]string{{"../park/crew.go", "for i, c := range mine[:n] {", "for i, c := range mine[n/2 : n] {"}}},
	{name: "told_to_another", test: "TestHeldDelivery", edits: [][3]string{{"../park/poller_linux.go", "p.conns[e.FD]; c != nil", "p.conns[(int(e.FD)+2)%len(p.conns)]; c != nil"}}},
	{name: "closed_and_not_forgotten", test: "TestHeldDelivery", edits: [][3]string{{parked, "c.lot.poll.forget(c) // before the descriptor can be another's\n", ""}}},
	{name: "written_common_from_anywhere", test: "TestHeldDelivery", edits: [][3]string{{"common.go", "c.from == from &&", ""}}},
	{name: "written_common_to_the_excluded", test: "TestHeldDelivery", edits: [][3]string{{"common.go", "m.Terms != nil || m.Volatile", "m.Volatile"}}},
	{name: "written_common_of_before", test: "TestHeldDelivery", edits: [][3]string{{"common.go", "&& c.newest == newest", ""}}},
	{name: "socket_let_go_with_the_clients", edits: [][3]string{{"check.go", "idle.After = max(idle.After, idle.Socket)", ""}}},
	{name: "denied_without_asking_the_log", test: "TestSharedDelivery", edits: [][3]string{{"reader.go", "if !right && h.shared != nil {", "if false {"}}},
	{name: "reset_without_asking_the_log", test: "TestSharedDelivery", edits: [][3]string{{"session.go", "if !start.Now && !start.At.IsZero() && h.strange(start.At) {", "if false {"}}},
	{name: "let_go_by_whoever", test: "TestSharedDelivery", edits: [][3]string{{"check.go", "!h.holds(c) ||", ""}, {"shared.go", "h.wheel.hold(c, false)\n\t\t\th.wheel.remove(c)", "_ = c"}}},
	{name: "reached_by_nobody", test: "TestSharedDelivery", edits: [][3]string{{"shared.go", "h.reached.add(c.id)\n\t}\n\th.wheel.add(c, due)", "}\n\th.wheel.add(c, due)"}}},
}

// parked is where connections are written that are parked.
const parked = "../park/parked_linux.go"

// TestSabotage proves that TestDelivery, TestHeldDelivery and TestPolls can fail:
// with every sabotage one of them must, and without one they must not.
func TestSabotage(t *testing.T) {
	if os.Getenv("SHAVEET_HISTORIES") != "" {
		t.Skip("this is a sabotaged run itself")
	}
	binary := buildSabotaged(t)
	run := func(t *testing.T, s sabotage, tests string, histories int) (out string, err error) {
		cmd := exec.CommandContext(t.Context(), binary, "-test.run=^("+tests+")$", "-test.timeout=5m")
		cmd.Env = append(os.Environ(), "SHAVEET_HISTORIES="+strconv.Itoa(histories), "SHAVEET_READER="+s.reader, "SHAVEET_SABOTAGE="+s.name)
		b, err := cmd.CombinedOutput()
		return string(b), err
	}
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		if out, err := run(t, sabotage{}, "TestDelivery|TestHeldDelivery|TestPolls|TestCommon", 1000); err != nil {
			t.Errorf("%v:\n%s", err, out)
		}
	})
	for _, s := range sabotages {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			test := cmp.Or(s.test, "TestDelivery")
			out, err := run(t, s, test, 100_000)
			if err == nil {
				t.Fatal("nobody noticed")
			}
			if !strings.Contains(out, "--- FAIL: "+test) {
				t.Fatalf("the test did not run:\n%s", out)
			}
		})
	}
}
