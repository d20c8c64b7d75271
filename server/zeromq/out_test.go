package zeromq

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/zmtp"
)

// A subscriber is sent what it has subscribed to, from then on, once, in the
// log's order, on channels that are the socket's.
func TestSubscribersGetWhatTheyAskFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Limits{}, socketOf("pub", func(c *Config) { c.Channels = []string{"a*", "b"} }))
		p := w.peer(zmtp.SUB)
		w.publish("a", "before")
		synctest.Wait()
		p.subscribe("a")
		w.publish("a", "1")
		w.publish("b", "2")  // not subscribed to
		w.publish("ab", "3") // begins with it
		w.publish("c", "4")  // not the socket's
		p.receive("a", `"1"`)
		p.receive("ab", `"3"`)
		p.subscribe("") // all
		for i, channel := range []string{"b", "c", "a"} {
			w.publish(channel, fmt.Sprint(5+i))
		}
		p.receive("b", `"5"`)
		p.receive("a", `"7"`)
		synctest.Wait()
		if s := w.stats(); s.Sent != 4 || s.Peers != 1 {
			t.Errorf("%+v", s)
		}
		w.dropped(nil)
	})
}

// Subscriptions are a set, as they are to libzmq.
func TestSubscriptionsAreASet(t *testing.T) {
	for _, old := range []bool{false, true} {
		t.Run(fmt.Sprintf("as ZMTP 3.0: %t", old), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, hub.Limits{NameBytes: 20}, socketOf("pub"))
				p := w.peer(zmtp.SUB)
				change := func(on bool, prefix string) {
					t.Helper()
					var err error
					if command := map[bool]string{true: "SUBSCRIBE", false: "CANCEL"}[on]; old {
						err = p.Send([]byte(map[bool]string{true: "\x01", false: "\x00"}[on] + prefix))
					} else {
						body := string([]byte{byte(len(command))}) + command + prefix
						err = p.Write([]byte(string([]byte{4, byte(len(body))}) + body))
					}
					if err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
				}
				n := 0
				heard := func(want bool) {
					t.Helper()
					before := w.stats().Sent
					n++
					w.publish("room", fmt.Sprint(n))
					if want {
						p.receive("room", fmt.Sprintf(`"%d"`, n))
					}
					synctest.Wait()
					if got := w.stats().Sent > before; got != want {
						t.Fatalf("message %d is sent: %t, want %t", n, got, want)
					}
				}
				heard(false)
				change(true, "room")
				heard(true)
				change(true, "room")
				change(false, "room")
				heard(false)          // libzmq takes back once what it has asked for twice
				change(false, "room") // which it does not have
				change(true, "room")
				heard(true)
				change(true, "ro")
				change(false, "room")
				heard(true) // and only once
				change(true, "rooms")
				change(false, "ro")
				heard(false)
				change(true, strings.Repeat("x", 21)) // no channel has such a name
				change(false, strings.Repeat("x", 21))
				change(true, "")
				heard(true)
				change(false, "")
				heard(false)
				p.send("neither", "one nor the other")
				change(true, "r")
				heard(true)
			})
		})
	}
}

// Of many subscriptions every beginning of a name is found, and nothing else.
func TestManySubscriptions(t *testing.T) {
	for _, others := range []int{0, 5, 1000} {
		s := &subscriptions{most: 2000, longest: 100, all: make(map[string]bool)}
		for i := range others {
			if err := s.change(fmt.Sprint("other", i), true); err != nil {
				t.Fatal(err)
			}
		}
		for _, prefix := range []string{"", "r", "room", "room.1"} {
			if s.want("room.1") {
				t.Errorf("%d others: wanted before %q", others, prefix)
			}
			s.change(prefix, true)
			if !s.want("room.1") {
				t.Errorf("%d others: %q is not found", others, prefix)
			}
			if s.want("other") != (prefix == "") {
				t.Errorf("%d others: %q stands for other", others, prefix)
			}
			s.change(prefix, false)
		}
		s.change("room.12", true)
		if s.want("room.1") {
			t.Errorf("%d others: more than its name stands for it", others)
		}
		if len(s.all) != others+1 {
			t.Errorf("%d subscriptions are kept", len(s.all))
		}
	}
}

func TestTooManySubscriptionsEndTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Limits{NameBytes: 10}, socketOf("pub", func(c *Config) { c.MaxSubscriptions = 2 }))
		good, bad := w.peer(zmtp.SUB), w.peer(zmtp.SUB)
		for _, p := range []*peer{good, bad} {
			for _, prefix := range []string{"a", "b", "a", "12345678901"} { // two different ones that count
				p.subscribe(prefix)
			}
		}
		bad.subscribe("c")
		bad.gone()
		w.publish("a", "x")
		good.receive("a", `"x"`)
		if s := w.stats(); s.Peers != 1 {
			t.Errorf("%d peers", s.Peers)
		}
		if !strings.Contains(w.log.String(), "max_subscriptions") {
			t.Errorf("the log does not say why: %s", w.log)
		}
	})
}

// A subscription larger than a message may be is passed over.
func TestSubscriptionOverTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Limits{}, socketOf("pub", func(c *Config) { c.MaxMessageBytes = 10 }))
		p := w.peer(zmtp.SUB)
		p.send("\x01" + strings.Repeat("x", 100))
		p.subscribe("a")
		w.publish("a", "x")
		p.receive("a", `"x"`)
	})
}

// What a peer that is behind cannot have any more is counted to the message.
func TestBacklogIsCounted(t *testing.T) {
	const said = 1000
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Limits{}, socketOf("pub", func(c *Config) { c.BacklogBytes = 20 << 10 }))
		slow, fast := w.peer(zmtp.SUB), w.peer(zmtp.SUB)
		slow.subscribe("")
		fast.subscribe("")
		for i := range said {
			w.publish(fmt.Sprint("room", i%3), fmt.Sprint(i))
			fast.receive(fmt.Sprint("room", i%3), fmt.Sprintf(`"%d"`, i))
		}
		synctest.Wait()
		if s := w.stats(); s.Sent != said || s.Dropped["backlog"] != 0 {
			t.Errorf("before the slow one reads: sent %d, dropped %d", s.Sent, s.Dropped["backlog"])
		}
		got, last := 0, -1
		for last < said-1 {
			frames, err := slow.Receive()
			if err != nil {
				t.Fatal(err)
			}
			var i int
			if _, err := fmt.Sscanf(string(frames[1]), `"%d"`, &i); err != nil || i <= last {
				t.Fatalf("%q after %d", frames, last)
			}
			got, last = got+1, i
		}
		synctest.Wait()
		s := w.stats()
		if got == said || s.Sent != uint64(said+got) || s.Dropped["backlog"] != uint64(said-got) {
			t.Errorf("of %d the slow one has %d; sent to both %d, dropped %d", said, got, s.Sent, s.Dropped["backlog"])
		}
		t.Logf("of %d messages %d sent and %d dropped", said, got, s.Dropped["backlog"])
		late := w.peer(zmtp.SUB) // has missed nothing: it was not there
		late.subscribe("")
		w.publish("room", "after")
		for _, p := range []*peer{slow, fast, late} {
			p.receive("room", `"after"`)
		}
		synctest.Wait()
		w.dropped(map[reason]uint64{byBacklog: s.Dropped["backlog"]})
	})
}

// The backlog is bounded by bytes, whoever reads, and holds the newest; one
// message is kept however large it is.
func TestBacklogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 10_000
		h := newHub(t, hub.Limits{})
		k := &socket{Config: Config{Channels: []string{"*"}, BacklogBytes: limit}, hub: h}
		o := newOutlet(k)
		defer o.close()
		w := &world{t: t, hub: h}
		for i := range 500 {
			w.publish("room", fmt.Sprint(i)+strings.Repeat("x", i*7%1000))
			synctest.Wait()
			if sum(o) != o.bytes || o.bytes > limit || o.first+uint64(len(o.messages)) != uint64(i+1) || len(o.messages) == 0 {
				t.Fatalf("%d: %d bytes (%d), numbers from %d to %d", i, o.bytes, sum(o), o.first, len(o.messages))
			}
		}
		w.publish("room", strings.Repeat("x", 2*limit))
		synctest.Wait()
		if len(o.messages) != 1 || o.bytes != sum(o) {
			t.Errorf("%d messages, %d bytes", len(o.messages), o.bytes)
		}
		w.publish("room", "small")
		synctest.Wait()
		if len(o.messages) != 1 || o.bytes != sum(o) || o.bytes > limit {
			t.Errorf("then %d messages, %d bytes", len(o.messages), o.bytes)
		}
	})
}

