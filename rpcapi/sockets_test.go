package rpcapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

const (
	aliceSID = "~rVn5Zq0cYx1kB8mT2sA"
	bobSID   = "~wLd93JhQe7uFpKx0aCz"
)

// A hall is a [Sockets] that remembers what it was asked for. Its error, if it
// has one, is what every method answers.
type hall struct {
	err     error
	sockets []Socket
	answers map[string]SocketAnswer // by sid; who is not there has not answered
	waits   bool                    // for the answers that do not come

	mu    sync.Mutex
	calls []string
}

// newHall has a socket of alice, who answers, and one of bob, who does not, both
// in the room "room".
func newHall() *hall {
	since := time.UnixMilli(1790000000000)
	return &hall{
		sockets: []Socket{
			{bobSID, "bob", "/", []string{"room"}, "polling", "192.0.2.9:40022", since, nil},
			{aliceSID, "alice", "/", []string{"room"}, "websocket", "192.0.2.7:50114", since, json.RawMessage(`{"name": "Alice"}`)},
		},
		answers: map[string]SocketAnswer{aliceSID: {Args: json.RawMessage(`[true, "go"]`)}},
	}
}

func (h *hall) called(format string, args ...any) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, fmt.Sprintf(format, args...))
	return h.err
}

// take returns what it was asked for since it was called the last time.
func (h *hall) take() (calls []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	calls, h.calls = h.calls, nil
	return calls
}

// meant are the sockets of an audience.
func (h *hall) meant(a hub.Audience) (some []Socket) {
	in := func(s Socket, rooms []string) bool {
		return slices.ContainsFunc(rooms, func(room string) bool {
			return room == s.SID || room == hub.ClientRoom+s.Client || slices.Contains(s.Rooms, room)
		})
	}
	for _, s := range h.sockets {
		if s.Namespace == a.Namespace && (len(a.Rooms) == 0 || in(s, a.Rooms)) && !in(s, a.Except) {
			some = append(some, s)
		}
	}
	return some
}

func (h *hall) Join(_ context.Context, a hub.Audience, rooms []string) (int, error) {
	return len(h.meant(a)), h.called("join %q %q", a, rooms)
}

func (h *hall) Leave(_ context.Context, a hub.Audience, rooms []string) (int, error) {
	return len(h.meant(a)), h.called("leave %q %q", a, rooms)
}

func (h *hall) Disconnect(_ context.Context, a hub.Audience, connections bool) (int, error) {
	return len(h.meant(a)), h.called("disconnect %q %v", a, connections)
}

func (h *hall) Ask(ctx context.Context, a hub.Audience, event string, args json.RawMessage) (all []SocketAnswer, err error) {
	late := false
	for _, s := range h.meant(a) {
		answer, ok := h.answers[s.SID]
		if !ok {
			answer.Missing = MissingTimeout
		}
		late = late || !ok
		answer.SID, answer.Client = s.SID, s.Client
		all = append(all, answer)
	}
	if late && h.waits {
		<-ctx.Done()
	}
	return all, h.called("ask %q %s%s", a, event, args)
}

func (h *hall) Fetch(_ context.Context, a hub.Audience, after string, limit int) ([]Socket, error) {
	all := slices.DeleteFunc(slices.Clone(h.meant(a)), func(s Socket) bool { return s.SID <= after })
	slices.SortFunc(all, func(a, b Socket) int { return strings.Compare(a.SID, b.SID) })
	return all[:min(len(all), limit)], h.called("fetch %q", a)
}

func (h *hall) SetData(_ context.Context, sid string, data json.RawMessage) error {
	return h.called("data %s %s", sid, data)
}

func (h *hall) Declare(_ context.Context, n hub.Namespace) error {
	return h.called("declare %+v", n)
}

