package transporttest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// promisesWithPositions are what transports keep whose readers hold their
// position.
var promisesWithPositions = []promise{
	{name: "who comes is told where its channels begin", keeps: introduced},
	{name: "reading goes on at any position", keeps: resumed},
	{name: "an empty answer carries the position", keeps: idlePosition},
	{name: "with now nothing older is heard", keeps: fromNow},
	{name: "a long absence comes in pieces of few messages", limits: hub.Limits{BatchMessages: 3}, keeps: piecesByCount},
	{name: "a long absence comes in pieces of few bytes", limits: hub.Limits{BatchBytes: 2000}, keeps: piecesByBytes},
	{name: "what is lost because there was too much is told", limits: hub.Limits{ChannelMessages: 5}, keeps: gapByCount},
	{name: "what is lost because it is old is told", limits: hub.Limits{Window: time.Minute}, keeps: gapByAge},
	{name: "what is lost because a channel is full is told", limits: hub.Limits{MessageBytes: 1000, ChannelBytes: 2500}, keeps: gapByBytes},
	{name: "what is lost because all is full is told",
		limits: hub.Limits{MessageBytes: 1000, ChannelBytes: 4000, TotalBytes: 8000}, keeps: gapByMemory},
	{name: "a new life of the log resets", keeps: restarted},
	{name: "a position of nowhere resets", keeps: strangePositions},
	{name: "a bad cursor is refused and does nothing", keeps: badCursors},
	{name: "a bad session is refused and does nothing", keeps: badSessions},
	{name: "one client that is killed is called gone, the others go on", keeps: oneIsGone},
	{name: "a new key ends the readers with the old one", keeps: newKey},
	{name: "leaving and rejoining while away is told", keeps: rejoined},
	{name: "leaving while waiting is told at once", keeps: leftWhileWaiting},
	{name: "a session is taken over by itself only", keeps: takenOver, oneNode: true},
	{name: "every tab hears everything", keeps: tabs},
	{name: "a session that is disconnected may come back", keeps: disconnected},
	{name: "who joins and leaves is told, and why", keeps: presence},
	{name: "a crowd is told by its number", limits: hub.Limits{NoticeMembers: 2}, keeps: crowd},
	{name: "lost notices are told", limits: hub.Limits{ChannelNotices: 2}, keeps: resync},
}

func introduced(w *world) {
	w.client("first", "room")
	w.publish("room", "older")
	alice := w.client("alice")
	at := w.subscribe("alice", "room")
	want := Signal{Type: "channels", Channels: map[string]Membership{"room": {Since: before(at), ID: 2}}}
	for _, cursor := range []string{"", "now", "00000000000000ff.1"} {
		got := w.read(w.begins(Start{Clients: []hub.Credentials{alice}, Cursor: cursor}))
		if !got.tells(want) {
			w.t.Errorf("cursor %q: got %+v, want %+v", cursor, got, want)
		}
	}
}

func before(at hub.Position) string {
	at.Seq--
	return at.String()
}

func resumed(w *world) {
	alice := w.client("alice", "one", "two")
	w.client("zoe", "one")
	var said []string
	for i := range 10 {
		said = append(said, fmt.Sprint(i))
		w.publish([]string{"one", "two"}[i%2], said[i])
		w.unsubscribe("zoe", "one")
		w.subscribe("zoe", "one")
	}
	var all []Message
	for r := w.dial(alice); len(all) < len(said); {
		all = append(all, w.read(r).Messages...)
	}
	for i, m := range all {
		if m.Text != said[i] {
			w.t.Fatalf("%q comes where %q belongs", m.Text, said[i])
		}
		synctest.Wait() // each poll counts until the server has seen it out
		r := w.begins(Start{Clients: []hub.Credentials{alice}, Cursor: m.Position})
		var rest []string
		for len(rest) < len(all)-i-1 {
			for _, m := range w.read(r).Messages {
				rest = append(rest, m.Text)
			}
		}
		if !slices.Equal(rest, said[i+1:]) {
			w.t.Errorf("after %s comes %q", m.Text, rest)
		}
	}
}

