package hub_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

func TestRotateKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, hub.Limits{})
		old, other := create(t, h, "a", "room"), create(t, h, "b", "room")
		s := attach(t, h, hub.Start{Now: true}, old)
		both := attach(t, h, hub.Start{Now: true}, old, other)
		key, at, err := h.RotateKey(t.Context(), "a")
		if err != nil || key == old.Key || at != h.Position() {
			t.Fatalf("%q, %v, %v", key, at, err)
		}
		publish(t, h, "room", "secret")
		for _, r := range []*hub.Session{s, both} {
			b, err := r.Next(t.Context())
			if err != nil || len(b.Messages) != 0 || len(b.Signals) != 1 || b.Signals[0].Type != hub.SignalGone || b.Signals[0].Client != "a" {
				t.Errorf("who came with the old key hears %+v, %v", b, err)
			}
			r.Commit()
		}
		if !s.Ended() || both.Ended() {
			t.Error("the one session must have ended, and the other not")
		}
		want(t, "the other client", said(both.Collect().Messages), []string{"secret"})
		if _, err := h.Attach(t.Context(), []hub.Credentials{old}, hub.Start{}); !errors.Is(err, hub.ErrBadCredentials) {
			t.Errorf("the old key: %v", err)
		}
		attach(t, h, hub.Start{}, hub.Credentials{ID: "a", Key: key})
		if again, _, err := h.CreateClient(t.Context(), "a"); err != nil || again != key {
			t.Errorf("create_client tells %q, %v; want the new key", again, err)
		}
		if _, _, err := h.RotateKey(t.Context(), "nobody"); !errors.Is(err, hub.ErrUnknownClient) {
			t.Errorf("nobody: %v", err)
		}
	})
}

// The key of a client that was let go can be made void as well.
func TestRotateKeyOfALetGoClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, hub.Limits{})
		old := create(t, h, "a", "room")
		time.Sleep(2 * time.Minute)
		if n, _, err := h.Expire(t.Context(), idle, 10); n != 1 {
			t.Fatalf("%d let go, %v", n, err)
		}
		key, _, err := h.RotateKey(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Attach(t.Context(), []hub.Credentials{old}, hub.Start{}); !errors.Is(err, hub.ErrBadCredentials) {
			t.Errorf("the old key revives: %v", err)
		}
		if s := h.Stats(); s.Clients != 0 || s.LetGoClients != 1 {
			t.Errorf("%+v; want that it is still let go", s)
		}
		attach(t, h, hub.Start{}, hub.Credentials{ID: "a", Key: key})
	})
}

// No attach that began with the old key may outlast the change of keys.
func TestConcurrentRotateAndAttach(t *testing.T) {
	h := newHub(t, hub.Limits{SessionsPerClient: 1000})
	cr := create(t, h, "a", "room")
	for range 100 {
		attached := make(chan *hub.Session)
		go func() {
			s, err := h.Attach(t.Context(), []hub.Credentials{cr}, hub.Start{Now: true})
			if err != nil && !errors.Is(err, hub.ErrBadCredentials) {
				t.Error(err)
			}
			attached <- s
		}()
		key, _, err := h.RotateKey(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if s := <-attached; s != nil {
			publish(t, h, "room", "secret")
			if b := s.Collect(); len(b.Messages) > 0 {
				t.Fatal("a session with the old key hears what was said after the change")
			}
			s.Close()
		}
		cr.Key = key
	}
}

func TestDisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, hub.Limits{})
		a := create(t, h, "a", "room")
		tab := attach(t, h, hub.Start{Now: true, Session: "tab"}, a)
		other := attach(t, h, hub.Start{Now: true, Session: "other"}, a)
		if _, err := h.Disconnect(t.Context(), "a", "tab"); err != nil {
			t.Fatal(err)
		}
		b, err := tab.Next(t.Context())
		if err != nil || len(b.Signals) != 1 || b.Signals[0].Type != hub.SignalDrain {
			t.Fatalf("%+v, %v; want a drain", b, err)
		}
		if tab.Commit(); !tab.Ended() {
			t.Error("the session has not ended")
		}
		p := publish(t, h, "room", "while away")
		want(t, "the other session", said(other.Collect().Messages), []string{"while away"})
		back := attach(t, h, hub.Start{At: b.Position}, a)
		if got := back.Collect(); got.Position != p.Position {
			t.Errorf("it comes back to %v, want %v", got.Position, p.Position)
		}
		poll, err := h.AttachPoll(t.Context(), []hub.Credentials{a}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer poll.Close()
		if _, err := h.Disconnect(t.Context(), "a", ""); err != nil {
			t.Fatal(err)
		}
		if _, err := poll.Next(t.Context()); !errors.Is(err, hub.ErrDismissed) {
			t.Errorf("an old page's poll: %v", err)
		}
		if _, err := h.Disconnect(t.Context(), "nobody", ""); !errors.Is(err, hub.ErrUnknownClient) {
			t.Errorf("nobody: %v", err)
		}
	})
}

func TestDeleteChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, hub.Limits{SubscriptionsPerClient: 2})
		s := attach(t, h, hub.Start{Now: true}, create(t, h, "a", "room", "other"))
		for range 1000 {
			publish(t, h, "room", "x")
		}
		s.Collect()
		s.Commit()
		if _, err := h.DeleteChannel(t.Context(), "room"); err != nil {
			t.Fatal(err)
		}
		b, err := s.Next(t.Context())
		if err != nil || len(b.Signals) != 1 || len(b.Signals[0].Channels) != 1 {
			t.Fatalf("%+v, %v; want the channels without it", b, err)
		}
		s.Commit()
		if names, err := h.ClientChannels("a"); len(names) != 1 || names[0] != "other" {
			t.Errorf("channels %v, %v", names, err)
		}
		if n := h.Members("room"); n != nil {
			t.Errorf("members %v", n)
		}
		if _, err := h.DeleteChannel(t.Context(), "room"); !errors.Is(err, hub.ErrUnknownChannel) {
			t.Errorf("again: %v", err)
		}
		if _, err := h.DeleteChannel(t.Context(), hub.AdminChannel); !errors.Is(err, hub.ErrInvalid) {
			t.Errorf("the admin channel: %v", err)
		}
		before := h.Stats()
		if err := h.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
		if after := h.Stats(); before.Messages-after.Messages < 1000 || after.Bytes >= before.Bytes {
			t.Errorf("what it held is still there: %d of %d messages", after.Messages, before.Messages)
		}
		// The next of the name is a new one, and there is room for it.
		subscribe(t, h, "a", "room")
		if p := publish(t, h, "room", "anew"); p.ID != 2 { // after the notice
			t.Errorf("id %d, want 2", p.ID)
		}
		want(t, "heard", said(s.Collect().Messages), []string{"anew"})
	})
}

// Clients that were let go come back without it.
func TestDeleteChannelOfALetGoClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, hub.Limits{})
		a := create(t, h, "a", "room", "other")
		time.Sleep(2 * time.Minute)
		if n, _, err := h.Expire(t.Context(), idle, 10); n != 1 {
			t.Fatalf("%d let go, %v", n, err)
		}
		if _, err := h.DeleteChannel(t.Context(), "room"); err != nil {
			t.Fatal(err)
		}
		publish(t, h, "room", "not for a any more")
		s := attach(t, h, hub.Start{}, a)
		want(t, "heard", said(s.Collect().Messages), nil)
		if names, err := h.ClientChannels("a"); len(names) != 1 || names[0] != "other" {
			t.Errorf("channels %v, %v", names, err)
		}
	})
}

func TestHistory(t *testing.T) {
	h := newHub(t, hub.Limits{ChannelMessages: 5})
	create(t, h, "a", "room")
	var at []hub.Position
	for i := range 8 {
		at = append(at, publish(t, h, "room", fmt.Sprint(i)).Position)
	}
	foreign := hub.Position{Epoch: at[0].Epoch + 1, Seq: 3}
	for _, tt := range []struct {
		name        string
		q           hub.HistoryQuery
		want        []string
		more, reset bool
		lost        bool
	}{
		{"all", hub.HistoryQuery{Limit: 10}, []string{"3", "4", "5", "6", "7"}, false, false, false},
		{"just as many", hub.HistoryQuery{Limit: 5}, []string{"3", "4", "5", "6", "7"}, false, false, false},
		{"the first", hub.HistoryQuery{Limit: 2}, []string{"3", "4"}, true, false, false},
		{"the last", hub.HistoryQuery{Limit: 2, Reverse: true}, []string{"7", "6"}, true, false, false},
		{"since", hub.HistoryQuery{Limit: 10, Since: at[5]}, []string{"6", "7"}, false, false, false},
		{"back to", hub.HistoryQuery{Limit: 10, Since: at[5], Reverse: true}, []string{"7", "6"}, false, false, false},
		{"since the top", hub.HistoryQuery{Limit: 10, Since: at[7]}, nil, false, false, false},
		{"since what is lost", hub.HistoryQuery{Limit: 1, Since: at[0]}, []string{"3"}, true, false, true},
		{"another life", hub.HistoryQuery{Limit: 1, Since: foreign}, []string{"3"}, true, true, false},
		{"the future", hub.HistoryQuery{Limit: 1, Since: hub.Position{Epoch: at[0].Epoch, Seq: 1000}}, []string{"3"}, true, true, false},
	} {
		tt.q.Channel = "room"
		a, err := h.History(tt.q)
		if err != nil {
			t.Fatal(err)
		}
		want(t, tt.name, said(a.Messages), tt.want)
		if a.More != tt.more || a.Reset != tt.reset || (a.Lost != nil) != tt.lost {
			t.Errorf("%s: %+v", tt.name, a)
		}
		if a.LastID != 9 || a.Position != at[7] {
			t.Errorf("%s: last id %d at %v, want 9 at %v", tt.name, a.LastID, a.Position, at[7])
		}
		if tt.lost && (a.Lost.From != at[0] || a.Lost.To != at[2] || a.Lost.Reason != hub.ReasonCount) {
			t.Errorf("%s: lost %+v", tt.name, a.Lost)
		}
	}
	if _, err := h.History(hub.HistoryQuery{Channel: "nowhere", Limit: 1}); !errors.Is(err, hub.ErrUnknownChannel) {
		t.Errorf("no channel: %v", err)
	}
}

func TestPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, hub.Limits{})
		began := time.Now()
		for i := range 30 {
			create(t, h, fmt.Sprintf("c%02d", i), "room")
		}
		time.Sleep(time.Second)
		late := create(t, h, "c99", "room")
		time.Sleep(time.Second)
		attach(t, h, hub.Start{Transport: "sse"}, late)
		p, err := h.Presence(hub.PresenceQuery{Channel: "room", Limit: 2, After: "c01"})
		if err != nil || p.Count != 31 || len(p.Members) != 2 || !p.More || p.Members[0].Client != "c02" || p.Members[1].Client != "c03" {
			t.Fatalf("%+v, %v", p, err)
		}
		if m := p.Members[0]; !m.Since.Equal(began) || len(m.Sessions) != 0 {
			t.Errorf("%+v", m)
		}
		p, err = h.Presence(hub.PresenceQuery{Channel: "room", Limit: 2, After: "c29"})
		if err != nil || len(p.Members) != 1 || p.More {
			t.Fatalf("the end: %+v, %v", p, err)
		}
		m := p.Members[0]
		if !m.Since.Equal(began.Add(time.Second)) || len(m.Sessions) != 1 ||
			m.Sessions[0].Transport != "sse" || !m.Sessions[0].Since.Equal(began.Add(2*time.Second)) {
			t.Errorf("%+v", m)
		}
		if _, err := h.Presence(hub.PresenceQuery{Channel: "nowhere", Limit: 1}); !errors.Is(err, hub.ErrUnknownChannel) {
			t.Errorf("no channel: %v", err)
		}
	})
}

func TestLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, hub.Limits{})
		began := time.Now()
		for i := range 300 {
			create(t, h, fmt.Sprintf("c%03d", i), fmt.Sprintf("room-%03d", i))
		}
		publish(t, h, "room-007", "hello")
		var names []string
		for after, more := "", true; more; {
			var page []hub.ChannelInfo
			page, more = h.ListChannels(hub.Listing{Pattern: "room-*", After: after, Limit: 7})
			for _, ch := range page {
				names = append(names, ch.Name)
			}
			after = names[len(names)-1]
		}
		for i, name := range names {
			if name != fmt.Sprintf("room-%03d", i) {
				t.Fatalf("%d: %s", i, name)
			}
		}
		if len(names) != 300 {
			t.Errorf("%d channels", len(names))
		}
		one, more := h.ListChannels(hub.Listing{Pattern: "room-007", Limit: 1})
		if more || one[0].Members != 1 || one[0].Messages != 1 || one[0].LastID != 2 || one[0].Bytes != 256+len(`"hello""test"`) {
			t.Errorf("%+v", one)
		}
		time.Sleep(2 * time.Minute)
		key, _, _ := h.CreateClient(t.Context(), "c005")
		attach(t, h, hub.Start{}, hub.Credentials{ID: "c005", Key: key})
		if _, _, err := h.Expire(t.Context(), idle, 1000); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		clients, more := h.ListClients(hub.Listing{Limit: 2, After: "c003"})
		if !more || len(clients) != 2 {
			t.Fatalf("%+v, %v", clients, more)
		}
		if c := clients[0]; c.ID != "c004" || !c.LetGo || c.Channels != 1 || c.Sessions != 0 || !c.Created.Equal(began) || !c.Seen.Equal(began) {
			t.Errorf("%+v", c)
		}
		if c := clients[1]; c.ID != "c005" || c.LetGo || c.Sessions != 1 || !c.Seen.Equal(time.Now()) {
			t.Errorf("%+v", c)
		}
	})
}

