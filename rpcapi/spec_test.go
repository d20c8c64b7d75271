package rpcapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/server/hub"
)

// toy is a service that needs no running hub: the methods of the examples in
// the JSON-RPC 2.0 specification, and some that misbehave.
type toy struct {
	ran []string // what changes something, in order
}

var toyService = []Method{
	{Name: "subtract"},
	{Name: "update", Void: true},
	{Name: "sum"},
	{Name: "notify_hello", Void: true},
	{Name: "get_data"},
	{Name: "echo"},
	{Name: "crash"},
	{Name: "secret"},
	{Name: "conflict"},
	{Name: "unencodable"},
	{Name: "maybe"},
	{Name: "typed"},
	{Name: "hub_error"},
	{Name: "wait"},
}

func (t *toy) Subtract(_ *http.Request, p *struct {
	Minuend    float64 `param:"minuend"`
	Subtrahend float64 `param:"subtrahend"`
}, reply *float64) error {
	*reply = p.Minuend - p.Subtrahend
	return nil
}

type fiveParams = struct {
	A json.RawMessage `param:"a"`
	B json.RawMessage `param:"b,optional"`
	C json.RawMessage `param:"c,optional"`
	D json.RawMessage `param:"d,optional"`
	E json.RawMessage `param:"e,optional"`
}

func (t *toy) Update(_ *http.Request, p *fiveParams, _ *struct{}) error {
	t.ran = append(t.ran, "update "+string(p.A)+string(p.E))
	return nil
}

func (t *toy) Sum(_ *http.Request, p *struct {
	A int `param:"a"`
	B int `param:"b"`
	C int `param:"c"`
}, reply *int) error {
	*reply = p.A + p.B + p.C
	return nil
}

func (t *toy) NotifyHello(_ *http.Request, p *struct {
	A int `param:"a"`
}, _ *struct{}) error {
	t.ran = append(t.ran, "hello")
	return nil
}

func (t *toy) GetData(_ *http.Request, _ *struct{}, reply *[]any) error {
	*reply = []any{"hello", 5}
	return nil
}

func (t *toy) Echo(_ *http.Request, p *struct {
	Text string `param:"text"`
}, reply *string) error {
	*reply = p.Text
	return nil
}

func (t *toy) Crash(_ *http.Request, _ *struct{}, reply *string) error {
	*reply = "half done"
	panic("password=hunter2")
}

func (t *toy) Secret(_ *http.Request, _ *struct{}, _ *string) error {
	return errors.New("open /etc/shaveet/key: permission denied")
}

func (t *toy) Conflict(_ *http.Request, _ *struct{}, _ *string) error {
	return &Error{Code: CodePublishIDConflict, Message: "publish id used before for something else"}
}

func (t *toy) Unencodable(_ *http.Request, _ *struct{}, reply *func()) error {
	return nil
}

func (t *toy) Maybe(_ *http.Request, p *struct {
	Channel ChannelName `param:"channel_name"`
	Fold    bool        `param:"fold,optional"`
}, reply *string) error {
	*reply = string(p.Channel)
	if p.Fold {
		*reply = strings.ToLower(*reply)
	}
	return nil
}

func (t *toy) Typed(_ *http.Request, p *struct {
	N int `param:"n"`
}, reply *int) error {
	*reply = p.N
	return nil
}

func (t *toy) HubError(_ *http.Request, p *struct {
	Kind int `param:"kind"`
}, _ *string) error {
	switch p.Kind {
	case -1:
		return context.DeadlineExceeded
	case -2:
		return errors.Join(errors.New("publishing"), hub.ErrUnavailable)
	}
	return &hub.Error{Kind: hub.Kind(p.Kind), Text: "the hub's words"}
}