func idlePosition(w *world) {
	r := w.settled(w.client("alice", "room"))
	w.publish("elsewhere", "not for alice")
	got, err := r.Read(w.t.Context())
	w.must(err)
	if want := w.hub.Position().String(); !got.empty() || got.Cursor != want {
		w.t.Errorf("got %+v, want the position %s", got, want)
	}
}

func fromNow(w *world) {
	alice := w.client("alice", "room")
	w.publish("room", "older")
	r := w.begins(Start{Clients: []hub.Credentials{alice}, Cursor: "now"})
	if got := w.read(r); len(got.Messages) != 0 || got.Cursor != w.hub.Position().String() {
		w.t.Errorf("got %+v", got)
	}
	w.publish("room", "newer")
	if got := w.texts(r, 1, "room"); !slices.Equal(got, []string{"newer"}) {
		w.t.Errorf("got %q", got)
	}
}

func piecesByCount(w *world) { pieces(w, 10, 3, "") }

// Each is charged its length, that of its sender, and a fixed amount.
func piecesByBytes(w *world) { pieces(w, 10, 3, strings.Repeat("x", 600-256)) }

// pieces has a reader come back to so many messages, and wants no more than
// max of them at a time.
func pieces(w *world, total, max int, filling string) {
	r := w.settled(w.client("alice", "room"))
	w.cut()
	for i := range total {
		w.publish("room", fmt.Sprint(filling, i))
	}
	for n := 0; n < total; {
		got := w.read(r)
		for _, text := range got.texts("room") {
			if text != fmt.Sprint(filling, n) {
				w.t.Fatalf("%s comes where %d belongs", text, n)
			}
			n++
		}
		if w.transport.Events {
			continue
		}
		if len(got.Messages) > max || got.More != (n < total) {
			w.t.Errorf("%d messages, %d of %d in all, and more: %t", len(got.Messages), n, total, got.More)
		}
		if last := got.Messages[len(got.Messages)-1].Position; got.More && got.Cursor != last {
			w.t.Errorf("cut after %s, with the position %s", last, got.Cursor)
		}
	}
}

// gap wants the reader, who was at from, to be told that the messages up to
// lost are, and then to hear the rest.
func (w *world) gap(r Reader, from string, lost hub.Published, why string, rest ...string) {
	w.t.Helper()
	got := w.read(r)
	want := Signal{Type: "gap", Channel: "room", From: from, To: lost.Position.String(), Reason: why}
	if !got.tells(want) || len(got.signals("gap")) != 1 {
		w.t.Errorf("got %+v, want %+v", got.Signals, want)
	}
	if texts := got.texts("room"); !slices.Equal(texts, rest) {
		w.t.Errorf("then it hears %q, want %q", texts, rest)
	}
	w.publish("room", "next")
	if got := w.read(r); len(got.signals("gap")) != 0 || !slices.Equal(got.texts("room"), []string{"next"}) {
		w.t.Errorf("afterwards it hears %+v", got)
	}
}

// away returns a reader of alice, who is on the channel "room", and where it was
// when its connection broke.
func (w *world) away() (r Reader, cursor string) {
	w.t.Helper()
	r = w.dial(w.client("alice", "room"))
	cursor = w.read(r).Cursor
	w.cut()
	return r, cursor
}

func gapByCount(w *world) {
	r, from := w.away()
	var to []hub.Published
	for i := range 8 {
		to = append(to, w.publish("room", fmt.Sprint(i)))
	}
	w.gap(r, from, to[2], "count", "3", "4", "5", "6", "7")
}

func gapByAge(w *world) {
	r, from := w.away()
	old := w.publish("room", "old")
	time.Sleep(2 * time.Minute)
	w.publish("room", "young")
	for _, h := range w.hubs {
		for h.EvictAged(1000) {
		}
	}
	w.gap(r, from, old, "age", "young")
}

