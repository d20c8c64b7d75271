package rpcapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"weak"

	"github.com/shaveet/shaveet/server/hub"
)

// do calls a method with named parameters and returns its result.
func (b backend) do(method, params string) string {
	b.Helper()
	return string(resultOf(b.T, b.api, method, params))
}

// refuses calls a method with named parameters and checks its error.
func (b backend) refuses(code int, message, method, params string) {
	b.Helper()
	answer := handle(b.api, fmt.Sprintf(`{"jsonrpc": "2.0", "method": %q, "params": %s, "id": 1}`, method, params))
	gotCode, got := failure(b.T, answer)
	if gotCode != code || got != message {
		b.Errorf("%s%.80s: %d %q, want %d %q", method, params, gotCode, got, code, message)
	}
	if !strings.Contains(answer, fmt.Sprintf(`"type":%q`, types[code])) {
		b.Errorf("%s%.80s: not of type %s: %s", method, params, types[code], answer)
	}
}

// kept returns the messages of a channel.
func (b backend) kept(channel string) []*hub.Message {
	b.Helper()
	h, err := b.hub.History(hub.HistoryQuery{Channel: channel, Limit: 1000})
	if err != nil {
		b.Fatal(err)
	}
	return h.Messages
}

// What was given as data and sender arrives byte for byte, by whichever method.
func TestPublishKeepsValues(t *testing.T) {
	b := newBackend(t, Options{})
	for _, data := range []string{`"hello"`, `{"a":1, "a":2}`, `null`, `9007199254740993.10`, `"\ud800 \u2028 \u0000 <b> é"`, `[[[[]]],"[[["]`} {
		for _, sender := range []string{`"bob"`, `null`, `{"id":[1]}`} {
			said := `"data":` + data + `,"sender":` + sender
			b.do("publish", `{"channel":"room",`+said+`}`)
			b.do("publish_many", `{"messages":[{"channel":"room",`+said+`}]}`)
			b.do("broadcast", `{"channels":["room"],`+said+`}`)
			all := b.kept("room")
			for _, m := range all[len(all)-3:] {
				if string(m.Data) != data || string(m.Sender) != sender || m.System {
					t.Errorf("said %s, kept %s %s %v", said, m.Data, m.Sender, m.System)
				}
			}
		}
	}
}