func (t *toy) Wait(r *http.Request, _ *struct{}, reply *string) error {
	<-r.Context().Done()
	return r.Context().Err()
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// newToy returns an API with the toy methods, on a hub that does not run.
func newToy(opts Options) (*API, *toy) {
	t := &toy{}
	opts.Services = []Service{{Name: "Toy", Receiver: t, Methods: toyService}}
	if opts.Logger == nil {
		opts.Logger = quiet
	}
	return New(hub.New(hub.Config{NewKey: func() string { return "" }}, nil), opts), t
}

// handle answers body as text.
func handle(a *API, body string) string {
	return string(a.Handle(context.Background(), []byte(body)))
}

// The examples of https://www.jsonrpc.org/specification, section 7. Where the
// specification leaves room, in the message and data of errors, only the code
// is compared.
var specification = []struct{ name, in, out string }{
	{"positional", `{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}`, `{"jsonrpc": "2.0", "result": 19, "id": 1}`},
	{"positional, other order", `{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}`, `{"jsonrpc": "2.0", "result": -19, "id": 2}`},
	{"named", `{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}`, `{"jsonrpc": "2.0", "result": 19, "id": 3}`},
	{"named, other order", `{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}`, `{"jsonrpc": "2.0", "result": 19, "id": 4}`},
	{"notification", `{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}`, ``},
	{"notification without params", `{"jsonrpc": "2.0", "method": "foobar"}`, ``},
	{"non-existent method", `{"jsonrpc": "2.0", "method": "foobar", "id": "1"}`, `{"jsonrpc": "2.0", "error": {"code": -32601}, "id": "1"}`},
	{"invalid JSON", `{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]`, `{"jsonrpc": "2.0", "error": {"code": -32700}, "id": null}`},
	{"invalid request", `{"jsonrpc": "2.0", "method": 1, "params": "bar"}`, `{"jsonrpc": "2.0", "error": {"code": -32600}, "id": null}`},
	{"batch, invalid JSON", `[
  {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
  {"jsonrpc": "2.0", "method"
]`, `{"jsonrpc": "2.0", "error": {"code": -32700}, "id": null}`},
	{"empty array", `[]`, `{"jsonrpc": "2.0", "error": {"code": -32600}, "id": null}`},
	{"invalid batch, not empty", `[1]`, `[{"jsonrpc": "2.0", "error": {"code": -32600}, "id": null}]`},
	{"invalid batch", `[1,2,3]`, `[
  {"jsonrpc": "2.0", "error": {"code": -32600}, "id": null},
  {"jsonrpc": "2.0", "error": {"code": -32600}, "id": null},
  {"jsonrpc": "2.0", "error": {"code": -32600}, "id": null}
]`},
	{"batch", `[
  {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
  {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
  {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
  {"foo": "boo"},
  {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
  {"jsonrpc": "2.0", "method": "get_data", "id": "9"}
]`, `[
  {"jsonrpc": "2.0", "result": 7, "id": "1"},
  {"jsonrpc": "2.0", "result": 19, "id": "2"},
  {"jsonrpc": "2.0", "error": {"code": -32600}, "id": null},
  {"jsonrpc": "2.0", "error": {"code": -32601}, "id": "5"},
  {"jsonrpc": "2.0", "result": ["hello", 5], "id": "9"}
]`},
	{"all notifications", `[
  {"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
  {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}
]`, ``},
}

func TestSpecification(t *testing.T) {
	a, _ := newToy(Options{})
	for _, tt := range specification {
		t.Run(tt.name, func(t *testing.T) {
			got := handle(a, tt.in)
			if tt.out == "" {
				if got != "" {
					t.Fatalf("answered %s", got)
				}
				return
			}
			if g, w := codesOnly(t, got), codesOnly(t, tt.out); !reflect.DeepEqual(g, w) {
				t.Errorf("got %s, want %s", got, tt.out)
			}
		})
	}
}

// codesOnly decodes an answer and drops message and data from its errors.
func codesOnly(t *testing.T, answer string) any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader([]byte(answer)))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v in %q", err, answer)
	}
	each, ok := v.([]any)
	if !ok {
		each = []any{v}
	}
	for _, e := range each {
		if obj, ok := e.(map[string]any)["error"].(map[string]any); ok {
			delete(obj, "message")
			delete(obj, "data")
		}
	}
	return v
}