// What is asked for arrives as it was said, by name and by position, in both
// dialects.
func TestSocketMethodsAskForWhatIsSaid(t *testing.T) {
	const everybody = `{"/" [] []}`
	for _, tt := range []struct {
		method, named, positional, asks, answer string
	}{
		{"emit_with_ack", `{"event":"e"}`, `["e"]`, `ask ` + everybody + ` e[]`,
			`{"answers":[{"sid":"` + aliceSID + `","client_id":"alice","args":[true,"go"]}],"missing":[{"sid":"` + bobSID + `","client_id":"bob","reason":"timeout"}]}`},
		{"emit_with_ack", `{"event":"é","args":[ 1e0,{"$binary":"AAEC"}],"to":["red","room"],"except":"client:bob","namespace":"/","timeout_ms":60000}`,
			`["é",[ 1e0,{"$binary":"AAEC"}],["red","room"],"client:bob","/",60000]`, `ask {"/" ["red" "room"] ["client:bob"]} é[ 1e0,{"$binary":"AAEC"}]`,
			`{"answers":[{"sid":"` + aliceSID + `","client_id":"alice","args":[true,"go"]}],"missing":[]}`},
		{"emit_with_ack", `{"event":"e","to":null,"namespace":"/chat","timeout_ms":1}`, `["e",null,null,null,"/chat",1]`, `ask {"/chat" [] []} e[]`, `{"answers":[],"missing":[]}`},
		{"sockets_join", `{"rooms":"red"}`, `["red"]`, `join ` + everybody + ` ["red"]`, `{"sockets":2}`},
		{"sockets_join", `{"rooms":["red","blue"],"to":"` + aliceSID + `","except":["a","b"],"namespace":"/"}`, `[["red","blue"],"` + aliceSID + `",["a","b"],"/"]`,
			`join {"/" ["` + aliceSID + `"] ["a" "b"]} ["red" "blue"]`, `{"sockets":1}`},
		{"sockets_leave", `{"rooms":["red"],"to":["room"],"except":["` + bobSID + `"],"namespace":"/chat"}`, `[["red"],["room"],["` + bobSID + `"],"/chat"]`,
			`leave {"/chat" ["room"] ["` + bobSID + `"]} ["red"]`, `{"sockets":0}`},
		{"disconnect_sockets", `{}`, `[]`, `disconnect ` + everybody + ` false`, `{"sockets":2}`},
		{"disconnect_sockets", `{"to":"client:bob","except":[],"namespace":"/","close":true}`, `["client:bob",[],"/",true]`, `disconnect {"/" ["client:bob"] []} true`, `{"sockets":1}`},
		{"fetch_sockets", `{"to":"room","except":"client:alice","namespace":"/","limit":5,"after":"~a"}`, `["room","client:alice","/",5,"~a"]`, `fetch {"/" ["room"] ["client:alice"]}`,
			`{"sockets":[{"sid":"` + bobSID + `","client_id":"bob","namespace":"/","rooms":["room"],"transport":"polling","address":"192.0.2.9:40022","connected":1790000000000,"data":null}]}`},
		{"set_socket_data", `{"sid":"` + bobSID + `","data":{"a" :[1.0]}}`, `["` + bobSID + `",{"a" :[1.0]}]`, `data ` + bobSID + ` {"a" :[1.0]}`, ``},
		{"set_socket_data", `{"sid":"x","data":null}`, `["x",null]`, `data x null`, ``},
		{"declare_namespace", `{"name":"/chat"}`, `["/chat"]`, `declare {Pattern:/chat Open:false Handler: Events:[] Relay:map[] Remove:false}`, ``},
		{"declare_namespace", `{"name":"/b-*","open":true,"handler":"rpc","events":["a","b"],"relay":{"d\u00e9":"board","e":"*"}}`, `["/b-*",true,"rpc",["a","b"],{"dé":"board","e":"*"}]`,
			`declare {Pattern:/b-* Open:true Handler:rpc Events:[a b] Relay:map[dé:board e:*] Remove:false}`, ``},
		{"declare_namespace", `{"name":"/chat","remove":true}`, `["/chat",false,null,null,null,true]`, `declare {Pattern:/chat Open:false Handler: Events:[] Relay:map[] Remove:true}`, ``},
	} {
		t.Run(tt.method+tt.named, func(t *testing.T) {
			h := newHall()
			b := newBackend(t, Options{Sockets: h})
			for _, call := range []struct{ request, answer, void string }{
				{`{"jsonrpc":"2.0","method":%q,"params":%s,"id":1}`, `{"jsonrpc":"2.0","result":%s,"id":1}`, "null"},
				{`{"method":%q,"params":%s}`, `{"result": %s}`, "200"},
			} {
				want := fmt.Sprintf(call.answer, cmp.Or(tt.answer, call.void)) + "\n"
				for _, params := range []string{tt.named, tt.positional} {
					if got := handle(b.api, fmt.Sprintf(call.request, tt.method, params)); got != want {
						t.Errorf("%s is answered\n%s, want\n%s", params, got, want)
					}
					if got := h.take(); !slices.Equal(got, []string{tt.asks}) {
						t.Errorf("%s asks for\n%q, want\n%q", params, got, tt.asks)
					}
				}
			}
		})
	}
}

