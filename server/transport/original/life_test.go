package original_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/gc"
	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/original"
)

// sweep has a sweeper with the usual times run until the test ends.
func (p *place) sweep() {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { gc.New(p.hub, gc.Options{}).Run(ctx) })
	p.t.Cleanup(func() { cancel(); running.Wait() })
}

// keep polls for the client, one poll after the other, until the test ends or
// stop is called.
func (p *place) keep(id string) (stop func()) {
	return p.collect(id).stop
}

// TestCreatedNeverPolls: such a client is let go after a minute and at most
// one sweep, which those on its channels are told.
func TestCreatedNeverPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, original.Options{})
		p.sweep()
		p.client("watcher", "ch")
		watcher := p.collect("watcher")
		p.client("a", "ch")
		start := time.Now()
		lines := watcher.until(func(lines []line) bool { return has(lines, `{"type": "unsubscribe", "gc": true}`) })
		if age := time.Since(start); age < time.Minute || age > 71*time.Second {
			t.Errorf("let go after %v", age)
		}
		if last := lines[len(lines)-1]; string(last.Sender) != `"a"` {
			t.Errorf("%s was let go", last.Sender)
		}
		if got := p.call("get_channel_clients", "ch"); got != `["watcher"]` {
			t.Errorf("members %s", got)
		}
	})
}

// TestPollingKeepsAClient, for as long as it goes on, though each poll is held
// as long as a client may be idle; and calls about a client do not.
func TestPollingKeepsAClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, original.Options{Timeout: 2 * time.Minute})
		p.sweep()
		p.client("polls", "ch")
		p.client("spoken of", "ch")
		p.keep("polls")
		for range 9 {
			time.Sleep(6 * time.Second)
			p.call("create_client", "spoken of")
			p.call("subscribe", "spoken of", "ch")
			p.call("get_client_channels", "spoken of")
			p.say("ch", "x")
		}
		time.Sleep(17 * time.Second)
		synctest.Wait()
		if got := p.call("get_channel_clients", "ch"); got != `["polls"]` {
			t.Errorf("after 71 s: members %s", got)
		}
		time.Sleep(time.Hour)
		if got := p.call("get_channel_clients", "ch"); got != `["polls"]` {
			t.Errorf("members %s", got)
		}
	})
}

// TestBetweenPolls: a client may be away for 25 seconds, and is let go soon
// after.
func TestBetweenPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, original.Options{})
		p.sweep()
		p.client("a", "ch")
		stop := p.keep("a")
		time.Sleep(5 * time.Minute)
		stop()
		time.Sleep(25 * time.Second)
		synctest.Wait()
		if got := p.call("get_channel_clients", "ch"); got != `["a"]` {
			t.Errorf("after 25 s: members %s", got)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if got := p.call("get_channel_clients", "ch"); got != `[]` {
			t.Errorf("after 36 s: members %s", got)
		}
	})
}

// TestDeadConnection: a poll whose peer has vanished without a word holds its
// client no longer than a poll, the idle time and a sweep.
func TestDeadConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, original.Options{})
		p.sweep()
		p.client("a", "ch")
		stop := p.keep("a")
		time.Sleep(5 * time.Minute)
		stop()
		p.hold("a") // nobody is there, but nobody can know
		time.Sleep(50 * time.Second)
		if got := p.call("get_channel_clients", "ch"); got != `["a"]` {
			t.Errorf("after 50 s: members %s", got)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if got := p.call("get_channel_clients", "ch"); got != `[]` {
			t.Errorf("after 61 s: members %s", got)
		}
	})
}

// letGo has a be let go from the channel "ch", which b stays on.
func (p *place) letGo() {
	p.t.Helper()
	p.sweep()
	p.client("b", "ch")
	p.keep("b")
	p.client("a", "ch")
	p.read("a")
	p.say("ch", "unread")
	time.Sleep(2 * time.Minute)
	synctest.Wait()
	if s := p.hub.Stats(); s.Clients != 1 || s.LetGoClients != 1 {
		p.t.Fatalf("%+v", s)
	}
}

// TestPollRevives: with the right key a let-go client is back where it was and
// reads what it has missed: also how it left, and how it came back.
func TestPollRevives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, original.Options{})
		p.letGo()
		p.refused("get_client_channels", "a")
		p.refused("subscribe", "a", "further")
		p.say("ch", "meanwhile")
		p.wantPoll(`{"ch": [[3, "unread", "bob"], [4, "{\"type\": \"unsubscribe\", \"gc\": true}", "a"], `+
			`[5, "meanwhile", "bob"], [6, "{\"type\": \"subscribe\"}", "a"]]}`, "a")
		if got := p.call("get_client_channels", "a"); got != `["ch"]` {
			t.Errorf("channels %s", got)
		}
	})
}