func sum(o *outlet) (n int) {
	for _, m := range o.messages {
		n += size(m)
	}
	return n
}

// One write has so many messages and bytes at most, and one message at least.
func TestWritesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, hub.Limits{ChannelBytes: 4 << 20})
		o := newOutlet(&socket{Config: Config{Channels: []string{"*"}, BacklogBytes: 8 << 20}, hub: h})
		defer o.close()
		w := &world{t: t, hub: h}
		for range 100 {
			w.publish("small", "x")
		}
		for range 10 {
			w.publish("large", strings.Repeat("x", 20_000))
			w.publish("larger", strings.Repeat("x", 100_000))
		}
		synctest.Wait()
		at, writes := uint64(0), 0
		for at < 120 {
			all, next, missing, _ := o.from(nil, at)
			bytes := 0
			for _, m := range all {
				bytes += size(m)
			}
			if missing != 0 || len(all) == 0 || len(all) > atOnce || len(all) > 1 && bytes > bytesAtOnce || next != at+uint64(len(all)) {
				t.Fatalf("from %d: %d messages, %d bytes, next %d, missing %d", at, len(all), bytes, next, missing)
			}
			at = next
			writes++
		}
		if writes != 1+20 { // the last small ones with the first large one
			t.Errorf("%d writes", writes)
		}
	})
}

// A message is as others until it is not worth hearing any more: then nobody
// who is behind gets it.
func TestMessagesThatDoNotLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Limits{}, socketOf("pub"))
		p := w.peer(zmtp.SUB)
		p.subscribe("")
		brief := func(text string) {
			if _, err := w.hub.Publish(t.Context(), hub.Publication{Channel: "room", Sender: []byte("1"), Data: []byte(text), TTL: 2 * time.Second}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		brief("1")
		p.receive("room", "1")
		w.publish("room", "holds up") // nobody reads it for a while
		synctest.Wait()
		brief("2")
		w.publish("room", "lasts")
		time.Sleep(3 * time.Second)
		p.receive("room", `"holds up"`)
		p.receive("room", `"lasts"`)
		synctest.Wait()
		w.dropped(nil) // nobody has missed anything
	})
}

// What channels let go of before it was taken over is counted.
func TestLossesOfChannelsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, hub.Limits{ChannelMessages: 3})
		k := &socket{Config: Config{Channels: []string{"*"}, BacklogBytes: 1 << 20}, hub: h}
		o := newOutlet(k)
		defer o.close()
		w := &world{t: t, hub: h}
		o.mu.Lock() // so that it can take over what it has collected only later
		w.publish("room", "first")
		for range 10 {
			w.publish("room", "x")
			w.publish("hall", "x")
		}
		o.mu.Unlock()
		synctest.Wait()
		if s := k.counts.stats("", "pub"); s.Dropped["ring"] == 0 || len(o.messages) >= 21 {
			t.Errorf("dropped %v, has %d messages", s.Dropped, len(o.messages))
		}
	})
}

// A peer that takes nothing is let go after a while, and nobody waits for it.
func TestDeafSubscriberIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Limits{}, socketOf("pub"))
		deaf, good := w.peer(zmtp.SUB), w.peer(zmtp.SUB)
		deaf.subscribe("")
		good.subscribe("")
		for i := range 10 {
			w.publish("room", fmt.Sprint(i))
			good.receive("room", fmt.Sprintf(`"%d"`, i))
		}
		synctest.Wait()
		if s := w.stats(); s.Peers != 2 || s.Sent != 10 {
			t.Errorf("%+v", s)
		}
		time.Sleep(11 * time.Second)
		if s := w.stats(); s.Peers != 1 {
			t.Errorf("after a while: %+v", s)
		}
		if !strings.Contains(w.log.String(), "timeout") {
			t.Errorf("the log does not say so: %s", w.log)
		}
	})
}

// Whoever hangs up leaves nothing behind, also while it is written to.
func TestSubscribersLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Limits{}, socketOf("pub"))
		for i := range 20 {
			p := w.peer(zmtp.SUB)
			p.subscribe("")
			if i%2 == 0 {
				w.publish("room", "x")
				synctest.Wait()
			}
			p.Close()
		}
		synctest.Wait()
		if s := w.stats(); s.Peers != 0 {
			t.Errorf("%+v", s)
		}
		if strings.Contains(w.log.String(), net.ErrClosed.Error()) {
			t.Errorf("%s", w.log)
		}
	})
}