// Who reads on for another client of the same name is told that it is on no
// channel any more.
func TestAnotherClientOfTheSameName(t *testing.T) {
	h := newHub(t, hub.Limits{})
	create(t, h, "a", "room")
	at := publish(t, h, "room", "x").Position
	if err := h.KillClient(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	b := attach(t, h, hub.Start{At: at}, create(t, h, "a")).Collect()
	if len(b.Signals) != 1 || b.Signals[0].Type != hub.SignalChannels || len(b.Signals[0].Channels) != 0 {
		t.Errorf("%+v; want that there are no channels", b)
	}
}

// A reader that waits is told at once.
func TestDeletingWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, hub.Limits{})
		s := attach(t, h, hub.Start{Now: true}, create(t, h, "a", "room"))
		time.AfterFunc(7*time.Second, func() { h.DeleteChannel(t.Context(), "room") })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if b, err := s.Next(ctx); err != nil || len(b.Signals) != 1 || time.Since(began) != 7*time.Second {
			t.Errorf("after %v: %+v, %v", time.Since(began), b, err)
		}
	})
}

// The key is looked at again in the step that attaches.
func TestRotateBetweenTheKeyAndTheAttach(t *testing.T) {
	h := newHub(t, hub.Limits{})
	old := create(t, h, "a", "room")
	h.SetStep(func() {
		h.SetStep(nil)
		if _, _, err := h.RotateKey(t.Context(), "a"); err != nil {
			t.Error(err)
		}
	})
	if _, err := h.Attach(t.Context(), []hub.Credentials{old}, hub.Start{}); !errors.Is(err, hub.ErrBadCredentials) {
		t.Errorf("the old key opens: %v", err)
	}
	if _, err := h.AttachPoll(t.Context(), []hub.Credentials{old}, nil); !errors.Is(err, hub.ErrBadCredentials) {
		t.Errorf("the old key opens for a poll: %v", err)
	}
	if s := h.Stats(); s.BadKeys != 2 || s.Sessions != 0 {
		t.Errorf("%d wrong keys counted, %d sessions; want 2, 0", s.BadKeys, s.Sessions)
	}
}

// What a client was on once, and who read for it, is not kept.
func TestNothingIsKeptOfWhatIsOver(t *testing.T) {
	h := newHub(t, hub.Limits{})
	cr := create(t, h, "a")
	for i := range 50 {
		room := fmt.Sprint("room ", i)
		create(t, h, fmt.Sprint("guest ", i), room)
		subscribe(t, h, "a", room)
		s := attach(t, h, hub.Start{}, cr)
		if _, err := h.DeleteChannel(t.Context(), room); err != nil {
			t.Fatal(err)
		}
		key, _, err := h.RotateKey(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		cr.Key = key
		s.Close()
		for h.Deleted() > 0 { // until the dispatcher has been there
			if err := h.Tidy(t.Context()); err != nil {
				t.Fatal(err)
			}
			runtime.Gosched()
		}
	}
	if subs, members, revoked := h.Leftovers("a"); subs > 1 || members > 0 || revoked > 0 {
		t.Errorf("%d memberships, %d members of deleted channels, %d readers are left", subs, members, revoked)
	}
}

// Of two readers under one session id the one that came later stays, in
// whatever order they get there.
func TestTheNewerReaderTakesOver(t *testing.T) {
	h := newHub(t, hub.Limits{})
	cr := create(t, h, "a", "room")
	var newer *hub.Session
	h.SetStep(func() {
		h.SetStep(nil)
		newer = attach(t, h, hub.Start{Session: "tab"}, cr)
	})
	older := attach(t, h, hub.Start{Session: "tab"}, cr)
	superseded := func(s *hub.Session) bool {
		b := s.Collect()
		return len(b.Signals) == 1 && b.Signals[0].Type == hub.SignalSuperseded
	}
	if !superseded(older) || superseded(newer) {
		t.Error("the older must go, and the newer stay")
	}
}

func TestConcurrentTakeOver(t *testing.T) {
	h := newHub(t, hub.Limits{SessionsPerClient: 100})
	cr := create(t, h, "a", "room")
	for range 300 {
		sessions := make(chan *hub.Session, 3)
		for range cap(sessions) {
			go func() {
				s, err := h.Attach(t.Context(), []hub.Credentials{cr}, hub.Start{Session: "tab"})
				if err != nil {
					t.Error(err)
				}
				sessions <- s
			}()
		}
		stay := 0
		var all []*hub.Session
		for range cap(sessions) {
			all = append(all, <-sessions)
		}
		for _, s := range all {
			if b := s.Collect(); len(b.Signals) == 0 || b.Signals[0].Type != hub.SignalSuperseded {
				stay++
			}
			s.Close()
		}
		if stay != 1 {
			t.Fatalf("%d of %d stay, want 1", stay, cap(sessions))
		}
	}
}