func gapByBytes(w *world) {
	r, from := w.away()
	filling := strings.Repeat("x", 700)
	lost := w.publish("room", "lost"+filling)
	w.publish("room", "1"+filling)
	w.publish("room", "2"+filling)
	w.gap(r, from, lost, "bytes", "1"+filling, "2"+filling)
}

func gapByMemory(w *world) {
	for i := range 8 {
		w.client("others", fmt.Sprint("room ", i))
	}
	r, from := w.away()
	lost := w.publish("room", "lost")
	for i := range 12 {
		w.publish(fmt.Sprint("room ", i%8), strings.Repeat("x", 700))
	}
	w.publish("room", "kept")
	w.gap(r, from, lost, "memory", "kept")
}

func restarted(w *world) {
	_, cursor := w.away()
	w.stop()
	w.begin()
	alice := w.client("alice", "room")
	w.publish("room", "in the new life")
	r := w.begins(Start{Clients: []hub.Credentials{alice}, Cursor: cursor})
	got := w.read(r)
	at := w.hub.Position()
	at.Seq = 0
	if !got.tells(Signal{Type: "reset", Cursor: at.String()}) || !slices.Equal(got.texts("room"), []string{"in the new life"}) {
		w.t.Errorf("got %+v", got)
	}
	w.publish("room", "next")
	if got := w.read(r); len(got.Signals) != 0 || !slices.Equal(got.texts("room"), []string{"next"}) {
		w.t.Errorf("then %+v", got)
	}
}

func strangePositions(w *world) {
	alice := w.client("alice", "room")
	w.publish("room", "hello")
	beyond := w.hub.Position()
	beyond.Seq++
	for _, cursor := range []string{beyond.String(), "0000000000000001.0", "ffffffffffffffff.18446744073709551615"} {
		got := w.read(w.begins(Start{Clients: []hub.Credentials{alice}, Cursor: cursor}))
		if len(got.signals("reset")) != 1 || !slices.Equal(got.texts("room"), []string{"hello"}) {
			w.t.Errorf("%s: got %+v", cursor, got)
		}
	}
}

func badCursors(w *world) {
	alice := w.client("alice", "room")
	at := w.hub.Position()
	for _, cursor := range []string{
		" ", "x", "now ", " now", "NOW", "Now", "null", "0", ".", "1.1", "%", "\x00", "é", "\u2028",
		at.String() + " ", " " + at.String(), at.String() + ".1", strings.ToUpper(at.String()) + "A", "+" + at.String(),
		"0000000000000000.1", "g000000000000001.1", "0000000000000001", "0000000000000001.", "0000000000000001.-1",
		"0000000000000001.+1", "0000000000000001.01", "0000000000000001.1e3", "0000000000000001.0x1",
		"0000000000000001.18446744073709551616", strings.Repeat("1", 1000),
	} {
		w.refused(Start{Clients: []hub.Credentials{alice}, Cursor: cursor})
	}
}

func badSessions(w *world) {
	alice := w.client("alice", "room")
	for _, session := range []string{" ", "a b", "é", "$", "a.b", "\x00", strings.Repeat("x", 65)} {
		w.refused(Start{Clients: []hub.Credentials{alice}, Session: session})
	}
}

// refused wants the reader to be refused before anything has happened.
func (w *world) refused(start Start) {
	w.t.Helper()
	attached := w.attached()
	got, err := w.begins(start).Read(w.t.Context())
	if !errors.Is(err, ErrInvalid) || !got.empty() {
		w.t.Errorf("%+q: got %+v, %v", start, got, err)
	}
	if w.attached() != attached {
		w.t.Errorf("%+q: a session was attached", start)
	}
}

func oneIsGone(w *world) {
	alice, zoe := w.client("alice", "hers"), w.client("zoe", "zoes")
	r := w.settled(alice, zoe)
	c := w.wait(r)
	w.must(w.hub.KillClient(w.t.Context(), "alice"))
	if !c.ended() || c.err != nil || !slices.Equal(c.got.gone(), []string{"alice"}) || len(c.got.Messages) != 0 {
		w.t.Fatalf("ended %t with %+v, %v", c.ended(), c.got, c.err)
	}
	w.client("alice", "hers") // another one
	w.publish("hers", "not for the old one")
	w.publish("zoes", "still here")
	if got := w.texts(r, 1, "zoes"); !slices.Equal(got, []string{"still here"}) {
		w.t.Errorf("got %q", got)
	}
}

