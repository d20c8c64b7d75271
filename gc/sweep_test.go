package gc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/gc"
	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
)

func rounds(quick, long int) int {
	if os.Getenv("SHAVEET_LONG") == "1" {
		return long
	}
	return quick
}

// A place is a hub, which lives as long as its test's bubble.
type place struct {
	t    *testing.T
	hub  *hub.Hub
	keys sync.Map // id to key

	beforeLetGo func() // called between finding clients idle and letting go of them; may be nil
}

// A broker is a log that tells when clients are about to be let go.
type broker struct {
	hub.Broker
	place *place
}

func (b broker) Append(ctx context.Context, cmd hub.Command) (hub.Result, error) {
	if cmd.Op == hub.OpLetGo && b.place.beforeLetGo != nil {
		b.place.beforeLetGo()
	}
	return b.Broker.Append(ctx, cmd)
}

func newPlace(t *testing.T, limits hub.Limits) *place {
	t.Helper()
	var keys atomic.Int64
	p := &place{t: t}
	newKey := func() string { return fmt.Sprint("key ", keys.Add(1)) }
	p.hub = hub.New(hub.Config{NewKey: newKey, Limits: limits}, broker{memory.New(), p})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { p.hub.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	<-p.hub.Ready()
	return p
}

func (p *place) client(id string, channels ...string) {
	p.t.Helper()
	key, _, err := p.hub.CreateClient(p.t.Context(), id)
	if err != nil {
		p.t.Error(err)
	}
	p.keys.Store(id, key)
	for _, ch := range channels {
		if _, err := p.hub.Subscribe(p.t.Context(), []hub.Pair{{Client: id, Channel: ch}}); err != nil {
			p.t.Error(err)
		}
	}
}

func (p *place) say(channel, text string) {
	p.t.Helper()
	data, _ := json.Marshal(text)
	if _, err := p.hub.Publish(p.t.Context(), hub.Publication{Channel: channel, Sender: []byte(`"bob"`), Data: data}); err != nil {
		p.t.Error(err)
	}
}

// attach begins a poll for the client, with its right key.
func (p *place) attach(id string) (*hub.Poll, error) {
	key, _ := p.keys.Load(id)
	return p.hub.AttachPoll(p.t.Context(), []hub.Credentials{{ID: id, Key: key.(string)}}, nil)
}

// poll polls for the client until there is something, or for so long, and
// returns its data.
func (p *place) poll(id string, limit time.Duration) []string {
	p.t.Helper()
	poll, err := p.attach(id)
	if err != nil {
		p.t.Errorf("%s: %v", id, err)
		return nil
	}
	defer poll.Close()
	ctx, cancel := context.WithTimeout(p.t.Context(), limit)
	defer cancel()
	messages, _ := poll.Next(ctx)
	var texts []string
	for _, m := range messages {
		texts = append(texts, string(m.Data))
	}
	poll.Done(true)
	return texts
}

// live fails the test unless exactly these clients are on the channel.
func (p *place) live(what, channel string, want ...string) {
	p.t.Helper()
	synctest.Wait()
	got := p.hub.Members(channel)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		p.t.Errorf("%s: %q are on %s, want %q", what, got, channel, want)
	}
}

// TestIdleClientsAreLetGo: 25 seconds after the last poll has ended and at
// most one sweep later, but not before they are a minute old.
func TestIdleClientsAreLetGo(t *testing.T) {
	for _, test := range []struct {
		name   string
		polls  bool
		age    time.Duration // when its last poll ends
		spared time.Duration // its age until then
	}{
		{"never polls", false, 0, time.Minute},
		{"young", true, 5 * time.Second, time.Minute},
		{"polled in its last second", true, 59 * time.Second, 84 * time.Second},
		{"old", true, 10 * time.Minute, 10*time.Minute + 25*time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			// Wherever in its interval the sweeper is.
			for offset := range 11 {
				synctest.Test(t, func(t *testing.T) {
					p := newPlace(t, hub.Limits{})
					start(t, p.hub, gc.Options{})
					time.Sleep(time.Duration(offset) * time.Second)
					p.client("a", "ch")
					if test.polls {
						p.poll("a", time.Second) // its own join
						p.poll("a", test.age)
					}
					time.Sleep(test.spared - test.age - 1)
					p.live("until its time", "ch", "a")
					time.Sleep(12 * time.Second)
					p.live("a sweep later", "ch")
					if s := p.hub.Stats(); s.LetGoClients != 1 {
						t.Errorf("%+v", s)
					}
				})
			}
		})
	}
}

func TestPollsLongerThanTheIdleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, hub.Limits{})
		start(t, p.hub, gc.Options{IdleTime: time.Second, MinAge: time.Second})
		p.client("a", "ch")
		p.poll("a", time.Second)
		for range 10 {
			begun := time.Now()
			if got := p.poll("a", time.Minute); len(got) != 0 || time.Since(begun) != time.Minute {
				t.Errorf("after %v it heard %q", time.Since(begun), got)
			}
		}
		p.live("after ten polls", "ch", "a")
	})
}

// TestOverlappingPollsKeepTheirClient: when one of two polls ends, the other
// still counts.
func TestOverlappingPollsKeepTheirClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, hub.Limits{})
		start(t, p.hub, gc.Options{})
		p.client("a", "ch")
		long, err := p.attach("a")
		if err != nil {
			t.Fatal(err)
		}
		short, err := p.attach("a")
		if err != nil {
			t.Fatal(err)
		}
		short.Close()
		time.Sleep(10 * time.Minute)
		p.live("under the second poll", "ch", "a")
		long.Close()
		time.Sleep(36 * time.Second)
		p.live("after both", "ch")
	})
}

// TestNobodyIsLetGoForOurPause: the process was stopped; whoever comes back
// soon afterwards finds everything as it was, also the messages whose time
// would have been up.
func TestNobodyIsLetGoForOurPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, hub.Limits{Window: 30 * time.Second})
		ctx := start(t, p.hub, gc.Options{})
		ids := []string{"a", "b", "c"}
		for _, id := range ids {
			p.client(id, "ch")
		}
		for range 5 {
			for _, id := range ids {
				p.poll(id, 20*time.Second)
			}
		}
		p.say("ch", "hello")
		ctx.pause.Store(int64(time.Minute))
		time.Sleep(62 * time.Second)
		p.live("as it wakes", "ch", ids...)
		time.Sleep(5 * time.Second)
		for _, id := range ids[:2] {
			if got := p.poll(id, time.Second); !slices.Contains(got, `"hello"`) {
				t.Errorf("%s heard %q", id, got)
			}
		}
		p.live("soon afterwards", "ch", ids...)
		// Who does not come back is let go after all.
		stop := time.Now().Add(time.Minute)
		for time.Now().Before(stop) {
			for _, id := range ids[:2] {
				p.poll(id, 5*time.Second)
			}
		}
		p.live("a minute later", "ch", "a", "b")
	})
}

// TestRevival: a poll with the right key brings a client back to its channels,
// and so does creating it again; a wrong key does nothing at all.
func TestRevival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, hub.Limits{})
		start(t, p.hub, gc.Options{})
		p.client("a", "one", "two")
		for range 3 {
			time.Sleep(2 * time.Minute)
			p.live("idle", "one")
			before := p.hub.Position()
			_, err := p.hub.AttachPoll(t.Context(), []hub.Credentials{{ID: "a", Key: "wrong"}}, nil)
			if !errors.Is(err, hub.ErrBadCredentials) || p.hub.Position() != before || p.hub.Stats().LetGoClients != 1 {
				t.Errorf("a wrong key: %v", err)
			}
			p.poll("a", time.Second)
			p.live("polled again", "one", "a")
			p.live("polled again", "two", "a")

			time.Sleep(2 * time.Minute)
			p.live("idle again", "two")
			old, _ := p.keys.Load("a")
			p.client("a")
			if key, _ := p.keys.Load("a"); key != old {
				t.Error("created again, it has another key")
			}
			p.live("created again", "one", "a")
			p.live("created again", "two", "a")
			if n := p.hub.Stats().LetGoClients; n != 0 {
				t.Errorf("%d clients wait to be revived", n)
			}
		}
	})
}

