package socketio_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/server/transport/socketio/packet"
)

func binaryObject(data []byte) string {
	return `{"$binary":"` + base64.StdEncoding.EncodeToString(data) + `"}`
}

// A read is what we or the stock parser make of a packet. Data is without the name
// in ours, and with it in theirs.
type read struct {
	Type    int    `json:"type"`
	Nsp     string `json:"nsp"`
	ID      string `json:"id"`
	Name    string `json:"name"`
	Data    string `json:"data"`
	Fed     int    `json:"fed"`
	Refused string `json:"refused,omitempty"`
	Same    bool   `json:"same"`
}

func (r *read) String() string {
	text, _ := json.Marshal(r)
	return string(text)
}

type parseQuestion struct {
	Ask      string   `json:"ask"`
	Text     string   `json:"text"`
	Attached [][]byte `json:"attached"`
	Ours     *read    `json:"ours"`
}

type encodeQuestion struct {
	Ask     string `json:"ask"`
	Version int    `json:"version"`
	Type    int    `json:"type"`
	Nsp     string `json:"nsp"`
	ID      string `json:"id"`
	Data    string `json:"data"`
	Binary  bool   `json:"binary"`
}

type encoded struct {
	Text     string   `json:"text"`
	Attached [][]byte `json:"attached"`
}

// parsed is what we make of a text and as many of its attachments as it wants.
func parsed(text string, attached [][]byte) (*read, error) {
	a := packet.NewAssembler(&packet.Limits{})
	p, whole, err := a.Text([]byte(text))
	r := &read{}
	for ; err == nil && !whole && r.Fed < len(attached); r.Fed++ {
		p, whole, err = a.Binary(attached[r.Fed])
	}
	if err != nil {
		return nil, err
	}
	if !whole {
		return nil, fmt.Errorf("waits")
	}
	r.Type, r.Nsp, r.Name = int(p.Type.Plain()), p.Namespace, string(p.Name)
	if p.HasID {
		r.ID = strconv.FormatUint(p.ID, 10)
	}
	switch {
	case p.JSON != nil && (r.Type == int(packet.Event) || r.Type == int(packet.Ack)):
		r.Data = string(p.AppendArgs(nil))
	default:
		r.Data = string(p.JSON)
	}
	return r, nil
}

// written is what we make of what the stock encoder is asked.
func written(t *testing.T, q *encodeQuestion) encoded {
	t.Helper()
	split, attached, err := packet.AppendSplit(nil, []byte(q.Data), &packet.Limits{})
	if err != nil {
		t.Fatalf("%.500s is refused: %v", q.Data, err)
	}
	p := packet.Packet{Type: packet.Type(q.Type), Namespace: q.Nsp, JSON: split, Attachments: len(attached)}
	if q.ID != "" {
		p.HasID = true
		p.ID, _ = strconv.ParseUint(q.ID, 10, 64)
	}
	if len(attached) > 0 {
		p.Type += packet.BinaryEvent - packet.Event
	}
	return encoded{string(packet.Append(nil, &p)), attached}
}

func (g generator) question(version int) encodeQuestion {
	q := encodeQuestion{Ask: "encode", Version: version, Type: pick(g, 2, 2, 2, 3, 0, 4), Nsp: g.namespace(), ID: g.id()}
	left := 10
	switch q.Type {
	case 0, 4:
		left = 0
		q.ID = ""
		q.Data = `{"message":` + g.value(3, &left) + `}`
		if q.Type == 4 && g.IntN(2) == 0 {
			q.Data = quoted(g.text())
		}
		return q
	case 2:
		q.Data = `["e` + strings.TrimPrefix(quoted(g.text()), `"`)
	case 3:
		q.Data = `[1`
	}
	for range g.IntN(4) {
		q.Data += "," + g.value(4, &left)
	}
	q.Data += "]"
	q.Binary = left < 10
	return q
}