func newKey(w *world) {
	r := w.settled(w.client("alice", "room"))
	c := w.wait(r)
	key, _, err := w.hub.RotateKey(w.t.Context(), "alice")
	w.must(err)
	if !c.ended() || !slices.Equal(c.got.gone(), []string{"alice"}) {
		w.t.Fatalf("ended %t with %+v, %v", c.ended(), c.got, c.err)
	}
	w.publish("room", "hello")
	if got := w.texts(w.dial(hub.Credentials{ID: "alice", Key: key}), 1, "room"); !slices.Equal(got, []string{"hello"}) {
		w.t.Errorf("with the new key: %q", got)
	}
}

func rejoined(w *world) {
	r, _ := w.away()
	w.unsubscribe("alice", "room")
	missed := w.publish("room", "missed")
	at := w.subscribe("alice", "room")
	w.publish("room", "heard")
	got := w.read(r)
	want := Signal{Type: "channels", Channels: map[string]Membership{"room": {Since: before(at), ID: missed.ID}}}
	if !got.tells(want) || !slices.Equal(got.texts("room"), []string{"heard"}) {
		w.t.Errorf("got %+v, want %+v", got, want)
	}
}

func leftWhileWaiting(w *world) {
	r := w.settled(w.client("alice", "room", "other"))
	c := w.wait(r)
	w.unsubscribe("alice", "room")
	if !c.ended() || c.err != nil {
		w.t.Fatalf("ended %t, %v", c.ended(), c.err)
	}
	if told := c.got.signals("channels"); len(told) != 1 || len(told[0].Channels) != 1 || told[0].Channels["other"].Since == "" {
		w.t.Errorf("it is told %+v", c.got)
	}
	w.publish("room", "too late")
	w.publish("other", "still here")
	if got := w.read(r); len(got.texts("room")) != 0 || !slices.Equal(got.texts("other"), []string{"still here"}) {
		w.t.Errorf("then it hears %+v", got)
	}
}

func takenOver(w *world) {
	alice := []hub.Credentials{w.client("alice", "room")}
	waiting := func(session string) (Reader, *call) {
		r := w.begins(Start{Clients: alice, Session: session})
		w.read(r)
		return r, w.wait(r)
	}
	older, first := waiting("tab-1")
	_, other := waiting("tab-2")
	_, nameless := waiting("")
	_, namelessToo := waiting("")
	r := w.begins(Start{Clients: alice, Session: "tab-1"})
	w.read(r)
	if !first.ended() || first.err != nil || len(first.got.signals("superseded")) != 1 || len(first.got.Messages) != 0 {
		w.t.Errorf("the older self: ended %t with %+v, %v", first.ended(), first.got, first.err)
	}
	older.Close()
	newer := w.wait(r)
	for name, c := range map[string]*call{"the newer self": newer, "another tab": other, "no name": nameless, "no name too": namelessToo} {
		if c.ended() {
			w.t.Errorf("%s: ended with %+v, %v", name, c.got, c.err)
		}
	}
	w.publish("room", "hello")
	for name, c := range map[string]*call{"the newer self": newer, "another tab": other, "no name": nameless, "no name too": namelessToo} {
		if !c.ended() || c.err != nil || !slices.Equal(c.got.texts("room"), []string{"hello"}) {
			w.t.Errorf("%s: ended %t with %+v, %v", name, c.ended(), c.got, c.err)
		}
	}
}