func TestSocketMethodsAreStrict(t *testing.T) {
	const (
		noArray = "must be a string or an array of strings"
		nobody  = "to: must not be an empty array: leave it out for everybody in the namespace"
	)
	h := newHall()
	b := newBackend(t, Options{Sockets: h})
	for _, tt := range []struct{ method, params, message string }{
		{"emit_with_ack", `{}`, "missing parameter: event"},
		{"emit_with_ack", `{"event":""}`, "an event's name must not be empty"},
		{"emit_with_ack", `{"event":"disconnect"}`, `the event "disconnect" has a meaning of its own and cannot be emitted`},
		{"emit_with_ack", `{"event":"e","args":{}}`, "args: must be an array"},
		{"emit_with_ack", `{"event":"e","args":[{"$binary":"?"}]}`, `args: in argument 1: the value of "$binary" must be canonical base64, padded and without line breaks`},
		{"emit_with_ack", `{"event":"e","to":[]}`, nobody},
		{"emit_with_ack", `{"event":"e","to":1}`, "to: " + noArray},
		{"emit_with_ack", `{"event":"e","timeout_ms":0}`, "timeout_ms: must be a whole number from 1 to 60000"},
		{"emit_with_ack", `{"event":"e","timeout_ms":60001}`, "timeout_ms: must be a whole number from 1 to 60000"},
		{"emit_with_ack", `{"event":"e","timeout_ms":0.5}`, "timeout_ms: must be a whole number from 1 to 60000"},
		{"emit_with_ack", `{"event":"e","publish_id":"x"}`, "unknown parameter: publish_id"},
		{"emit_with_ack", `["e",[],"a","b","/",1,2]`, "too many parameters: takes 6 (event, args, to, except, namespace, timeout_ms)"},
		{"sockets_join", `{"to":"room"}`, "missing parameter: rooms"},
		{"sockets_join", `{"rooms":[]}`, "rooms: must not be an empty array"},
		{"sockets_join", `{"rooms":{}}`, "rooms: " + noArray},
		{"sockets_join", `{"rooms":["a",1]}`, "rooms: each element must be a string"},
		{"sockets_join", `{"rooms":"a","to":[]}`, nobody},
		{"sockets_leave", `{"rooms":null}`, "rooms: " + noArray},
		{"sockets_leave", `{"rooms":[]}`, "rooms: must not be an empty array"},
		{"sockets_leave", `{"rooms":"a","to":[]}`, nobody},
		{"disconnect_sockets", `{"to":[]}`, nobody},
		{"disconnect_sockets", `{"close":1}`, "close: must be true or false"},
		{"disconnect_sockets", `["room",null,null,true,1]`, "too many parameters: takes 4 (to, except, namespace, close)"},
		{"fetch_sockets", `{"to":[]}`, nobody},
		{"fetch_sockets", `{"limit":1001}`, "limit: must be a whole number from 1 to 1000"},
		{"fetch_sockets", `{"after":5}`, "after: must be a string"},
		{"set_socket_data", `{"sid":"a"}`, "missing parameter: data"},
		{"set_socket_data", `{"data":1}`, "missing parameter: sid"},
		{"set_socket_data", `{"sid":"","data":1}`, "sid: must have 1 to 256 bytes"},
		{"declare_namespace", `{"open":true}`, "missing parameter: name"},
		{"declare_namespace", `{"name":5}`, "name: must be a string"},
		{"declare_namespace", `{"name":"/a","events":"e"}`, "events: must be an array of strings"},
		{"declare_namespace", `{"name":"/a","events":[]}`, "events: must not be an empty array: leave it out for all"},
		{"declare_namespace", `{"name":"/a","events":[1]}`, "events: each element must be a string"},
		{"declare_namespace", `{"name":"/a","relay":[]}`, "relay: must be an object of rooms, one for each event"},
		{"declare_namespace", `{"name":"/a","relay":{"e":null}}`, "relay: must be an object of rooms, one for each event"},
		{"declare_namespace", `{"name":"/a","relay":{"e":"b","\u0065":"c"}}`, "relay: duplicate event: e"},
		{"declare_namespace", `{"name":"/a","relay":{"\ud800":"b"}}`, "relay: an event's name must not hold half of a surrogate pair"},
		{"declare_namespace", `{"name":"/a","relay":{"e":"\ud800"}}`, "relay: a room's name must not hold half of a surrogate pair"},
		{"declare_namespace", `{"name":"/a","remove":true,"open":true}`, "remove: nothing but the name goes with it"},
		{"declare_namespace", `{"name":"/a","remove":true,"handler":"rpc"}`, "remove: nothing but the name goes with it"},
		{"declare_namespace", `{"name":"/a","remove":true,"events":["e"]}`, "remove: nothing but the name goes with it"},
		{"declare_namespace", `{"name":"/a","remove":true,"relay":{}}`, "remove: nothing but the name goes with it"},
	} {
		b.refuses(CodeInvalidParams, tt.message, tt.method, tt.params)
	}
	if got := h.take(); got != nil {
		t.Errorf("asked for all the same: %q", got)
	}
}

