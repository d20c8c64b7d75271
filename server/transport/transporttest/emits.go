package transporttest

// The promises about events.

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/shaveet/shaveet/server/hub"
)

// An event is what a reader hears of one.
type event struct {
	id           uint64
	name         string
	args, sender string // as JSON
	channel      string
	volatile     bool // and the reader is told so
}

// events returns the events of the news. Readers without positions have them as
// texts.
func (w *world) events(n News) (all []event) {
	w.t.Helper()
	for _, m := range n.Messages {
		e := event{m.ID, m.Event, m.Args, m.Sender, m.Channel, m.Volatile}
		if !w.transport.Positions && !w.transport.Plain {
			var said struct {
				Event string
				Args  json.RawMessage
			}
			if json.Unmarshal([]byte(m.Text), &said) != nil || said.Event == "" {
				continue
			}
			e.name, e.args = said.Event, string(said.Args)
		}
		if e.name != "" {
			all = append(all, e)
		}
	}
	return all
}

// nextEvents reads until n events have come and returns them.
func (w *world) nextEvents(r Reader, n int) (all []event) {
	w.t.Helper()
	for len(all) < n {
		all = append(all, w.events(w.read(r))...)
	}
	return all
}

// emit says an event for bob.
func (w *world) emit(e hub.Emission) {
	w.t.Helper()
	e.Sender = json.RawMessage(`"bob"`)
	_, err := w.hub.Emit(w.t.Context(), e)
	w.must(err)
}

func eventsArrive(w *world) {
	r := w.settled(w.client("alice", "room"))
	names := []string{"typing", "message", "a b", `"\`, "</script>", "é😀\u2028", "data: x", "toString"}
	args := []string{`[]`, `[null]`, `["bob", {"since": 3}]`, `[{"$binary":"AAEC"}]`, `["\u0000\r\n",[[1e3]],"é\ud800"]`, "[\n1,\r\n2]"}
	w.publish("room", "before")
	for i, name := range names {
		w.emit(hub.Emission{Rooms: []string{"room"}, Event: name, Args: json.RawMessage(args[i%len(args)])})
	}
	for i, e := range w.nextEvents(r, len(names)) {
		want := args[i%len(args)]
		if e.name != names[i] || !sameJSON(e.args, want) {
			w.t.Errorf("%q %s has become %+v", names[i], want, e)
		}
		if !w.transport.Plain && (e.sender != `"bob"` || e.channel != "room" || e.volatile || e.id != uint64(i+3)) {
			w.t.Errorf("%q has become %+v", names[i], e)
		}
	}
	w.publish("room", "after")
	if got := w.texts(r, 1, "room"); got[0] != "after" {
		w.t.Errorf("got %q", got)
	}
}

func eventOnce(w *world) {
	r := w.settled(w.client("alice", "red", "blue"))
	w.client("zoe", "blue")
	w.emit(hub.Emission{Rooms: []string{"green", "blue", "red"}, Event: "first", Args: json.RawMessage(`[1]`)})
	w.emit(hub.Emission{Rooms: []string{"red", "blue"}, Except: []string{"client:alice"}, Event: "not hers", Args: json.RawMessage(`[]`)})
	w.emit(hub.Emission{Rooms: []string{"client:alice"}, Event: "hers", Args: json.RawMessage(`[2]`)})
	w.emit(hub.Emission{Rooms: []string{"red"}, Event: "last", Args: json.RawMessage(`[]`)})
	var got []string
	var news News
	isLast := func(heard string) bool { return strings.HasPrefix(heard, "last ") }
	for !slices.ContainsFunc(got, isLast) { // it need not come last: see below
		n := w.read(r)
		for _, e := range w.events(n) {
			got = append(got, e.name+" "+e.channel)
		}
		news = merged(news, n)
	}
	if !w.transport.Positions {
		slices.Sort(got) // they come channel by channel
	}
	want := []string{"first blue", "hers @/#alice", "last red"}
	if w.transport.Plain { // which hears of no channel
		want = []string{"first ", "hers ", "last "}
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("got %q, want %q", got, want)
	}
	if w.transport.Positions && !(news.tells(Signal{Type: "skip", Channel: "red", ID: 2}) && news.tells(Signal{Type: "skip", Channel: "red", ID: 3})) {
		w.t.Errorf("it is not told what it skips: %+v", news)
	}
}

func volatileNow(w *world) {
	moved := func(i int) hub.Emission {
		return hub.Emission{Rooms: []string{"room"}, Event: "moved", Args: json.RawMessage(fmt.Sprintf("[%d]", i)), Volatile: true}
	}
	alice := w.client("alice", "room")
	w.publish("room", "hello") // number 2
	r := w.settled(alice)
	if w.transport.Plain {
		w.texts(r, 1, "room")
	}
	for i := range 3 {
		c := w.waitOn(r)
		w.emit(moved(i))
		<-c.done
		w.must(c.err)
		for len(c.got.Messages) == 0 {
			c.got = w.read(r) // joins are told before
		}
		want := event{2, "moved", fmt.Sprintf("[%d]", i), `"bob"`, "room", w.transport.Positions}
		if w.transport.Plain {
			want = event{name: want.name, args: want.args}
		}
		if got := w.events(c.got); !slices.Equal(got, []event{want}) {
			w.t.Errorf("got %+v, want %+v", got, want)
		}
		if len(c.got.Signals) != 0 {
			w.t.Errorf("beside it: %+v", c.got.Signals)
		}
	}
	// Nobody reads, or begins to read later.
	w.cut()
	w.emit(moved(4))
	w.publish("room", "after")
	for _, reader := range []Reader{r, w.dial(w.client("zoe", "room"))} {
		w.publish("room", "end")
		var news News
		for !slices.Contains(news.texts("room"), "end") {
			news = merged(news, w.read(reader))
		}
		if got := w.events(news); len(got) != 0 {
			w.t.Errorf("heard later: %+v", got)
		}
		if len(news.signals("skip"))+len(news.signals("gap")) != 0 {
			w.t.Errorf("told of it: %+v", news.Signals)
		}
	}
}
