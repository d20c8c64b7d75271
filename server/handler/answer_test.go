package handler

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseAnswer(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, tt := range []struct {
		body string
		want string // the result; or the error, if it begins with a !
	}{
		{`{"jsonrpc":"2.0","id":"i","result":{"a":1}}`, `{"a":1}`},
		{" {\"id\" : \"i\",\n\"result\":null, \"jsonrpc\":\"2.0\"}\n", `null`},
		{`{"jsonrpc":"2.0","id":"\u0069","result":false}`, `false`},
		{`{"jsonrpc":"2.0","id":"i","result":1,"error":null}`, `1`},
		{`{"jsonrpc":"2.0","id":"i","result":1,"more":{}}`, `1`},
		{`{"jsonrpc":"2.0","id":"i","result":` + deep(maxDepth) + `}`, deep(maxDepth)},
		{`{"jsonrpc":"2.0","id":"i","error":{"code":7,"message":"m","data":[1]}}`, `!7 m [1]`},
		{`{"jsonrpc":"2.0","id":"i","result":null,"error":{"code":-32601,"message":"m","more":1}}`, `!-32601 m `},

		{``, "!"},
		{`null`, "!"},
		{`[{"jsonrpc":"2.0","id":"i","result":1}]`, "!"},
		{`{"jsonrpc":"2.0","id":"i","result":1} {}`, "!"},
		{"\ufeff" + `{"jsonrpc":"2.0","id":"i","result":1}`, "!"},
		{"{\"jsonrpc\":\"2.0\",\"id\":\"i\",\"result\":\"\xff\"}", "!"},
		{`{"jsonrpc":"2.0","id":"i","result":` + deep(maxDepth+1) + `}`, "!"},
		{`{"jsonrpc":"1.0","id":"i","result":1}`, "!"},
		{`{"jsonrpc":2.0,"id":"i","result":1}`, "!"},
		{`{"id":"i","result":1}`, "!"},
		{`{"jsonrpc":"2.0","result":1}`, "!"},
		{`{"jsonrpc":"2.0","id":"j","result":1}`, "!"},
		{`{"jsonrpc":"2.0","id":null,"result":1}`, "!"},
		{`{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"m"}}`, "!"},
		{`{"jsonrpc":"2.0","id":"i"}`, "!"},
		{`{"jsonrpc":"2.0","id":"i","error":null}`, "!"},
		{`{"jsonrpc":"2.0","id":"i","result":1,"result":2}`, "!"},
		{`{"jsonrpc":"2.0","id":"i","Result":1}`, "!"},
		{`{"jsonrpc":"2.0","id":"i","result":1,"error":{"code":1,"message":"m"}}`, "!"},
		{`{"jsonrpc":"2.0","id":"i","error":"no"}`, "!"},
		{`{"jsonrpc":"2.0","id":"i","error":{"code":1}}`, "!"},
		{`{"jsonrpc":"2.0","id":"i","error":{"message":"m"}}`, "!"},
		{`{"jsonrpc":"2.0","id":"i","error":{"code":"1","message":"m"}}`, "!"},
		{`{"jsonrpc":"2.0","id":"i","error":{"code":1.5,"message":"m"}}`, "!"},
		{`{"jsonrpc":"2.0","id":"i","error":{"code":99999999999999999999,"message":"m"}}`, "!"},
		{`{"jsonrpc":"2.0","id":"i","error":{"code":1,"message":null}}`, "!"},
	} {
		result, err := ParseAnswer([]byte(tt.body), "i")
		got := string(result)
		if a := (*Answered)(nil); errors.As(err, &a) {
			got = "!" + fmt.Sprintf("%d %s %s", a.Code, a.Message, a.Data)
		} else if err != nil {
			got = "!"
		}
		if got != tt.want {
			t.Errorf("%s: %s (%v), want %s", tt.body, got, err, tt.want)
		}
	}
}

func FuzzParseAnswer(f *testing.F) {
	for _, s := range []string{
		`{"jsonrpc":"2.0","id":"i","result":{"a":[1,"\ud800"]}}`, `{"jsonrpc":"2.0","id":"i","error":{"code":7,"message":"m","data":1}}`, `[`, `{"a":1,"a":2}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		result, err := ParseAnswer(body, "i")
		if err == nil && !json.Valid(result) {
			t.Fatalf("the result is %q", result)
		}
		if a := (*Answered)(nil); errors.As(err, &a) && !json.Valid(a.object(nil)) {
			t.Fatalf("the error is %+v", a)
		}
		if err == nil || errors.As(err, new(*Answered)) {
			var again map[string]json.RawMessage // a number may be larger than ours
			var id string
			if json.Unmarshal(body, &again) != nil || json.Unmarshal(again["id"], &id) != nil || id != "i" {
				t.Fatalf("%q was taken", body)
			}
		}
	})
}

func FuzzReply(f *testing.F) {
	for _, s := range []string{
		`{"ack":[1],"join":"a","leave":["b"],"data":{},"disconnect":true,"emit":[{"event":"e","args":[],"to":"x","except":[],"namespace":"/","volatile":true,"sender":1}]}`,
		`{"refuse":{"message":"m","data":1}}`, `[1,2]`, `"x"`, `null`, ` tru`, `{"emit":{"event":"e"`, `1E1100`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, result []byte) {
		if r, err := parseEvent(result, "/n"); err == nil {
			var ack []json.RawMessage
			if json.Unmarshal(r.ack, &ack) != nil || ack == nil {
				t.Fatalf("%q is acknowledged with %q", result, r.ack)
			}
			for _, e := range r.emit {
				var args []json.RawMessage
				if e.Event == "" || e.Namespace == "" && !strings.Contains(string(result), `"namespace"`) || json.Unmarshal(e.Args, &args) != nil || args == nil || !json.Valid(e.Sender) {
					t.Fatalf("%q emits %+v", result, e)
				}
			}
		}
		if r, err := parseConnect(result, "/n"); err == nil && r.refusal == nil && (string(trim(result)) == "false" || r.ack != nil || r.disconnect) {
			t.Fatalf("%q lets in: %+v", result, r)
		}
	})
}

// Half of a surrogate pair is what cannot be told from U+FFFD when it is read.
func FuzzHalf(f *testing.F) {
	for _, s := range []string{`"a\ud83d\ude00"`, `"\ud800"`, `"\\ud800"`, `"\ude00\ud83d"`, `"\ud800\\udc00"`, `"\u00e9\n\/é"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var s string
		if !utf8.Valid(raw) || json.Unmarshal(raw, &s) != nil || bytes.ContainsRune(raw, utf8.RuneError) || bytes.Contains(bytes.ToLower(raw), []byte(`\ufffd`)) {
			return
		}
		if half(raw) != strings.ContainsRune(s, utf8.RuneError) {
			t.Errorf("%s: half of a pair: %t, and it is read as %q", raw, half(raw), s)
		}
	})
}
