package rpcapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// exchanges is a table of bodies and their exact answers, without the final newline.
type exchanges []struct{ name, in, out string }

func (table exchanges) run(t *testing.T, a *API) {
	t.Helper()
	for _, tt := range table {
		t.Run(tt.name, func(t *testing.T) {
			got := handle(a, tt.in)
			if want := tt.out; want != "" {
				want += "\n"
				if got != want {
					t.Errorf("%s\n got %s\nwant %s", tt.in, got, want)
				}
			} else if got != "" {
				t.Errorf("%s\n got %s\nwant nothing", tt.in, got)
			}
		})
	}
}

func TestOldDialect(t *testing.T) {
	a, _ := newToy(Options{})
	exchanges{
		{"PHP client", `{"method":"echo","params":["a\/b"],"id":1}`, `{"result": "a/b", "id": 1}`},
		{"Python client", `{"version":"1.1","method":"echo","params":["x"]}`, `{"result": "x"}`},
		{"Python client, no params", `{"version":"1.1","method":"get_data","params":null}`, `{"result": ["hello",5]}`},
		{"params absent", `{"method":"get_data","id":1}`, `{"result": ["hello",5], "id": 1}`},
		{"params empty", `{"method":"get_data","params":[],"id":1}`, `{"result": ["hello",5], "id": 1}`},
		{"named", `{"method":"echo","params":{"text":"x"},"id":1}`, `{"result": "x", "id": 1}`},
		{"version 1.0 is not 2.0", `{"jsonrpc":"1.0","method":"echo","params":["x"],"id":1}`, `{"result": "x", "id": 1}`},
		{"the number 2.0 is not 2.0", `{"jsonrpc":2.0,"method":"echo","params":["x"],"id":1}`, `{"result": "x", "id": 1}`},
		{"void", `{"method":"update","params":[1],"id":1}`, `{"result": 200, "id": 1}`},
		{"id null is answered", `{"method":"echo","params":["x"],"id":null}`, `{"result": "x"}`},
		{"id 0", `{"method":"echo","params":["x"],"id":0}`, `{"result": "x", "id": 0}`},
		{"id empty string", `{"method":"echo","params":["x"],"id":""}`, `{"result": "x", "id": ""}`},
		{"id string", `{"method":"echo","params":["x"],"id":"\u0041\/"}`, `{"result": "x", "id": "\u0041\/"}`},
		{"id beyond float64", `{"method":"echo","params":["x"],"id":9007199254740993}`, `{"result": "x", "id": 9007199254740993}`},
		{"id of any type", `{"method":"echo","params":["x"],"id":{"a": [true]}}`, `{"result": "x", "id": {"a": [true]}}`},
		{"unknown method", `{"method":"nope","params":[],"id":1}`, `{"result": null, "id": 1, "error": {"type": "method_not_found", "message": "Method not found: nope", "code": -32601}}`},
		{"unknown method, no id", `{"method":"nope"}`, `{"result": null, "error": {"type": "method_not_found", "message": "Method not found: nope", "code": -32601}}`},
		{"no method", `{"params":[],"id":1}`, `{"result": null, "id": 1, "error": {"type": "invalid_request", "message": "Invalid Request: missing member: method", "code": -32600}}`},
		{"params a string", `{"method":"echo","params":"x","id":1}`, `{"result": null, "id": 1, "error": {"type": "invalid_params", "message": "params: must be an array or an object", "code": -32602}}`},
		{"params an empty string", `{"method":"get_data","params":"","id":1}`, `{"result": null, "id": 1, "error": {"type": "invalid_params", "message": "params: must be an array or an object", "code": -32602}}`},
		{"panic", `{"method":"crash","id":1}`, `{"result": null, "id": 1, "error": {"type": "internal_error", "message": "Internal error", "code": -32603}}`},
		{"the last object is not spread", `{"method":"echo","params":[{"text":"x"}],"id":1}`, `{"result": null, "id": 1, "error": {"type": "invalid_params", "message": "text: must be a string", "code": -32602}}`},
		{"unparsable", `{"method":`, `{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: unexpected end","data":{"type":"parse_error"}},"id":null}`},
		{"empty body", ``, `{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error: unexpected end","data":{"type":"parse_error"}},"id":null}`},
		{"in a batch", `[{"method":"echo","params":["x"],"id":1},{"jsonrpc":"2.0","method":"echo","params":["y"],"id":2},{"method":"update","params":[1]}]`,
			`[{"result": "x", "id": 1},{"jsonrpc":"2.0","result":"y","id":2},{"result": 200}]`},
	}.run(t, a)
}

