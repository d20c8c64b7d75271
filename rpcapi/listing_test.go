package rpcapi

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/server/hub"
)

// unpack decodes what a method answers.
func unpack[T any](b backend, method, params string) (v T) {
	b.Helper()
	if err := json.Unmarshal([]byte(b.do(method, params)), &v); err != nil {
		b.Fatal(err)
	}
	return v
}

type historyAnswer struct {
	Messages []struct {
		Channel, Pos string
		ID           uint64
		Sender, Data json.RawMessage
		Time         int64
		System       bool
	}
	Position string
	LastID   uint64 `json:"last_id"`
	More     bool
	Gap      *struct{ From, To, Reason string }
	Reset    bool
}

func (h historyAnswer) data() string {
	var all []string
	for _, m := range h.Messages {
		all = append(all, string(m.Data))
	}
	return strings.Join(all, " ")
}

func TestHistory(t *testing.T) {
	b := newBackend(t, Options{})
	for i := range 5 {
		b.do("publish", fmt.Sprintf(`{"channel":"room","data":%d,"sender":"bob","system":%v}`, i, i == 0))
	}
	b.do("create_client", `{"client_id":"a"}`)
	b.do("subscribe", `{"client_id":"a","channel_name":"room"}`)

	all := unpack[historyAnswer](b, "history", `{"channel":"room"}`)
	if all.data() != "0 1 2 3 4" || all.More || all.Reset || all.Gap != nil || all.LastID != 6 || all.Position != b.hub.Position().String() {
		t.Errorf("%+v", all)
	}
	if m := all.Messages[0]; m.Channel != "room" || m.ID != 1 || string(m.Sender) != `"bob"` || !m.System || m.Time == 0 {
		t.Errorf("%+v", m)
	}
	for params, want := range map[string]string{
		`"limit":2`:                             "0 1 more",
		`"limit":5`:                             "0 1 2 3 4",
		`"limit":2,"reverse":true`:              "4 3 more",
		`"reverse":true`:                        "4 3 2 1 0",
		`"since":"` + all.Messages[1].Pos + `"`: "2 3 4",
		`"since":"` + all.Messages[1].Pos + `","limit":1`:                "2 more",
		`"since":"` + all.Messages[1].Pos + `","limit":2,"reverse":true`: "4 3 more",
		`"since":"` + all.Position + `"`:                                 "",
	} {
		got := unpack[historyAnswer](b, "history", `{"channel":"room",`+params+`}`)
		text := got.data()
		if got.More {
			text += " more"
		}
		if text != want || got.Messages == nil {
			t.Errorf("%s: %q, want %q", params, text, want)
		}
	}
	elsewhere := hub.Position{Epoch: 1, Seq: 1 << 40}.String()
	if got := unpack[historyAnswer](b, "history", `{"channel":"room","since":"`+elsewhere+`","limit":1}`); !got.Reset || got.data() != "0" {
		t.Errorf("of another life: %+v", got)
	}

	b.refuses(CodeUnknownChannel, `unknown channel "nowhere"`, "history", `{"channel":"nowhere"}`)
	if strings.Contains(b.do("channels", `{}`), "nowhere") {
		t.Error("asking made a channel")
	}
	for _, limit := range []string{"0", "1001", "-1", "1.5", `"10"`, "[]", "true", "99999999999999999999"} {
		b.refuses(CodeInvalidParams, "limit: must be a whole number from 1 to 1000", "history", `{"channel":"room","limit":`+limit+`}`)
	}
	const form = `since: a position is 16 hex digits, a dot and a decimal number, as in "000000000000001f.42"`
	for _, since := range []string{`""`, `"now"`, `"1f.42"`, `"000000000000001f.042"`} {
		b.refuses(CodeInvalidParams, form, "history", `{"channel":"room","since":`+since+`}`)
	}
	b.refuses(CodeInvalidParams, "since: must be a string", "history", `{"channel":"room","since":42}`)
}

