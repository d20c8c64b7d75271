package transporttest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// promises are what every transport keeps.
var promises = []struct {
	name  string
	keeps func(w *world)
}{
	{"own join comes first, and nothing older", ownJoinFirst},
	{"each message once and in order", onceInOrder},
	{"what was said while nobody read is read first", saidWhileAway},
	{"who waits hears at once", heardAtOnce},
	{"a new subscription is heard at once", newSubscription},
	{"nothing after leaving", nothingAfterLeaving},
	{"texts and senders arrive as they were said", textsSurvive},
	{"several clients, each message once", severalClients},
	{"a connection that breaks while waiting loses nothing", brokenWhileWaiting},
	{"an answer that breaks anywhere comes again", brokenAnswer},
	{"a wrong key is refused and does nothing", wrongKey},
	{"a kill ends the reader and voids its key", killed},
	{"a client that waits is not idle", waitingIsNotIdle},
	{"reading revives a client that was let go", revived},
	{"a reader that is stuck harms nobody", stuck},
	{"a drain lets go of everybody at once", drained},
}

func ownJoinFirst(w *world) {
	w.client("first", "room")
	w.publish("room", "older")
	got := w.read(w.dial(w.client("alice", "room")))
	if len(got) != 1 || got[0].Channel != "room" || got[0].Sender != `"alice"` {
		w.t.Errorf("got %+v, want alice's own join", got)
	}
}