func TestNewDialect(t *testing.T) {
	a, _ := newToy(Options{})
	const bad = `{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid Request: %s","data":{"type":"invalid_request"}},"id":%s}`
	exchanges{
		{"void", `{"jsonrpc":"2.0","method":"update","params":[1],"id":1}`, `{"jsonrpc":"2.0","result":null,"id":1}`},
		{"version with an escape", `{"jsonrpc":"2\u002e0","method":"update","params":[1],"id":1}`, `{"jsonrpc":"2.0","result":null,"id":1}`},
		{"members in any order", `{"id":1,"params":["x"],"method":"echo","jsonrpc":"2.0"}`, `{"jsonrpc":"2.0","result":"x","id":1}`},
		{"space everywhere", " \r\n\t{ \"jsonrpc\" : \"2.0\" , \"method\" : \"echo\" , \"params\" : [ \"x\" ] , \"id\" : 1 } \n", `{"jsonrpc":"2.0","result":"x","id":1}`},
		{"params null", `{"jsonrpc":"2.0","method":"get_data","params":null,"id":1}`, `{"jsonrpc":"2.0","result":["hello",5],"id":1}`},
		{"params empty object", `{"jsonrpc":"2.0","method":"get_data","params":{},"id":1}`, `{"jsonrpc":"2.0","result":["hello",5],"id":1}`},
		{"id null is answered", `{"jsonrpc":"2.0","method":"echo","params":["x"],"id":null}`, `{"jsonrpc":"2.0","result":"x","id":null}`},
		{"id beyond float64", `{"jsonrpc":"2.0","method":"echo","params":["x"],"id":9007199254740993}`, `{"jsonrpc":"2.0","result":"x","id":9007199254740993}`},
		{"id 1.5", `{"jsonrpc":"2.0","method":"echo","params":["x"],"id":1.5}`, `{"jsonrpc":"2.0","result":"x","id":1.5}`},
		{"id -0e+7", `{"jsonrpc":"2.0","method":"echo","params":["x"],"id":-0e+7}`, `{"jsonrpc":"2.0","result":"x","id":-0e+7}`},
		{"id a string of a number", `{"jsonrpc":"2.0","method":"echo","params":["x"],"id":"1"}`, `{"jsonrpc":"2.0","result":"x","id":"1"}`},
		{"id with escapes", `{"jsonrpc":"2.0","method":"echo","params":["x"],"id":"\ud800\/é"}`, `{"jsonrpc":"2.0","result":"x","id":"\ud800\/é"}`},
		{"id an object", `{"jsonrpc":"2.0","method":"echo","params":["x"],"id":{}}`, fmt.Sprintf(bad, "id: must be a string, a number or null", "null")},
		{"id an array", `{"jsonrpc":"2.0","method":"echo","params":["x"],"id":[1]}`, fmt.Sprintf(bad, "id: must be a string, a number or null", "null")},
		{"id a boolean", `{"jsonrpc":"2.0","method":"echo","params":["x"],"id":true}`, fmt.Sprintf(bad, "id: must be a string, a number or null", "null")},
		{"no method", `{"jsonrpc":"2.0","id":1}`, fmt.Sprintf(bad, "missing member: method", "1")},
		{"method null", `{"jsonrpc":"2.0","method":null,"id":1}`, fmt.Sprintf(bad, "method: must be a string", "1")},
		{"a number", `5`, fmt.Sprintf(bad, "must be an object", "null")},
		{"a string", `"x"`, fmt.Sprintf(bad, "must be an object", "null")},
		{"null", `null`, fmt.Sprintf(bad, "must be an object", "null")},
		{"empty batch", ` [ ] `, fmt.Sprintf(bad, "an empty batch", "null")},
		{"nested batch", `[[{"jsonrpc":"2.0","method":"get_data","id":1}],{"jsonrpc":"2.0","method":"get_data","id":2}]`,
			`[` + fmt.Sprintf(bad, "must be an object", "null") + `,{"jsonrpc":"2.0","result":["hello",5],"id":2}]`},
		{"batch of one", `[{"jsonrpc":"2.0","method":"get_data","id":1}]`, `[{"jsonrpc":"2.0","result":["hello",5],"id":1}]`},
		{"notification that fails", `{"jsonrpc":"2.0","method":"crash"}`, ``},
		{"notification with wrong params", `{"jsonrpc":"2.0","method":"echo","params":7}`, ``},
		{"dotted Go name", `{"jsonrpc":"2.0","method":"Toy.Echo","params":["x"],"id":1}`, `{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found: Toy.Echo","data":{"type":"method_not_found"}},"id":1}`},
		{"empty method", `{"jsonrpc":"2.0","method":"","id":1}`, `{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found: ","data":{"type":"method_not_found"}},"id":1}`},
		{"method in another case", `{"jsonrpc":"2.0","method":"Echo","params":["x"],"id":1}`, `{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found: Echo","data":{"type":"method_not_found"}},"id":1}`},
	}.run(t, a)
}