func TestPublishSaysWhere(t *testing.T) {
	b := newBackend(t, Options{})
	b.do("create_client", `{"client_id":"a"}`)
	b.do("subscribe", `{"client_id":"a","channel_name":"room"}`) // id 1
	for id := 2; id < 5; id++ {
		got := b.do("publish", `{"channel":"room","data":1}`)
		if want := fmt.Sprintf(`{"position":"%s","id":%d}`, b.hub.Position(), id); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := b.call("publish", `"room"`, `1`); !strings.HasSuffix(got, `"id":5}`) {
		t.Errorf("positional in the old dialect: %s", got)
	}
	m := b.kept("room")[0]
	if string(m.Sender) != "null" {
		t.Errorf("without a sender: %s", m.Sender)
	}
}

func TestPublishOptions(t *testing.T) {
	b := newBackend(t, Options{})
	for _, id := range []string{"a", "b", "c"} {
		b.do("create_client", `{"client_id":"`+id+`"}`)
		b.do("subscribe", `{"client_id":"`+id+`","channel_name":"room"}`)
	}
	b.do("publish", `{"channel":"room","data":"first","exclude":["a","nobody"],"system":true}`)
	b.do("publish_many", `{"messages":[{"channel":"room","data":"second","exclude":["b"]},{"channel":"room","data":"third","exclude":[],"ttl_ms":1e15}]}`)
	b.do("broadcast", `{"channels":["room"],"data":"fourth","exclude":["c"],"ttl_ms":9007199254740991}`)
	for id, want := range map[string]string{
		"a": `"second" "third" "fourth"`, "b": `"first" "third" "fourth"`, "c": `"first" "second" "third"`,
	} {
		var got []string
		for _, m := range b.messages(id, "room") {
			if m.Notice == 0 {
				got = append(got, string(m.Data))
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s hears %v, want %s", id, got, want)
		}
	}
	if m := b.kept("room")[0]; !m.System {
		t.Error("system is not kept")
	}
}

func TestPublishParametersAreStrict(t *testing.T) {
	b := newBackend(t, Options{})
	long := strings.Repeat("x", 129)
	for said, message := range map[string]string{
		`"sender":1`:                           "missing parameter: data",
		`"data":1,"Sender":1`:                  "unknown parameter: Sender",
		`"data":1,"data":2`:                    "duplicate parameter: data",
		`"data":1,"publish_id":7`:              "publish_id: must be a string",
		`"data":1,"publish_id":""`:             "publish_id: must have 1 to 128 bytes",
		`"data":1,"publish_id":"` + long + `"`: "publish_id: must have 1 to 128 bytes",
		`"data":1,"publish_id":"\ud800"`:       "publish_id: must not hold half of a surrogate pair",
		`"data":1,"ttl_ms":0`:                  "ttl_ms: must be a whole number from 1 to 9007199254740991",
		`"data":1,"ttl_ms":-1`:                 "ttl_ms: must be a whole number from 1 to 9007199254740991",
		`"data":1,"ttl_ms":1.5`:                "ttl_ms: must be a whole number from 1 to 9007199254740991",
		`"data":1,"ttl_ms":"5s"`:               "ttl_ms: must be a whole number from 1 to 9007199254740991",
		`"data":1,"ttl_ms":9007199254740992`:   "ttl_ms: must be a whole number from 1 to 9007199254740991",
		`"data":1,"exclude":"a"`:               "exclude: must be an array of strings",
		`"data":1,"exclude":[1]`:               "exclude: a client id must be a string",
		`"data":1,"exclude":["a",""]`:          "exclude: a client id must not be empty",
		`"data":1,"system":1`:                  "system: must be true or false",
	} {
		b.refuses(CodeInvalidParams, message, "publish", `{"channel":"room",`+said+`}`)
		b.refuses(CodeInvalidParams, message, "broadcast", `{"channels":["room"],`+said+`}`)
		want := fmt.Sprintf(`[{"error":{"code":-32602,"message":%q,"type":"invalid_params"}}]`, message)
		if got := b.do("publish_many", `{"messages":[{"channel":"room",`+said+`}]}`); got != want {
			t.Errorf("publish_many: %s, want %s", got, want)
		}
	}
	b.refuses(CodeInvalidParams, "channel: a channel name must not be empty", "publish", `{"channel":"","data":1}`)
	b.refuses(CodeInvalidParams, "channels: must be an array of strings", "broadcast", `{"channels":"room","data":1}`)
	b.refuses(CodeInvalidParams, "channels: a channel name must not be empty", "broadcast", `{"channels":["room",""],"data":1}`)
	b.refuses(CodeInvalidParams, "channels: a channel name must be a string", "broadcast", `{"channels":[["room"]],"data":1}`)
	b.refuses(CodeInvalidParams, "messages: must be an array of objects", "publish_many", `{"messages":{}}`)
	b.refuses(CodeInvalidParams, "messages: must be an array of objects", "publish_many", `{"messages":"[]"}`)
	if n := b.hub.Stats().Published; n != 0 {
		t.Errorf("%d were published all the same", n)
	}
}

// Each message is by itself: the good ones are said, in order.
func TestPublishManyGoesOn(t *testing.T) {
	b := newBackend(t, Options{})
	got := b.do("publish_many", `{"messages":[{"channel":"room","data":1},7,{"channel":"room"},[],{"data":1,"channel":"room","more":1},{"channel":"room","data":2}]}`)
	var all []struct {
		ID    int
		Error *struct{ Message string }
	}
	if err := json.Unmarshal([]byte(got), &all); err != nil || len(all) != 6 {
		t.Fatal(err, got)
	}
	for i, want := range []string{"", "must be an object", "missing parameter: data", "must be an object", "unknown parameter: more", ""} {
		switch e := all[i].Error; {
		case want == "" && (e != nil || all[i].ID == 0):
			t.Errorf("message %d: %+v", i, all[i])
		case want != "" && (e == nil || e.Message != want):
			t.Errorf("message %d: %+v, want %s", i, e, want)
		}
	}
	if kept := b.kept("room"); len(kept) != 2 || string(kept[0].Data) != "1" || string(kept[1].Data) != "2" {
		t.Errorf("kept %v", kept)
	}
	if got := b.do("publish_many", `{"messages":[]}`); got != "[]" {
		t.Errorf("nothing: %s", got)
	}
}

func TestBroadcastIsAllOrNothing(t *testing.T) {
	h := newHub(t, hub.Limits{Channels: 3}) // the admin channel is one of them
	b := backend{t, New(h, Options{Logger: quiet}), h}
	b.do("publish", `{"channel":"a","data":0}`)
	b.refuses(CodeLimitReached, "limit reached: channels = 3", "broadcast", `{"channels":["a","b","c"],"data":1}`)
	if n := len(b.kept("a")); n != 1 {
		t.Errorf("%d messages on a", n)
	}
	var got []struct {
		Channel, Position string
		ID                int
	}
	if err := json.Unmarshal([]byte(b.do("broadcast", `{"channels":["b","a","b"],"data":1}`)), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Channel != "b" || got[0].ID != 1 || got[1].Channel != "a" || got[1].ID != 2 {
		t.Errorf("%+v", got)
	}
	if got := b.do("broadcast", `{"channels":[],"data":1}`); got != "[]" {
		t.Errorf("to nobody: %s", got)
	}
}

// A stored message must not keep the body alive that it came in, nor change
// with it.
func TestPublicationsDoNotAliasTheBody(t *testing.T) {
	b := newBackend(t, Options{})
	b.do("create_client", `{"client_id":"bob"}`)
	b.do("subscribe", `{"client_id":"bob","channel_name":"room"}`)
	for _, call := range []string{
		`"publish","params":{"channel":"room","data":"hello","sender":"bob","publish_id":"one","exclude":["bob"]}`,
		`"publish_many","params":[[{"channel":"room","data":"hello","sender":"bob","publish_id":"two","exclude":["bob"]}]]`,
		`"broadcast","params":{"channels":["room"],"data":"hello","sender":"bob","publish_id":"three","exclude":["bob"]}`,
	} {
		body := []byte(`{"jsonrpc":"2.0","method":` + call + `}`)
		b.api.Handle(context.Background(), body)
		clear(body)
	}
	all := b.kept("room")
	if len(all) != 3 {
		t.Fatalf("%d messages", len(all))
	}
	for _, m := range all {
		if string(m.Sender) != `"bob"` || string(m.Data) != `"hello"` || m.Channel() != "room" {
			t.Errorf("%s %s on %s", m.Sender, m.Data, m.Channel())
		}
	}
	for _, m := range b.messages("bob", "room") {
		if m.Notice == 0 {
			t.Errorf("bob hears %s, from which he was excluded", m.Data)
		}
	}
	for _, id := range []string{"one", "two"} {
		got := b.do("publish", `{"channel":"room","data":"hello","sender":"bob","publish_id":"`+id+`","exclude":["bob"]}`)
		if !strings.Contains(got, `"repeated":true`) {
			t.Errorf("a retry of %s: %s", id, got)
		}
	}
}

// A body ends when its calls have run: a message that it had in it is small.
func TestPublicationsDoNotKeepTheBody(t *testing.T) {
	b := newBackend(t, Options{})
	for _, call := range []string{
		`"publish","params":{"channel":"room","data":"hello","sender":"bob"}`,
		`"publish_many","params":[[{"channel":"room","data":"hello","sender":"bob"}]]`,
		`"broadcast","params":{"channels":["room"],"data":"hello","sender":"bob"}`,
		`"new_message","params":["bob","hello","room",false]`,
	} {
		body := make([]byte, 1<<20)
		n := copy(body, `{"jsonrpc":"2.0","method":`+call+`}`)
		copy(body[n:], bytes.Repeat([]byte(" "), len(body)))
		kept := weak.Make(&body[0])
		if answer := b.api.Handle(context.Background(), body); answer != nil {
			t.Errorf("%s: %s", call, answer)
		}
		runtime.GC()
		if kept.Value() != nil {
			t.Errorf("%s: the body is still there", call)
		}
	}
	if n := len(b.kept("room")); n != 4 {
		t.Errorf("%d messages", n)
	}
}

// However long a message may live, the time can be counted.
func TestLongestTTL(t *testing.T) {
	for _, ms := range []int64{0, 1, maxTTL - 1, maxTTL, maxTTL + 1, 2 * maxTTL, 1e15, 1<<53 - 1} {
		w := words{TTL: ms}
		if got, want := w.publication("room").TTL.Milliseconds(), min(ms, 9223372036854); got != want {
			t.Errorf("%d ms become %d", ms, got)
		}
	}
	b := newBackend(t, Options{})
	for _, ms := range []int64{maxTTL + 1, 2*maxTTL + 2} { // below 0, and next to nothing, if they ran over
		b.do("publish", fmt.Sprintf(`{"channel":"room","data":1,"ttl_ms":%d}`, ms))
	}
	time.Sleep(2 * time.Millisecond)
	if n := len(b.kept("room")); n != 2 {
		t.Errorf("%d messages are kept", n)
	}
}

func TestPublishIDConflict(t *testing.T) {
	b := newBackend(t, Options{})
	first := b.do("publish", `{"channel":"room","data":1,"publish_id":"x"}`)
	again := b.do("publish", `{"channel":"room","data":1,"publish_id":"x"}`)
	if again != strings.TrimSuffix(first, "}")+`,"repeated":true}` {
		t.Errorf("first %s, again %s", first, again)
	}
	const taken = "the publish id has been used for another message"
	for _, other := range []string{`"data":2`, `"data":1,"sender":"bob"`, `"data":1,"system":true`, `"data":1,"exclude":["a"]`, `"data":1,"ttl_ms":5`} {
		b.refuses(CodePublishIDConflict, taken, "publish", `{"channel":"room","publish_id":"x",`+other+`}`)
	}
	b.do("publish", `{"channel":"elsewhere","data":2,"publish_id":"x"}`)
	b.do("broadcast", `{"channels":["room","elsewhere"],"data":3,"publish_id":"x"}`)
	if got := b.do("broadcast", `{"channels":["room","elsewhere"],"data":3,"publish_id":"x"}`); strings.Count(got, `"repeated":true`) != 2 {
		t.Errorf("a broadcast again: %s", got)
	}
	b.refuses(CodePublishIDConflict, taken, "broadcast", `{"channels":["room"],"data":3,"publish_id":"x"}`)
	if n := len(b.kept("room")); n != 2 {
		t.Errorf("%d messages in room", n)
	}
}

// Retries over several connections at once, as from a backend whose requests
// time out: each message is there once, and everybody is told the same place.
func TestConcurrentRetries(t *testing.T) {
	b := newBackend(t, Options{})
	const connections, messages, rounds = 4, 50, 3
	places := make([][]string, connections)
	var wg sync.WaitGroup
	for c := range connections {
		wg.Go(func() {
			for range rounds {
				for i := range messages {
					body := fmt.Sprintf(`{"jsonrpc":"2.0","method":"publish","params":{"channel":"room%d","data":%d,"publish_id":"id%d"},"id":1}`, i%3, i, i)
					if (c+i)%2 == 0 {
						body = fmt.Sprintf(`{"jsonrpc":"2.0","method":"publish_many","params":[[{"channel":"room%d","data":%d,"publish_id":"id%d"}]],"id":1}`, i%3, i, i)
					}
					got := strings.NewReplacer("[", "", "]", "", `,"repeated":true`, "").Replace(handle(b.api, body))
					places[c] = append(places[c], got)
				}
			}
		})
	}
	wg.Wait()
	for c := range connections {
		for r := range rounds {
			if part := places[c][r*messages : (r+1)*messages]; !slices.Equal(part, places[0][:messages]) {
				t.Errorf("connection %d, round %d was told otherwise", c, r)
			}
		}
	}
	seen := make(map[string]int)
	for _, channel := range []string{"room0", "room1", "room2"} {
		for _, m := range b.kept(channel) {
			seen[string(m.Data)]++
		}
	}
	if len(seen) != messages {
		t.Errorf("%d messages", len(seen))
	}
	for data, n := range seen {
		if n != 1 {
			t.Errorf("message %s is there %d times", data, n)
		}
	}
	if got := b.hub.Stats(); got.Published != messages || got.Repeated != (connections*rounds-1)*messages {
		t.Errorf("published %d, repeated %d", got.Published, got.Repeated)
	}
}