func tabs(w *world) {
	alice := w.client("alice", "room")
	var readers []Reader
	for i := range 3 {
		readers = append(readers, w.begins(Start{Clients: []hub.Credentials{alice}, Session: fmt.Sprint("tab-", i)}))
	}
	var want []string
	for i := range 30 {
		want = append(want, fmt.Sprint(i))
		w.publish("room", want[i])
		if i%10 == 0 {
			w.read(readers[i/10])
		}
	}
	for i, r := range readers {
		n := i*10 + 1 // what it has read already
		if got := w.texts(r, len(want)-n, "room"); !slices.Equal(got, want[n:]) {
			w.t.Errorf("tab %d: got %q", i, got)
		}
	}
}

func disconnected(w *world) {
	alice := w.client("alice", "room")
	r := w.begins(Start{Clients: []hub.Credentials{alice}, Session: "one"})
	w.read(r)
	other := w.begins(Start{Clients: []hub.Credentials{alice}, Session: "two"})
	w.read(other)
	c, stays := w.wait(r), w.wait(other)
	_, err := w.hub.Disconnect(w.t.Context(), "alice", "one")
	w.must(err)
	if !c.ended() || c.err != nil || len(c.got.signals("drain")) != 1 || stays.ended() {
		w.t.Errorf("ended %t with %+v, %v; the other ended: %t", c.ended(), c.got, c.err, stays.ended())
	}
	w.publish("room", "hello")
	if got := w.texts(r, 1, "room"); !slices.Equal(got, []string{"hello"}) {
		w.t.Errorf("then it hears %q", got)
	}
}

func presence(w *world) {
	r := w.settled(w.client("zoe", "room"))
	told := func(want Signal) {
		w.t.Helper()
		want.Type, want.Channel = "presence", "room"
		got := w.read(r)
		if signals := got.signals("presence"); len(signals) != 1 || !sameSignal(signals[0], want) || len(got.Messages) != 0 {
			w.t.Errorf("got %+v, want %+v", got, want)
		}
	}
	w.client("alice", "room")
	told(Signal{Joined: "alice", ID: 2})
	w.unsubscribe("alice", "room")
	told(Signal{Left: "alice", Reason: "unsubscribed", ID: 3})
	w.client("alice", "room")
	told(Signal{Joined: "alice", ID: 4})
	w.must(w.hub.KillClient(w.t.Context(), "alice"))
	told(Signal{Left: "alice", Reason: "killed", ID: 5})
	w.client(`a "strange" é name`, "room")
	told(Signal{Joined: `a "strange" é name`, ID: 6})
	time.Sleep(2 * time.Minute)
	w.publish("room", "zoe is awake")
	w.read(r)
	w.expire(hub.Idle{After: 25 * time.Second, MinAge: 60 * time.Second})
	told(Signal{Left: `a "strange" é name`, Reason: "idle", ID: 8})
}

func crowd(w *world) {
	r := w.settled(w.client("zoe", "room"))
	w.client("alice", "room")
	if got := w.read(r); !got.tells(Signal{Type: "presence", Channel: "room", Joined: "alice", ID: 2}) {
		w.t.Errorf("while they are few: %+v", got)
	}
	c := w.wait(r)
	for i := range 3 {
		w.client(fmt.Sprint("client ", i), "room")
	}
	w.must(w.hub.Tidy(w.t.Context()))
	want := Signal{Type: "presence", Channel: "room", Count: 5}
	if !c.ended() || c.err != nil || len(c.got.Signals) != 1 || !c.got.tells(want) {
		w.t.Errorf("ended %t with %+v, %v", c.ended(), c.got, c.err)
	}
}

func resync(w *world) {
	r, _ := w.away()
	for i := range 5 {
		w.client(fmt.Sprint("client ", i), "room")
	}
	w.publish("room", "hello")
	got := w.read(r)
	lost := got.signals("presence")
	if len(lost) == 0 || !lost[0].Resync || lost[0].Channel != "room" || lost[0].To == "" || len(got.signals("gap")) != 0 {
		w.t.Errorf("got %+v", got)
	}
	if got := got.texts("room"); !slices.Equal(got, []string{"hello"}) {
		w.t.Errorf("got %q", got)
	}
}
