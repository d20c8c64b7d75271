package rpcapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/server/hub"
)

// Every limit that a call can reach is answered with its code and its name, and
// what was there before still is.
func TestLimitsAreAnswered(t *testing.T) {
	for _, tt := range []struct {
		limit   string
		limits  hub.Limits
		rules   []hub.ChannelRule
		before  []string // calls that succeed
		method  string
		params  string
		code    int
		message string
	}{
		{limit: "message_bytes", limits: hub.Limits{MessageBytes: 100}, before: []string{publishOf(98, "")},
			method: "publish", params: paramsOf(99, ""), code: CodeTooLarge,
			message: "the message has 101 bytes with its sender; at most 100 are allowed (message_bytes)"},
		{limit: "message_bytes of a broadcast", limits: hub.Limits{MessageBytes: 100},
			method: "broadcast", params: `{"channels":["room","lobby"],"data":"` + strings.Repeat("x", 97) + `","sender":"b"}`, code: CodeTooLarge,
			message: "the message has 102 bytes with its sender; at most 100 are allowed (message_bytes)"},
		{limit: "message_bytes of new_message", limits: hub.Limits{MessageBytes: 10},
			method: "new_message", params: `{"client_id":"bob","message":"12345","channel_name":"room","system":false}`, code: CodeTooLarge,
			message: "the message has 12 bytes with its sender; at most 10 are allowed (message_bytes)"},
		{limit: "channels", limits: hub.Limits{Channels: 2}, before: []string{publishOf(1, "")}, // and the admin channel
			method: "publish", params: `{"channel":"lobby","data":1}`, code: CodeLimitReached,
			message: "limit reached: channels = 2"},
		{limit: "clients", limits: hub.Limits{Clients: 1}, before: []string{clientOf("a")},
			method: "create_client", params: `{"client_id":"b"}`, code: CodeLimitReached,
			message: "limit reached: clients = 1"},
		{limit: "subscriptions_per_client", limits: hub.Limits{SubscriptionsPerClient: 1}, before: []string{clientOf("a"), subscriptionOf("a", "room")},
			method: "subscribe", params: `{"client_id":"a","channel_name":"lobby"}`, code: CodeLimitReached,
			message: "limit reached: subscriptions_per_client = 1"},
		{limit: "pairs_per_call", limits: hub.Limits{PairsPerCall: 1}, before: []string{clientOf("a")},
			method: "subscribe_many", params: `{"channels":{"room":["a"],"lobby":["a"]}}`, code: CodeLimitReached,
			message: "limit reached: pairs_per_call = 1"},
		{limit: "pairs_per_call of unsubscribe_many", limits: hub.Limits{PairsPerCall: 1}, before: []string{clientOf("a")},
			method: "unsubscribe_many", params: `{"channels":{"room":["a","a"]}}`, code: CodeLimitReached,
			message: "limit reached: pairs_per_call = 1"},
		{limit: "members", rules: []hub.ChannelRule{{Pattern: "ro*", ChannelSettings: hub.ChannelSettings{Members: 1}}},
			before: []string{clientOf("a"), clientOf("b"), subscriptionOf("a", "room"), subscriptionOf("b", "lobby")},
			method: "subscribe", params: `{"client_id":"b","channel_name":"room"}`, code: CodeLimitReached,
			message: "limit reached: members = 1"},
		{limit: "name_bytes", limits: hub.Limits{NameBytes: 5}, before: []string{clientOf("alice")},
			method: "create_client", params: `{"client_id":"robert"}`, code: CodeInvalidParams,
			message: "client_id: a client id must not be longer than 5 bytes (name_bytes)"},
		{limit: "name_bytes of a channel", limits: hub.Limits{NameBytes: 5},
			method: "publish", params: `{"channel":"lobby1","data":1}`, code: CodeInvalidParams,
			message: "channel: a channel name must not be longer than 5 bytes (name_bytes)"},
		{limit: "publish_ids", limits: hub.Limits{PublishIDs: 1}, before: []string{publishOf(1, "one"), publishOf(1, "one")},
			method: "publish", params: paramsOf(1, "two"), code: CodeLimitReached,
			message: "limit reached: publish_ids = 1"},
		{limit: "channels_per_call", limits: hub.Limits{ChannelsPerCall: 2},
			method: "broadcast", params: `{"channels":["a","b","c"],"data":1}`, code: CodeLimitReached,
			message: "limit reached: channels_per_call = 2"},
		{limit: "exclude_per_message", limits: hub.Limits{ExcludePerMessage: 1},
			method: "publish", params: `{"channel":"room","data":1,"exclude":["a","b"]}`, code: CodeLimitReached,
			message: "limit reached: exclude_per_message = 1"},
		{limit: "rooms_per_emit", limits: hub.Limits{RoomsPerEmit: 2}, before: []string{emitOf(`"to":["a"],"except":"b"`)},
			method: "emit", params: `{"event":"e","to":["a"],"except":["b","c"]}`, code: CodeLimitReached,
			message: "limit reached: rooms_per_emit = 2"},
		{limit: "message_bytes of an event", limits: hub.Limits{MessageBytes: 10},
			method: "emit", params: `{"event":"e","args":["123456"],"sender":0,"to":"a"}`, code: CodeTooLarge,
			message: "the message has 11 bytes with its sender; at most 10 are allowed (message_bytes)"},
		{limit: "name_bytes of a room", limits: hub.Limits{NameBytes: 5},
			method: "emit", params: `{"event":"e","to":"lobby1"}`, code: CodeInvalidParams,
			message: "a room's name must not be longer than 5 bytes (name_bytes)"},
		{limit: "name_bytes of an event", limits: hub.Limits{NameBytes: 5},
			method: "emit", params: `{"event":"typing","to":"a"}`, code: CodeInvalidParams,
			message: "an event's name must not be longer than 5 bytes (name_bytes)"},
		{limit: "name_bytes of a room in its namespace", limits: hub.Limits{NameBytes: 9},
			method: "emit", params: `{"event":"e","to":"lobby","namespace":"/chat"}`, code: CodeInvalidParams,
			message: "a channel name must not be longer than 9 bytes (name_bytes)"},
		{limit: "max_batch_calls",
			method: "publish_many", params: `{"messages":[` + strings.TrimSuffix(strings.Repeat("0,", 6), ",") + `]}`, code: CodeLimitReached,
			message: "limit reached: max_batch_calls = 5"},
	} {
		t.Run(tt.limit, func(t *testing.T) {
			h := newHub(t, hub.Limits{})
			if err := h.Configure(tt.limits, tt.rules); err != nil {
				t.Fatal(err)
			}
			b := backend{t, New(h, Options{MaxBatch: 5, Logger: quiet}), h}
			for _, body := range tt.before {
				if answer := handle(b.api, body); answer != "" {
					t.Fatalf("%s: %s", body, answer)
				}
			}
			position := h.Position()
			b.refuses(tt.code, tt.message, tt.method, tt.params)
			if now := h.Position(); now != position {
				t.Errorf("the log went on from %s to %s", position, now)
			}
		})
	}
}

