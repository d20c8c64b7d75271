package packet_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"
	"unicode/utf8"

	"github.com/shaveet/shaveet/server/transport/socketio/packet"
)

// FuzzParse reads packets by a regular expression and the standard library too,
// and wants what was read to be the same when it is written and read again.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`0`, `0/admin`, `0{"token":"123"}`, `4/admin,"no"`, `2["foo"]`, `212["foo",{"a":[1,2.5e-3,null,true]}]`, `3/admin,13["bar"]`, `1/admin,`,
		`51-["baz",{"_placeholder":true,"num":0}]`, `52-/a,7["b",{"num":1,"_placeholder":true,"x":{"_placeholder":true,"num":0}}]`, `61-15[{"_placeholder":true,"num":0}]`,
		`2["\u0063onnect"]`, `2[1,"\ud83d\ude00\ud83d"]`, `51-["a",{"\u005fplaceholder":true,"num":0.0}]`, `51-["a",{"_placeholder":true,"_placeholder":false}]`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			packet.Parse([]byte(text), none) // does not panic
			return
		}
		p, err := packet.Parse([]byte(text), none)
		want := parseByOther(text)
		if err != nil {
			if top := tree(string(p.JSON)); want != "" && (top == nil || !top.nested()) {
				t.Fatalf("%q is refused: %v, but it is %q", text, err, want)
			}
			return
		}
		if line(&p) != want {
			t.Fatalf("%q is %q, want %q", text, line(&p), want)
		}
		again, err := packet.Parse(packet.Append(nil, &p), none)
		if err != nil || line(&again) != want {
			t.Fatalf("%q is then %q, %v", text, line(&again), err)
		}
		if p.Type == packet.Event || p.Type == packet.Ack {
			checkArgs(t, &p, tree(string(p.JSON)))
		}
	})
}

// checkArgs wants AppendArgs to be all but the name.
func checkArgs(t *testing.T, p *packet.Packet, top *node) {
	if top == nil {
		top = &node{token: json.Delim('[')}
	} else if p.Type.Plain() == packet.Event {
		top.nodes = top.nodes[1:]
	}
	args := p.AppendArgs(nil)
	if got := tree(string(args)); got == nil || got.String() != top.String() {
		t.Fatalf("the arguments of %s are %s", p.JSON, args)
	}
}

// FuzzAssembler makes whole packets, and wants of each placeholder what is
// attached. Split, it is the same as before.
func FuzzAssembler(f *testing.F) {
	for _, s := range []string{
		`["a",{"_placeholder":true,"num":0},[{"b":{"num":1,"_placeholder":true}}]]`,
		`["a",{"x":{"_placeholder":true,"num":0},"_placeholder":true,"num":1}]`,
		`["a",{"$binary":"AQ=="},{"_placeholder":true,"num":2}]`,
		`["a",{"_placeholder":true,"_placeholder":false,"num":0}]`,
	} {
		f.Add(s, []byte("attached"))
	}
	f.Fuzz(func(t *testing.T, raw string, data []byte) {
		if !utf8.ValidString(raw) || raw != "" && raw[0] >= '0' && raw[0] <= '9' { // or it would begin with a packet's id
			return
		}
		a := packet.NewAssembler(none)
		p, whole, err := a.Text([]byte("53-" + raw))
		for i := 0; i < 3 && err == nil; i++ {
			if whole {
				t.Fatal("whole before its attachments")
			}
			p, whole, err = a.Binary(data[:min(len(data), 5*i)])
		}
		if err != nil {
			return
		}
		top := tree(raw)
		for _, found := range top.placeholders() {
			f, _ := found.last("num").token.(json.Number).Float64()
			found.become("$binary", base64.StdEncoding.EncodeToString(p.Attached[int(f)]))
		}
		checkArgs(t, &p, top)
	})
}

// FuzzSplit takes binary out of JSON, and puts it in again.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{
		`["a",{"$binary":"AQI="}]`, ` ["a" , { "$binary" : "" } ,[{"b":{"$binary":"YWJj"}}]] `, `["a",{"$\u0062inary":"\/\/\/\u002f"}]`,
		`["a",{"$binary":"AQI"}]`, `["a",{"_placeholder":true,"num":0},{"$binary":"YQ=="}]`, `["a",{"b":{"$binary":"YQ=="},"$binary":1}]`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if !utf8.ValidString(raw) {
			packet.AppendSplit(nil, []byte(raw), none) // does not panic
			return
		}
		split, attached, err := packet.AppendSplit(nil, []byte(raw), none)
		top := tree(raw)
		if top == nil || top.depth() > packet.DefaultDepth {
			if err == nil {
				t.Fatalf("%q is %q", raw, split)
			}
			return
		}
		found := top.binaries()
		if refused := len(found) > packet.DefaultAttachments || len(found) > 0 && anyPlaceholder(top); refused != (err != nil) {
			t.Fatalf("%q is %q, %v", raw, split, err)
		}
		if err != nil {
			return
		}
		if len(attached) != len(found) {
			t.Fatalf("%q has %q", raw, attached)
		}
		if len(attached) == 0 {
			if string(split) != raw {
				t.Fatalf("%q without attachments is %q", raw, split)
			}
			return
		}
		back(t, raw, string(split), attached)
	})
}

// anyPlaceholder is placeholders, but for those inside of others.
func anyPlaceholder(n *node) bool { return len(n.placeholders()) > 0 }

// back puts in again what was attached.
func back(t *testing.T, raw, split string, attached [][]byte) {
	a := packet.NewAssembler(none)
	p, whole, err := a.Text(fmt.Appendf(nil, `6%d-[%s]`, len(attached), split))
	for _, data := range attached {
		if err != nil || whole {
			break
		}
		p, whole, err = a.Binary(data)
	}
	if err == packet.ErrDepth {
		return // the array around it
	}
	if err != nil || !whole {
		t.Fatalf("%q is %q, which is refused: %v", raw, split, err)
	}
	if got, want := tree(string(p.AppendArgs(nil))), tree("["+raw+"]"); got.String() != want.String() {
		t.Fatalf("%q is %q with %q, which is %q", raw, split, attached, got)
	}
}
