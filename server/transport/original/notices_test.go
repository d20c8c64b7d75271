package original_test

import (
	"testing"
	"testing/synctest"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/original"
)

// TestJoinNoticeFirst: the first thing a subscriber reads is its own join, and
// never what was said before.
func TestJoinNoticeFirst(t *testing.T) {
	p := newPlace(t, original.Options{})
	p.client("old", "ch")
	p.say("ch", "before")
	p.client("a", "ch")
	p.say("ch", "after")
	p.wantPoll(`{"ch": [[3, "{\"type\": \"subscribe\"}", "a"], [4, "after", "bob"]]}`, "a")
}

// TestJoiningAgain, and leaving what one is not on, change nothing, announce
// nothing and answer as always.
func TestJoiningAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, original.Options{})
		p.client("a", "ch")
		p.client("b", "other")
		p.say("ch", "unread")
		for _, call := range [][]any{{"subscribe", "a", "ch"}, {"unsubscribe", "b", "ch"}, {"unsubscribe", "b", "no such channel"}} {
			if got := p.call(call[0].(string), call[1:]...); got != "1" {
				t.Errorf("%v: %s", call, got)
			}
		}
		p.wantPoll(`{"ch": [[1, "{\"type\": \"subscribe\"}", "a"], [2, "unread", "bob"]]}`, "a")
		wantHeld(t, "no further notice", p.hold("a"))
		if n := p.hub.Stats().Channels; n != 3 { // admin, ch, other
			t.Errorf("%d channels", n)
		}
	})
}

// TestLeaveNotices: who stays hears who leaves and how; who leaves does not,
// and loses what it had not read; who comes back begins anew.
func TestLeaveNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, original.Options{})
		p.client("a", "ch")
		p.client("b", "ch", "other")
		p.read("a")
		p.say("ch", "b will not read this")
		p.read("a")
		p.call("unsubscribe", "b", "ch")
		p.wantPoll(`{"ch": [[4, "{\"type\": \"unsubscribe\", \"gc\": false}", "b"]]}`, "a")
		p.say("ch", "while b is away")
		p.read("a")
		p.wantPoll(joined("other", "b"), "b")
		p.call("subscribe", "b", "ch")
		p.wantPoll(`{"ch": [[6, "{\"type\": \"subscribe\"}", "b"]]}`, "b")
		p.wantPoll(`{"ch": [[6, "{\"type\": \"subscribe\"}", "b"]]}`, "a")
		p.call("kill_client", "b")
		p.wantPoll(`{"ch": [[7, "{\"type\": \"unsubscribe\", \"gc\": true}", "b"]]}`, "a")
	})
}

// TestAdminChannel announces every channel once, itself first, whichever call
// makes it; and reading makes none.
func TestAdminChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, original.Options{})
		p.client("watcher", "admin")
		// Number 1 announced the channel itself, to nobody.
		p.wantPoll(`{"admin": [[2, "{\"type\": \"subscribe\"}", "watcher"]]}`, "watcher")
	})
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, original.Options{})
		p.client("a", "first")
		p.client("watcher", "admin")
		p.wantPoll(`{"admin": [[3, "{\"type\": \"subscribe\"}", "watcher"]]}`, "watcher")

		h := p.hold("watcher")
		p.call("get_channel_clients", "unheard of")
		p.call("unsubscribe", "a", "unheard of")
		p.call("unsubscribe_all_channel", "unheard of", []string{})
		p.call("get_client_channels", "a")
		wantHeld(t, "nothing has been made", h)

		p.call("subscribe", "a", "second")
		wantAnswer(t, "by subscribing", h, `/**/cb({"admin": [[4, "{\"type\": \"new_channel\", \"name\": \"second\"}", "system"]]});`)
		p.say("thi\"rd", "x")
		p.wantPoll(`{"admin": [[5, "{\"type\": \"new_channel\", \"name\": \"thi\\\"rd\"}", "system"]]}`, "watcher")
		p.say("thi\"rd", "y")
		p.call("subscribe", "a", "thi\"rd")
		wantHeld(t, "it is there already", p.hold("watcher"))
	})
}

// TestIDsAreDense: they begin with 1 and count everything that is said on the
// channel, notices too, for everybody the same.
func TestIDsAreDense(t *testing.T) {
	p := newPlace(t, original.Options{})
	p.client("a", "ch")
	p.client("other", "elsewhere")
	for range 5 {
		p.say("ch", "x")
		p.say("elsewhere", "y")
		p.client("b", "ch")
		p.call("kill_client", "b")
	}
	got := news(t, p.get(p.query("a")).Body.String())["ch"]
	if len(got) != 16 {
		t.Fatalf("%d messages", len(got))
	}
	for i, l := range got {
		if l.ID != uint64(i+1) {
			t.Errorf("id %d at %d", l.ID, i)
		}
	}
}

// TestNoticesDoNotEvictMessages: they have a place of their own.
func TestNoticesDoNotEvictMessages(t *testing.T) {
	p := newPlace(t, original.Options{}, hub.Limits{ChannelMessages: 1, ChannelNotices: 2})
	p.client("a", "ch")
	p.say("ch", "the one message")
	for range 50 {
		p.client("b", "ch")
		p.call("kill_client", "b")
	}
	p.wantPoll(`{"ch": [[2, "the one message", "bob"], [101, "{\"type\": \"subscribe\"}", "b"], `+
		`[102, "{\"type\": \"unsubscribe\", \"gc\": true}", "b"]]}`, "a")
}