func publishOf(letters int, id string) string {
	return `{"jsonrpc":"2.0","method":"publish","params":` + paramsOf(letters, id) + `}`
}

func paramsOf(letters int, id string) string {
	p := `{"channel":"room","sender":null,"data":"` + strings.Repeat("x", max(letters-4, 0)) + `"`
	if id != "" {
		p += `,"publish_id":"` + id + `"`
	}
	return p + "}"
}

func emitOf(params string) string {
	return `{"jsonrpc":"2.0","method":"emit","params":{"event":"e",` + params + `}}`
}

func clientOf(id string) string {
	return `{"jsonrpc":"2.0","method":"create_client","params":["` + id + `"]}`
}

func subscriptionOf(id, channel string) string {
	return `{"jsonrpc":"2.0","method":"subscribe","params":["` + id + `","` + channel + `"]}`
}

// Limits that are changed while the server runs count from then on.
func TestLimitsMayChange(t *testing.T) {
	b := newBackend(t, Options{})
	b.do("publish", `{"channel":"room","data":1}`)
	if err := b.hub.Configure(hub.Limits{NameBytes: 3, MessageBytes: 5}, nil); err != nil {
		t.Fatal(err)
	}
	b.refuses(CodeInvalidParams, "channel: a channel name must not be longer than 3 bytes (name_bytes)", "publish", `{"channel":"room","data":1}`)
	b.refuses(CodeTooLarge, "the message has 6 bytes with its sender; at most 5 are allowed (message_bytes)", "publish", `{"channel":"abc","data":12}`)
	if got := b.do("info", `{}`); !strings.Contains(got, `"name_bytes":3`) {
		t.Errorf("info: %s", got)
	}
}