func TestHistoryGap(t *testing.T) {
	h := newHub(t, hub.Limits{ChannelMessages: 2})
	b := backend{t, New(h, Options{Logger: quiet}), h}
	var places []string
	for i := range 4 {
		places = append(places, unpack[struct{ Position string }](b, "publish", fmt.Sprintf(`{"channel":"room","data":%d}`, i)).Position)
	}
	got := unpack[historyAnswer](b, "history", `{"channel":"room","since":"`+places[0]+`"}`)
	if got.data() != "2 3" || got.Gap == nil || got.Gap.From != places[0] || got.Gap.To != places[1] || got.Gap.Reason != "count" {
		t.Errorf("%+v %+v", got, got.Gap)
	}
}

// History shows messages as the server says.
func TestHistoryUsesTheEncoder(t *testing.T) {
	b := newBackend(t, Options{EncodeMessage: func(b []byte, m *hub.Message) []byte {
		return append(append(append(b, `{"<&>":`...), m.Data...), '}')
	}})
	b.do("publish", `{"channel":"room","data":"a\u2028<"}`)
	answer := handle(b.api, `{"method":"history","params":["room"]}`)
	if !strings.Contains(answer, `"messages":[{"<&>":"a\u2028<"}]`) {
		t.Errorf("%s", answer)
	}
}

func TestPresence(t *testing.T) {
	b := newBackend(t, Options{})
	key := b.text("create_client", `"alice"`)
	for _, id := range []string{"alice", "bob", "the admin"} {
		b.do("create_client", `{"client_id":"`+id+`"}`)
		b.do("subscribe", `{"client_id":"`+id+`","channel_name":"room"}`)
	}
	for _, transport := range []string{"sse", "longpoll"} {
		s, err := b.hub.Attach(context.Background(), []hub.Credentials{{ID: "alice", Key: key}}, hub.Start{Transport: transport})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
	}
	type presence struct {
		Channel string
		Count   int
		Members []struct {
			Client   string
			Since    int64
			Sessions []struct {
				Transport string
				Since     int64
			}
		}
		Next string
	}
	got := unpack[presence](b, "presence", `{"channel":"room"}`)
	if got.Channel != "room" || got.Count != 3 || len(got.Members) != 3 || got.Next != "" {
		t.Fatalf("%+v", got)
	}
	if m := got.Members[0]; m.Client != "alice" || m.Since == 0 || len(m.Sessions) != 2 || m.Sessions[0].Since == 0 {
		t.Errorf("%+v", m)
	}
	if m := got.Members[2]; m.Client != "the admin" || m.Sessions == nil || len(m.Sessions) != 0 {
		t.Errorf("%+v", m)
	}
	page := unpack[presence](b, "presence", `{"channel":"room","limit":2}`)
	rest := unpack[presence](b, "presence", `{"channel":"room","limit":2,"after":"`+page.Next+`"}`)
	if len(page.Members) != 2 || page.Next != "bob" || len(rest.Members) != 1 || rest.Next != "" || rest.Count != 3 {
		t.Errorf("%+v then %+v", page, rest)
	}
	b.refuses(CodeUnknownChannel, `unknown channel "nowhere"`, "presence", `{"channel":"nowhere"}`)
	b.refuses(CodeInvalidParams, "limit: must be a whole number from 1 to 1000", "presence", `{"channel":"room","limit":0}`)
}

type page struct {
	Channels []struct {
		Name                     string
		Members, Messages, Bytes int
		LastID                   int `json:"last_id"`
	}
	Clients []struct {
		ID, State          string
		Channels, Sessions int
		Created, Seen      int64
	}
	Next string
}

