package transporttest

// The promises about the life of clients, and about those who come and go.

import (
	"errors"
	"fmt"
	"slices"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

func wrongKey(w *world) {
	alice, zoe := w.client("alice", "room"), w.client("zoe", "room")
	w.publish("room", "hello")
	for _, test := range []struct {
		creds []hub.Credentials
		wrong []string
	}{
		{[]hub.Credentials{{ID: "alice", Key: "wrong"}}, []string{"alice"}},
		{[]hub.Credentials{{ID: "alice", Key: ""}}, []string{"alice"}},
		{[]hub.Credentials{{ID: "alice", Key: zoe.Key}}, []string{"alice"}},
		{[]hub.Credentials{{ID: "nobody", Key: alice.Key}}, []string{"nobody"}},
		{[]hub.Credentials{alice, {ID: "zoe", Key: "wrong"}}, []string{"zoe"}},
		{[]hub.Credentials{{ID: "zoe", Key: "wrong"}, {ID: "nobody", Key: "wrong"}}, []string{"zoe", "nobody"}},
	} {
		if w.transport.Plain && len(test.creds) > 1 {
			continue
		}
		got, err := w.dial(test.creds...).Read(w.t.Context())
		if !errors.Is(err, ErrGone) || len(got.Messages) != 0 {
			w.t.Errorf("%v: got %+v, %v", test.creds, got, err)
		}
		if w.transport.Positions && !w.transport.Silent && !slices.Equal(got.gone(), test.wrong) {
			w.t.Errorf("%v: called gone are %q", test.creds, got.gone())
		}
	}
	if got := w.texts(w.dial(alice), 1, "room"); got[0] != "hello" {
		w.t.Errorf("got %q: something was consumed", got)
	}

	w.letGoAll()
	if _, err := w.dial(hub.Credentials{ID: "zoe", Key: "wrong"}).Read(w.t.Context()); !errors.Is(err, ErrGone) {
		w.t.Errorf("a let-go client: %v", err)
	}
	if s := w.hub.Stats(); s.Clients != 0 || s.LetGoClients != 2 {
		w.t.Errorf("a wrong key has changed something: %+v", s)
	}
}

// letGoAll has every client be idle for long enough.
func (w *world) letGoAll() {
	w.t.Helper()
	w.cut()
	time.Sleep(2 * time.Minute)
	w.expire(hub.Idle{After: 25 * time.Second, MinAge: 60 * time.Second})
}

func killed(w *world) {
	alice := w.client("alice", "room")
	r := w.settled(alice)
	c := w.wait(r)
	w.must(w.hub.KillClient(w.t.Context(), "alice"))
	w.publish("room", "too late")
	if !c.ended() {
		w.t.Fatal("the reader of a killed client still waits")
	}
	if len(c.got.Messages) != 0 || c.err != nil && !errors.Is(c.err, ErrGone) {
		w.t.Errorf("its last words are %+v, %v", c.got, c.err)
	}
	if got, err := r.Read(w.t.Context()); !errors.Is(err, ErrGone) {
		w.t.Errorf("a later Read: %+v, %v", got, err)
	}
	again := w.client("alice", "room")
	if _, err := w.dial(alice).Read(w.t.Context()); again.Key == alice.Key || !errors.Is(err, ErrGone) {
		w.t.Errorf("the old key still opens: %v", err)
	}
}

func waitingIsNotIdle(w *world) {
	r := w.settled(w.client("alice", "room"))
	for range 20 {
		c := w.wait(r)
		time.Sleep(20 * time.Second)
		if gone := w.expire(hub.Idle{After: time.Second, MinAge: 0}); gone != 0 {
			w.t.Fatalf("%d clients are let go under their readers", gone)
		}
		w.publish("room", "wake up")
		if !c.ended() || c.err != nil {
			w.t.Fatalf("the reader: %v", c.err)
		}
	}
}

func revived(w *world) {
	alice := w.client("alice", "room")
	w.client("bystander", "room")
	r := w.settled(alice)
	w.letGoAll()
	if got := w.hub.Members("room"); len(got) != 0 {
		w.t.Fatalf("members %q", got)
	}
	w.publish("room", "while away")
	if got := w.texts(r, 1, "room"); got[0] != "while away" {
		w.t.Errorf("got %q", got)
	}
	if got := w.hub.Members("room"); !slices.Equal(got, []string{"alice"}) {
		w.t.Errorf("members %q", got)
	}
}

func stuck(w *world) {
	slow, quick := w.client("slow", "room"), w.client("quick", "room")
	r := w.settled(quick)
	synctest.Wait() // the quick one has asked again
	w.network.fault(-1, true)
	c := w.wait(w.dial(slow)) // it has something to hear, and does not
	w.network.fault(-1, false)
	start := time.Now()
	for i := range 100 {
		synctest.Wait() // each poll counts until the server has seen it out
		text := fmt.Sprint(i)
		w.publish("room", text)
		if got := w.texts(r, 1, "room"); !slices.Equal(got, []string{text}) {
			w.t.Fatalf("got %q, want %q", got, text)
		}
	}
	if d := time.Since(start); d != 0 {
		w.t.Errorf("who reads has waited %v for who does not", d)
	}
	if c.ended() {
		w.t.Fatalf("the stuck reader has read %+v, %v", c.got, c.err)
	}
	before := w.sessions()
	time.Sleep(time.Minute)
	synctest.Wait()
	// A plain reader says who it is only when it has heard something.
	if n := w.sessions(); n != before-1 && !w.transport.Plain {
		w.t.Errorf("%d sessions, %d before: a stuck reader is never given up", n, before)
	}
	c.cancel()
	if got := w.texts(w.dial(slow), 100, "room"); got[0] != "0" || got[99] != "99" {
		w.t.Errorf("once it reads, it gets %q", got)
	}
}

func drained(w *world) {
	var calls []*call
	for i := range 5 {
		id := fmt.Sprint("client", i)
		r := w.settled(w.client(id, "room of "+id))
		c := w.wait(r)
		if c.ended() {
			w.t.Fatalf("%s does not wait: %v", id, c.err)
		}
		calls = append(calls, c)
	}
	start := time.Now()
	w.drain()
	for i, c := range calls {
		if !c.ended() {
			w.t.Errorf("reader %d is still held", i)
		}
		if told := c.got.signals("drain"); w.transport.Positions && (len(told) != 1 || told[0].RetryMS <= 0) {
			w.t.Errorf("reader %d is told %+v", i, c.got)
		}
	}
	if d := time.Since(start); d != 0 {
		w.t.Errorf("it took %v", d)
	}
}
