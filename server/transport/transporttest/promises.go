package transporttest

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// promises are what every transport keeps.
var promises = []promise{
	{name: "own join comes first, and nothing older", keeps: ownJoinFirst, signals: true},
	{name: "each message once and in order", keeps: onceInOrder},
	{name: "what was said while nobody read is read first", keeps: saidWhileAway},
	{name: "who waits hears at once", keeps: heardAtOnce},
	{name: "a new subscription is heard at once", keeps: newSubscription, signals: true},
	{name: "nothing after leaving", keeps: nothingAfterLeaving},
	{name: "texts and senders arrive as they were said", keeps: textsSurvive},
	{name: "several clients, each message once", keeps: severalClients, signals: true},
	{name: "a connection that breaks while waiting loses nothing", keeps: brokenWhileWaiting},
	{name: "an answer that breaks anywhere comes again", keeps: brokenAnswer},
	{name: "in the instant of a subscription nothing is lost or told twice", keeps: atSubscription},
	{name: "in the instant in which the time is up nothing is lost or told twice", keeps: atTimeout},
	{name: "in the instant of a reconnect nothing is lost", keeps: atReconnect},
	{name: "who is excluded does not hear it", keeps: excluded},
	{name: "what is worth hearing no more is not heard", keeps: tooLate},
	{name: "an event arrives with its arguments", keeps: eventsArrive},
	{name: "who is in several rooms of an event hears it once", keeps: eventOnce},
	{name: "a volatile event is heard by who waits, and by nobody later", keeps: volatileNow},
	{name: "a wrong key is refused and does nothing", keeps: wrongKey},
	{name: "a kill ends the reader and voids its key", keeps: killed},
	{name: "a client that waits is not idle", keeps: waitingIsNotIdle},
	{name: "reading revives a client that was let go", keeps: revived},
	{name: "a reader that is stuck harms nobody", keeps: stuck},
	{name: "a drain lets go of everybody at once", keeps: drained},
}

func ownJoinFirst(w *world) {
	w.client("first", "room")
	w.publish("room", "older")
	got := w.read(w.dial(w.client("alice", "room")))
	if len(got.Messages) != 0 || !slices.Equal(got.ids("room"), []uint64{3}) ||
		!got.tells(Signal{Type: "presence", Channel: "room", Joined: "alice", ID: 3}) {
		w.t.Errorf("got %+v, want alice's own join", got)
	}
}

