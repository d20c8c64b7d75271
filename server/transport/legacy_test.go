package transport

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/shaveet/shaveet/server/hub"
)

// TestLegacyForm states byte for byte what a page of 2010 reads.
func TestLegacyForm(t *testing.T) {
	for _, test := range []struct {
		name, sender, data string
		event              string
		notice             hub.Notice
		want               string
	}{
		{name: "text", sender: `"bob"`, data: `"hello"`, want: `[7, "hello", "bob"]`},
		{name: "empty text", sender: `"bob"`, data: `""`, want: `[7, "", "bob"]`},
		{name: "spaces in a text stay", sender: `"a b"`, data: `" a , b : c "`, want: `[7, " a , b : c ", "a b"]`},
		{name: "escapes stay", sender: `"b"`, data: `"\n\t\\\"\/\u00e9\ud83d\ude00"`, want: `[7, "\n\t\\\"\/\u00e9\ud83d\ude00", "b"]`},
		{name: "Latin-1", sender: `"bób"`, data: `"é"`, want: `[7, "\u00e9", "b\u00f3b"]`},
		{name: "beyond the basic plane", sender: `"b"`, data: `"😀"`, want: `[7, "\ud83d\ude00", "b"]`},
		{name: "line separators", sender: `"b"`, data: "\"\u2028\u2029\"", want: `[7, "\u2028\u2029", "b"]`},
		{name: "a script's end", sender: `"b"`, data: `"</script><!--&"`, want: `[7, "\u003c/script\u003e\u003c!--\u0026", "b"]`},
		{name: "a sender's script", sender: `"</script>"`, data: `"x"`, want: `[7, "x", "\u003c/script\u003e"]`},

		{name: "object", sender: `"b"`, data: `{"a":1}`, want: `[7, "{\"a\": 1}", "b"]`},
		{name: "spaced object", sender: `"b"`, data: "{ \"a\" :\t[ 1 ,\n2 ] }", want: `[7, "{\"a\": [1, 2]}", "b"]`},
		{name: "empty object", sender: `"b"`, data: `{ }`, want: `[7, "{}", "b"]`},
		{name: "array", sender: `"b"`, data: `[1,"x,y:z",[]]`, want: `[7, "[1, \"x,y:z\", []]", "b"]`},
		{name: "number", sender: `"b"`, data: `5`, want: `[7, "5", "b"]`},
		{name: "fraction", sender: `"b"`, data: `-1.50e+3`, want: `[7, "-1.50e+3", "b"]`},
		{name: "true", sender: `"b"`, data: `true`, want: `[7, "true", "b"]`},
		{name: "null", sender: `"b"`, data: `null`, want: `[7, "null", "b"]`},
		{name: "object of strange text", sender: `"b"`, data: `{"é":"</script>\n\"😀"}`,
			want: `[7, "{\"\\u00e9\": \"\u003c/script\u003e\\n\\\"\\ud83d\\ude00\"}", "b"]`},

		{name: "sender null", sender: `null`, data: `"x"`, want: `[7, "x", null]`},
		{name: "sender number", sender: `5`, data: `"x"`, want: `[7, "x", 5]`},
		{name: "sender false", sender: `false`, data: `"x"`, want: `[7, "x", false]`},
		{name: "sender empty", sender: `""`, data: `"x"`, want: `[7, "x", ""]`},
		{name: "sender array", sender: `[1,"é"]`, data: `"x"`, want: `[7, "x", [1, "\u00e9"]]`},
		{name: "sender object", sender: `{"id":1,"name":"<b>"}`, data: `"x"`, want: `[7, "x", {"id": 1, "name": "\u003cb\u003e"}]`},

		{name: "event", sender: `"b"`, event: "typing", data: `["bob",{ "a":1 }]`, want: `[7, "{\"event\": \"typing\", \"args\": [\"bob\", {\"a\": 1}]}", "b"]`},
		{name: "event without arguments", sender: `null`, event: "e", data: `[]`, want: `[7, "{\"event\": \"e\", \"args\": []}", null]`},
		{name: "event of strange name", sender: `"b"`, event: `</é",: 😀`, data: `["é"]`,
			want: `[7, "{\"event\": \"\\u003c/\\u00e9\\\",: \\ud83d\\ude00\", \"args\": [\"\\u00e9\"]}", "b"]`},

		{name: "joined", sender: `"a"`, data: `{"type":"subscribe"}`, notice: hub.NoticeJoined,
			want: `[7, "{\"type\": \"subscribe\"}", "a"]`},
		{name: "left", sender: `"a"`, data: `{"type":"unsubscribe","gc":false}`, notice: hub.NoticeLeft,
			want: `[7, "{\"type\": \"unsubscribe\", \"gc\": false}", "a"]`},
		{name: "let go", sender: `"a"`, data: `{"type":"unsubscribe","gc":true}`, notice: hub.NoticeLetGo,
			want: `[7, "{\"type\": \"unsubscribe\", \"gc\": true}", "a"]`},
		{name: "killed looks like let go", sender: `"a"`, data: `{"type":"unsubscribe","gc":true,"reason":"killed"}`, notice: hub.NoticeKilled,
			want: `[7, "{\"type\": \"unsubscribe\", \"gc\": true}", "a"]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := &hub.Message{ID: 7, Sender: json.RawMessage(test.sender), Data: json.RawMessage(test.data), Event: test.event, Notice: test.notice}
			if got := string(Legacy(m)); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestLegacyNumbers(t *testing.T) {
	for id, want := range map[uint64]string{
		1: `[1, "", ""]`, 9: `[9, "", ""]`, 10: `[10, "", ""]`, 1 << 53: `[9007199254740992, "", ""]`,
		1<<64 - 1: `[18446744073709551615, "", ""]`,
	} {
		m := &hub.Message{ID: id, Sender: json.RawMessage(`""`), Data: json.RawMessage(`""`)}
		if got := string(Legacy(m)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestForgedNoticeIsAMessage: a backend's message may look like a notice, but
// only the server's own kill is rewritten.
func TestForgedNoticeIsAMessage(t *testing.T) {
	m := &hub.Message{ID: 1, Sender: json.RawMessage(`"x"`), Data: json.RawMessage(`{"type":"unsubscribe","gc":true,"reason":"killed"}`)}
	const want = `[1, "{\"type\": \"unsubscribe\", \"gc\": true, \"reason\": \"killed\"}", "x"]`
	if got := string(Legacy(m)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

var strangeJSON = []string{
	`null`, `0`, `-0.0e-7`, `""`, `"a"`, `[]`, `{}`, `[1 , 2]`, "\t{\"a\" : [ true,false ] }\n",
	`"\ud800"`, `"\udc00\ud800"`, `"\ud83d\ude00"`, `"😀"`, "\"\\ud83d😀\"", `"\\u0041"`, `"\\\""`, `"\"\\"`,
	"\"\u2028\u2029\"", `"</script>"`, `"\u003c"`, "\"\x7f\"", "\"\xff\xfe\"", "\"\xed\xa0\x80\"", `{"<":"&","é":{"\/":"\/"}}`,
}

func FuzzAppendASCII(f *testing.F) {
	for _, s := range strangeJSON {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var want any
		if decode(raw, &want) != nil {
			return
		}
		got := AppendASCII([]byte("before"), raw)
		got, ok := bytes.CutPrefix(got, []byte("before"))
		if !ok {
			t.Fatalf("what was there is gone: %q", got)
		}
		if i := bytes.IndexFunc(got, func(r rune) bool { return r < ' ' || r >= utf8.RuneSelf || r == '<' || r == '>' || r == '&' }); i >= 0 {
			t.Errorf("%q has %q", got, got[i])
		}
		var value any
		if err := decode(got, &value); err != nil {
			t.Fatalf("%q has become %q: %v", raw, got, err)
		}
		if !reflect.DeepEqual(value, want) {
			t.Errorf("%q has become %q", raw, got)
		}
		// Whoever is not a string is told as text, which must survive too.
		m := &hub.Message{ID: 1, Sender: raw, Data: raw}
		checkLegacy(t, m, want)
	})
}

// checkLegacy holds m's old form to what it must tell of value.
func checkLegacy(t *testing.T, m *hub.Message, value any) {
	t.Helper()
	form := Legacy(m)
	var triple []json.RawMessage
	if err := json.Unmarshal(form, &triple); err != nil || len(triple) != 3 {
		t.Fatalf("%q: %v", form, err)
	}
	var text string
	if err := json.Unmarshal(triple[1], &text); err != nil {
		t.Fatalf("the text of %q is no string: %v", form, err)
	}
	if isString, ok := value.(string); ok && m.Data[0] == '"' {
		if text != isString {
			t.Errorf("%q has become %q", isString, text)
		}
		return
	}
	var inner any
	if err := decode([]byte(text), &inner); err != nil || !reflect.DeepEqual(inner, value) {
		t.Errorf("the text %q is not %q: %v", text, m.Data, err)
	}
}

// decode reads JSON and keeps every number as it is written.
func decode(raw []byte, v *any) error {
	if !json.Valid(raw) {
		return &json.SyntaxError{}
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return d.Decode(v)
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "a", `"\`, "\x00\x1f\x7f", "é😀", "\u2028", "</script>&", "\xff", "\xed\xa0\x80", "\ufffd"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := AppendString(nil, s)
		if i := bytes.IndexFunc(got, func(r rune) bool { return r < ' ' || r > '~' || r == '<' || r == '>' || r == '&' }); i >= 0 {
			t.Errorf("%q has %q", got, got[i])
		}
		var value string
		if err := json.Unmarshal(got, &value); err != nil {
			t.Fatalf("%q has become %q: %v", s, got, err)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); utf8.ValidString(s) && value != want {
			t.Errorf("%q has become %q", s, got)
		}
		if std, _ := json.Marshal(s); !sameString(t, std, value) {
			t.Errorf("%q has become %q, encoding/json says %q", s, got, std)
		}
	})
}

func sameString(t *testing.T, raw []byte, want string) bool {
	t.Helper()
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	return s == want
}

func BenchmarkLegacyEncode(b *testing.B) {
	for name, data := range map[string]string{
		"text":    `"` + strings.Repeat("hello, world ", 16) + `"`,
		"unicode": `"` + strings.Repeat("héllo, wörld 😀 ", 12) + `"`,
		"object":  `{"type":"message","text":"` + strings.Repeat("hello ", 30) + `","n":[1,2,3]}`,
	} {
		b.Run(name, func(b *testing.B) {
			m := &hub.Message{ID: 12345, Sender: json.RawMessage(`"alice"`), Data: json.RawMessage(data)}
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				encodeLegacy(m)
			}
		})
	}
}
