package hub_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"chat", "chat", true},
		{"chat", "chats", false},
		{"chat-*", "chat-1", true},
		{"chat-*", "chat-", true},
		{"chat-*", "chat", false},
		{"*", "", true},
		{"*", "anything/at all", true},
		{"", "", true},
		{"", "a", false},
		{"*-room", "a-room-b-room", true},
		{"a*b*c", "aXXbYYbc", true},
		{"a*b*c", "aXXbYYcb", false},
		{`a\*`, "a*", true},
		{`a\*`, "ab", false},
		{`a\\b`, `a\b`, true},
		{`a\b`, "ab", true},
		{`a\`, `a\`, true},
		{"**", "x", true},
		{"é*", "école", true},
	} {
		if got := hub.Match(tt.pattern, tt.name); got != tt.want {
			t.Errorf("Match(%q, %q) = %v", tt.pattern, tt.name, got)
		}
	}
}

// FuzzMatch holds Match against the regular expression that a pattern means.
func FuzzMatch(f *testing.F) {
	f.Add("a*b", "axb")
	f.Add(`\*\\`, `*\`)
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 50 || len(name) > 200 {
			return
		}
		var expr strings.Builder
		expr.WriteString(`(?s)\A`)
		for i := 0; i < len(pattern); i++ {
			switch {
			case pattern[i] == '*':
				expr.WriteString(".*")
				continue
			case pattern[i] == '\\' && i+1 < len(pattern):
				i++
			}
			expr.WriteString(regexp.QuoteMeta(latin1(pattern[i : i+1])))
		}
		expr.WriteString(`\z`)
		if got, want := hub.Match(pattern, name), regexp.MustCompile(expr.String()).MatchString(latin1(name)); got != want {
			t.Errorf("Match(%q, %q) = %v", pattern, name, got)
		}
	})
}

// latin1 makes each byte a character of its own.
func latin1(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteRune(rune(s[i]))
	}
	return b.String()
}

func rule(pattern string, change func(*hub.ChannelSettings)) hub.ChannelRule {
	r := hub.ChannelRule{Pattern: pattern, ChannelSettings: hub.DefaultChannelSettings()}
	change(&r.ChannelSettings)
	return r
}

func configure(t *testing.T, h *hub.Hub, l hub.Limits, rules ...hub.ChannelRule) {
	t.Helper()
	if err := h.Configure(l, rules); err != nil {
		t.Fatal(err)
	}
}

func keeps(t *testing.T, h *hub.Hub, channel string) int {
	t.Helper()
	a, err := h.History(hub.HistoryQuery{Channel: channel, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return len(a.Messages)
}

// Of the patterns that match, the one with the most plain characters counts,
// and what it leaves out is the hub's own.
func TestTheMostExactRuleCounts(t *testing.T) {
	h := newHub(t, hub.Limits{ChannelMessages: 9})
	configure(t, h, hub.Limits{ChannelMessages: 9},
		rule("*", func(s *hub.ChannelSettings) { s.Messages = 2 }),
		rule("chat-*", func(s *hub.ChannelSettings) { s.Messages = 3 }),
		rule("chat-vip-*", func(s *hub.ChannelSettings) { s.Window = time.Hour }),
		rule("chat-vip-lobby", func(s *hub.ChannelSettings) { s.Messages = 5 }),
	)
	for channel, want := range map[string]int{"news": 2, "chat-1": 3, "chat-vip-1": 9, "chat-vip-lobby": 5} {
		for i := range 12 {
			publish(t, h, channel, fmt.Sprint(i))
		}
		if got := keeps(t, h, channel); got != want {
			t.Errorf("%s keeps %d, want %d", channel, got, want)
		}
	}
}

// A change holds for channels that exist, from their next message on.
func TestConfigureWhileRunning(t *testing.T) {
	h := newHub(t, hub.Limits{})
	for range 5 {
		publish(t, h, "room", "x")
	}
	configure(t, h, hub.Limits{MessageBytes: 1000}, rule("room", func(s *hub.ChannelSettings) { s.Messages = 2 }))
	publish(t, h, "room", "x")
	if got := keeps(t, h, "room"); got != 2 {
		t.Errorf("keeps %d, want 2", got)
	}
	if _, err := h.Publish(context.Background(), publication("room", strings.Repeat("x", 1000))); err == nil {
		t.Error("the new limit does not hold")
	}
	for name, bad := range map[string]func() error{
		"limits": func() error { return h.Configure(hub.Limits{Clients: -1}, nil) },
		"bytes": func() error {
			return h.Configure(hub.Limits{}, []hub.ChannelRule{rule("x", func(s *hub.ChannelSettings) { s.Bytes = 1 })})
		},
		"negative": func() error {
			return h.Configure(hub.Limits{}, []hub.ChannelRule{rule("x", func(s *hub.ChannelSettings) { s.Window = -1 })})
		},
		"twice": func() error { return h.Configure(hub.Limits{}, []hub.ChannelRule{{Pattern: "x"}, {Pattern: "x"}}) },
		"name":  func() error { return h.Configure(hub.Limits{}, []hub.ChannelRule{{Pattern: "a\nb"}}) },
		"many":  func() error { return h.Configure(hub.Limits{}, make([]hub.ChannelRule, hub.MaxChannelRules+1)) },
	} {
		if err := bad(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if got := h.Limits().MessageBytes; got != 1000 {
		t.Errorf("a change that was refused has changed something: %d", got)
	}
}

// Each channel's messages go by their own window, also where a later one is
// kept shorter than an earlier one.
func TestWindowsByChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, hub.Limits{Window: time.Minute})
		configure(t, h, hub.Limits{Window: time.Minute},
			rule("long", func(s *hub.ChannelSettings) { s.Window = time.Hour }),
			rule("short", func(s *hub.ChannelSettings) { s.Window = 10 * time.Second }))
		for _, channel := range []string{"long", "plain", "short"} {
			publish(t, h, channel, "x")
		}
		for _, step := range []struct {
			after              time.Duration
			long, plain, short int
		}{
			{9 * time.Second, 1, 1, 1},
			{2 * time.Second, 1, 1, 0},
			{50 * time.Second, 1, 0, 0},
			{time.Hour, 0, 0, 0},
		} {
			time.Sleep(step.after)
			for h.EvictAged(1) {
			}
			if l, p, s := keeps(t, h, "long"), keeps(t, h, "plain"), keeps(t, h, "short"); l != step.long || p != step.plain || s != step.short {
				t.Errorf("after %v more: %d, %d, %d; want %d, %d, %d", step.after, l, p, s, step.long, step.plain, step.short)
			}
		}
		configure(t, h, hub.Limits{}, rule("long", func(s *hub.ChannelSettings) { s.Window = time.Second }))
		publish(t, h, "long", "x")
		time.Sleep(2 * time.Second)
		if h.EvictAged(10); keeps(t, h, "long") != 0 {
			t.Error("the shorter window does not hold for what is new")
		}
	})
}

// What members are told of each other: everything, a number, or nothing.
func TestPresenceByRule(t *testing.T) {
	for _, tt := range []struct {
		name    string
		set     func(*hub.ChannelSettings)
		notices int
		counts  int
	}{
		{"notices", func(*hub.ChannelSettings) {}, 2, 0},
		{"counts", func(s *hub.ChannelSettings) { s.Notices = false }, 0, 1},
		{"counts from two on", func(s *hub.ChannelSettings) { s.NoticeMembers = 1 }, 1, 1},
		{"nothing", func(s *hub.ChannelSettings) { s.Presence = false }, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHub(t, hub.Limits{})
			configure(t, h, hub.Limits{}, rule("room", tt.set))
			s := attach(t, h, hub.Start{}, create(t, h, "a", "room"))
			create(t, h, "b", "room")
			if err := h.Tidy(context.Background()); err != nil {
				t.Fatal(err)
			}
			b := s.Collect()
			counts := 0
			for _, sig := range b.Signals {
				if sig.Type == hub.SignalCount {
					counts++
					if sig.Count != 2 {
						t.Errorf("count %d, want 2", sig.Count)
					}
				}
			}
			if len(b.Messages) != tt.notices || counts != tt.counts {
				t.Errorf("%d notices, %d counts; want %d, %d", len(b.Messages), counts, tt.notices, tt.counts)
			}
			if n := h.Members("room"); len(n) != 2 {
				t.Errorf("members %v", n)
			}
		})
	}
}

func TestMembersAtMost(t *testing.T) {
	h := newHub(t, hub.Limits{})
	configure(t, h, hub.Limits{}, rule("room", func(s *hub.ChannelSettings) { s.Members = 2 }))
	for _, id := range []string{"a", "b", "c"} {
		create(t, h, id)
	}
	pairs := func(ids ...string) (all []hub.Pair) {
		for _, id := range ids {
			all = append(all, hub.Pair{Client: id, Channel: "room"})
		}
		return all
	}
	if _, err := h.Subscribe(context.Background(), pairs("a", "b", "c")); !isLimit(err, "members") {
		t.Errorf("three at once: %v", err)
	}
	if n := len(h.Members("room")); n != 0 {
		t.Errorf("%d members after a refusal", n)
	}
	if _, err := h.Subscribe(context.Background(), pairs("a", "b", "a")); err != nil {
		t.Errorf("two: %v", err)
	}
	if _, err := h.Subscribe(context.Background(), pairs("c")); !isLimit(err, "members") {
		t.Errorf("the third: %v", err)
	}
	if _, err := h.Unsubscribe(context.Background(), pairs("a")); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Subscribe(context.Background(), pairs("c")); err != nil {
		t.Errorf("in the place of one who left: %v", err)
	}
}

// Of patterns with as many plain characters the first by name counts, in
// whatever order they are given.
func TestRulesOfTheSameLength(t *testing.T) {
	a := rule("a*c", func(s *hub.ChannelSettings) { s.Messages = 2 })
	b := rule("ab*", func(s *hub.ChannelSettings) { s.Messages = 3 })
	for _, rules := range [][]hub.ChannelRule{{a, b}, {b, a}} {
		h := newHub(t, hub.Limits{})
		configure(t, h, hub.Limits{}, rules...)
		for range 9 {
			publish(t, h, "abc", "x")
		}
		if got := keeps(t, h, "abc"); got != 2 {
			t.Errorf("keeps %d, want 2", got)
		}
	}
}

func TestValidateNamesEverything(t *testing.T) {
	for name, l := range map[string]hub.Limits{
		"window": {Window: -1}, "let_go_age": {LetGoAge: -1}, "publish_id_age": {PublishIDAge: -1},
		"channel_messages": {ChannelMessages: -1}, "publish_ids": {PublishIDs: -1},
	} {
		h := newHub(t, hub.Limits{})
		if err := h.Configure(l, nil); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A smaller total goes into force bit by bit, and not with one publish.
func TestSmallerTotal(t *testing.T) {
	l := hub.Limits{TotalBytes: 20 << 20, ChannelBytes: 20 << 20, MessageBytes: 1000}
	h := newHub(t, l)
	for range 20_000 {
		publish(t, h, "room", "x")
	}
	l.TotalBytes, l.ChannelBytes = 1<<20, 1<<20
	before := h.Stats()
	if err := h.Configure(l, []hub.ChannelRule{rule("other", func(s *hub.ChannelSettings) {})}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Subscribe(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	create(t, h, "a")
	if gone := before.Messages - h.Stats().Messages; gone < 100 || gone > 1000 {
		t.Errorf("%d messages went with one entry", gone)
	}
	for h.EvictAged(100) {
	}
	if got := h.Stats().Bytes; got > l.TotalBytes || got < l.TotalBytes/2 {
		t.Errorf("%d bytes are kept, want almost %d", got, l.TotalBytes)
	}
}