// TestWrongKeyRevivesNobody, nor does a poll in which another key is wrong; and
// nobody hears of either.
func TestWrongKeyRevivesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, original.Options{})
		p.letGo()
		before := p.hub.Position()
		for _, query := range []string{
			"callback=cb&client_id=a_!!_wrong",
			"callback=cb&client_id=a_!!_",
			p.query("a") + "&client_id=b_!!_wrong",
			"callback=cb&client_id=ghost_!!_x&client_id=a_!!_" + p.keys["a"],
		} {
			if w := p.get(query); w.Code != 404 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		}
		if s := p.hub.Stats(); s.LetGoClients != 1 || p.hub.Position() != before {
			t.Errorf("something has happened: %+v", s)
		}
		p.refused("get_client_channels", "a")
	})
}

// TestCreateRevives: create_client of a let-go client returns the key it had,
// which works.
func TestCreateRevives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, original.Options{})
		p.letGo()
		key := p.keys["a"]
		p.client("a")
		if p.keys["a"] != key {
			t.Error("another key")
		}
		if got := p.call("get_client_channels", "a"); got != `["ch"]` {
			t.Errorf("channels %s", got)
		}
		p.wantPoll(`{"ch": [[3, "unread", "bob"], [4, "{\"type\": \"unsubscribe\", \"gc\": true}", "a"], `+
			`[5, "{\"type\": \"subscribe\"}", "a"]]}`, "a")
	})
}

// TestCreateTwice returns the same key: only who may call the admin API can
// ask.
func TestCreateTwice(t *testing.T) {
	p := newPlace(t, original.Options{})
	p.client("a", "ch")
	key := p.keys["a"]
	p.client("a")
	if p.keys["a"] != key {
		t.Error("another key")
	}
	p.call("kill_client", "a")
	p.client("a")
	if p.keys["a"] == key {
		t.Error("a killed client's key is given again")
	}
}

// TestKillReachesLetGoClients, though for the caller they are unknown: the key
// is void, and a new client of that name has nothing of the old.
func TestKillReachesLetGoClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, original.Options{})
		p.letGo()
		before := p.hub.Position()
		p.refused("kill_client", "a")
		if w := p.get(p.query("a")); w.Code != 404 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		old := p.keys["a"]
		p.client("a")
		if got := p.call("get_client_channels", "a"); got != "[]" || p.keys["a"] == old {
			t.Errorf("channels %s, key %s", got, p.keys["a"])
		}
		if p.hub.Position() == before {
			t.Error("nothing has happened")
		}
	})
}

// TestUnsubscribeReachesLetGoClients: a client comes back only to channels it
// was not taken off meanwhile.
func TestUnsubscribeReachesLetGoClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, original.Options{})
		p.letGo()
		p.refused("unsubscribe", "a", "ch")
		h := p.hold("a")
		wantHeld(t, "off its only channel", h)
		p.say("ch", "not for a")
		wantHeld(t, "off its only channel", h)
	})
}

// TestChannelGoesAndComesBack: an empty channel goes; under the same name
// another begins, is announced again, and its first subscriber reads nothing
// of the old one.
func TestChannelGoesAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, original.Options{}, hub.Limits{Window: time.Minute})
		p.sweep()
		p.client("watcher", "admin")
		watcher := p.collect("watcher")
		p.client("a")
		p.keep("a")
		channels := p.hub.Stats().Channels
		before := p.hub.Position()
		for range 3 {
			p.call("subscribe", "a", "gone and back")
			p.say("gone and back", "x")
			p.call("unsubscribe", "a", "gone and back")
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if n := p.hub.Stats().Channels; n != channels {
				t.Fatalf("%d channels, want %d", n, channels)
			}
			if now := p.hub.Position(); now.Epoch != before.Epoch || now.Seq <= before.Seq {
				t.Errorf("%v comes after %v", now, before)
			}
			before = p.hub.Position()
		}
		p.client("b", "gone and back")
		p.wantPoll(joined("gone and back", "b"), "b")
		synctest.Wait()
		announced := 0
		for _, l := range watcher.until(func([]line) bool { return true }) {
			if l.Text == `{"type": "new_channel", "name": "gone and back"}` {
				announced++
			}
		}
		if announced != 4 {
			t.Errorf("announced %d times, want 4", announced)
		}
	})
}

// TestManyUnusedClients: there is a limit, told to the caller, and the unused
// ones go.
func TestManyUnusedClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 100
		p := newPlace(t, original.Options{}, hub.Limits{Clients: limit, LetGoClients: 10})
		p.sweep()
		create := func(prefix string) {
			for i := range limit {
				p.client(prefix + fmt.Sprint(i))
			}
			p.refused("create_client", "one too many")
		}
		create("early ")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if s := p.hub.Stats(); s.Clients != 0 || s.LetGoClients != 10 {
			t.Errorf("%+v", s)
		}
		create("late ")
	})
}