func TestMembersAreExact(t *testing.T) {
	a, toy := newToy(Options{})
	const bad = `{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid Request: %s","data":{"type":"invalid_request"}},"id":%s}`
	exchanges{
		{"duplicate method", `{"jsonrpc":"2.0","method":"echo","method":"update","params":[1],"id":1}`, fmt.Sprintf(bad, "duplicate member: method", "1")},
		{"duplicate params", `{"jsonrpc":"2.0","method":"update","params":[1],"params":[2],"id":1}`, fmt.Sprintf(bad, "duplicate member: params", "1")},
		{"duplicate in disguise", `{"jsonrpc":"2.0","method":"update","m\u0065thod":"echo","params":[1],"id":1}`, fmt.Sprintf(bad, "duplicate member: method", "1")},
		{"duplicate id", `{"jsonrpc":"2.0","method":"update","params":[1],"id":1,"id":2}`, fmt.Sprintf(bad, "duplicate member: id", "null")},
		{"duplicate version", `{"jsonrpc":"2.0","jsonrpc":"2.0","method":"update","params":[1],"id":1}`, fmt.Sprintf(bad, "duplicate member: jsonrpc", "1")},
		{"duplicate of no concern", `{"jsonrpc":"2.0","x":1,"x":2,"method":"update","params":[1],"id":1}`, fmt.Sprintf(bad, "duplicate member: x", "1")},
		{"duplicate in a notification", `{"jsonrpc":"2.0","method":"update","method":"update","params":[1]}`, fmt.Sprintf(bad, "duplicate member: method", "null")},
		{"old dialect", `{"method":"a","method":"b","id":1}`, `{"result": null, "id": 1, "error": {"type": "invalid_request", "message": "Invalid Request: duplicate member: method", "code": -32600}}`},
		{"METHOD beside method", `{"jsonrpc":"2.0","method":"update","METHOD":"echo","params":[1],"id":1}`, fmt.Sprintf(bad, "member METHOD must be written method", "1")},
		{"METHOD alone", `{"jsonrpc":"2.0","METHOD":"update","params":[1],"id":1}`, fmt.Sprintf(bad, "member METHOD must be written method", "1")},
		{"Params", `{"jsonrpc":"2.0","method":"update","Params":[1],"id":1}`, fmt.Sprintf(bad, "member Params must be written params", "1")},
		{"folding by Unicode", `{"jsonrpc":"2.0","method":"update","param\u017f":[1],"id":1}`, fmt.Sprintf(bad, "member paramſ must be written params", "1")},
		{"half a surrogate in a key", `{"jsonrpc":"2.0","\ud800":1,"method":"update","params":[1],"id":1}`, fmt.Sprintf(bad, "a member name holds half of a surrogate pair", "1")},
		{"too many members", `{"jsonrpc":"2.0","method":"update","id":1` + members(20) + `}`, fmt.Sprintf(bad, "more than 16 members", "1")},
		{"half a surrogate in the method", `{"jsonrpc":"2.0","method":"\udc00","id":1}`, fmt.Sprintf(bad, "method: must be a string", "1")},
	}.run(t, a)
	if len(toy.ran) != 0 {
		t.Errorf("ran all the same: %v", toy.ran)
	}
}

