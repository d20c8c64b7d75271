package namespace_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/namespace"
)

type point struct {
	X, Y int
	Name *string `json:",omitempty"`
}

type file struct {
	Name string
	Data namespace.Binary
}

// badArguments is the answer to wrong ones.
func badArguments(why string) string {
	return `[{"error":{"type":"bad_arguments","message":"argument ` + why + `"}}]`
}

const failed = `[{"error":{"type":"handler_failed","message":"the event could not be answered"}}]`

// Functions of every kind are called with what pages say, and answer it.
func TestFunctions(t *testing.T) {
	type s = namespace.Socket
	for _, tt := range []struct {
		name string
		fn   any
		says string // the arguments, with what is binary behind them
		want string
	}{
		{"nothing", func() {}, ``, `[]`},
		{"nothing of what there is", func() {}, `1,{"a":[]}`, `[]`},
		{"two results", func() (int, string) { return 1, "<&>" }, ``, `[1,"<&>"]`},
		{"no error", func() error { return nil }, ``, `[]`},
		{"a result and no error", func(a int) (int, error) { return -a, nil }, `5`, `[-5]`},
		{"a context", func(ctx context.Context, a string) bool { return ctx.Err() == nil && a == "é" }, `"é"`, `[true]`},
		{"a socket", func(p *s, a string) bool { return len(p.ID()) == 20 && a == "b" }, `"b"`, `[true]`},
		{"a context and a socket", func(_ context.Context, p *s) string { return p.Namespace() }, ``, `["/a"]`},

		{"more than wanted", func(a int) int { return a }, `1,2,3`, `[1]`},
		{"missing", func(int, string) {}, `1`, badArguments("2 is missing")},
		{"undefined", func(string) {}, `null`, badArguments("1 is missing")},
		{"no struct", func(point) {}, `null`, badArguments("1 is missing")},
		{"a missing slice", func([]int) {}, ``, badArguments("1 is missing")},
		{"null as a slice", func(a []int) bool { return a == nil }, `null`, `[true]`},
		{"null as a map", func(a map[string]int) bool { return a == nil }, ` null `, `[true]`},
		{"null as any", func(a any) bool { return a == nil }, `null`, `[true]`},
		{"null as JSON", func(a json.RawMessage) string { return string(a) }, `null`, `["null"]`},
		{"null as what knows it", func(a time.Time) bool { return a.IsZero() }, `null`, `[true]`},
		{"no pointer", func(a int, b *int) (int, bool) { return a, b == nil }, `1`, `[1,true]`},
		{"null as a pointer", func(a *int, b int) (bool, int) { return a == nil, b }, `null,2`, `[true,2]`},
		{"a pointer", func(a *int) int { return *a }, `3`, `[3]`},
		{"pointers before others", func(*int, int) {}, `1`, badArguments("2 is missing")},
		{"none of many", func(a ...int) int { return len(a) }, ``, `[0]`},
		{"many", func(p *s, a string, b ...int) []int { return b }, `"x",1,2,3`, `[[1,2,3]]`},
		{"as many as there may be", func(a ...int) int { return len(a) }, strings.TrimSuffix(strings.Repeat("0,", 1000), ","), `[1000]`},
		{"too many", func(...int) {}, strings.Repeat("0,", 1000) + "0", `[{"error":{"type":"bad_arguments","message":"there are more than 1000 arguments"}}]`},
		{"one of many is wrong", func(...int) {}, `1,"2"`, badArguments("2 cannot be a string")},
		{"one of many is missing", func(...int) {}, `1,null`, badArguments("2 is missing")},
		{"many pointers", func(a ...*int) bool { return a[1] == nil && *a[0] == 1 }, `1,null`, `[true]`},

		{"a struct", func(p point) point { p.X++; return p }, `{"X":1,"Y":2,"z":3}`, `[{"X":2,"Y":2}]`},
		{"a struct with more", func(p *point) string { return *p.Name }, `{"Name":"n"}`, `["n"]`},
		{"a wrong field", func(point) {}, `{"X":"1"}`, badArguments("1 cannot have a string as X")},
		{"a wrong type", func(string, int) {}, `"a",{}`, badArguments("2 cannot be an object")},
		{"too large a number", func(int8) {}, `200`, badArguments("1 cannot be a number 200")},
		{"half a number", func(int) {}, `1.5`, badArguments("1 cannot be a number 1.5")},
		{"JSON", func(a json.RawMessage) json.RawMessage { return a }, `{"a":[1,null]}`, `[{"a":[1,null]}]`},
		{"any", func(a any) any { return a }, `{"a":[1,null]}`, `[{"a":[1,null]}]`},
		{"an address", func(a netip.Addr) netip.Addr { return a.Next() }, `"10.0.0.1"`, `["10.0.0.2"]`},
		{"no address", func(netip.Addr) {}, `"x"`, badArguments("1 is not as it must be")},
		{"an array", func(a [2]int) int { return a[0] + a[1] }, `[3,4]`, `[7]`},

		{"bytes", func(a []byte) (int, []byte) { return len(a), append(a, 0) }, `{"_placeholder":true,"num":0} binary:ab`, `[2,{"_placeholder":true,"num":0}] binary:ab` + "\x00"},
		{"no bytes", func() []byte { return nil }, ``, `[null]`},
		{"empty bytes", func() []byte { return []byte{} }, ``, `[{"_placeholder":true,"num":0}] binary:`},
		{"a text is no bytes", func([]byte) {}, `"YWI="`, badArguments("1 must be binary")},
		{"an object is no bytes", func([]byte) {}, `{"a":1}`, badArguments("1 must be binary")},
		{"nor is one that looks so", func([]byte) {}, `{"$binary":"?"}`, badArguments("1 must be binary")},
		{"missing bytes", func([]byte) {}, ``, badArguments("1 is missing")},
		{"null as bytes", func(a []byte) bool { return a == nil }, `null`, `[true]`},
		{"no pointer to bytes", func(a *[]byte) bool { return a == nil }, ``, `[true]`},
		{"null as a pointer to bytes", func(a *[]byte) bool { return a == nil }, `null`, `[true]`},
		{"a pointer to bytes", func(a *[]byte) string { return string(*a) }, `{"_placeholder":true,"num":0} binary:ab`, `["ab"]`},
		{"many bytes", func(a ...[]byte) int { return len(a[0]) + len(a[1]) }, `{"_placeholder":true,"num":0},{"_placeholder":true,"num":1} binary:ab binary:c`, `[3]`},
		{"bytes inside", func(f file) file { f.Data = f.Data[:1]; return f }, `{"Name":"n","Data":{"_placeholder":true,"num":0}} binary:ab`, `[{"Name":"n","Data":{"_placeholder":true,"num":0}}] binary:a`},
		{"no bytes inside", func(f file) file { return f }, `{"Name":"n","Data":null}`, `[{"Name":"n","Data":null}]`},
		{"wrong bytes inside", func(file) {}, `{"Data":"YWI="}`, badArguments("1 must be binary")},

		{"an error", func() error { return errors.New("the password is 1234") }, ``, failed},
		{"a result and an error", func() (int, error) { return 1, io.EOF }, ``, failed},
		{"an error for pages", func() error { return &namespace.Error{Type: "not_found", Message: "no such room"} }, ``, `[{"error":{"type":"not_found","message":"no such room"}}]`},
		{"an error inside of another", func() (int, error) {
			return 1, fmt.Errorf("secret: %w", &namespace.Error{Type: "full", Message: "m", Data: map[string]any{"most": 5, "icon": namespace.Binary("ab")}})
		}, ``, `[{"error":{"type":"full","message":"m","data":{"icon":{"_placeholder":true,"num":0},"most":5}}}] binary:ab`},
		{"an error that cannot be told", func() error { return &namespace.Error{Type: "x", Data: math.NaN()} }, ``, failed},
		{"a result that cannot be told", func() float64 { return math.NaN() }, ``, failed},
		{"too many bytes", func() [][]byte { return nil }, ``, `[null]`},
		{"eleven bytes", func() []namespace.Binary {
			return []namespace.Binary{{}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}}
		}, ``, failed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := namespace.New("/a", namespace.Options{Open: true, Logger: silent})
			n.On("e", tt.fn)
			p := newWorld(t, 0, n).open("/a", "")
			args, attached, _ := strings.Cut(tt.says, " binary:")
			var all []string
			if attached != "" {
				for _, a := range strings.Split(attached, " binary:") {
					all = append(all, "binary:"+a)
				}
			}
			event := `["e",` + args + `]`
			if strings.TrimSpace(args) == "" {
				event = `["e"]`
			}
			if got := p.ask(event, all...); got != tt.want {
				t.Errorf("%s is answered with\n%s, want\n%s", event, got, tt.want)
			}
		})
	}
}