// plainCalls has one good call of each method.
var plainCalls = map[string]string{
	"emit_with_ack":      `{"event":"e"}`,
	"sockets_join":       `{"rooms":"red"}`,
	"sockets_leave":      `{"rooms":"red"}`,
	"disconnect_sockets": `{}`,
	"fetch_sockets":      `{}`,
	"set_socket_data":    `{"sid":"x","data":1}`,
	"declare_namespace":  `{"name":"/chat"}`,
}

// Without Socket.IO the methods are there, and say so.
func TestSocketMethodsWithoutSocketIO(t *testing.T) {
	b := newBackend(t, Options{})
	for _, m := range socketMethods {
		b.refuses(CodeSwitchedOff, "Socket.IO is switched off (socketio)", m.Name, plainCalls[m.Name])
	}
}

// What goes wrong is told as the hub's faults are, and what is nobody's business
// is not.
func TestSocketMethodsTellFaults(t *testing.T) {
	for _, tt := range []struct {
		err     error
		code    int
		message string
	}{
		{&hub.Error{Kind: hub.UnknownClient, Text: `unknown socket "x"`}, CodeUnknownClient, `unknown socket "x"`},
		{&hub.Error{Kind: hub.LimitReached, Text: "limit reached: sockets_per_call = 5"}, CodeLimitReached, "limit reached: sockets_per_call = 5"},
		{&hub.Error{Kind: hub.TooLarge, Text: "too much"}, CodeTooLarge, "too much"},
		{&hub.Error{Kind: hub.Invalid, Text: "a room's name must not be empty"}, CodeInvalidParams, "a room's name must not be empty"},
		{hub.ErrUnavailable, CodeUnavailable, "not available now, try again"},
		{errors.New("open /etc/shaveet: permission denied"), CodeInternal, "internal error"},
	} {
		b := newBackend(t, Options{Sockets: &hall{err: tt.err}})
		for _, m := range socketMethods {
			b.refuses(tt.code, tt.message, m.Name, plainCalls[m.Name])
		}
	}
}