// names returns what a list has, page by page.
func names(b backend, method, pattern string, limit int) (all []string) {
	for after := ""; ; {
		p := unpack[page](b, method, fmt.Sprintf(`{"pattern":%q,"after":%q,"limit":%d}`, pattern, after, limit))
		for _, c := range p.Channels {
			all = append(all, c.Name)
		}
		for _, c := range p.Clients {
			all = append(all, c.ID)
		}
		if n := len(p.Channels) + len(p.Clients); n > limit || (p.Next != "" && (n == 0 || p.Next != all[len(all)-1])) {
			b.Errorf("%d on a page, next %q", n, p.Next)
			return all
		}
		if after = p.Next; after == "" {
			return all
		}
	}
}

func TestLists(t *testing.T) {
	b := newBackend(t, Options{})
	for _, name := range []string{"c*", "b", "a", "ab", "é"} {
		b.do("create_client", `{"client_id":"`+name+`"}`)
		b.do("subscribe", `{"client_id":"`+name+`","channel_name":"`+name+`"}`)
	}
	for _, method := range []string{"clients", "channels"} {
		for _, tt := range []struct{ pattern, want string }{
			{"", "a ab b c* é"}, {"*", "a ab b c* é"}, {"a*", "a ab"}, {`c\*`, "c*"}, {"*b", "ab b"}, {"none", ""},
		} {
			for limit := 1; limit < 7; limit++ {
				got := strings.Join(names(b, method, tt.pattern, limit), " ")
				if got = strings.Replace(got, "ab admin", "ab", 1); got != tt.want { // it is there with the first other one
					t.Errorf("%s %q, %d each: %s, want %s", method, tt.pattern, limit, got, tt.want)
				}
			}
		}
		b.refuses(CodeInvalidParams, "limit: must be a whole number from 1 to 1000", method, `{"limit":1001}`)
		b.refuses(CodeInvalidParams, "pattern: must have 0 to 256 bytes", method, `{"pattern":"`+strings.Repeat("*", 257)+`"}`)
		b.do(method, `{"pattern":"`+strings.Repeat("*", 256)+`"}`)
		b.refuses(CodeInvalidParams, "after: must be a string", method, `{"after":5}`)
	}
	b.do("publish", `{"channel":"a","data":"1234"}`)
	if c := unpack[page](b, "channels", `{"pattern":"a"}`).Channels[0]; c.Members != 1 || c.Messages != 1 || c.LastID != 2 || c.Bytes < 6 {
		t.Errorf("%+v", c)
	}
	if c := unpack[page](b, "clients", `{"pattern":"a"}`).Clients[0]; c.State != "live" || c.Channels != 1 || c.Sessions != 0 || c.Created == 0 || c.Seen == 0 {
		t.Errorf("%+v", c)
	}
	if got := b.do("clients", `{"pattern":"none"}`) + b.do("channels", `{"pattern":"none"}`); got != `{"clients":[]}{"channels":[]}` {
		t.Errorf("empty lists: %s", got)
	}
}

func TestRotateKey(t *testing.T) {
	b := newBackend(t, Options{})
	old := b.text("create_client", `"alice"`)
	b.do("subscribe", `{"client_id":"alice","channel_name":"room"}`)
	got := unpack[struct{ Key, Position string }](b, "rotate_key", `{"client_id":"alice"}`)
	if got.Key == old || len(got.Key) != 32 || got.Position != b.hub.Position().String() {
		t.Errorf("%+v", got)
	}
	if b.hub.Opens(hub.Credentials{ID: "alice", Key: old}) || !b.hub.Opens(hub.Credentials{ID: "alice", Key: got.Key}) {
		t.Error("the old key opens, or the new one does not")
	}
	if again := b.text("create_client", `"alice"`); again != got.Key {
		t.Errorf("create_client answers %s", again)
	}
	b.want(`["room"]`, "get_client_channels", `"alice"`)
	b.refuses(CodeUnknownClient, `unknown client "ghost"`, "rotate_key", `{"client_id":"ghost"}`)
}