// TestRevivedClientsHaveAPageToLoad: from its revival on a client has its
// minute again.
func TestRevivedClientsHaveAPageToLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, hub.Limits{})
		start(t, p.hub, gc.Options{})
		p.client("a", "ch")
		time.Sleep(2 * time.Minute)
		p.live("idle", "ch")
		p.client("a")
		time.Sleep(time.Minute - 1)
		p.live("a minute after", "ch", "a")
		time.Sleep(12 * time.Second)
		p.live("a sweep later", "ch")
	})
}

// TestConcurrentPollAndSweep: a poll that arrives in the instant in which its client is
// let go finds it or revives it; it never waits on one that is gone.
func TestConcurrentPollAndSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, hub.Limits{})
		var gone atomic.Int64
		start(t, p.hub, gc.Options{Interval: time.Second, IdleTime: time.Second, MinAge: 1,
			Swept: func(s gc.Sweep) { gone.Add(int64(s.LetGo)) }})
		var polling sync.WaitGroup
		for i := range rounds(500, 5000) {
			id := fmt.Sprint("client ", i)
			p.client(id, id)
			polling.Go(func() {
				for round := range 5 {
					// Next to the moment at which the sweeper finds it idle.
					time.Sleep(2*time.Second + time.Duration(rand.IntN(3)-1)*time.Millisecond)
					poll, err := p.attach(id)
					if err != nil {
						t.Errorf("%s: %v", id, err)
						return
					}
					text := fmt.Sprintf(`"%d"`, round)
					p.say(id, fmt.Sprint(round))
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					for heard := false; !heard; {
						messages, err := poll.Next(ctx)
						if err != nil {
							t.Errorf("%s waits for nothing: %v", id, err)
							break
						}
						heard = slices.ContainsFunc(messages, func(m *hub.Message) bool { return string(m.Data) == text })
						poll.Done(true)
					}
					cancel()
					poll.Close()
				}
			})
		}
		polling.Wait()
		if gone.Load() == 0 {
			t.Error("nobody was let go: this has tested nothing")
		}
	})
}

// TestBackInTheLastMoment: who polls, leaves or is killed after the sweeper
// found it idle, but before it is let go, is not let go as if nothing had
// happened.
func TestBackInTheLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, hub.Limits{})
		for _, id := range []string{"polls", "has polled", "is killed", "leaves", "stays away"} {
			p.client(id, "ch")
		}
		var once sync.Once
		p.beforeLetGo = func() {
			once.Do(func() {
				poll, err := p.attach("polls")
				if err != nil {
					t.Error(err)
				}
				t.Cleanup(poll.Close)
				p.poll("has polled", time.Second)
				if err := p.hub.KillClient(t.Context(), "is killed"); err != nil {
					t.Error(err)
				}
				if _, err := p.hub.Unsubscribe(t.Context(), []hub.Pair{{Client: "leaves", Channel: "ch"}}); err != nil {
					t.Error(err)
				}
			})
		}
		start(t, p.hub, gc.Options{MinAge: 1})
		time.Sleep(31 * time.Second)
		p.live("afterwards", "ch", "has polled", "polls")
		if s := p.hub.Stats(); s.Clients != 2 || s.LetGoClients != 2 {
			t.Errorf("%+v", s)
		}
		p.poll("leaves", time.Second)
		p.poll("stays away", time.Second)
		p.live("revived", "ch", "has polled", "polls", "stays away")
	})
}