func members(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"x%d":0`, i)
	}
	return b.String()
}

func TestParams(t *testing.T) {
	a, _ := newToy(Options{})
	for _, tt := range []struct{ method, params, want string }{
		{"echo", `[]`, "missing parameter: text"},
		{"echo", `{}`, "missing parameter: text"},
		{"subtract", `[1]`, "missing parameter: subtrahend"},
		{"subtract", `{"subtrahend":1}`, "missing parameter: minuend"},
		{"subtract", `[1,2,3]`, "too many parameters: takes 2 (minuend, subtrahend)"},
		{"get_data", `[1]`, "too many parameters: takes none"},
		{"get_data", `{"a":1}`, "unknown parameter: a"},
		{"echo", `{"text":"x","foo":1}`, "unknown parameter: foo"},
		{"echo", `{"Text":"x"}`, "unknown parameter: Text"},
		{"echo", `{"text":"x","text":"y"}`, "duplicate parameter: text"},
		{"echo", `{"text":"x","te\u0078t":"y"}`, "duplicate parameter: text"},
		{"echo", `{"text":"x","\ud83d":"y"}`, "a parameter name holds half of a surrogate pair"},
		{"echo", `[1]`, "text: must be a string"},
		{"echo", `[null]`, "text: must be a string"},
		{"echo", `["\ud83d"]`, "text: must not hold half of a surrogate pair"},
		{"echo", `["\ude00\ud83d"]`, "text: must not hold half of a surrogate pair"},
		{"echo", `["\ud83d\u0041"]`, "text: must not hold half of a surrogate pair"},
		{"echo", `7`, "params: must be an array or an object"},
		{"echo", `true`, "params: must be an array or an object"},
		{"subtract", `["1",2]`, "minuend: has the wrong type"},
		{"typed", `[1.5]`, "n: has the wrong type"},
		{"typed", `[99999999999999999999]`, "n: has the wrong type"},
		{"maybe", `["a",1]`, "fold: must be true or false"},
		{"maybe", `["a","true"]`, "fold: must be true or false"},
		{"maybe", `[""]`, "channel_name: a channel name must not be empty"},
		{"maybe", `["a\u0000b"]`, "channel_name: a channel name must not contain control characters"},
		{"maybe", `["` + strings.Repeat("x", 257) + `"]`, "channel_name: a channel name must not be longer than 256 bytes (name_bytes)"},
		{"echo", `[` + strings.Repeat("0,", 100_000) + `0]`, "too many parameters: takes 1 (text)"},
		{"echo", `{"text":"x"` + members(100) + `}`, "unknown parameter: x0"},
		{"echo", `{"` + strings.Repeat("é", 100) + `":1}`, "unknown parameter: " + strings.Repeat("é", 40) + "…"},
		{"echo", `{"a\nb":1}`, "unknown parameter: a\ufffdb"},
	} {
		in := fmt.Sprintf(`{"jsonrpc":"2.0","method":%q,"params":%s,"id":1}`, tt.method, tt.params)
		code, message := failure(t, handle(a, in))
		if code != CodeInvalidParams || message != tt.want {
			t.Errorf("%s%.60s: %d %q, want %q", tt.method, tt.params, code, message, tt.want)
		}
	}
	exchanges{
		{"optional absent", `{"method":"maybe","params":["AB"]}`, `{"result": "AB"}`},
		{"optional null", `{"method":"maybe","params":["AB",null]}`, `{"result": "AB"}`},
		{"optional given", `{"method":"maybe","params":{"fold":true,"channel_name":"AB"}}`, `{"result": "ab"}`},
		{"a surrogate pair", `{"method":"echo","params":["\ud83d\ude00 \u00e9\b\f\n\r\t\"\\\/"]}`, `{"result": "😀 é\b\f\n\r\t\"\\/"}`},
		{"separators", `{"method":"echo","params":["\u2028\u2029"]}`, `{"result": "\u2028\u2029"}`},
	}.run(t, a)
}

// failure returns code and message of an answer, of either dialect.
func failure(t *testing.T, answer string) (code int, message string) {
	t.Helper()
	var a struct {
		Error *struct {
			Code    int
			Message string
			Type    string
			Data    struct{ Type string }
		}
	}
	if err := json.Unmarshal([]byte(answer), &a); err != nil {
		t.Fatalf("%v in %q", err, answer)
	}
	if a.Error == nil {
		return 0, ""
	}
	if name := a.Error.Type + a.Error.Data.Type; name != types[a.Error.Code] {
		t.Errorf("type %q with code %d", name, a.Error.Code)
	}
	return a.Error.Code, a.Error.Message
}

func TestErrorCodes(t *testing.T) {
	a, _ := newToy(Options{})
	for _, tt := range []struct {
		method, params string
		code           int
		message        string
	}{
		{"crash", `[]`, CodeInternalError, "Internal error"},
		{"secret", `[]`, CodeInternal, "internal error"},
		{"unencodable", `[]`, CodeInternal, "internal error"},
		{"conflict", `[]`, CodePublishIDConflict, "publish id used before for something else"},
		{"hub_error", fmt.Sprintf("[%d]", hub.Invalid), CodeInvalidParams, "the hub's words"},
		{"hub_error", fmt.Sprintf("[%d]", hub.UnknownClient), CodeUnknownClient, "the hub's words"},
		{"hub_error", fmt.Sprintf("[%d]", hub.BadCredentials), CodeUnknownClient, "the hub's words"},
		{"hub_error", fmt.Sprintf("[%d]", hub.UnknownChannel), CodeUnknownChannel, "the hub's words"},
		{"hub_error", fmt.Sprintf("[%d]", hub.LimitReached), CodeLimitReached, "the hub's words"},
		{"hub_error", fmt.Sprintf("[%d]", hub.TooLarge), CodeTooLarge, "the hub's words"},
		{"hub_error", fmt.Sprintf("[%d]", hub.Unavailable), CodeUnavailable, "the hub's words"},
		{"hub_error", fmt.Sprintf("[%d]", hub.Conflict), CodePublishIDConflict, "the hub's words"},
		{"hub_error", `[99]`, CodeInternal, "internal error"},
		{"hub_error", `[-1]`, CodeUnavailable, hub.ErrUnavailable.Text},
		{"hub_error", `[-2]`, CodeUnavailable, hub.ErrUnavailable.Text},
	} {
		for _, dialect := range []string{``, `"jsonrpc":"2.0",`} {
			in := fmt.Sprintf(`{%s"method":%q,"params":%s,"id":1}`, dialect, tt.method, tt.params)
			code, message := failure(t, handle(a, in))
			if code != tt.code || message != tt.message {
				t.Errorf("%s: %d %q, want %d %q", in, code, message, tt.code, tt.message)
			}
		}
	}
	if e := (&Error{Code: 7, Type: "seven"}); e.typeName() != "seven" {
		t.Error("a service's own type is not used")
	}
	if e := (&Error{Code: 7}); e.typeName() != "error" || e.Error() != "" {
		t.Error("a code without a type")
	}
}

// What a panic or a hidden error said is in the log, and only there.
func TestPanicIsLoggedNotShown(t *testing.T) {
	var log bytes.Buffer
	a, _ := newToy(Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	answer := handle(a, `[{"method":"crash"},{"method":"secret"},{"method":"get_data"}]`)
	for _, word := range []string{"hunter2", "goroutine", ".go:", "rpcapi", "/etc", "half done"} {
		if strings.Contains(answer, word) {
			t.Errorf("%q is in the answer: %s", word, answer)
		}
	}
	if !strings.HasSuffix(answer, `,{"result": ["hello",5]}]`+"\n") {
		t.Errorf("the batch did not go on: %s", answer)
	}
	for _, word := range []string{"method=crash", "hunter2", "goroutine", "toy", "method=secret", "/etc/shaveet/key"} {
		if !strings.Contains(log.String(), word) {
			t.Errorf("%q is not in the log: %s", word, &log)
		}
	}
}

func TestCancelledCall(t *testing.T) {
	a, _ := newToy(Options{})
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	code, _ := failure(t, string(a.Handle(ctx, []byte(`{"method":"wait"}`))))
	if code != CodeUnavailable {
		t.Errorf("code %d", code)
	}
}

func TestBatchOrderAndLimits(t *testing.T) {
	a, toy := newToy(Options{MaxBatch: 3, MaxBody: 500})
	handle(a, `[{"method":"update","params":[1]},{"jsonrpc":"2.0","method":"update","params":[2]},{"method":"update","params":[3]}]`)
	if want := []string{"update 1", "update 2", "update 3"}; !reflect.DeepEqual(toy.ran, want) {
		t.Errorf("ran %v", toy.ran)
	}
	code, message := failure(t, handle(a, `[{"method":"update","params":[4]},1,2,3]`))
	if code != CodeInvalidRequest || message != "Invalid Request: more than 3 calls in a batch (max_batch_calls)" {
		t.Errorf("%d %s", code, message)
	}
	if len(toy.ran) != 3 {
		t.Error("a batch that is refused ran in part")
	}
	code, _ = failure(t, handle(a, strings.Repeat(" ", 501)))
	if code != CodeTooLarge {
		t.Errorf("code %d for a large body", code)
	}
}

func TestMisusedServices(t *testing.T) {
	for name, s := range map[string]Service{
		"no methods":     {Name: "X", Receiver: &struct{}{}},
		"unknown method": {Name: "X", Receiver: &toy{}, Methods: []Method{{Name: "nope"}}},
		"taken name":     {Name: "X", Receiver: &toy{}, Methods: []Method{{Name: "echo"}, {Name: "echo"}}},
		"taken service":  {Name: "Admin", Receiver: &toy{}},
		"no tag":         {Name: "X", Receiver: &misfit{}, Methods: []Method{{Name: "no_tag"}}},
		"unknown option": {Name: "X", Receiver: &misfit{}, Methods: []Method{{Name: "bad_option"}}},
		"no struct":      {Name: "X", Receiver: &misfit{}, Methods: []Method{{Name: "no_struct"}}},
		"one bound":      {Name: "X", Receiver: &misfit{}, Methods: []Method{{Name: "one_bound"}}},
		"bounds of any":  {Name: "X", Receiver: &misfit{}, Methods: []Method{{Name: "bounds_of_any"}}},
		"unknown error":  {Name: "X", Receiver: &toy{}, Methods: []Method{{Name: "echo", Errors: []int{7}}}},
		"example of another method": {Name: "X", Receiver: &toy{}, Methods: []Method{
			{Name: "echo", Examples: []Example{{Params: `{"words": "a"}`, Result: `"a"`}}},
		}},
		"example with positional parameters": {Name: "X", Receiver: &toy{}, Methods: []Method{
			{Name: "echo", Examples: []Example{{Params: `["a"]`, Result: `"a"`}}},
		}},
		"example without JSON": {Name: "X", Receiver: &toy{}, Methods: []Method{
			{Name: "echo", Examples: []Example{{Params: `{"text": "a"}`, Result: `a`}}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("New did not panic")
				}
			}()
			New(hub.New(hub.Config{}, nil), Options{Services: []Service{s}})
		})
	}
}

// misfit has methods that no service may have.
type misfit struct{}

func (misfit) NoTag(*http.Request, *struct{ A int }, *int) error { return nil }

func (misfit) BadOption(*http.Request, *struct {
	A int `param:"a,maybe"`
}, *int) error {
	return nil
}

func (misfit) OneBound(*http.Request, *struct {
	A int `param:"a" min:"1"`
}, *int) error {
	return nil
}

func (misfit) BoundsOfAny(*http.Request, *struct {
	A json.RawMessage `param:"a" min:"1" max:"2"`
}, *int) error {
	return nil
}

func (misfit) NoStruct(*http.Request, *map[string]int, *int) error { return nil }