func TestDeleteChannel(t *testing.T) {
	b := newBackend(t, Options{})
	b.do("create_client", `{"client_id":"alice"}`)
	b.do("subscribe", `{"client_id":"alice","channel_name":"room"}`)
	got := b.do("delete_channel", `{"channel":"room"}`)
	if want := fmt.Sprintf(`{"position":"%s"}`, b.hub.Position()); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	b.want(`[]`, "get_client_channels", `"alice"`)
	b.refuses(CodeUnknownChannel, `unknown channel "room"`, "delete_channel", `{"channel":"room"}`)
	b.refuses(CodeUnknownChannel, `unknown channel "room"`, "history", `{"channel":"room"}`)
}

func TestDisconnect(t *testing.T) {
	b := newBackend(t, Options{})
	key := b.text("create_client", `"alice"`)
	attach := func(session string) *hub.Session {
		s, err := b.hub.Attach(context.Background(), []hub.Credentials{{ID: "alice", Key: key}}, hub.Start{Session: session})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		s.Collect()
		return s
	}
	drained := func(s *hub.Session) bool {
		return slices.ContainsFunc(s.Collect().Signals, func(s hub.Signal) bool { return s.Type == hub.SignalDrain })
	}
	one, two := attach("one"), attach("two")
	if got := b.do("disconnect", `{"client_id":"alice","session":"one"}`); !strings.HasPrefix(got, `{"position":"`) {
		t.Errorf("%s", got)
	}
	if !drained(one) || drained(two) {
		t.Error("the wrong session ends")
	}
	three := attach("one")
	b.do("disconnect", `{"client_id":"alice"}`)
	if !drained(two) || !drained(three) {
		t.Error("a session goes on")
	}
	b.do("disconnect", `{"client_id":"alice","session":"nobody"}`)
	b.refuses(CodeUnknownClient, `unknown client "ghost"`, "disconnect", `{"client_id":"ghost"}`)
	b.refuses(CodeInvalidParams, "session: must have 1 to 64 bytes", "disconnect", `{"client_id":"alice","session":""}`)
	b.refuses(CodeInvalidParams, "session: must have 1 to 64 bytes", "disconnect", `{"client_id":"alice","session":"`+strings.Repeat("x", 65)+`"}`)
}

func TestPositionsOnRequest(t *testing.T) {
	b := newBackend(t, Options{})
	key := b.text("create_client", `"alice"`)
	got := unpack[struct{ Key, Position string }](b, "create_client", `{"client_id":"alice","position":true}`)
	if got.Key != key || got.Position != b.hub.Position().String() {
		t.Errorf("%+v", got)
	}
	for _, position := range []string{"false", "null"} {
		b.want(`"`+key+`"`, "create_client", `"alice"`, position)
		b.want("1", "subscribe", `"alice"`, `"room"`, position)
	}
	if got, want := b.do("subscribe", `{"client_id":"alice","channel_name":"lobby","position":true}`), fmt.Sprintf(`{"position":"%s"}`, b.hub.Position()); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	b.refuses(CodeInvalidParams, "position: must be true or false", "create_client", `{"client_id":"alice","position":1}`)
}

// What the hub counts is told, all of it.
func TestStatsHasAllCounts(t *testing.T) {
	b := newBackend(t, Options{Version: "1.2.3"})
	b.do("publish", `{"channel":"room","data":1,"publish_id":"x"}`)
	b.do("publish", `{"channel":"room","data":1,"publish_id":"x"}`)
	got := unpack[map[string]any](b, "stats", `{}`)
	for name, want := range map[string]any{"version": "1.2.3", "published": 1.0, "repeated": 1.0, "publish_ids": 1.0, "channels": 2.0} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	const beside, evicted = 2, 4 // version and uptime_s; a number for each reason
	if n := len(got) - beside - evicted + 1; n != countsOfHub() {
		t.Errorf("%d counts, the hub has %d", n, countsOfHub())
	}
}

func countsOfHub() int { return reflect.TypeFor[hub.Stats]().NumField() }