// What is wrong with a function is said when it is registered.
func TestBadFunctions(t *testing.T) {
	var none func()
	for _, tt := range []struct {
		event string
		fn    any
		want  string
	}{
		{"e", nil, `for "e", a <nil>, is no function`},
		{"e", "text", "is no function"},
		{"e", none, "is no function"},
		{"e", func(*namespace.Socket, context.Context) {}, "has a context.Context where an argument should be"},
		{"e", func(string, *namespace.Socket) {}, "has a *namespace.Socket where an argument should be"},
		{"e", func(context.Context, context.Context) {}, "has a context.Context where"},
		{"e", func(...*namespace.Socket) {}, "has a parameter that no argument fits: *namespace.Socket"},
		{"e", func(chan int) {}, "fits: chan int"},
		{"e", func(...func()) {}, "fits: func()"},
		{"e", func([]map[string]*complex128) {}, "fits: complex128"},
		{"e", func(io.Reader) {}, "fits: io.Reader"},
		{"e", func(error) {}, "fits: error"},
		{"e", func() (error, int) { return nil, 0 }, "has a result of the type error: an error must be the last one"}, //lint:ignore ST1008 it is wrong
		{"e", func() *namespace.Error { return nil }, "has a result of the type *namespace.Error: an error must be the last one, and an error"},
		{"e", func() (error, error) { return nil, nil }, "has a result of the type error"},
		{"e", func() *namespace.Socket { return nil }, "returns what cannot be an argument: *namespace.Socket"},
		{"e", func() []chan int { return nil }, "returns what cannot be an argument: chan int"},
		{"connect", func() {}, `the event "connect" has a meaning of its own`},
		{"disconnecting", func() {}, "has a meaning of its own"},
		{"", func() {}, "an event's name"},
		{"there", func() {}, `the event "there" has a function already`},
	} {
		t.Run(fmt.Sprintf("%T", tt.fn), func(t *testing.T) {
			n := namespace.New("/a", namespace.Options{})
			n.On("there", func() {})
			panics(t, tt.want, func() { n.On(tt.event, tt.fn) })
		})
	}
	for name, good := range map[string]any{
		"a marshaler":        func() json.Marshaler { return nil },
		"an empty interface": func(any, map[string]any, []*any) any { return nil },
		"what knows itself": func(netip.Addr, *time.Time, ...json.RawMessage) (netip.Addr, namespace.Args) {
			return netip.Addr{}, nil
		},
		"structs as they are":  func(struct{ C chan int }) struct{ F func() } { return struct{ F func() }{} },
		"a result of any kind": func() (io.Reader, error) { return nil, nil },
	} {
		t.Run(name, func(t *testing.T) { namespace.New("/a", namespace.Options{}).On("e", good) })
	}
}

