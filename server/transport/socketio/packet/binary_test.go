package packet_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/server/transport/socketio/packet"
)

// assemble feeds a text and its attachments, and wants a whole packet at the last
// of them and not before.
func assemble(a *packet.Assembler, text string, attached ...string) (p packet.Packet, err error) {
	p, whole, err := a.Text([]byte(text))
	for _, data := range attached {
		if err != nil || whole {
			break
		}
		p, whole, err = a.Binary([]byte(data))
	}
	if err == nil && !whole {
		err = errNotWhole
	}
	return p, err
}

var errNotWhole = errors.New("not whole")

func TestArgs(t *testing.T) {
	for _, tt := range []struct {
		text     string
		attached []string
		want     string
	}{
		{`2["a"]`, nil, `[]`},
		{`2[ "a" ]`, nil, `[]`},
		{`2["a",1,{"b":2}]`, nil, `[1,{"b":2}]`},
		{`2[ 17 , 1 ] `, nil, `[1 ]`},
		{`37[]`, nil, `[]`},
		{`37`, nil, `[]`},
		{`37["a",1]`, nil, `["a",1]`},
		{`51-["a",{"_placeholder":true,"num":0}]`, []string{"\x01\x02"}, `[{"$binary":"AQI="}]`},
		{`52-["a",{"_placeholder":true,"num":1},[{"b":{"num":0,"_placeholder":true}}],"c"]`, []string{"\x01", ""}, `[{"$binary":""},[{"b":{"$binary":"AQ=="}}],"c"]`},
		{`61-7[{"_placeholder":true,"num":0}]`, []string{"abc"}, `[{"$binary":"YWJj"}]`},
		{`61-7`, []string{"abc"}, `[]`},

		// Not all attachments have to be somewhere.
		{`52-["a",{"_placeholder":true,"num":1}]`, []string{"a", "b"}, `[{"$binary":"Yg=="}]`},
		// What else is in a placeholder goes with it, and the last of each counts.
		{`52-["a",{"x":{"_placeholder":true,"num":0},"_placeholder":true,"num":1,"y":[]}]`, []string{"a", "b"}, `[{"$binary":"Yg=="}]`},
		{`51-["a",{"x":{"_placeholder":true,"num":9},"_placeholder":true,"num":0}]`, []string{"a"}, `[{"$binary":"YQ=="}]`},
		{`51-["a",{"_placeholder":true,"num":7,"num":0}]`, []string{"a"}, `[{"$binary":"YQ=="}]`},
		{`51-["a",{"_placeholder":true,"_placeholder":false,"num":0}]`, []string{"a"}, `[{"_placeholder":true,"_placeholder":false,"num":0}]`},
		{`51-["a",{"_placehol\u0064er":true,"\u006eum":-0.0e7}]`, []string{"a"}, `[{"$binary":"YQ=="}]`},
		// What only looks so.
		{`2["a",{"_placeholder":true,"num":0}]`, nil, `[{"_placeholder":true,"num":0}]`},
		{`51-["a",{"_placeholder":1,"num":0},{"_placeholder":"true"},["_placeholder",true]]`, []string{"a"}, `[{"_placeholder":1,"num":0},{"_placeholder":"true"},["_placeholder",true]]`},
		{`2["a",{"$binary":"AQI="}]`, nil, `[{"$binary":"AQI="}]`},
	} {
		p, err := assemble(packet.NewAssembler(none), tt.text, tt.attached...)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
		} else if got := string(p.AppendArgs([]byte("x"))); got != "x"+tt.want {
			t.Errorf("%s has %s, want %s", tt.text, got, tt.want)
		}
	}
}