func onceInOrder(w *world) {
	const total = 300
	r := w.dial(w.client("alice", "even", "odd"))
	said := make(chan struct{})
	w.atEnd(func() { <-said })
	go func() {
		defer close(said)
		for i := range total {
			w.publish([]string{"even", "odd"}[i%2], fmt.Sprint(i))
			if i%7 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	}()
	texts := map[string][]string{}
	last := map[string]uint64{}
	if w.transport.Plain { // it does not hear that it has joined
		last["even"], last["odd"] = 1, 1
	}
	for n := 0; n < total; {
		got := w.read(r)
		for _, channel := range []string{"even", "odd"} {
			for _, id := range got.ids(channel) {
				if last[channel]++; id != last[channel] {
					w.t.Fatalf("id %d of %s comes where %d belongs", id, channel, last[channel])
				}
			}
			texts[channel] = append(texts[channel], got.texts(channel)...)
		}
		n += len(got.Messages)
	}
	<-said
	for i := range total {
		if text := texts[[]string{"even", "odd"}[i%2]][i/2]; text != fmt.Sprint(i) {
			w.t.Fatalf("%q stands where %d belongs", text, i)
		}
	}
}

func saidWhileAway(w *world) {
	r := w.settled(w.client("alice", "room"))
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
	r := w.settled(w.client("alice", "room"))
	c := w.wait(r)
	if c.ended() {
		w.t.Fatalf("it does not wait: %+v, %v", c.got, c.err)
	}
	w.isHeld()
	w.publish("room", "now")
	if !c.ended() || c.err != nil || !slices.Equal(c.got.texts("room"), []string{"now"}) {
		w.t.Errorf("ended %t with %+v, %v", c.ended(), c.got, c.err)
	}
}

func newSubscription(w *world) {
	r := w.dial(w.client("alice"))
	if w.transport.Positions {
		w.read(r) // it is told where its channels begin, though it has none
	}
	c := w.wait(r)
	if c.ended() {
		w.t.Fatalf("a client without channels is not held: %+v, %v", c.got, c.err)
	}
	w.subscribe("alice", "room")
	if !c.ended() || c.err != nil || !c.got.tells(Signal{Type: "presence", Channel: "room", Joined: "alice", ID: 1}) {
		w.t.Fatalf("ended %t with %+v, %v", c.ended(), c.got, c.err)
	}
	w.publish("room", "hello")
	if got := w.texts(r, 1, "room"); got[0] != "hello" {
		w.t.Errorf("got %q", got)
	}
}

func nothingAfterLeaving(w *world) {
	r := w.settled(w.client("alice", "room", "other"))
	w.cut()
	w.publish("room", "not read in time")
	c := w.wait(w.dial(w.client("witness", "room")))
	w.unsubscribe("alice", "room")
	w.publish("room", "too late")
	w.publish("other", "still here")
	if !c.ended() || c.err != nil {
		w.t.Fatalf("the witness: %v", c.err)
	}
	got := w.read(r)
	if len(got.ids("room")) != 0 || !slices.Equal(got.texts("other"), []string{"still here"}) {
		w.t.Errorf("a former member hears %+v", got)
	}
}

// strangeTexts is what must arrive as it was said.
var strangeTexts = []string{
	"", " ", "plain", `quotes " and \ backslashes`, "tab\tand\nnew\r\nlines", "\x00\x01\x1f\x7f",
	"héllo", "日本語", "😀👩‍👩‍👧", "\u2028\u2029\u0085\ufeff", "</script><script>alert(1)</script>", "<!-- & -->",
	"); evil(", "data: x\n\nevent: y\nid: z", "*/", `{"type":"subscribe"}`, "[1, 2]", "null",
}

func textsSurvive(w *world) {
	r := w.settled(w.client("alice", "room"))
	senders := []string{`"bób"`, `null`, `5`, `true`, `[1,"x"]`, `{"id":1}`}
	for i, text := range strangeTexts {
		data, err := json.Marshal(text)
		w.must(err)
		_, err = w.hub.Publish(w.t.Context(), hub.Publication{
			Channel: "room", Sender: json.RawMessage(senders[i%len(senders)]), Data: data})
		w.must(err)
	}
	for i := 0; i < len(strangeTexts); {
		for _, m := range w.read(r).Messages {
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
		for _, m := range w.read(r).Messages {
			seen[m.Channel+m.Text]++
		}
	}
	if seen["both1"] != 1 || seen["hers2"] != 1 || seen["zoes3"] != 1 {
		w.t.Errorf("got %v", seen)
	}
}

func brokenWhileWaiting(w *world) {
	r := w.settled(w.client("alice", "room"))
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
	r := w.settled(w.client("alice", "room"))
	whole := false
	for limit := 0; !whole && limit < 1<<16; limit++ {
		w.cut()
		w.network.fault(limit, false)
		text := fmt.Sprint(limit)
		w.publish("room", text)
		got, err := r.Read(w.t.Context())
		for w.transport.Plain && err == nil && got.empty() { // it is let in first
			got, err = r.Read(w.t.Context())
		}
		w.network.fault(-1, false)
		if err == nil && !got.empty() {
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

// atSubscription: what is said once subscribe has answered is heard, what was
// said before it was asked is not, and nothing is heard twice.
func atSubscription(w *world) {
	r := w.settled(w.client("alice", "control"))
	for i := range 50 {
		w.publish("room", fmt.Sprint("before ", i))
		c := w.wait(r)
		said := make(chan struct{})
		go func() { defer close(said); w.publish("room", fmt.Sprint("meanwhile ", i)) }()
		w.subscribe("alice", "room")
		<-said
		w.publish("room", fmt.Sprint("after ", i))
		texts := w.heard(r, c, fmt.Sprint("after ", i))
		if len(texts) == 2 && texts[0] == fmt.Sprint("meanwhile ", i) {
			texts = texts[1:]
		}
		if len(texts) != 1 {
			w.t.Fatalf("round %d: got %q", i, texts)
		}
		w.unsubscribe("alice", "room")
	}
}

// heard returns what is heard of the channel "room", from the Read under way on
// until the last text has come.
func (w *world) heard(r Reader, c *call, last string) []string {
	w.t.Helper()
	<-c.done
	w.must(c.err)
	texts := c.got.texts("room")
	for !slices.Contains(texts, last) {
		got := w.read(r)
		texts = append(texts, got.texts("room")...)
	}
	return texts
}

func atTimeout(w *world) {
	r := w.settled(w.client("alice", "room"))
	start := time.Now()
	if got, err := r.Read(w.t.Context()); err != nil || !got.empty() {
		w.t.Fatalf("there is nothing to say, but %+v, %v", got, err)
	}
	held := time.Since(start)
	for i := range 50 {
		c := w.wait(r)
		time.Sleep(held)
		text := fmt.Sprint(i)
		w.publish("room", text)
		if got := w.heard(r, c, text); !slices.Equal(got, []string{text}) {
			w.t.Fatalf("got %q, want %q", got, text)
		}
	}
}

// atReconnect: who holds its position hears each message once, even if the
// connection breaks in that very instant; others may hear it again.
func atReconnect(w *world) {
	r := w.settled(w.client("alice", "room"))
	for i := range 50 {
		text := fmt.Sprint(i)
		c := w.wait(r)
		said := make(chan struct{})
		go func() { defer close(said); w.publish("room", text) }()
		w.network.cut()
		<-said
		<-c.done
		synctest.Wait() // the reader may have heard it, and not yet that its connection broke
		var texts []string
		if c.err == nil {
			texts = c.got.texts("room")
		}
		w.publish("room", "and")
		for !slices.Contains(texts, "and") {
			texts = append(texts, w.texts(r, 1, "room")...)
		}
		if !w.transport.Positions {
			texts = slices.Compact(texts)
		}
		if !slices.Equal(texts, []string{text, "and"}) {
			w.t.Fatalf("got %q, want %q", texts, text)
		}
	}
}

func excluded(w *world) {
	r, other := w.settled(w.client("alice", "room")), w.settled(w.client("zoe", "room"))
	if !w.transport.Plain {
		w.read(r) // zoe's join
	}
	c := w.wait(r)
	to := w.say(hub.Publication{Channel: "room", Data: json.RawMessage(`"secret"`), Exclude: []string{"alice"}})
	w.publish("room", "open")
	if got := w.texts(other, 2, "room"); !slices.Equal(got, []string{"secret", "open"}) {
		w.t.Errorf("who is not excluded hears %q", got)
	}
	<-c.done
	w.must(c.err)
	news := c.got
	for len(news.texts("room")) == 0 {
		news = merged(news, w.read(r))
	}
	if got := news.texts("room"); !slices.Equal(got, []string{"open"}) {
		w.t.Errorf("who is excluded hears %q", got)
	}
	if w.transport.Positions && !news.tells(Signal{Type: "skip", Channel: "room", ID: to.ID}) {
		w.t.Errorf("it is not told what it skips: %+v", news)
	}
}

func tooLate(w *world) {
	r := w.settled(w.client("alice", "room"))
	w.cut()
	to := w.say(hub.Publication{Channel: "room", Data: json.RawMessage(`"brief"`), TTL: time.Second})
	w.publish("room", "lasting")
	time.Sleep(2 * time.Second)
	got := w.read(r)
	if !slices.Equal(got.texts("room"), []string{"lasting"}) {
		w.t.Errorf("got %q", got.texts("room"))
	}
	if w.transport.Positions && !got.tells(Signal{Type: "skip", Channel: "room", ID: to.ID}) {
		w.t.Errorf("it is not told what it skips: %+v", got)
	}
}