// TestWriting wants what we write to be what the stock encoders write, byte by
// byte, of both versions, and both to read it as we do.
func TestWriting(t *testing.T) {
	g := newGenerator(1)
	var questions []encodeQuestion
	for i := range rounds() {
		questions = append(questions, g.question(4+i%2))
	}
	var readings []parseQuestion
	for i, stock := range ask[encodeQuestion, encoded](t, questions) {
		ours := written(t, &questions[i])
		if ours.Text != stock.Text || !slices.EqualFunc(ours.Attached, stock.Attached, bytes.Equal) {
			t.Fatalf("of %.1000s\nwe write %.1000q\nthey write %.1000q", questions[i].Data, ours, stock)
		}
		r, err := parsed(ours.Text, ours.Attached)
		if err != nil {
			t.Fatalf("%.1000s is refused: %v", ours.Text, err)
		}
		readings = append(readings,
			parseQuestion{"parse", ours.Text, ours.Attached, r},
			parseQuestion{"parse4", ours.Text, ours.Attached, r})
	}
	for i, stock := range ask[parseQuestion, read](t, readings) {
		if q := readings[i]; !stock.Same {
			t.Fatalf("%s: of %.1000q\nwe read %.1000s\nthey read %.1000s", q.Ask, q.Text, q.Ours, &stock)
		}
	}
}

// refusals are what the stock parser takes and we do not, and how to tell from
// the text, by our error and a pattern. All that no stock encoder writes.
var refusals = []struct {
	what    string
	err     error
	pattern string
}{
	{"no type, or space for one, which counts as 0", packet.ErrType, `^$|^[\s\x{a0}\x{feff}\x{2028}\x{2029}]`},
	{"a number of attachments that is not digits", packet.ErrAttachments, `^[56](\d*[^\d-]|[^\d]+\d)`},
	{"space for digits of the id, which counts as 0", packet.ErrPayload, `^\d(\d*-)?(/[^,]*,)?\d*[\s\x{a0}\x{feff}\x{2028}\x{2029}]`},
	{"an id beyond 2^53", packet.ErrID, `\d{16}`},
	{"an event without a name", packet.ErrPayload, `^(2|5\d+-)(/[^,]*(,|$))?\d*$`},
	{"a long namespace", packet.ErrNamespace, `/[^,]{100}`},
	{"deep nesting", packet.ErrDepth, `[\[{]{90}`},
	{"an attachment that is asked for twice, or for half", packet.ErrPlaceholder, `^[56].*_`},
}

// TestReading wants us to read and refuse what the stock parser does, but for the
// refusals above.
func TestReading(t *testing.T) {
	g := newGenerator(2)
	var readings []parseQuestion
	errs := map[int]error{}
	attached := make([][]byte, 12)
	for i := range attached {
		attached[i] = g.bytes()
	}
	for i, text := range append(g.texts(), specialTexts...) {
		r, err := parsed(text, attached)
		readings = append(readings, parseQuestion{"parse", text, attached, r})
		errs[i] = err
	}
	taken, differ := 0, map[string]int{}
	for i, stock := range ask[parseQuestion, read](t, readings) {
		q := readings[i]
		switch {
		case stock.Same:
			taken++
		case stock.Refused != "" && q.Ours == nil:
		case stock.Refused == "" && q.Ours == nil:
			differ[whyRefused(t, q.Text, errs[i])]++
		default:
			t.Errorf("of %.1000q\nwe read %.1000s\nthey read %.1000s", q.Text, q.Ours, &stock)
		}
	}
	t.Logf("of %d texts both read %d the same; refused by us only: %v", len(readings), taken, differ)
	if taken < len(readings)/10 || taken > len(readings)*9/10 {
		t.Error("the texts are too alike")
	}
	for _, r := range refusals {
		if differ[r.what] == 0 {
			t.Errorf("none of the texts has %s", r.what)
		}
	}
}

func whyRefused(t *testing.T, text string, err error) string {
	t.Helper()
	for _, r := range refusals {
		if r.err == err && regexp.MustCompile(`(?s)`+r.pattern).MatchString(text) {
			return r.what
		}
	}
	t.Errorf("only we refuse %.1000q: %v", text, err)
	return ""
}