func TestSplit(t *testing.T) {
	for _, tt := range []struct {
		raw      string
		want     string
		attached []string
	}{
		{`["a",{"$binary":"AQI="}]`, `["a",{"_placeholder":true,"num":0}]`, []string{"\x01\x02"}},
		{` ["a" , { "$binary" : "" } ,[{"b":{"$binary":"YWJj"}}]] `, ` ["a" , {"_placeholder":true,"num":0} ,[{"b":{"_placeholder":true,"num":1}}]] `, []string{"", "abc"}},
		{`{"$binary":"AQI="}`, `{"_placeholder":true,"num":0}`, []string{"\x01\x02"}},
		{`["a",{"$\u0062inary":"\/\/\/\u002f"}]`, `["a",{"_placeholder":true,"num":0}]`, []string{"\xff\xff\xff"}},
		{`["a",{"b":{"c":{"$binary":"YQ=="}},"$binary":1}]`, `["a",{"b":{"c":{"_placeholder":true,"num":0}},"$binary":1}]`, []string{"a"}},
		{`["a",{"__proto__":{"$binary":"YQ=="},"constructor":{"$binary":"Yg=="}}]`, `["a",{"__proto__":{"_placeholder":true,"num":0},"constructor":{"_placeholder":true,"num":1}}]`, []string{"a", "b"}},

		// What is not quite so stays what it is.
		{`["a",1]`, `["a",1]`, nil},
		{`["a",{"$binary":"AQI"}]`, `["a",{"$binary":"AQI"}]`, nil},
		{`["a",{"$binary":"AQJ="}]`, `["a",{"$binary":"AQJ="}]`, nil},
		{`["a",{"$binary":"-_-_"}]`, `["a",{"$binary":"-_-_"}]`, nil},
		{`["a",{"$binary":"AQ\nI="}]`, `["a",{"$binary":"AQ\nI="}]`, nil},
		{`["a",{"$binary":null}]`, `["a",{"$binary":null}]`, nil},
		{`["a",{"$binary":"AQI=","b":1}]`, `["a",{"$binary":"AQI=","b":1}]`, nil},
		{`["a",{"$binary":"AQI=","$binary":"AQI="}]`, `["a",{"$binary":"AQI=","$binary":"AQI="}]`, nil},
		{`["a",{"$Binary":"AQI="}]`, `["a",{"$Binary":"AQI="}]`, nil},
		{`["a","$binary","AQI="]`, `["a","$binary","AQI="]`, nil},
		{`["a",{"_placeholder":true,"num":0}]`, `["a",{"_placeholder":true,"num":0}]`, nil},
		{`["a",{"_placeholder":false},{"$binary":"YQ=="}]`, `["a",{"_placeholder":false},{"_placeholder":true,"num":0}]`, []string{"a"}},
	} {
		got, attached, err := packet.AppendSplit([]byte("x"), []byte(tt.raw), none)
		if err != nil || string(got) != "x"+tt.want || len(attached) != len(tt.attached) {
			t.Errorf("%s is %s with %q, %v, want %s", tt.raw, got, attached, err, tt.want)
			continue
		}
		for i, want := range tt.attached {
			if string(attached[i]) != want {
				t.Errorf("%s has %q, want %q", tt.raw, attached, tt.attached)
			}
		}
		for _, data := range attached { // they must not overlap
			_ = append(data, "xxxxx"...)
		}
		for i, want := range tt.attached {
			if string(attached[i]) != want {
				t.Errorf("%s has %q then, want %q", tt.raw, attached, tt.attached)
			}
		}
	}
}

func TestSplitRefuses(t *testing.T) {
	eleven := `["a"` + strings.Repeat(`,{"$binary":"YQ=="}`, 11) + `]`
	for _, tt := range []struct {
		raw    string
		limits packet.Limits
		want   error
	}{
		{`["a",{"_placeholder":true,"num":0},{"$binary":"YQ=="}]`, packet.Limits{}, packet.ErrPlaceholder},
		{`["a",{"$binary":"YQ=="},[{"b":{"num":0,"_placehol\u0064er":true}}]]`, packet.Limits{}, packet.ErrPlaceholder},
		{`["a",{"_placeholder":true,"x":{"$binary":"YQ=="}}]`, packet.Limits{}, packet.ErrPlaceholder},
		{eleven, packet.Limits{}, packet.ErrAttachments},
		{eleven, packet.Limits{Attachments: 11}, nil},
		{`["a"`, packet.Limits{}, packet.ErrJSON},
		{``, packet.Limits{}, packet.ErrJSON},
		{`[[[]]]`, packet.Limits{Depth: 2}, packet.ErrDepth},
		{`["abc"]`, packet.Limits{Bytes: 6}, packet.ErrTooLarge},
	} {
		got, attached, err := packet.AppendSplit(nil, []byte(tt.raw), &tt.limits)
		if !errors.Is(err, tt.want) || err != nil && (len(got) > 0 || attached != nil) {
			t.Errorf("%s is %s with %d, %v, want %v", tt.raw, got, len(attached), err, tt.want)
		}
	}
}

