package rpcapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// stage is what there is before each of the document's examples: two clients on
// one channel, a message with a publish id, a reader, and the sockets of a hall.
var stage = []string{
	`{"jsonrpc": "2.0", "method": "create_client", "params": {"client_id": "alice"}}`,
	`{"jsonrpc": "2.0", "method": "create_client", "params": {"client_id": "bob"}}`,
	`{"jsonrpc": "2.0", "method": "subscribe_many", "params": {"channels": {"room": ["alice", "bob"]}}}`,
	`{"jsonrpc": "2.0", "method": "publish", "params": {"channel": "room", "data": "paid", "publish_id": "order-16"}}`,
}

var reading = hub.Start{Session: "tab-1", Transport: "sse"} // alice does

// onStage returns an API with all that stage says.
func onStage(t *testing.T) *API {
	t.Helper()
	h := newHub(t, hub.Limits{})
	reload := func(context.Context) (changed, restart []string, err error) {
		return []string{"log_level"}, []string{"listen"}, nil
	}
	a := New(h, Options{Version: "1.0.0", Logger: quiet, Reload: reload, Sockets: newHall()})
	for _, body := range stage {
		if answer := handle(a, body); answer != "" {
			t.Fatalf("%s: %s", body, answer)
		}
	}
	key, _, err := h.CreateClient(context.Background(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.Attach(context.Background(), []hub.Credentials{{ID: "alice", Key: key}}, reading)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return a
}

// parsed is a document, as far as the tests and the manual need it.
type parsed struct {
	Info       struct{ Title, Description, Version string }
	Methods    []parsedMethod
	Components struct {
		Errors map[string]struct {
			Code    int
			Message string
		}
		Tags map[string]struct{ Description string }
	}
}

type parsedMethod struct {
	Name, Summary, Description string
	Tags, Errors               []struct {
		Ref string `json:"$ref"`
	}
	Params   []parsedValue
	Result   parsedValue
	Examples []parsedExample
}

type parsedValue struct {
	Name, Description string
	Required          bool
	Schema            json.RawMessage
}

type parsedExample struct {
	Name   string
	Params []struct {
		Name  string
		Value json.RawMessage
	}
	Result struct{ Value json.RawMessage }
}

func parseDocument(t *testing.T, text []byte) (d parsed) {
	t.Helper()
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// reply is what a method answered, for the check against its schema.
type reply struct {
	Method string          `json:"method"`
	Result json.RawMessage `json:"result"`
}

// Every example is called, with named parameters and with positional ones, and
// must be answered as it says. What it cannot know are keys, positions and
// times.
func TestOpenRPCExamples(t *testing.T) {
	var replies []reply
	doc := onStage(t).OpenRPC()
	for _, m := range parseDocument(t, doc).Methods {
		if len(m.Examples) == 0 && m.Name != discoverMethod { // it would have to contain itself
			t.Errorf("%s has no example", m.Name)
		}
		for _, e := range m.Examples {
			for _, params := range []string{named(e), positional(m, e)} {
				result := resultOf(t, onStage(t), m.Name, params)
				replies = append(replies, reply{m.Name, result})
				if got, want := normal(t, result), normal(t, e.Result.Value); !reflect.DeepEqual(got, want) {
					t.Errorf("%s, example %s, params %s:\n got %s\nwant %s", m.Name, e.Name, params, result, e.Result.Value)
				}
			}
		}
	}
	replies = append(replies, reply{discoverMethod, resultOf(t, onStage(t), discoverMethod, `{}`)})
	describes(t, doc, replies)
}

// What the document says of answers is also true of the ones that no example
// shows.
func TestOpenRPCReplies(t *testing.T) {
	a := onStage(t)
	handle(a, `{"jsonrpc":"2.0","method":"publish_many","params":[[{"channel":"é<&>\u2028","data":"\ud800","system":true},{"channel":"room","data":[1,
		2]}]]}`)
	at := a.hub.Position()
	elsewhere := hub.Position{Epoch: at.Epoch + 1, Seq: 1}.String()
	var replies []reply
	for _, call := range []struct{ method, params string }{
		{"history", `{"channel":"room"}`},
		{"history", `{"channel":"room","limit":1}`},
		{"history", `{"channel":"room","limit":1.0,"reverse":true}`},
		{"history", `{"channel":"é<&>\u2028","since":"` + elsewhere + `"}`},
		{"history", `{"channel":"room","since":"` + at.String() + `"}`},
		{"presence", `{"channel":"room","limit":1}`},
		{"presence", `{"channel":"room","after":"alice"}`},
		{"presence", `{"channel":"é<&>\u2028"}`},
		{"channels", `{"limit":1}`},
		{"channels", `{"pattern":"none"}`},
		{"clients", `{"after":"alice"}`},
		{"clients", `{"pattern":"none"}`},
		{"publish", `{"channel":"room","data":null}`},
		{"publish_many", `{"messages":[]}`},
		{"publish_many", `{"messages":[7,{},{"channel":"room"},{"channel":"room","data":1,"data":2},{"channel":"","data":1}]}`},
		{"broadcast", `{"channels":[],"data":1}`},
		{"emit", `{"event":"e","args":[1],"to":"room","publish_id":"x"}`},
		{"emit", `{"event":"e","args":[1],"to":"room","publish_id":"x"}`},
		{"emit", `{"event":"e","to":["client:nobody"]}`},
		{"history", `{"channel":"room","reverse":true}`},
		{"create_client", `{"client_id":"alice","position":null}`},
		{"create_client", `{"client_id":"alice","position":false}`},
		{"subscribe", `{"client_id":"alice","channel_name":"room","position":true}`},
		{"get_channel_clients", `{"channel_name":"nowhere"}`},
	} {
		replies = append(replies, reply{call.method, resultOf(t, a, call.method, call.params)})
	}
	describes(t, a.OpenRPC(), replies)
}

// A check that finds nothing might not look.
func TestOpenRPCCheckFindsFaults(t *testing.T) {
	good := string(onStage(t).OpenRPC())
	changes := []struct{ what, from, to, fault string }{
		{"no title", `"title":"Shaveet admin API",`, ``, "title"},
		{"a foreign member", `"openrpc":`, `"swagger":"2.0","openrpc":`, "additional properties"},
		{"the version", `"openrpc":"1.3.2"`, `"openrpc":"9.9.9"`, "openrpc"},
		{"a method's name", `"name":"publish",`, `"name":"",`, "fewer than 1"},
		{"a parameter without a name", `{"name":"since","description":`, `{"nom":"since","description":`, "must have required property 'name'"},
		{"a type", `"type":"array"`, `"type":"list"`, "must be equal to one of the allowed values"},
		{"a keyword", `"minimum":1`, `"minimun":1`, "unknown keyword"},
		{"a reference", `#/components/errors/unknown_client`, `#/components/errors/unknown`, "is not there"},
		{"an example's parameter", `"name":"channel","value":"room"`, `"name":"channel","value":7`, "must be string"},
		{"an example's parameter's name", `{"name":"channel","value":"room"`, `{"name":"channels","value":"room"`, "is no parameter"},
		{"an example's answer", `"id":4}`, `"ID":4}`, "required property 'id'"},
	}
	replies := []reply{
		{"publish", json.RawMessage(`{"position":"6f1c2b9a04d7e358.9","id":0}`)},
		{"publish", json.RawMessage(`{"position":"6f1c2b9a04d7e358.9","id":1,"more":1}`)},
		{"publish", json.RawMessage(`{"position":"6f1c2b9a04d7e358.09","id":1}`)},
		{"subscribe", json.RawMessage(`2`)},
		{"history", json.RawMessage(`{"messages":null,"position":"6f1c2b9a04d7e358.9","last_id":0,"more":false}`)},
		{"nonsense", json.RawMessage(`1`)},
	}
	var checks []check
	for _, c := range changes {
		bad := strings.Replace(good, c.from, c.to, 1)
		if bad == good {
			t.Fatalf("%s: %s is not in the document", c.what, c.from)
		}
		checks = append(checks, check{Document: json.RawMessage(bad)})
	}
	for _, r := range replies {
		checks = append(checks, check{json.RawMessage(good), []reply{r}})
	}
	faults := faultsOf(t, checks...)
	for i, c := range changes {
		if !strings.Contains(strings.Join(faults[i], "\n"), c.fault) {
			t.Errorf("%s: %q", c.what, faults[i])
		}
	}
	for i, r := range replies {
		if len(faults[len(changes)+i]) == 0 {
			t.Errorf("%s passes for an answer of %s", r.Result, r.Method)
		}
	}
}

// Anybody may cache the document or compare it.
func TestOpenRPCIsTheSameEveryTime(t *testing.T) {
	a, b := onStage(t).OpenRPC(), onStage(t).OpenRPC()
	if !bytes.Equal(a, b) {
		t.Error("two servers describe themselves differently")
	}
	var inner bytes.Buffer
	if err := json.Compact(&inner, resultOf(t, onStage(t), discoverMethod, `[]`)); err != nil {
		t.Fatal(err)
	}
	var outer bytes.Buffer
	if err := json.Compact(&outer, a); err != nil || !bytes.Equal(inner.Bytes(), outer.Bytes()) {
		t.Error("rpc.discover does not answer the document", err)
	}
}

// counting answers count and subtract.
type counting struct{}

func (counting) Count(_ *http.Request, p *struct {
	From int `param:"from,optional" min:"-5" max:"5" default:"1" help:"where to begin"`
}, reply *int) error {
	*reply = p.From
	return nil
}

func (counting) Subtract(_ *http.Request, p *struct {
	From int `param:"from" help:"the larger one"`
	What int `param:"what" help:"the smaller one"`
}, reply *int) error {
	*reply = p.From - p.What
	return nil
}

func TestOpenRPCHasServices(t *testing.T) {
	a := New(newHub(t, hub.Limits{}), Options{Services: []Service{{Name: "Counting", Receiver: counting{}, Methods: []Method{{
		Name: "count", Summary: "Counts.", Errors: []int{CodeTooLarge}, Examples: []Example{{"one", `{"from": 3}`, `3`}},
	}}}}})
	d := string(a.OpenRPC())
	want := `{"name":"count","tags":[{"$ref":"#/components/tags/server"}],"summary":"Counts.","paramStructure":"either",` +
		`"params":[{"name":"from","description":"where to begin","schema":{"type":"integer","default":1,"minimum":-5,"maximum":5}}],` +
		`"result":{"name":"result","schema":{"type":"integer"}},` +
		`"errors":[{"$ref":"#/components/errors/invalid_params"},{"$ref":"#/components/errors/too_large"},{"$ref":"#/components/errors/internal"}],` +
		`"examples":[{"name":"one","params":[{"name":"from","value":3}],"result":{"name":"result","value":3}}]}`
	if !strings.Contains(d, want) {
		t.Errorf("not in the document: %s\n%s", want, d[strings.Index(d, `{"name":"count"`):])
	}
	describes(t, []byte(d), nil)
	for params, want := range map[string]string{
		`[]`: `"result": 1`, `[null]`: `"result": 1`, `[-5]`: `"result": -5`, `[5.0]`: `"result": 5`,
		`[6]`: "from: must be a whole number from -5 to 5", `[-6]`: "from: must be a whole number from -5 to 5",
		`[1.5]`: "from: must be a whole number from -5 to 5", `["1"]`: "from: must be a whole number from -5 to 5",
	} {
		if got := handle(a, `{"method":"count","params":`+params+`}`); !strings.Contains(got, want) {
			t.Errorf("count%s: %s", params, got)
		}
	}
}

// An example without a result is called with its parameters, and left out if
// there is none.
func TestOpenRPCRunsExamples(t *testing.T) {
	a := New(newHub(t, hub.Limits{}), Options{Logger: quiet, Services: []Service{{Name: "Counting", Receiver: counting{}, Methods: []Method{{
		Name: "count", Examples: []Example{{"three", ` {"from": 3}`, ""}, {"as usual", `{}`, ""}, {"too much", `{"from": 6}`, ""}},
	}, {
		Name: "subtract", Examples: []Example{{"five", `{"what": 2, "from": 7}`, ""}},
	}}}}})
	var got []string
	for _, m := range parseDocument(t, a.OpenRPC()).Methods {
		for _, e := range m.Examples {
			if m.Name == "count" || m.Name == "subtract" {
				got = append(got, named(e)+" "+string(e.Result.Value))
			}
		}
	}
	if want := []string{`{"from": 3} 3`, `{} 1`, `{"from": 7, "what": 2} 5`}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

type (
	// Tree has itself inside, in every way that there is.
	Tree struct {
		Name     string
		Parent   *Tree           `json:"parent"`
		Children []Tree          `json:",omitempty" help:"below it"`
		ByName   map[string]Tree `json:"by_name,omitzero"`
		Both     [2]Grove
	}
	Grove struct{ Trees []Tree }

	// Reply has all that encoding/json treats in its own way.
	Reply struct {
		Embedded
		*AlsoEmbedded
		Named  `json:"named"`
		Absent `json:"-"`
		Number `json:",string"`

		Bytes   []byte
		Blob    blob
		Array   [4]byte
		Raw     json.RawMessage
		At      time.Time
		Took    time.Duration
		Address netip.Addr
		Quoted  int `json:"quoted,omitempty,string"`
		Over    string
		Any     any
		Tree    Tree `json:"tree"`
		Left    int  `json:"-"`
		hidden  int
	}
	Embedded     struct{ First, Over int }
	AlsoEmbedded struct {
		Second int `json:"second"`
	}
	Named  struct{ Third int }
	Absent struct{ Fourth int }
	Number int
	blob   []byte
)

// replying answers reply.
type replying struct{}

func (replying) Reply(_ *http.Request, _ *noParams, reply *Reply) error {
	*reply = Reply{AlsoEmbedded: &AlsoEmbedded{}, hidden: 1, Bytes: []byte("x"), Blob: blob("x"), Raw: json.RawMessage("[1]"), Any: 1}
	reply.Tree = Tree{Name: "a", Parent: &Tree{}, Children: []Tree{{Name: "b"}}}
	for _, all := range []*[]Tree{&reply.Tree.Both[0].Trees, &reply.Tree.Both[1].Trees} {
		*all = []Tree{}
	}
	reply.Quoted = 7
	return nil
}

// The document says what encoding/json does with a reply, whatever is in it.
func TestOpenRPCOfAnyReply(t *testing.T) {
	a := New(newHub(t, hub.Limits{}), Options{Logger: quiet, Services: []Service{{Name: "Replying", Receiver: replying{}, Methods: []Method{{Name: "reply"}}}}})
	doc := a.OpenRPC()
	result := resultOf(t, a, "reply", `{}`)
	describes(t, doc, []reply{{"reply", result}})

	var s struct {
		Properties map[string]struct{ Type string }
		Required   []string
	}
	for _, m := range parseDocument(t, doc).Methods {
		if m.Name == "reply" {
			if err := json.Unmarshal(m.Result.Schema, &s); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := make(map[string]string)
	for name, p := range s.Properties {
		got[name] = p.Type
	}
	want := map[string]string{
		"First": "integer", "second": "integer", "named": "object", "Number": "string",
		"Bytes": "string", "Blob": "string", "Array": "array", "Raw": "", "At": "string", "Took": "integer", "Address": "string",
		"quoted": "string", "Over": "string", "Any": "", "tree": "object",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("members %v, want %v", got, want)
	}
	var members map[string]any
	if err := json.Unmarshal(result, &members); err != nil || !slices.Equal(slices.Sorted(maps.Keys(members)), slices.Sorted(maps.Keys(want))) {
		t.Errorf("the reply has %v: %v", slices.Sorted(maps.Keys(members)), err)
	}
	if len(s.Required) != len(want)-1 || slices.Contains(s.Required, "quoted") {
		t.Errorf("required are %q", s.Required)
	}
	if got := handle(a, `{"method":"system.describe"}`); !strings.Contains(got, `"name":"reply"`) {
		t.Errorf("%s", got)
	}
}

// named returns the parameters as an object.
func named(e parsedExample) string {
	var members []string
	for _, p := range e.Params {
		members = append(members, fmt.Sprintf("%q: %s", p.Name, p.Value))
	}
	return "{" + strings.Join(members, ", ") + "}"
}

// positional returns the parameters as an array; null is one that is left out.
func positional(m parsedMethod, e parsedExample) string {
	values := make([]string, len(m.Params))
	for i, p := range m.Params {
		values[i] = "null"
		for _, given := range e.Params {
			if given.Name == p.Name {
				values[i] = string(given.Value)
			}
		}
	}
	return "[" + strings.Join(values, ", ") + "]"
}

func resultOf(t *testing.T, a *API, method, params string) json.RawMessage {
	t.Helper()
	answer := handle(a, fmt.Sprintf(`{"jsonrpc": "2.0", "method": %q, "params": %s, "id": 1}`, method, params))
	var r struct{ Result json.RawMessage }
	if err := json.Unmarshal([]byte(answer), &r); err != nil || strings.Contains(answer, `"error":{"code":`) && !strings.Contains(answer, `"result"`) {
		t.Errorf("%s%s: %s", method, params, answer)
		return json.RawMessage("null")
	}
	if r.Result == nil {
		return json.RawMessage("null")
	}
	return r.Result
}

var (
	aPosition = regexp.MustCompile(`^[0-9a-f]{16}\.[0-9]+$`)
	anEpoch   = regexp.MustCompile(`^[0-9a-f]{16}$`)
	aKey      = regexp.MustCompile(`^[0-9a-f]{32}$`)
	times     = []string{"time", "since", "created", "seen", "connected"} // in ms
	ages      = []string{"uptime", "uptime_s"}
)

// normal decodes text and makes keys, positions and times all alike.
func normal(t *testing.T, text []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return alike("", v)
}

func alike(name string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = alike(k, v[k])
		}
	case []any:
		for i := range v {
			v[i] = alike(name, v[i])
		}
	case string:
		for what, pattern := range map[string]*regexp.Regexp{"a position": aPosition, "an epoch": anEpoch, "a key": aKey} {
			if pattern.MatchString(v) {
				return what
			}
		}
	case float64:
		if slices.Contains(times, name) && v > 1e12 || slices.Contains(ages, name) && v >= 0 {
			return "a time"
		}
	}
	return v
}

// check is a document with answers that it should describe.
type check struct {
	Document json.RawMessage `json:"document"`
	Replies  []reply         `json:"replies"`
}

// faultsOf returns what is wrong with each of the checks.
func faultsOf(t *testing.T, checks ...check) [][]string {
	t.Helper()
	in, err := json.Marshal(checks)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "check.mjs")
	cmd.Dir = "../tests/openrpc"
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		t.Fatalf("node check.mjs: %v (make deps installs what it needs)\n%s", err, exit.Stderr)
	} else if err != nil {
		t.Fatal(err)
	}
	var faults [][]string
	if err := json.Unmarshal(out, &faults); err != nil || len(faults) != len(checks) {
		t.Fatal(err, len(faults))
	}
	return faults
}

// describes fails the test when the document is wrong, or not right about the
// answers.
func describes(t *testing.T, document []byte, replies []reply) {
	t.Helper()
	for _, fault := range faultsOf(t, check{document, replies})[0] {
		t.Error(fault)
	}
}