func onceInOrder(w *world) {
	const total = 300
	alice := w.client("alice", "even", "odd")
	r := w.dial(alice)
	said := make(chan struct{})
	go func() {
		defer close(said)
		for i := range total {
			w.publish([]string{"even", "odd"}[i%2], fmt.Sprint(i))
			if i%7 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	}()
	got := map[string][]string{}
	ids := map[string]uint64{}
	for n := 0; n < total; {
		for _, m := range w.read(r) {
			if ids[m.Channel] != 0 && m.ID != ids[m.Channel]+1 {
				w.t.Fatalf("id %d of %s comes after %d", m.ID, m.Channel, ids[m.Channel])
			}
			ids[m.Channel] = m.ID
			if m.Sender == `"bob"` {
				got[m.Channel] = append(got[m.Channel], m.Text)
				n++
			}
		}
	}
	<-said
	for i := range total {
		if text := got[[]string{"even", "odd"}[i%2]][i/2]; text != fmt.Sprint(i) {
			w.t.Fatalf("%q stands where %d belongs", text, i)
		}
	}
}

func saidWhileAway(w *world) {
	r := w.dial(w.client("alice", "room"))
	w.read(r)
	var want []string
	for i := range 50 {
		want = append(want, fmt.Sprint(i))
		w.publish("room", want[i])
	}
	start := time.Now()
	if got := w.texts(r, 50, "room"); !slices.Equal(got, want) {
		w.t.Errorf("got %q", got)
	}
	if d := time.Since(start); d != 0 {
		w.t.Errorf("it took %v", d)
	}
}

func heardAtOnce(w *world) {
	r := w.dial(w.client("alice", "room"))
	w.read(r)
	c := w.wait(r)
	if c.ended() {
		w.t.Fatalf("it does not wait: %+v, %v", c.got, c.err)
	}
	w.publish("room", "now")
	if !c.ended() || c.err != nil || len(c.got) != 1 || c.got[0].Text != "now" {
		w.t.Errorf("ended %t with %+v, %v", c.ended(), c.got, c.err)
	}
}

func newSubscription(w *world) {
	r := w.dial(w.client("alice"))
	c := w.wait(r)
	if c.ended() {
		w.t.Fatalf("a client without channels is not held: %+v, %v", c.got, c.err)
	}
	w.client("alice", "room")
	if !c.ended() || c.err != nil || len(c.got) != 1 || c.got[0].Channel != "room" {
		w.t.Fatalf("ended %t with %+v, %v", c.ended(), c.got, c.err)
	}
	w.publish("room", "hello")
	if got := w.texts(r, 1, "room"); got[0] != "hello" {
		w.t.Errorf("got %q", got)
	}
}

func nothingAfterLeaving(w *world) {
	alice := w.client("alice", "room", "other")
	r := w.dial(alice)
	w.read(r)
	w.publish("room", "not read in time")
	c := w.wait(w.dial(w.client("witness", "room")))
	_, err := w.hub.Unsubscribe(w.t.Context(), []hub.Pair{{Client: "alice", Channel: "room"}})
	w.must(err)
	w.publish("room", "too late")
	w.publish("other", "still here")
	if !c.ended() || c.err != nil {
		w.t.Fatalf("the witness: %v", c.err)
	}
	for _, m := range w.read(r) {
		if m.Channel != "other" {
			w.t.Errorf("a former member hears %+v", m)
		}
	}
}

// strangeTexts is what must arrive as it was said.
var strangeTexts = []string{
	"", " ", "plain", `quotes " and \ backslashes`, "tab\tand\nnew\r\nlines", "\x00\x01\x1f\x7f",
	"héllo", "日本語", "😀👩‍👩‍👧", "\u2028\u2029\u0085\ufeff", "</script><script>alert(1)</script>", "<!-- & -->",
	"); evil(", "data: x\n\nevent: y\nid: z", "*/", `{"type": "subscribe"}`, "[1, 2]", "null",
}

func textsSurvive(w *world) {
	r := w.dial(w.client("alice", "room"))
	w.read(r)
	senders := []string{`"bób"`, `null`, `5`, `true`, `[1,"x"]`, `{"id":1}`}
	for i, text := range strangeTexts {
		data, err := json.Marshal(text)
		w.must(err)
		_, err = w.hub.Publish(w.t.Context(), hub.Publication{
			Channel: "room", Sender: json.RawMessage(senders[i%len(senders)]), Data: data})
		w.must(err)
	}
	for i := 0; i < len(strangeTexts); {
		for _, m := range w.read(r) {
			if m.Text != strangeTexts[i] {
				w.t.Errorf("%q has become %q", strangeTexts[i], m.Text)
			}
			if want := senders[i%len(senders)]; !sameJSON(m.Sender, want) {
				w.t.Errorf("the sender %s has become %s", want, m.Sender)
			}
			i++
		}
	}
}

func sameJSON(a, b string) bool {
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	one, _ := json.Marshal(x)
	other, _ := json.Marshal(y)
	return string(one) == string(other)
}

func severalClients(w *world) {
	alice, zoe := w.client("alice", "both", "hers"), w.client("zoe", "both", "zoes")
	w.publish("both", "1")
	w.publish("hers", "2")
	w.publish("zoes", "3")
	r := w.dial(zoe, alice)
	seen := map[string]int{}
	for len(seen) < 3 {
		for _, m := range w.read(r) {
			if m.Sender == `"bob"` {
				seen[m.Channel+m.Text]++
			}
		}
	}
	if seen["both1"] != 1 || seen["hers2"] != 1 || seen["zoes3"] != 1 {
		w.t.Errorf("got %v", seen)
	}
}

func brokenWhileWaiting(w *world) {
	r := w.dial(w.client("alice", "room"))
	w.read(r)
	for i := range 20 {
		c := w.wait(r)
		w.cut()
		if !c.ended() || c.err == nil {
			w.t.Fatalf("a Read survives its connection: %+v", c.got)
		}
		text := fmt.Sprint(i)
		w.publish("room", text)
		if got := w.texts(r, 1, "room"); !slices.Equal(got, []string{text}) {
			w.t.Fatalf("got %q, want %q", got, text)
		}
	}
}

func brokenAnswer(w *world) {
	r := w.dial(w.client("alice", "room"))
	w.read(r)
	whole := false
	for limit := 0; !whole && limit < 1<<16; limit++ {
		w.cut()
		w.network.fault(limit, false)
		text := fmt.Sprint(limit)
		w.publish("room", text)
		got, err := r.Read(w.t.Context())
		w.network.fault(-1, false)
		if err == nil && len(got) > 0 {
			whole = true
			continue
		}
		if got := w.texts(r, 1, "room"); !slices.Equal(got, []string{text}) {
			w.t.Fatalf("cut after %d bytes: got %q", limit, got)
		}
	}
	if !whole {
		w.t.Error("no answer has ever come whole")
	}
}

func wrongKey(w *world) {
	alice, zoe := w.client("alice", "room"), w.client("zoe", "room")
	w.publish("room", "hello")
	for _, creds := range [][]hub.Credentials{
		{{ID: "alice", Key: "wrong"}},
		{{ID: "alice", Key: ""}},
		{{ID: "alice", Key: zoe.Key}},
		{{ID: "nobody", Key: alice.Key}},
		{alice, {ID: "zoe", Key: "wrong"}},
	} {
		if got, err := w.dial(creds...).Read(w.t.Context()); !errors.Is(err, ErrGone) {
			w.t.Errorf("%v: got %+v, %v", creds, got, err)
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
	_, _, err := w.hub.Expire(w.t.Context(), hub.Idle{After: 25 * time.Second, MinAge: 60 * time.Second}, 1000)
	w.must(err)
}

func killed(w *world) {
	alice := w.client("alice", "room")
	r := w.dial(alice)
	w.read(r)
	c := w.wait(r)
	w.must(w.hub.KillClient(w.t.Context(), "alice"))
	w.publish("room", "too late")
	if !c.ended() {
		w.t.Fatal("the reader of a killed client still waits")
	}
	if len(c.got) != 0 || c.err != nil && !errors.Is(c.err, ErrGone) {
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
	r := w.dial(w.client("alice", "room"))
	w.read(r)
	for range 20 {
		c := w.wait(r)
		time.Sleep(20 * time.Second)
		gone, _, err := w.hub.Expire(w.t.Context(), hub.Idle{After: time.Second, MinAge: 0}, 1000)
		if gone != 0 || err != nil {
			w.t.Fatalf("a client is let go under its reader: %d, %v", gone, err)
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
	r := w.dial(alice)
	w.read(r)
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
	r := w.dial(quick)
	w.read(r)
	w.network.fault(-1, true)
	c := w.wait(w.dial(slow)) // it has something to hear, and does not
	w.network.fault(-1, false)
	start := time.Now()
	for i := range 100 {
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
	before := w.hub.Stats().Sessions
	time.Sleep(time.Minute)
	synctest.Wait()
	if n := w.hub.Stats().Sessions; n != before-1 {
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
		r := w.dial(w.client(id, "room of "+id))
		w.read(r)
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
	}
	if d := time.Since(start); d != 0 {
		w.t.Errorf("it took %v", d)
	}
}