// texts are packets, most of them with a few bytes changed.
func (g generator) texts() (all []string) {
	for range rounds() {
		q := g.question(5)
		split, attached, err := packet.AppendSplit(nil, []byte(q.Data), &packet.Limits{})
		if err != nil {
			panic(err)
		}
		text := strconv.Itoa(q.Type)
		if len(attached) > 0 {
			text = fmt.Sprintf("%d%d-", q.Type+3, len(attached))
		}
		if q.Nsp != "/" {
			text += q.Nsp + pick(g, ",", ",", ",", "")
		}
		text += q.ID + string(split)
		if g.IntN(4) > 0 {
			text = g.mutated(text, "", "", "0", "1", "2", "3", "4", "5", "6", "7", "-", ",", "/", "[", "]", "{", "}", `"`, `\`, ":", " ", "\n", "true", "null", ".5", "e1",
				`"connect"`, `{"_placeholder":true,"num":0}`, `"num":1`, `\u0061`, `\ud800`, "\u00a0", "é", "__proto__", `["a"]`, "1-")
		}
		all = append(all, text)
	}
	return all
}

// specialTexts are what mutation hardly finds.
var specialTexts = []string{
	``, ` `, "\n", "\u00a0/a", "\ufeff", `0`, `1`, `2`, `3`, `4`, `5`, `6`, `7`, `21`, `31`, `2/a`, `2/a,7`, `51-`, `51-/a,7`, `61-7`,
	`0null`, `0[]`, `0"a"`, `4[]`, `4null`, `41`, `1{}`, `1/a,`, `1/a,7`, `1null`, `3{}`, `3[]`, `37[]`, `2{}`, `2[]`, `2[null]`, `2[1]`, `2[-0]`, `2["a",1e999]`, `2[1.50]`, `2[""]`,
	`2["connect"]`, `2["connect_error"]`, `2["disconnect"]`, `2["disconnecting"]`, `2["newListener"]`, `2["removeListener"]`, `2["\u0063onnect"]`, `2["Connect"]`, `51-["connect"]`,
	`2 ["a"]`, `21 ["a"]`, `2 1["a"]`, "2\u00a0[\"a\"]", `2[ "a" ]  `, "2[\"a\"]\u00a0", "2[\"a\",\u00a01]", `2/,["a"]`, `2//,["a"]`, `2/a,/b,["a"]`, `2007["a"]`, `2-1["a"]`, `2+1["a"]`,
	`29007199254740992["a"]`, `299999999999999999999["a"]`, `2` + strings.Repeat("9", 400) + `["a"]`,
	`50-["a"]`, `5-["a"]`, `5 1-["a"]`, `5+1-["a"]`, `51e0-["a"]`, `50x2-["a"]`, `51.0-["a"]`, `5010-["a"]`, `510-["a"]`, `511-["a"]`, `5-1-["a"]`, `51["a"]`,
	`51-["a",{"_placeholder":true,"num":1}]`, `51-["a",{"_placeholder":true,"num":-1}]`, `51-["a",{"_placeholder":true,"num":"0"}]`, `51-["a",{"_placeholder":true}]`, `51-["a",{"_placeholder":1,"num":0}]`,
	`51-["a",{"_placeholder":true,"num":0.5}]`, `51-["a",{"_placeholder":true,"num":-0}]`, `51-["a",{"_placeholder":true,"num":0.0e5}]`, `51-["a",{"_placeholder":true,"num":1e-400}]`, `51-["a",{"_placeholder":true,"num":1e400}]`,
	`51-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]`, `52-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]`, `52-["a",{"_placeholder":true,"num":1}]`,
	`51-["a",{"_placeholder":true,"num":7,"num":0}]`, `51-["a",{"num":7,"_placeholder":true,"_placeholder":false}]`, `51-["a",{"_placehol\u0064er":true,"\u006eum":0}]`,
	`52-["a",{"x":{"_placeholder":true,"num":0},"_placeholder":true,"num":1}]`, `51-["a",{"x":{"_placeholder":true,"num":9},"_placeholder":true,"num":0}]`,
	`51-["a",{"__proto__":{"_placeholder":true,"num":0}}]`, `51-["a",{"__proto__":{"_placeholder":true},"num":0}]`, `51-["a",["_placeholder",true]]`, `51-[{"_placeholder":true,"num":0}]`,
	`51-["__proto__",{"constructor":{"prototype":{"_placeholder":true,"num":0}}}]`, `2["__proto__",{"__proto__":{"a":1}}]`, `0{"__proto__":{"a":1},"constructor":1}`,
	`2["a",{"_placeholder":true,"num":0}]`, `61-[{"_placeholder":true,"num":0}]`, `61-{"_placeholder":true,"num":0}`,
	`0/` + strings.Repeat("a", 300), `0/` + strings.Repeat("a", 255), `2["a",` + strings.Repeat("[", 99) + strings.Repeat("]", 99) + `]`, `2["a",` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `]`,
	`2["a",` + strings.Repeat("9", 10_000) + `]`, `2["` + strings.Repeat("€", 300_000) + `"]`, `2["\ud83d\ude00","\ud83d"]`, `2["\ud83d"]`, `2["\ude00\ud83d\ud83d\ude00"]`, "2[\"\u2028\"]",
}
