package transport

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
)

// newHub returns a hub that runs until the test ends.
func newHub(t testing.TB, limits hub.Limits) *hub.Hub {
	h := hub.New(hub.Config{NewKey: func() string { return "key" }, Limits: limits}, memory.New())
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() { defer close(stopped); h.Run(ctx) }()
	t.Cleanup(func() { stop(); <-stopped })
	<-h.Ready()
	return h
}

// join makes a client on the channel and returns a session of it, which has
// heard of that.
func join(t testing.TB, h *hub.Hub, id, channel string) *hub.Session {
	t.Helper()
	_, _, err := h.CreateClient(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Subscribe(t.Context(), []hub.Pair{{Client: id, Channel: channel}}); err != nil {
		t.Fatal(err)
	}
	s, err := h.Attach(t.Context(), []hub.Credentials{{ID: id, Key: "key"}}, hub.Start{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func publish(t testing.TB, h *hub.Hub, p hub.Publication) hub.Published {
	t.Helper()
	to, err := h.Publish(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func TestBatchBytes(t *testing.T) {
	h := newHub(t, hub.Limits{})
	s := join(t, h, "alice", "room <1>")
	at := h.Position()
	publish(t, h, hub.Publication{Channel: "room <1>", Sender: json.RawMessage(`"bób"`), Data: json.RawMessage("{\"a\": [1,\r\n\t2], \"b\":\"</script>\u2028\"}")})
	publish(t, h, hub.Publication{Channel: "room <1>", Sender: json.RawMessage(`null`), Data: json.RawMessage(`1e3`), System: true})
	b := s.Collect()
	first, second := b.Messages[1], b.Messages[2]
	since := hub.Position{Epoch: at.Epoch, Seq: at.Seq - 1}
	want := fmt.Sprintf(`{"cursor":"%v","signals":[{"type":"channels","channels":{"room \u003c1\u003e":{"since":"%v","id":0}}},`+
		`{"type":"presence","channel":"room \u003c1\u003e","joined":"alice","id":1}],"messages":[`+
		`{"channel":"room \u003c1\u003e","id":2,"pos":"%v","sender":"bób","data":{"a":[1,2],"b":"</script>`+"\u2028"+`"},"time":%d},`+
		`{"channel":"room \u003c1\u003e","id":3,"pos":"%v","sender":null,"data":1e3,"time":%d,"system":true}]}`,
		h.Position(), since, hub.Position{Epoch: at.Epoch, Seq: first.Seq}, first.Time, h.Position(), second.Time)
	if got := string(AppendBatch([]byte("before"), &b, 0)); got != "before"+want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestEventBytes states byte for byte what readers of batches hear of events.
func TestEventBytes(t *testing.T) {
	h := newHub(t, hub.Limits{})
	s := join(t, h, "alice", "room")
	s.Collect()
	s.Commit()
	for _, test := range []struct {
		event, args string
		volatile    bool
		want        string // from the number in the channel on
	}{
		{event: "typing", args: `["bob", {"since" :3}]`, want: `"id":2,"pos":"%v","sender":"bob","data":null,"event":"typing","args":["bob", {"since" :3}],"time":%d}`},
		{event: `</é"`, args: "[\n1\r]", want: `"id":3,"pos":"%v","sender":"bob","data":null,"event":"\u003c/é\"","args":[1],"time":%d}`},
		{event: "moved", args: `[]`, volatile: true, want: `"id":3,"pos":"%v","sender":"bob","data":null,"event":"moved","args":[],"time":%d,"volatile":true}`},
		{event: "after", args: `[{"$binary":"AAEC"}]`, want: `"id":4,"pos":"%v","sender":"bob","data":null,"event":"after","args":[{"$binary":"AAEC"}],"time":%d}`},
	} {
		e := hub.Emission{Rooms: []string{"room"}, Event: test.event, Args: json.RawMessage(test.args), Sender: json.RawMessage(`"bob"`), Volatile: test.volatile}
		if _, err := h.Emit(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		b := s.Collect()
		if len(b.Messages) != 1 {
			t.Fatalf("%d messages of %q", len(b.Messages), test.event)
		}
		m := `{"channel":"room",` + fmt.Sprintf(test.want, h.Position(), b.Messages[0].Time)
		want := fmt.Sprintf(`{"cursor":"%v","signals":[],"messages":[%s]}`, h.Position(), m)
		for how, got := range map[string][]byte{"a batch": AppendBatch(nil, &b, 0), "a shared batch": AppendSharedBatch(nil, &b, 0)} {
			if string(got) != want {
				t.Errorf("%s:\ngot  %s\nwant %s", how, got, want)
			}
		}
		s.Commit()
	}
}

func TestEmptyBatch(t *testing.T) {
	for want, b := range map[string]hub.Batch{
		`{"signals":[],"messages":[]}`:                                           {},
		`{"cursor":"00000000000000ff.7","signals":[],"messages":[]}`:             {Position: hub.Position{Epoch: 255, Seq: 7}},
		`{"cursor":"00000000000000ff.7","signals":[],"messages":[],"more":true}`: {Position: hub.Position{Epoch: 255, Seq: 7}, More: true},
	} {
		if got := string(AppendBatch(nil, &b, 0)); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestSignalBytes(t *testing.T) {
	at := func(seq uint64) hub.Position { return hub.Position{Epoch: 0xabc, Seq: seq} }
	for _, test := range []struct {
		signal hub.Signal
		want   string
	}{
		{hub.Signal{Type: hub.SignalGap, Channel: `a"b`, From: at(1), To: at(9), Reason: hub.ReasonAge},
			`{"type":"gap","channel":"a\"b","from":"0000000000000abc.1","to":"0000000000000abc.9","reason":"age"}`},
		{hub.Signal{Type: hub.SignalChannels, Channels: map[string]hub.Membership{"b": {Since: at(2), ID: 3}, "a": {Since: at(1)}}},
			`{"type":"channels","channels":{"a":{"since":"0000000000000abc.1","id":0},"b":{"since":"0000000000000abc.2","id":3}}}`},
		{hub.Signal{Type: hub.SignalChannels}, `{"type":"channels","channels":{}}`},
		{hub.Signal{Type: hub.SignalCount, Channel: "é", Count: 1234}, `{"type":"presence","channel":"é","count":1234}`},
		{hub.Signal{Type: hub.SignalResync, Channel: "\u2028", To: at(9)}, `{"type":"presence","channel":"\u2028","resync":true,"to":"0000000000000abc.9"}`},
		{hub.Signal{Type: hub.SignalSkip, Channel: "a", ID: 5}, `{"type":"skip","channel":"a","id":5}`},
		{hub.Signal{Type: hub.SignalReset, From: at(0)}, `{"type":"reset","cursor":"0000000000000abc.0"}`},
		{hub.Signal{Type: hub.SignalGone, Client: "<x>"}, `{"type":"gone","client":"\u003cx\u003e"}`},
		{hub.Signal{Type: hub.SignalSuperseded}, `{"type":"superseded"}`},
		{hub.Signal{Type: hub.SignalDrain}, `{"type":"drain","retry_ms":2500}`},
	} {
		if got := string(AppendSignal(nil, &test.signal, 2500*time.Millisecond)); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

// TestEncodedOnce, however many read it.
func TestEncodedOnce(t *testing.T) {
	h := newHub(t, hub.Limits{})
	var encodings encodingCounter
	sessions := []*hub.Session{join(t, h, "alice", "room"), join(t, h, "zoe", "room"), join(t, h, "bob", "room")}
	publish(t, h, hub.Publication{Channel: "room", Sender: json.RawMessage(`1`), Data: json.RawMessage(`2`)})
	for _, s := range sessions {
		encodings.count(s.Collect())
	}
	if encodings.n != 1 {
		t.Errorf("encoded %d times", encodings.n)
	}
}

// TestNoticesOnTheWire: who joins and leaves is told by signals, a new channel
// by a message.
func TestNoticesOnTheWire(t *testing.T) {
	h := newHub(t, hub.Limits{})
	admin := join(t, h, "overseer", hub.AdminChannel)
	admin.Collect()
	admin.Commit()
	s := join(t, h, "watcher", "room")
	s.Collect()
	s.Commit()
	b := admin.Collect()
	var news struct {
		Messages []struct{ Data json.RawMessage }
	}
	if err := json.Unmarshal(AppendBatch(nil, &b, 0), &news); err != nil || len(news.Messages) != 1 ||
		string(news.Messages[0].Data) != `{"type":"new_channel","name":"room"}` {
		t.Errorf("of a new channel: %+v, %v", news, err)
	}
	join(t, h, "alice", "room")
	if err := h.KillClient(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	join(t, h, "alice", "room")
	if _, err := h.Unsubscribe(t.Context(), []hub.Pair{{Client: "alice", Channel: "room"}}); err != nil {
		t.Fatal(err)
	}
	b = s.Collect()
	want := fmt.Sprintf(`{"cursor":"%v","signals":[`+
		`{"type":"presence","channel":"room","joined":"alice","id":2},`+
		`{"type":"presence","channel":"room","left":"alice","reason":"killed","id":3},`+
		`{"type":"presence","channel":"room","joined":"alice","id":4},`+
		`{"type":"presence","channel":"room","left":"alice","reason":"unsubscribed","id":5}],"messages":[]}`, b.Position)
	if got := string(AppendBatch(nil, &b, 0)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestBrokenTextIsMended: a WebSocket would break at a text that is not UTF-8.
func TestBrokenTextIsMended(t *testing.T) {
	h := newHub(t, hub.Limits{})
	s := join(t, h, "alice", "room")
	publish(t, h, hub.Publication{Channel: "room", Sender: json.RawMessage("\"\xff\""), Data: json.RawMessage("\"a\xc3\"")})
	b := s.Collect()
	got := string(AppendBatch(nil, &b, 0))
	if !strings.Contains(got, "\"sender\":\"\ufffd\",\"data\":\"a\ufffd\"") {
		t.Errorf("got %s", got)
	}
}

func FuzzBatch(f *testing.F) {
	h := newHub(f, hub.Limits{})
	s := join(f, h, "alice", "room")
	for i, data := range strangeJSON {
		f.Add("room", []byte(strangeJSON[len(strangeJSON)-1-i]), []byte(data), i%2 == 0)
	}
	f.Add("r\"o\\o<m>\u2028é", []byte("{\r\n}"), []byte("[\n1\r]"), true)
	f.Fuzz(func(t *testing.T, channel string, sender, data []byte, system bool) {
		if !json.Valid(sender) || !json.Valid(data) {
			return
		}
		if _, err := h.Subscribe(t.Context(), []hub.Pair{{Client: "alice", Channel: channel}}); err != nil {
			return // no name for a channel, or too many of them
		}
		s.Collect()
		s.Commit()
		to := publish(t, h, hub.Publication{Channel: channel, Sender: sender, Data: data, System: system})
		b := s.Collect()
		line := AppendBatch(nil, &b, 0)
		s.Commit()
		if !json.Valid(line) || bytes.ContainsAny(line, "\r\n") {
			t.Fatalf("%q", line)
		}
		var news struct {
			Cursor   string
			Messages []struct {
				Channel, Pos string
				ID           uint64
				Sender, Data json.RawMessage
				System       bool
			}
		}
		if err := json.Unmarshal(line, &news); err != nil || len(news.Messages) != 1 {
			t.Fatalf("%q: %v", line, err)
		}
		m := news.Messages[0]
		if m.Channel != channel || m.ID != to.ID || m.Pos != to.Position.String() || m.System != system || news.Cursor != m.Pos {
			t.Errorf("%+v has become %+v", to, m)
		}
		sameValue(t, sender, m.Sender)
		sameValue(t, data, m.Data)
	})
}

// FuzzEvent has events of all kinds of names be said, and looks at them in
// both forms.
func FuzzEvent(f *testing.F) {
	h := newHub(f, hub.Limits{})
	s := join(f, h, "alice", "room")
	for i, data := range strangeJSON {
		f.Add(strangeTexts[i%len(strangeTexts)], []byte(data), i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, event string, argument []byte, volatile bool) {
		if !json.Valid(argument) {
			return
		}
		args := slices.Concat([]byte{'['}, argument, []byte{']'})
		s.Collect()
		s.Commit()
		if _, err := h.Emit(t.Context(), hub.Emission{Rooms: []string{"room"}, Event: event, Args: args, Sender: json.RawMessage("null"), Volatile: volatile}); err != nil {
			return // no name for an event
		}
		b := s.Collect()
		defer s.Commit()
		type heard struct {
			Event    string
			Args     json.RawMessage
			Volatile bool
		}
		var modern struct{ Messages []heard }
		line := AppendBatch(nil, &b, 0)
		if err := json.Unmarshal(line, &modern); err != nil || len(modern.Messages) != 1 || bytes.ContainsAny(line, "\r\n") {
			t.Fatalf("%q: %v", line, err)
		}
		if m := modern.Messages[0]; m.Event != event || m.Volatile != volatile {
			t.Errorf("%q has become %+v", event, m)
		}
		sameValue(t, args, modern.Messages[0].Args)
		var id, sender any
		var text string
		var old heard
		if err := json.Unmarshal(Legacy(b.Messages[0]), &[]any{&id, &text, &sender}); err != nil || json.Unmarshal([]byte(text), &old) != nil {
			t.Fatalf("%q: %v", Legacy(b.Messages[0]), err)
		}
		var x, y any
		if decode(args, &x) != nil || decode(old.Args, &y) != nil || !reflect.DeepEqual(x, y) || old.Event != event {
			t.Errorf("%q %q has become %q", event, args, text)
		}
	})
}

var strangeTexts = []string{"e", "typing", "a b", `"`, `\`, "</script>", "é", "😀", "\u2028", "{}", "connect", "", "\n", "\xff", "toString"}

// sameValue wants got to say what the JSON said does, byte for byte where that
// has no line breaks.
func sameValue(t *testing.T, said, got []byte) {
	t.Helper()
	said = bytes.ToValidUTF8(said, []byte("\ufffd"))
	if !bytes.ContainsAny(said, "\r\n") && !bytes.Equal(bytes.TrimSpace(said), got) {
		t.Errorf("%q has become %q", said, got)
	}
	var x, y any
	if decode(said, &x) != nil || decode(got, &y) != nil || !reflect.DeepEqual(x, y) {
		t.Errorf("%q has become %q", said, got)
	}
}

// BenchmarkFanOut is one message to all members of a channel, each of whom gets
// a batch of its own. However many they are, the message is encoded once.
func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("%d sessions", n), func(b *testing.B) {
			h := newHub(b, hub.Limits{})
			sessions := make([]*hub.Session, n)
			for i := range sessions {
				sessions[i] = join(b, h, fmt.Sprint("client ", i), "room")
			}
			for _, s := range sessions {
				s.Collect()
				s.Commit()
			}
			data := json.RawMessage(`{"type":"message","text":"` + strings.Repeat("hello ", 16) + `"}`)
			var encodings encodingCounter
			var batch []byte
			b.ReportAllocs()
			for b.Loop() {
				publish(b, h, hub.Publication{Channel: "room", Sender: json.RawMessage(`"bob"`), Data: data})
				for _, s := range sessions {
					news := s.Collect()
					batch = AppendBatch(batch[:0], &news, 0)
					encodings.count(news)
					s.Commit()
				}
			}
			b.ReportMetric(float64(encodings.n)/float64(b.N), "encodings/op")
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(n), "ns/delivery")
		})
	}
}

// An encodingCounter counts how often messages were encoded: bytes that are
// shared are in one place.
type encodingCounter struct {
	n    int
	last *byte
}

func (c *encodingCounter) count(b hub.Batch) {
	for _, m := range b.Messages {
		if IsPresence(m) {
			continue
		}
		if at := &Modern(m)[0]; at != c.last {
			c.n++
			c.last = at
		}
	}
}