// The rooms of a call are bounded, those it is not for among them, and those to
// join and to leave by themselves.
func TestSocketMethodsBoundRooms(t *testing.T) {
	h := newHall()
	b := newBackend(t, Options{Sockets: h})
	if err := b.hub.Configure(hub.Limits{RoomsPerEmit: 3}, nil); err != nil {
		t.Fatal(err)
	}
	const message = "limit reached: rooms_per_emit = 3"
	for method, most := range map[string]string{
		"emit_with_ack":      `{"event":"e","to":["a","b"],"except":["c"]}`,
		"sockets_join":       `{"rooms":["d","e","f"],"to":["a","b"],"except":["c"]}`,
		"sockets_leave":      `{"rooms":["d","e","f"],"to":["a","b"],"except":["c"]}`,
		"disconnect_sockets": `{"to":["a","b"],"except":["c"]}`,
		"fetch_sockets":      `{"to":["a","b"],"except":["c"]}`,
	} {
		b.do(method, most)
		if got := h.take(); len(got) != 1 {
			t.Errorf("%s%s asks for %q", method, most, got)
		}
		b.refuses(CodeLimitReached, message, method, strings.Replace(most, `["a",`, `["a","g",`, 1))
		b.refuses(CodeLimitReached, message, method, strings.Replace(most, `["c"]`, `["c","g"]`, 1))
		if more := strings.Replace(most, `["d",`, `["d","g",`, 1); more != most {
			b.refuses(CodeLimitReached, message, method, more)
		}
		if got := h.take(); got != nil {
			t.Errorf("%s: asked for all the same: %q", method, got)
		}
	}
}

type ackAnswer struct {
	Answers []struct {
		SID    string
		Client *string `json:"client_id"`
		Args   json.RawMessage
	}
	Missing []struct {
		SID    string
		Client *string `json:"client_id"`
		Reason string
	}
}

// Everybody who was asked is in the answer, once, by sid; also whose answer has
// no room in it.
func TestEmitWithAckTellsOfEverybody(t *testing.T) {
	answered := func(text string) SocketAnswer { return SocketAnswer{Args: json.RawMessage(text)} }
	h := &hall{answers: map[string]SocketAnswer{
		"~e": {Missing: MissingBusy}, "~d": {Missing: MissingLeft}, "~b": answered(`[{"$binary":"AAEC"},"<\u2028"]`),
		"~a": answered(`[]`), "~g": answered(`["` + strings.Repeat("x", 400) + `"]`), "~f": answered(`["` + strings.Repeat("y", 600) + `"]`),
	}}
	for _, sid := range []string{"~g", "~e", "~c", "~a", "~d", "~f", "~b"} {
		h.sockets = append(h.sockets, Socket{SID: sid, Client: strings.Trim(sid, "~a"), Namespace: "/"})
	}
	a := New(newHub(t, hub.Limits{}), Options{Logger: quiet, Sockets: h, MaxAnswer: 700})
	b := backend{t, a, a.hub}
	raw := b.do("emit_with_ack", `{"event":"e"}`)
	var got ackAnswer
	if err := json.Unmarshal([]byte(raw), &got); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, one := range got.Answers {
		lines = append(lines, fmt.Sprintf("%s %s %.28s", one.SID, text(one.Client), one.Args))
	}
	for _, one := range got.Missing {
		lines = append(lines, fmt.Sprintf("%s %s missing %s", one.SID, text(one.Client), one.Reason))
	}
	want := []string{
		`~a null []`, `~b b [{"$binary":"AAEC"},"<\u2028`, `~f f ["yyyyyyyyyyyyyyyyyyyyyyyyyy`,
		`~c c missing timeout`, `~d d missing left`, `~e e missing busy`, `~g g missing too_large`,
	}
	if !slices.Equal(lines, want) {
		t.Errorf("%q, want\n%q", lines, want)
	}
	describes(t, a.OpenRPC(), []reply{{"emit_with_ack", json.RawMessage(raw)}})
}

func text(s *string) string {
	if s == nil {
		return "null"
	}
	return *s
}

type socketsAnswer struct {
	Sockets []struct{ SID string }
	Next    string
}

// pages reads all pages.
func (b backend) pages(params string) (pages []string) {
	b.Helper()
	for after := ""; ; {
		got := unpack[socketsAnswer](b, "fetch_sockets", fmt.Sprintf(`{%s,"after":%q}`, params, after))
		var sids []string
		for _, one := range got.Sockets {
			sids = append(sids, strings.TrimPrefix(one.SID, "~"))
		}
		pages = append(pages, strings.Join(sids, ""))
		if got.Next == "" {
			return pages
		}
		after = got.Next
	}
}