// The limits of a request as a whole.
func TestRequestLimitsAreAnswered(t *testing.T) {
	a := New(newHub(t, hub.Limits{}), Options{MaxBody: 200, MaxBatch: 2, MaxDepth: 5, MaxAnswer: 100, Logger: quiet})
	ping := `{"jsonrpc":"2.0","method":"get_channel_clients","params":["x"],"id":1}`
	for _, tt := range []struct {
		limit, body string
		code        int
		message     string
	}{
		{"max_body_bytes", ping + strings.Repeat(" ", 200), CodeTooLarge, "The body must not be larger than 200 bytes (max_body_bytes)."},
		{"max_batch_calls", `[1,2,3]`, CodeInvalidRequest, "Invalid Request: more than 2 calls in a batch (max_batch_calls)"},
		{"max_json_depth", nest(6), CodeParseError, "Parse error: nested deeper than 5 levels (max_json_depth)"},
	} {
		if code, message := failure(t, handle(a, tt.body)); code != tt.code || message != tt.message {
			t.Errorf("%s: %d %q", tt.limit, code, message)
		}
	}
	if resp := post(a, strings.NewReader(strings.Repeat(" ", 201)), ""); resp.StatusCode != http.StatusRequestEntityTooLarge ||
		read(t, resp) != "The body must not be larger than 200 bytes (max_body_bytes).\n" {
		t.Errorf("max_body_bytes over HTTP: %d", resp.StatusCode)
	}
}

// No answer is without bounds: the calls that are left are not made, and
// history ends early and says so.
func TestAnswerLimits(t *testing.T) {
	h := newHub(t, hub.Limits{})
	b := backend{t, New(h, Options{MaxAnswer: 1000, Logger: quiet}), h}
	for i := range 20 {
		b.do("publish", fmt.Sprintf(`{"channel":"room","data":"%03d%s"}`, i, strings.Repeat("x", 200)))
	}
	got := b.do("history", `{"channel":"room"}`)
	if n := strings.Count(got, `"pos"`); n < 2 || n > 5 || !strings.Contains(got, `"more":true`) || len(got) > 2000 {
		t.Errorf("%d messages in %d bytes: %s", n, len(got), got[max(len(got)-100, 0):])
	}
	b.do("publish", `{"channel":"big","data":"`+strings.Repeat("x", 5000)+`"}`)
	b.do("publish", `{"channel":"big","data":"second"}`)
	if got := b.do("history", `{"channel":"big"}`); strings.Count(got, `"pos"`) != 1 || !strings.Contains(got, `"more":true`) {
		t.Errorf("a message that is larger than an answer: %.100s", got)
	}

	call := `{"jsonrpc":"2.0","method":"history","params":["room"],"id":1}`
	answers := strings.SplitAfter(handle(b.api, "["+call+","+call+","+call+"]"), `,"id":1}`)
	want := `{"jsonrpc":"2.0","error":{"code":-32003,"message":"limit reached: max_answer_bytes = 1000; this call of the batch was not made","data":{"type":"limit_reached"}},"id":1}`
	if answers[1] != ","+want || answers[2] != ","+want {
		t.Errorf("%q", answers[1:])
	}
}
