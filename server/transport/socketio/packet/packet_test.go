package packet_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/server/transport/socketio/packet"
)

// none are the default limits.
var none = &packet.Limits{}

// line says all that a packet has.
func line(p *packet.Packet) string {
	b := fmt.Appendf(nil, "%d %s", p.Type, p.Namespace)
	if p.Attachments > 0 {
		b = fmt.Appendf(b, " with %d", p.Attachments)
	}
	if p.HasID {
		b = fmt.Appendf(b, " id %d", p.ID)
	}
	if p.Type.Plain() == packet.Event {
		b = fmt.Appendf(b, " name %s", p.Name)
	}
	if p.JSON != nil {
		b = fmt.Appendf(b, " %s", p.JSON)
	}
	return string(b)
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		text string
		want string
	}{
		// The examples of the protocol.
		{`0`, `0 /`},
		{`0/admin,`, `0 /admin`},
		{`0/admin`, `0 /admin`},
		{`0{"token":"123"}`, `0 / {"token":"123"}`},
		{`0/admin,{"sid":"oSO0OpakMV_3jnilAAAA"}`, `0 /admin {"sid":"oSO0OpakMV_3jnilAAAA"}`},
		{`4{"message":"Not authorized"}`, `4 / {"message":"Not authorized"}`},
		{`4/admin,"Not authorized"`, `4 /admin "Not authorized"`},
		{`4`, `4 /`},
		{`2["foo"]`, `2 / name foo ["foo"]`},
		{`2/admin,["bar"]`, `2 /admin name bar ["bar"]`},
		{`212["foo"]`, `2 / id 12 name foo ["foo"]`},
		{`3/admin,13["bar"]`, `3 /admin id 13 ["bar"]`},
		{`1`, `1 /`},
		{`1/admin,`, `1 /admin`},
		{`51-["baz",{"_placeholder":true,"num":0}]`, `5 / with 1 name baz ["baz",{"_placeholder":true,"num":0}]`},
		{`52-/admin,["baz",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`, `5 /admin with 2 name baz ["baz",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`},
		{`61-15["bar",{"_placeholder":true,"num":0}]`, `6 / with 1 id 15 ["bar",{"_placeholder":true,"num":0}]`},
		{`61-/admin,1[{"_placeholder":true,"num":0}]`, `6 /admin with 1 id 1 [{"_placeholder":true,"num":0}]`},

		// What else is taken.
		{`2/,["a"]`, `2 / name a ["a"]`},
		{`2/a/b?c=d,["a"]`, `2 /a/b?c=d name a ["a"]`},
		{`2["a"] ` + "\r\n\t", `2 / name a ["a"]`},
		{`2[ "a" , 1 ]`, `2 / name a [ "a" , 1 ]`},
		{`2[1,2]`, `2 / name 1 [1,2]`},
		{`2[-1.5e3]`, `2 / name -1.5e3 [-1.5e3]`},
		{`2[""]`, `2 / name  [""]`},
		{`2["\u0061\n\"\/\ud83d\ude00\ud83d"]`, "2 / name a\n\"/\U0001f600\ufffd " + `["\u0061\n\"\/\ud83d\ude00\ud83d"]`},
		{`2["__proto__",{"__proto__":{"constructor":1}}]`, `2 / name __proto__ ["__proto__",{"__proto__":{"constructor":1}}]`},
		{`20007["a"]`, `2 / id 7 name a ["a"]`},
		{`29007199254740991["a"]`, `2 / id 9007199254740991 name a ["a"]`},
		{`3[]`, `3 / []`},
		{`37`, `3 / id 7`},
		{`17`, `1 / id 7`},
		{`2["a",{"_placeholder":true,"num":5}]`, `2 / name a ["a",{"_placeholder":true,"num":5}]`},
		{`5010-["a"]`, `5 / with 10 name a ["a"]`},
		{`52-["a",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]`, `5 / with 2 name a ["a",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]`},
		{`0{"a":` + strings.Repeat("[", 99) + strings.Repeat("]", 99) + `}`, `0 / {"a":` + strings.Repeat("[", 99) + strings.Repeat("]", 99) + `}`},
	} {
		p, err := packet.Parse([]byte(tt.text), none)
		if err != nil || line(&p) != tt.want {
			t.Errorf("%s is %s, %v, want %s", tt.text, line(&p), err, tt.want)
			continue
		}
		if again, err := packet.Parse(packet.Append(nil, &p), none); err != nil || line(&again) != tt.want {
			t.Errorf("%s is then %s, %v", tt.text, line(&again), err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct {
		text string
		want error
	}{
		{``, packet.ErrType},
		{`7["a"]`, packet.ErrType},
		{`a`, packet.ErrType},
		{` ["a"]`, packet.ErrType},
		{"\u0662[\"a\"]", packet.ErrType},
		{`5`, packet.ErrAttachments},
		{`5["a"]`, packet.ErrAttachments},
		{`5-["a"]`, packet.ErrAttachments},
		{`50-["a"]`, packet.ErrAttachments},
		{`51["a"]`, packet.ErrAttachments},
		{`51.0-["a"]`, packet.ErrAttachments},
		{`51e0-["a"]`, packet.ErrAttachments},
		{`5+1-["a"]`, packet.ErrAttachments},
		{`5-1-["a"]`, packet.ErrAttachments},
		{`511-["a"]`, packet.ErrAttachments},
		{`599999999999999999999999-["a"]`, packet.ErrAttachments},
		{`2/` + strings.Repeat("a", 256) + `,["a"]`, packet.ErrNamespace},
		{`0/` + strings.Repeat("a", 256), packet.ErrNamespace},
		{`29007199254740992["a"]`, packet.ErrID},
		{`2` + strings.Repeat("9", 400) + `["a"]`, packet.ErrID},
		{`2abc["a"]`, packet.ErrPayload},
		{`21 ["a"]`, packet.ErrPayload},
		{`2 ["a"]`, packet.ErrPayload},
		{`2`, packet.ErrPayload},
		{`21`, packet.ErrPayload},
		{`51-`, packet.ErrPayload},
		{`2{}`, packet.ErrPayload},
		{`2"a"`, packet.ErrPayload},
		{`2[]`, packet.ErrPayload},
		{`2[ ]`, packet.ErrPayload},
		{`2[null]`, packet.ErrPayload},
		{`2[true]`, packet.ErrPayload},
		{`2[["a"]]`, packet.ErrPayload},
		{`2[{}]`, packet.ErrPayload},
		{`0[]`, packet.ErrPayload},
		{`0"a"`, packet.ErrPayload},
		{`0null`, packet.ErrPayload},
		{`1{}`, packet.ErrPayload},
		{`1/admin,["a"]`, packet.ErrPayload},
		{`3{}`, packet.ErrPayload},
		{`3/admin,{}`, packet.ErrPayload},
		{`4[]`, packet.ErrPayload},
		{`4null`, packet.ErrPayload},
		{`2["connect"]`, packet.ErrName},
		{`2["connect_error"]`, packet.ErrName},
		{`2["disconnect"]`, packet.ErrName},
		{`2["disconnecting"]`, packet.ErrName},
		{`2["newListener"]`, packet.ErrName},
		{`2["removeListener"]`, packet.ErrName},
		{`2["\u0063onnect"]`, packet.ErrName},
		{`51-["disconnect",{"_placeholder":true,"num":0}]`, packet.ErrName},
		{`51-["a",{"_placeholder":true,"num":1}]`, packet.ErrPlaceholder},
		{`51-["a",{"_placeholder":true,"num":-1}]`, packet.ErrPlaceholder},
		{`51-["a",{"_placeholder":true,"num":0.5}]`, packet.ErrPlaceholder},
		{`51-["a",{"_placeholder":true,"num":"0"}]`, packet.ErrPlaceholder},
		{`51-["a",{"_placeholder":true}]`, packet.ErrPlaceholder},
		{`51-["a",{"_placeholder":true,"num":1e400}]`, packet.ErrPlaceholder},
		{`52-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]`, packet.ErrPlaceholder},
		{`51-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]`, packet.ErrPlaceholder},
		{`0{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, packet.ErrDepth},
		{`2` + strings.Repeat("[", 1_000_000), packet.ErrDepth},
		{`2["` + strings.Repeat("a", packet.DefaultBytes) + `"]`, packet.ErrTooLarge},
	} {
		if p, err := packet.Parse([]byte(tt.text), none); !errors.Is(err, tt.want) {
			t.Errorf("%.200s is %s, %v, want %v", tt.text, line(&p), err, tt.want)
		}
	}
}

func TestParseRefusesJSON(t *testing.T) {
	for _, text := range []string{
		`[`, `["a"`, `["a",`, `["a",]`, `["a" "b"]`, `["a"]]`, `["a"]x`, `["a"],`, `[,"a"]`, `["a",,1]`,
		`["a",{]`, `["a",{}`, `["a",{"b"}]`, `["a",{"b":}]`, `["a",{"b":1,}]`, `["a",{"b":1 "c":2}]`, `["a",{b:1}]`, `["a",{'b':1}]`, `["a",{1:1}]`, `["a",{,}]`,
		`["a",01]`, `["a",-]`, `["a",+1]`, `["a",.5]`, `["a",5.]`, `["a",1e]`, `["a",1e+]`, `["a",0x1]`, `["a",1_0]`, `["a",NaN]`, `["a",Infinity]`, `["a",--1]`,
		`["a",tru]`, `["a",True]`, `["a",nul]`, `["a",undefined]`, `["a",falsetrue]`,
		"[\"a\n\"]", "[\"a\x00\"]", "[\"\x1f\"]", `["\x"]`, `["\u12"]`, `["\u12g4"]`, `["\`, `["a\"]`, "[\"a\",\u00a01]", "[\"a\",\v1]", `["a"/**/]`,
	} {
		if p, err := packet.Parse([]byte("2"+text), none); !errors.Is(err, packet.ErrJSON) {
			t.Errorf("%q is %s, %v", text, line(&p), err)
		}
	}
}

func TestLimits(t *testing.T) {
	for _, tt := range []struct {
		text   string
		limits packet.Limits
		want   error
	}{
		{`2["a"]`, packet.Limits{Bytes: 6}, nil},
		{`2["ab"]`, packet.Limits{Bytes: 6}, packet.ErrTooLarge},
		{`2/abc,["a"]`, packet.Limits{Namespace: 4}, nil},
		{`2/abcd,["a"]`, packet.Limits{Namespace: 4}, packet.ErrNamespace},
		{`52-["a"]`, packet.Limits{Attachments: 2}, nil},
		{`53-["a"]`, packet.Limits{Attachments: 2}, packet.ErrAttachments},
		{`512-["a"]`, packet.Limits{Attachments: 12}, nil},
		{`2["a",{}]`, packet.Limits{Depth: 2}, nil},
		{`2["a",[{}]]`, packet.Limits{Depth: 2}, packet.ErrDepth},
	} {
		if _, err := packet.Parse([]byte(tt.text), &tt.limits); !errors.Is(err, tt.want) {
			t.Errorf("%s within %+v: %v, want %v", tt.text, tt.limits, err, tt.want)
		}
	}
}

// TestHostile wants what is refused and what is taken to cost no more than a few
// times its own size.
func TestHostile(t *testing.T) {
	const size = 1 << 20
	fill := func(s string) string { return strings.Repeat(s, size/len(s)) }
	for name, text := range map[string]string{
		"arrays":            `2["a",` + fill("["),
		"objects":           `2["a",` + fill(`{"a":`),
		"placeholders":      `510-["a"` + fill(`,{"_placeholder":true,"num":0}`) + `]`,
		"no placeholders":   `510-["a"` + fill(`,{"_placeholder":false,"num":0}`) + `]`,
		"placeholders in 1": `51-["a",{"_placeholder":true,"num":0` + fill(`,"a":{"_placeholder":true,"num":0}`) + `}]`,
		"numbers":           `51-["a",{"_placeholder":true,"num":0.` + fill("0") + `}]`,
		"keys":              `51-["a",{"` + fill(`\u005f`) + `":1}]`,
		"name":              `2["` + fill(`\u005f`) + `"]`,
		"namespace":         `0/` + fill("a"),
		"id":                `2` + fill("0") + `["a"]`,
		"attachments":       `5` + fill("0"),
		"text":              `2["a","` + fill(`"`),
	} {
		text := []byte(text)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := packet.Parse(text, none)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 3*size {
			t.Errorf("%s: %d bytes, %v", name, used, err)
		}
	}
}

func TestAppend(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{string(packet.Append(nil, &packet.Packet{Type: packet.Event, Namespace: "/", JSON: []byte(`["a"]`)})), `2["a"]`},
		{string(packet.Append(nil, &packet.Packet{Type: packet.Event, JSON: []byte(`["a"]`)})), `2["a"]`},
		{string(packet.Append(nil, &packet.Packet{Type: packet.Ack, Namespace: "/n", HasID: true, JSON: []byte(`[]`)})), `3/n,0[]`},
		{string(packet.Append(nil, &packet.Packet{Type: packet.Disconnect, Namespace: "/n"})), `1/n,`},
		{string(packet.Append(nil, &packet.Packet{Type: packet.BinaryEvent, Namespace: "/n", Attachments: 2, HasID: true, ID: 7, JSON: []byte(`["a"]`)})), `52-/n,7["a"]`},
		{string(packet.AppendConnected(nil, "/", "x", "")), `0{"sid":"x"}`},
		{string(packet.AppendConnected(nil, "/n", "x", "y\"")), `0/n,{"sid":"x","pid":"y\""}`},
		{string(packet.AppendConnectError(nil, "/random", "Invalid namespace", nil)), `4/random,{"message":"Invalid namespace"}`},
		{string(packet.AppendConnectError(nil, "/", "no", []byte(`{"code":1}`))), `4{"message":"no","data":{"code":1}}`},
		{string(packet.AppendError(nil, "/n", "Invalid namespace", nil)), `4/n,"Invalid namespace"`},
		{string(packet.AppendError(nil, "/", "no", []byte(`{"code":1}`))), `4{"code":1}`},
		{string(packet.AppendArray(nil, "a\"€\n", []byte(`1`), []byte(`{"b":2}`))), `["a\"€\n",1,{"b":2}]`},
		{string(packet.AppendArray(nil, "a")), `["a"]`},
		{string(packet.AppendLonger(nil, []byte(`["a"]`), "0123456789abcdef.7")), `["a","0123456789abcdef.7"]`},
		{string(packet.AppendLonger(nil, []byte(`["a",[1] ] `+"\n"), "\"\xff")), `["a",[1],"\"\ufffd"]`},
	} {
		if tt.got != tt.want {
			t.Errorf("it is %s, want %s", tt.got, tt.want)
		}
	}
}

func TestNamespaces(t *testing.T) {
	for in, want := range map[string][2]string{
		"/": {"/", ""}, "/n": {"/n", ""}, "/n?a=1&b=?": {"/n", "a=1&b=?"}, "/?": {"/", ""},
	} {
		if name, query := packet.CutQuery(in); name != want[0] || query != want[1] {
			t.Errorf("%s is %s and %s", in, name, query)
		}
	}
	for name, want := range map[string]bool{
		"/": true, "/n": true, "": false, "n": false, "/a,b": false, "/" + strings.Repeat("a", 255): true, "/" + strings.Repeat("a", 256): false,
	} {
		if packet.ValidNamespace(name, none) != want {
			t.Errorf("%s is valid: %v", name, !want)
		}
	}
}
