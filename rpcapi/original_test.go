package rpcapi

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
)

func newKey() string { return strings.ReplaceAll(uuid.NewString(), "-", "") }

// newHub returns a hub that runs until the test ends.
func newHub(t testing.TB, limits hub.Limits) *hub.Hub {
	t.Helper()
	h := hub.New(hub.Config{NewKey: newKey, Limits: limits}, memory.New())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { _ = h.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	<-h.Ready()
	return h
}

// backend calls an API in the old dialect with positional parameters.
type backend struct {
	*testing.T
	api *API
	hub *hub.Hub
}

func newBackend(t *testing.T, opts Options) backend {
	t.Helper()
	opts.Logger = quiet
	h := newHub(t, hub.Limits{})
	return backend{t, New(h, opts), h}
}

func (b backend) ask(method string, params ...string) string {
	return handle(b.api, fmt.Sprintf(`{"method":%q,"params":[%s],"id":1}`, method, strings.Join(params, ",")))
}

// call returns the raw result.
func (b backend) call(method string, params ...string) string {
	b.Helper()
	answer := b.ask(method, params...)
	if code, message := failure(b.T, answer); code != 0 {
		b.Fatalf("%s%v: %d %s", method, params, code, message)
	}
	var a struct{ Result json.RawMessage }
	if err := json.Unmarshal([]byte(answer), &a); err != nil {
		b.Fatal(err)
	}
	return string(a.Result)
}

// text returns a result that is a string.
func (b backend) text(method string, params ...string) (s string) {
	b.Helper()
	if err := json.Unmarshal([]byte(b.call(method, params...)), &s); err != nil {
		b.Fatal(err)
	}
	return s
}

// list returns a result that is a list of strings, sorted.
func (b backend) list(method string, params ...string) string {
	b.Helper()
	var s []string
	if err := json.Unmarshal([]byte(b.call(method, params...)), &s); err != nil || s == nil {
		b.Fatal(err, s)
	}
	slices.Sort(s)
	return strings.Join(s, " ")
}

func (b backend) want(result, method string, params ...string) {
	b.Helper()
	if got := b.call(method, params...); got != result {
		b.Errorf("%s%v = %s, want %s", method, params, got, result)
	}
}

func (b backend) fails(code int, message, method string, params ...string) {
	b.Helper()
	gotCode, got := failure(b.T, b.ask(method, params...))
	if gotCode != code || got != message {
		b.Errorf("%s%.80v: %d %q, want %d %q", method, params, gotCode, got, code, message)
	}
}

// messages returns what a client has to read on a channel.
func (b backend) messages(id, channel string) (all []*hub.Message) {
	b.Helper()
	key := b.text("create_client", `"`+id+`"`)
	s, err := b.hub.Attach(context.Background(), []hub.Credentials{{ID: id, Key: key}}, hub.Start{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for _, m := range s.Collect().Messages {
		if m.Channel() == channel {
			all = append(all, m)
		}
	}
	if len(all) == 0 {
		b.Fatal("no messages")
	}
	return all
}

func TestCreateAndKill(t *testing.T) {
	b := newBackend(t, Options{})
	key := b.text("create_client", `"alice"`)
	if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(key) {
		t.Errorf("key %q", key)
	}
	if again := b.text("create_client", `"alice"`); again != key {
		t.Errorf("second key %q, want %q", again, key)
	}
	b.want("200", "kill_client", `"alice"`)
	b.fails(CodeUnknownClient, `unknown client "alice"`, "kill_client", `"alice"`)
	if again := b.text("create_client", `"alice"`); again == key {
		t.Error("the key survived the kill")
	}
	b.fails(CodeInvalidParams, `client_id: must be a string`, "create_client", `5`)
	b.fails(CodeInvalidParams, `client_id: a client id must not be empty`, "create_client", `""`)
	b.fails(CodeInvalidParams, `client_id: a client id must not contain "_!!_"`, "create_client", `"a_!!_b"`)
	b.fails(CodeInvalidParams, `client_id: a client id must not contain control characters`, "create_client", `"a\r\nb"`)
	b.fails(CodeInvalidParams, `client_id: must not hold half of a surrogate pair`, "create_client", `"a\ud800"`)
	b.fails(CodeInvalidParams, `missing parameter: client_id`, "create_client")
	if got := handle(b.api, `{"jsonrpc":"2.0","method":"kill_client","params":["alice"],"id":1}`); got != `{"jsonrpc":"2.0","result":null,"id":1}`+"\n" {
		t.Errorf("void in 2.0: %s", got)
	}
}

func TestSubscribe(t *testing.T) {
	b := newBackend(t, Options{})
	b.call("create_client", `"alice"`)
	b.call("create_client", `"the admin"`)
	b.want("[]", "get_client_channels", `"alice"`)
	b.want("1", "subscribe", `"alice"`, `"room"`)
	b.want("1", "subscribe", `"alice"`, `"room"`)
	b.want("1", "subscribe", `"the admin"`, `"room"`)
	b.want(`["room"]`, "get_client_channels", `"alice"`)
	b.want(`["alice"]`, "get_channel_clients", `"room"`)
	b.want("1", "unsubscribe", `"alice"`, `"room"`)
	b.want("1", "unsubscribe", `"alice"`, `"room"`)
	b.want("1", "unsubscribe", `"alice"`, `"never made"`)
	b.want("[]", "get_channel_clients", `"room"`)

	channels := b.hub.Stats().Channels
	b.want("[]", "get_channel_clients", `"nowhere"`)
	if b.hub.Stats().Channels != channels {
		t.Error("asking made a channel")
	}
	for _, method := range []string{"subscribe", "unsubscribe"} {
		b.fails(CodeUnknownClient, `unknown client "ghost"`, method, `"ghost"`, `"room"`)
		b.fails(CodeInvalidParams, `channel_name: a channel name must not be empty`, method, `"alice"`, `""`)
		b.fails(CodeInvalidParams, `channel_name: must be a string`, method, `"alice"`, `7`)
		b.fails(CodeInvalidParams, `missing parameter: channel_name`, method, `"alice"`)
	}
	b.fails(CodeInvalidParams, `too many parameters: takes 3 (client_id, channel_name, position)`, "subscribe", `1`, `2`, `3`, `4`)
	b.fails(CodeInvalidParams, `too many parameters: takes 2 (client_id, channel_name)`, "unsubscribe", `1`, `2`, `3`)
	b.fails(CodeUnknownClient, `unknown client "ghost"`, "get_client_channels", `"ghost"`)
}

func TestSubscribeMany(t *testing.T) {
	b := newBackend(t, Options{})
	b.call("create_client", `"a"`)
	b.call("create_client", `"b"`)
	b.want("200", "subscribe_many", `{"z":["a","b"],"y":["a"],"empty":[]}`)
	b.want(`["z","y"]`, "get_client_channels", `"a"`)
	if got := b.list("get_channel_clients", `"z"`); got != "a b" {
		t.Errorf("in z: %s", got)
	}
	b.want("200", "unsubscribe_many", `{"z":["a"],"y":["a","b"]}`)
	b.want("[]", "get_client_channels", `"a"`)
	b.want(`["z"]`, "get_client_channels", `"b"`)
	b.want("200", "subscribe_many", `{}`)
	b.want("200", "unsubscribe_many", `{}`)

	// All or none, and the unknown client is named.
	b.fails(CodeUnknownClient, `unknown client "ghost"`, "subscribe_many", `{"x":["a","ghost"]}`)
	b.want("[]", "get_client_channels", `"a"`)
	b.fails(CodeUnknownClient, `unknown client "ghost"`, "unsubscribe_many", `{"z":["b","ghost"]}`)
	b.want(`["z"]`, "get_client_channels", `"b"`)

	if got := handle(b.api, `{"method":"subscribe_many","params":{"room":["a"]},"id":1}`); !strings.Contains(got, "unknown parameter: room") {
		t.Errorf("channels as named parameters: %s", got)
	}
}

func TestMembershipsAreStrict(t *testing.T) {
	b := newBackend(t, Options{})
	const shape = "channels: must be an object of arrays of client ids, one for each channel"
	long := strings.Repeat("x", 257)
	for params, message := range map[string]string{
		`7`:                          shape,
		`["a"]`:                      shape,
		`{"x":"a"}`:                  shape,
		`{"x":{"a":1}}`:              shape,
		`{"x":[],"x":[]}`:            "channels: duplicate channel: x",
		`{"x":[],"\u0078":[]}`:       "channels: duplicate channel: x",
		`{"":["a"]}`:                 "channels: a channel name must not be empty",
		`{"\ud800":["a"]}`:           "channels: a channel name must not hold half of a surrogate pair",
		`{"x":[5]}`:                  "channels: in channel x: a client id must be a string",
		`{"x":["a",""]}`:             "channels: in channel x: a client id must not be empty",
		`{"x":[["a"]],"":["a"]}`:     "channels: in channel x: a client id must be a string",
		`{"x":["a"]},{"y":["a"]}`:    "too many parameters: takes 1 (channels)",
		`{"x":["` + long + `"]}`:     "channels: in channel x: a client id must not be longer than 256 bytes (name_bytes)",
		`{"x":["a_!!_b"],"y":["a"]}`: `channels: in channel x: a client id must not contain "_!!_"`,
	} {
		b.fails(CodeInvalidParams, message, "subscribe_many", params)
		b.fails(CodeInvalidParams, message, "unsubscribe_many", params)
	}
}

func TestUnsubscribeAllChannel(t *testing.T) {
	b := newBackend(t, Options{})
	for _, id := range []string{"a", "b", "c", "an admin"} {
		b.call("create_client", `"`+id+`"`)
		b.call("subscribe", `"`+id+`"`, `"room"`)
	}
	b.want("200", "unsubscribe_all_channel", `"room"`, `["b","nobody"]`)
	if got := b.list("get_channel_clients", `"room"`); got != "b" {
		t.Errorf("left: %s", got)
	}
	b.want(`["room"]`, "get_client_channels", `"an admin"`)
	b.want("200", "unsubscribe_all_channel", `"room"`, `[]`)
	b.want("[]", "get_channel_clients", `"room"`)
	b.want("200", "unsubscribe_all_channel", `"no such room"`, `[]`)
	b.fails(CodeInvalidParams, "missing parameter: exclude", "unsubscribe_all_channel", `"room"`)
	b.fails(CodeInvalidParams, "exclude: must be an array of strings", "unsubscribe_all_channel", `"room"`, `"a"`)
	b.fails(CodeInvalidParams, "exclude: each element must be a string", "unsubscribe_all_channel", `"room"`, `["a",1,2]`)
}

// What was given as message and sender arrives byte for byte.
func TestNewMessage(t *testing.T) {
	b := newBackend(t, Options{})
	b.call("create_client", `"alice"`)
	b.call("subscribe", `"alice"`, `"room"`)
	for _, m := range []struct{ sender, data, system string }{
		{`"bob"`, `"hello"`, `false`},
		{`"bob"`, `{"a":1, "a":2}`, `true`},
		{`null`, `null`, `false`},
		{`{"id":[1]}`, `9007199254740993.10`, `false`},
		{`5`, `"\ud800 \u2028 \u0000 <b> é"`, `false`},
		{`"not_!!_checked"`, `[[[[]]],"[[["]`, `false`},
	} {
		b.want("1", "new_message", m.sender, m.data, `"room"`, m.system)
		all := b.messages("alice", "room")
		last := all[len(all)-1]
		if string(last.Sender) != m.sender || string(last.Data) != m.data || fmt.Sprint(last.System) != m.system {
			t.Errorf("sent %v, got %s %s %v", m, last.Sender, last.Data, last.System)
		}
	}
	got := handle(b.api, `{"jsonrpc":"2.0","method":"new_message","params":{"system":false,"channel_name":"room","message":"named","client_id":"x"},"id":1}`)
	if got != `{"jsonrpc":"2.0","result":1,"id":1}`+"\n" {
		t.Errorf("named: %s", got)
	}
	b.fails(CodeInvalidParams, "system: must be true or false", "new_message", `"a"`, `"m"`, `"room"`, `0`)
	b.fails(CodeInvalidParams, "system: must be true or false", "new_message", `"a"`, `"m"`, `"room"`, `null`)
	b.fails(CodeInvalidParams, "missing parameter: system", "new_message", `"a"`, `"m"`, `"room"`)
	b.fails(CodeInvalidParams, "missing parameter: message", "new_message", `"a"`)
	b.fails(CodeInvalidParams, "channel_name: a channel name must not be empty", "new_message", `"a"`, `"m"`, `""`, `false`)
	b.fails(CodeInvalidParams, "too many parameters: takes 4 (client_id, message, channel_name, system)", "new_message", `1`, `2`, `3`, `4`, `5`)
	code, _ := failure(t, b.ask("new_message", `"a"`, `"`+strings.Repeat("x", 300<<10)+`"`, `"room"`, `false`))
	if code != CodeTooLarge {
		t.Errorf("a large message: %d", code)
	}
}

// A stored message must not keep the body alive that it came in, nor change
// with it.
func TestMessagesDoNotAliasTheBody(t *testing.T) {
	b := newBackend(t, Options{})
	b.call("create_client", `"alice"`)
	b.call("subscribe", `"alice"`, `"room"`)
	body := []byte(`{"method":"new_message","params":["bob","hello","room",false]}`)
	b.api.Handle(context.Background(), body)
	clear(body)
	all := b.messages("alice", "room")
	if m := all[len(all)-1]; string(m.Sender) != `"bob"` || string(m.Data) != `"hello"` {
		t.Errorf("%s %s", m.Sender, m.Data)
	}
}

// A batch of publishes keeps its order.
func TestBatchOfMessages(t *testing.T) {
	b := newBackend(t, Options{})
	b.call("create_client", `"alice"`)
	b.call("subscribe", `"alice"`, `"room"`)
	next := 0
	for range 5 {
		var calls []string
		for range 100 {
			calls = append(calls, fmt.Sprintf(`{"jsonrpc":"2.0","method":"new_message","params":["bob",%d,"room",false]}`, next))
			next++
		}
		if got := handle(b.api, "["+strings.Join(calls, ",")+"]"); got != "" {
			t.Fatalf("notifications were answered: %s", got)
		}
	}
	var got []int
	for _, m := range b.messages("alice", "room") {
		var n int
		if m.Notice == 0 && json.Unmarshal(m.Data, &n) == nil {
			got = append(got, n)
		}
	}
	if len(got) != next || !slices.IsSorted(got) {
		t.Errorf("arrived: %v", got)
	}
}

func TestLimitReached(t *testing.T) {
	h := newHub(t, hub.Limits{Clients: 1})
	b := backend{t, New(h, Options{Logger: quiet}), h}
	b.call("create_client", `"a"`)
	b.fails(CodeLimitReached, "limit reached: clients = 1", "create_client", `"b"`)
}

func TestHubThatDoesNotRun(t *testing.T) {
	h := hub.New(hub.Config{NewKey: newKey}, memory.New())
	b := backend{t, New(h, Options{Logger: quiet}), h}
	b.fails(CodeUnavailable, hub.ErrUnavailable.Text, "create_client", `"a"`)
	b.call("info")
}

func TestInfo(t *testing.T) {
	b := newBackend(t, Options{Version: "1.2.3"})
	b.call("create_client", `"alice"`)
	b.call("subscribe", `"alice"`, `"room"`)
	b.call("new_message", `"bob"`, `"hi"`, `"room"`, `false`)
	var info struct {
		Version, Epoch, Position string
		Uptime                   float64
		Counts                   infoCounts
		Limits                   infoLimits
	}
	if err := json.Unmarshal([]byte(b.call("info")), &info); err != nil {
		t.Fatal(err)
	}
	at, err := hub.ParsePosition(info.Position)
	if err != nil || at != b.hub.Position() || fmt.Sprintf("%016x", at.Epoch) != info.Epoch {
		t.Errorf("epoch %s, position %s", info.Epoch, info.Position)
	}
	if info.Version != "1.2.3" || info.Uptime < 0 || info.Counts.Clients != 1 || info.Counts.Published != 1 ||
		info.Limits.MaxBodyBytes != 2<<20 || info.Limits.Window != 300 || info.Limits.LetGoAge != 3600 {
		t.Errorf("%+v", info)
	}
}

func TestListMethods(t *testing.T) {
	b := newBackend(t, Options{})
	b.want(`[{"name":"broadcast"},{"name":"channels"},{"name":"clients"},{"name":"cluster"},{"name":"create_client"},{"name":"declare_namespace"},{"name":"delete_channel"},`+
		`{"name":"disconnect"},{"name":"disconnect_sockets"},{"name":"emit"},{"name":"emit_with_ack"},{"name":"fetch_sockets"},{"name":"get_channel_clients"},{"name":"get_client_channels"},{"name":"history"},{"name":"info"},`+
		`{"name":"kill_client"},{"name":"new_message"},{"name":"presence"},{"name":"publish"},{"name":"publish_many"},`+
		`{"name":"rotate_key"},{"name":"rpc.discover"},{"name":"set_socket_data"},{"name":"sockets_join"},{"name":"sockets_leave"},{"name":"stats"},{"name":"subscribe"},{"name":"subscribe_many"},`+
		`{"name":"system.describe"},{"name":"system.list_methods"},{"name":"unsubscribe"},`+
		`{"name":"unsubscribe_all_channel"},{"name":"unsubscribe_many"}]`, "system.list_methods")
}

func TestDescribe(t *testing.T) {
	b := newBackend(t, Options{})
	var d serviceDescription
	if err := json.Unmarshal([]byte(b.call("system.describe")), &d); err != nil {
		t.Fatal(err)
	}
	if d.Version != "1.0" || d.Name != "shaveet" || d.Summary == "" || len(d.Procs) != 34 {
		t.Errorf("%+v", d)
	}
	got := make(map[string]string)
	for _, p := range d.Procs {
		var params []string
		for _, q := range p.Params {
			params = append(params, q.Name+" "+q.Type)
		}
		if p.Summary == "" {
			t.Errorf("%s has no summary", p.Name)
		}
		got[p.Name] = strings.Join(params, ", ") + " -> " + p.Return.Type
	}
	for name, want := range map[string]string{
		"create_client":           "client_id str, position bit -> str",
		"kill_client":             "client_id str -> nil",
		"emit":                    "event str, args arr, to arr, except arr, namespace str, sender any, volatile bit, publish_id str, ttl_ms num -> obj",
		"subscribe":               "client_id str, channel_name str, position bit -> num",
		"unsubscribe":             "client_id str, channel_name str -> num",
		"subscribe_many":          "channels obj -> nil",
		"unsubscribe_many":        "channels obj -> nil",
		"unsubscribe_all_channel": "channel_name str, exclude arr -> nil",
		"new_message":             "client_id any, message any, channel_name str, system bit -> num",
		"get_channel_clients":     "channel_name str -> arr",
		"get_client_channels":     "client_id str -> arr",
		"info":                    " -> obj",
		"publish":                 "channel str, data any, sender any, publish_id str, exclude arr, ttl_ms num, system bit -> obj",
		"publish_many":            "messages arr -> arr",
		"history":                 "channel str, since str, limit num, reverse bit -> obj",
	} {
		if got[name] != want {
			t.Errorf("%s: %s, want %s", name, got[name], want)
		}
	}
}

func TestConcurrentCalls(t *testing.T) {
	b := newBackend(t, Options{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			id := fmt.Sprintf(`"c%d"`, i)
			for range 50 {
				handle(b.api, `{"method":"create_client","params":[`+id+`]}`)
				handle(b.api, `[{"method":"subscribe","params":[`+id+`,"room"]},{"method":"new_message","params":[`+id+`,"hi","room",false]}]`)
				want := `, "id": ` + id + "}\n"
				if got := handle(b.api, `{"method":"get_channel_clients","params":["room"],"id":`+id+`}`); !strings.HasSuffix(got, want) {
					t.Errorf("got %s", got)
				}
				handle(b.api, `{"jsonrpc":"2.0","method":"kill_client","params":[`+id+`]}`)
			}
		})
	}
	wg.Wait()
	b.want("[]", "get_channel_clients", `"room"`)
}