// TestConcurrentSweepAndKill: however sweep and kill race, a client leaves each of its
// channels once.
func TestConcurrentSweepAndKill(t *testing.T) {
	const clients = 40
	swept, killed := 0, 0
	for range rounds(50, 2000) {
		synctest.Test(t, func(t *testing.T) {
			p := newPlace(t, hub.Limits{})
			p.client("watcher", "one", "two")
			watcher, err := p.attach("watcher")
			if err != nil {
				t.Fatal(err)
			}
			defer watcher.Close()
			for i := range clients {
				p.client(fmt.Sprint("client ", i), "one", "two")
			}
			start(t, p.hub, gc.Options{Interval: 2 * time.Second, IdleTime: time.Second, MinAge: 1})
			time.Sleep(2 * time.Second) // the sweeper begins now
			var killing sync.WaitGroup
			for i := range clients {
				killing.Go(func() {
					err := p.hub.KillClient(t.Context(), fmt.Sprint("client ", i))
					if err != nil && !errors.Is(err, hub.ErrUnknownClient) {
						t.Error(err)
					}
				})
			}
			killing.Wait()
			synctest.Wait()
			if s := p.hub.Stats(); s.Clients != 1 || s.LetGoClients != 0 {
				t.Errorf("%+v", s)
			}
			left := map[string]int{}
			for len(left) < 2*clients {
				messages, err := watcher.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range messages {
					switch m.Notice {
					case hub.NoticeLetGo:
						swept++
						left[m.Channel()+string(m.Sender)]++
					case hub.NoticeKilled:
						killed++
						left[m.Channel()+string(m.Sender)]++
					}
				}
				watcher.Done(true)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if more, _ := watcher.Next(ctx); len(more) != 0 {
				t.Errorf("%d further notices", len(more))
			}
			for who, n := range left {
				if n != 1 {
					t.Errorf("%s has left %d times", who, n)
				}
			}
		})
	}
	t.Logf("%d notices of swept clients, %d of killed ones", swept, killed)
}

// TestLetGoClientsAreForgotten: who waits longest goes first where too many
// wait, and everybody after a while; with the client its place on its
// channels.
func TestLetGoClientsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, hub.Limits{LetGoClients: 3, LetGoAge: 10 * time.Minute, Window: time.Second})
		start(t, p.hub, gc.Options{})
		for i := range 5 {
			p.client(fmt.Sprint(i), "ch of "+fmt.Sprint(i))
			time.Sleep(15 * time.Second) // another sweep for each
		}
		time.Sleep(62 * time.Second)
		synctest.Wait()
		if s := p.hub.Stats(); s.Clients != 0 || s.LetGoClients != 3 || s.Channels != 4 { // and admin
			t.Errorf("%+v", s)
		}
		for i, wait := range []bool{false, false, true, true, true} {
			key, _ := p.keys.Load(fmt.Sprint(i))
			if opens := p.hub.Opens(hub.Credentials{ID: fmt.Sprint(i), Key: key.(string)}); opens != wait {
				t.Errorf("client %d: can be revived: %t", i, opens)
			}
		}
		p.poll("3", time.Second)
		p.live("revived", "ch of 3", "3")

		time.Sleep(13 * time.Minute)
		synctest.Wait()
		if s := p.hub.Stats(); s.LetGoClients != 0 || s.Channels != 1 {
			t.Errorf("after its time: %+v", s)
		}
	})
}

// TestMessagesAge: what is older than the window goes, on time.
func TestMessagesAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, hub.Limits{Window: 10 * time.Second})
		start(t, p.hub, gc.Options{})
		p.client("a", "ch")
		p.say("ch", "x")
		time.Sleep(10 * time.Second)
		if n := p.hub.Stats().Messages; n == 0 {
			t.Error("gone too early")
		}
		time.Sleep(time.Second + 1)
		synctest.Wait()
		if n := p.hub.Stats().Messages; n != 0 {
			t.Errorf("%d messages are left", n)
		}
	})
}