// panics runs f, which must panic with a text that has want in it.
func panics(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if got := fmt.Sprint(recover()); !strings.Contains(got, want) || !strings.HasPrefix(got, "namespace: ") {
			t.Errorf("it panics with %q, want %q", got, want)
		}
	}()
	f()
}

func TestScan(t *testing.T) {
	args := namespace.Args{[]byte(`"a"`), []byte(`{"$binary":"YWI="}`), []byte(`null`), []byte(`3`)}
	var a string
	var b []byte
	c := new(int)
	var d int
	if err := args.Scan(&a, &b, &c, &d); err != nil || a != "a" || string(b) != "ab" || c != nil || d != 3 {
		t.Errorf("%v: %q %q %v %d", err, a, b, c, d)
	}
	if err := args.Scan(nil, nil, nil, &d); err != nil {
		t.Errorf("some are passed over: %v", err)
	}
	var none *namespace.Error
	if err := args.Scan(nil, nil, nil, nil, &d); !errors.As(err, &none) || *none != (namespace.Error{Type: "bad_arguments", Message: "argument 5 is missing"}) {
		t.Errorf("one too many: %v", err)
	}
	panics(t, "Scan into a int: it must be a pointer", func() { _ = args.Scan(d) })
	panics(t, "Scan into a *int: it must be a pointer", func() { _ = args.Scan((*int)(nil)) })
}

// Whatever a page says, a function is called or the page is told why not; and
// what a function was given it can give back.
func FuzzArgs(f *testing.F) {
	for _, seed := range []string{`[]`, `[1,"a",{"$binary":"YWI="},[1],{"X":1},null]`, `[null,null,{"$binary":null}]`, `[{"$binary":"YWI=","x":1}]`, `{}`, `[1e999]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, array []byte) {
		var args namespace.Args
		if json.Unmarshal(array, &args) != nil {
			return
		}
		for _, into := range []any{
			new(int), new(*int), new(string), new([]byte), new(*[]byte), new(point), new(*point), new(file), new([]file), new(any), new(map[string]any),
			new(json.RawMessage), new(namespace.Binary), new(time.Time), new(netip.Addr), new([2]float32), new(bool),
		} {
			for i := range args {
				err := args[i:].Scan(into)
				var told *namespace.Error
				if err != nil && (!errors.As(err, &told) || told.Type != "bad_arguments" || told.Message == "") {
					t.Fatalf("%s into a %T: %v", args[i], into, err)
				}
			}
		}
		var b, again namespace.Binary
		if len(args) > 0 && json.Unmarshal(args[0], &b) == nil {
			text, err := json.Marshal(b)
			if err != nil || json.Unmarshal(text, &again) != nil || string(again) != string(b) || (again == nil) != (b == nil) {
				t.Fatalf("%q became %s and %q: %v", b, text, again, err)
			}
		}
	})
}