func TestAssembler(t *testing.T) {
	a := packet.NewAssembler(none)
	if _, _, err := a.Binary([]byte("x")); !errors.Is(err, packet.ErrBinary) {
		t.Error("binary of nothing:", err)
	}
	if p, err := assemble(a, `2/n,["a"]`); err != nil || line(&p) != `2 /n name a ["a"]` {
		t.Error("plain:", line(&p), err)
	}
	if p, err := assemble(a, `2/m,["a"]`); err != nil || line(&p) != `2 /m name a ["a"]` {
		t.Error("of another namespace:", line(&p), err)
	}
	text := []byte(`51-/n,7["a",{"_placeholder":true,"num":0}]`)
	if _, whole, err := a.Text(text); whole || err != nil || !a.Pending() {
		t.Error("waiting:", whole, err, a.Pending())
	}
	clear(text) // they are somebody else's again
	data := []byte("abc")
	p, whole, err := a.Binary(data)
	clear(data)
	if !whole || err != nil || a.Pending() || line(&p) != `5 /n with 1 id 7 name a ["a",{"_placeholder":true,"num":0}]` || string(p.Attached[0]) != "abc" {
		t.Error("whole:", whole, err, a.Pending(), line(&p), p.Attached)
	}
	if _, _, err := a.Binary(nil); !errors.Is(err, packet.ErrBinary) {
		t.Error("one more:", err)
	}
	if p, err := assemble(a, `2["b"]`); err != nil || line(&p) != `2 / name b ["b"]` {
		t.Error("plain again:", line(&p), err)
	}
	if _, err := assemble(a, `52-["a"]`, "x"); !errors.Is(err, errNotWhole) {
		t.Error("one of two:", err)
	}
	if _, _, err := a.Text([]byte(`2["a"]`)); !errors.Is(err, packet.ErrText) {
		t.Error("text between:", err)
	}
}

func TestAssemblerLimit(t *testing.T) {
	const text = `52-["a"]`
	for _, tt := range []struct {
		bytes int
		want  error
	}{{len(text) + 6, nil}, {len(text) + 5, packet.ErrTooLarge}} {
		a := packet.NewAssembler(&packet.Limits{Bytes: tt.bytes})
		if _, err := assemble(a, text, "abc", "def"); !errors.Is(err, tt.want) || a.Pending() {
			t.Errorf("%d bytes: %v, want %v", tt.bytes, err, tt.want)
		}
	}
}

// TestAllocations pins what the way of most packets costs.
func TestAllocations(t *testing.T) {
	a := packet.NewAssembler(none)
	event := []byte(`2/room,17["message",{"text":"hello \u00e9","list":[1,2,{"a":null}]}]`)
	dst := make([]byte, 0, 1<<10)
	for name, run := range map[string]func(){
		"text":   func() { mustText(t, a, event) },
		"args":   func() { p := mustText(t, a, event); p.AppendArgs(dst) },
		"append": func() { p := mustText(t, a, event); packet.Append(dst, &p) },
		"longer": func() { packet.AppendLonger(dst, event[9:], "0123456789abcdef.7") },
		"split": func() {
			if _, attached, err := packet.AppendSplit(dst, event[9:], none); err != nil || attached != nil {
				t.Fatal(attached, err)
			}
		},
		"connected": func() { packet.AppendConnected(dst, "/room", "abc", "def") },
	} {
		if n := testing.AllocsPerRun(100, run); n > 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
	// The store, the spots, the list of attachments; one more with the race
	// detector, which makes slices grow in two steps.
	split := []byte(`["a",{"$binary":"` + strings.Repeat("AAAA", 100) + `"}]`)
	if n := testing.AllocsPerRun(100, func() {
		if _, attached, err := packet.AppendSplit(dst, split, none); err != nil || len(attached) != 1 {
			t.Fatal(attached, err)
		}
	}); n > 4 {
		t.Errorf("an attachment allocates %v times", n)
	}
}

func mustText(t *testing.T, a *packet.Assembler, text []byte) packet.Packet {
	t.Helper()
	p, whole, err := a.Text(text)
	if !whole || err != nil || !bytes.HasPrefix(p.JSON, []byte("[")) {
		t.Fatal(whole, err)
	}
	return p
}