// The pages have every socket once, in the order of their sids, whatever the
// order in which they were found, and none is longer than an answer may be.
func TestFetchSocketsPages(t *testing.T) {
	h := &hall{}
	for _, sid := range []string{"~c", "~a", "~e", "~d", "~b"} {
		h.sockets = append(h.sockets, Socket{SID: sid, Namespace: "/"})
	}
	a := New(newHub(t, hub.Limits{}), Options{Logger: quiet, Sockets: h, MaxAnswer: 1000})
	b := backend{t, a, a.hub}
	for params, want := range map[string]string{
		`"limit":1`: "a b c d e", `"limit":2`: "ab cd e", `"limit":4`: "abcd e", `"limit":5`: "abcde", `"limit":1000`: "abcde",
		`"namespace":"/none"`: "",
	} {
		if got := strings.Join(b.pages(params), " "); got != want {
			t.Errorf("%s: %s, want %s", params, got, want)
		}
	}
	if got := b.do("fetch_sockets", `{"limit":1,"after":"~d"}`); got != `{"sockets":[{"sid":"~e","client_id":null,"namespace":"/","rooms":[],"transport":"","address":"","connected":0,"data":null}]}` {
		t.Error(got)
	}
	h.sockets[1].Data = json.RawMessage(`"` + strings.Repeat("x", 5000) + `"`)
	h.sockets[2].Rooms = []string{"z", strings.Repeat("y", 3000), "b"}
	if got := strings.Join(b.pages(`"limit":5`), " "); got != "a bcde" {
		t.Errorf("with one that is larger than an answer: %s", got)
	}
	h.sockets[3].Rooms = []string{strings.Repeat("y", 3000)}
	if got := strings.Join(b.pages(`"limit":5`), " "); got != "a bcd e" {
		t.Errorf("with two: %s", got)
	}
	one := b.do("fetch_sockets", `{"limit":1,"after":"~d"}`)
	if !strings.Contains(one, `"rooms":["b","yyy`) || !strings.Contains(one, `yyy","z"]`) {
		t.Errorf("%.300s", one)
	}
}

// Whoever has what a call was given may keep it: the body is somebody else's.
func TestSocketMethodsCopyValues(t *testing.T) {
	h := &keeper{}
	a := New(newHub(t, hub.Limits{}), Options{Logger: quiet, Sockets: h})
	body := []byte(`[{"method":"set_socket_data","params":["x",["data"]]},{"method":"emit_with_ack","params":["event",["args"],"to"]},` +
		`{"method":"declare_namespace","params":["/name",false,"handler",["said"],{"on":"channel"}]}]`)
	if answer := string(a.Handle(context.Background(), body)); strings.Contains(answer, "error") {
		t.Fatal(answer)
	}
	for i := range body {
		body[i] = '?'
	}
	if got, want := fmt.Sprintf("%s %s %s %q %v", h.data, h.event, h.args, h.audience, h.namespace),
		`["data"] event ["args"] {"/" ["to"] []} {/name false handler [said] map[on:channel] false}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A keeper keeps what it is given.
type keeper struct {
	hall
	event      string
	data, args json.RawMessage
	audience   hub.Audience
	namespace  hub.Namespace
}

func (k *keeper) SetData(_ context.Context, _ string, data json.RawMessage) error {
	k.data = data
	return nil
}

func (k *keeper) Ask(_ context.Context, a hub.Audience, event string, args json.RawMessage) ([]SocketAnswer, error) {
	k.audience, k.event, k.args = a, event, args
	return nil, nil
}

func (k *keeper) Declare(_ context.Context, n hub.Namespace) error {
	k.namespace = n
	return nil
}

// Clients that are generated from the document take parameters in this order,
// and most languages want those that must be given first.
func TestOpenRPCParametersThatMustBeGivenComeFirst(t *testing.T) {
	for _, m := range parseDocument(t, onStage(t).OpenRPC()).Methods {
		optional := ""
		for _, p := range m.Params {
			switch {
			case !p.Required:
				optional = p.Name
			case optional != "":
				t.Errorf("%s: %s must be given, but stands behind %s", m.Name, p.Name, optional)
			}
		}
	}
}
