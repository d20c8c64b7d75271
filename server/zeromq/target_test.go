package zeromq

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/shaveet/shaveet/server/hub"
)

func TestTargets(t *testing.T) {
	for _, tt := range []struct {
		channel string
		frames  []string
		want    string
		err     error
	}{
		{"room", []string{"x"}, "room", nil},
		{"room", []string{"topic", "x"}, "room", nil},
		{"room", []string{"a", "b", "c"}, "", errFrames},
		{"{topic}", []string{"news", "x"}, "news", nil},
		{"zmq.{topic}.in", []string{"news", "x"}, "zmq.news.in", nil},
		{"{topic}", []string{"", "x"}, "", nil}, // which is no channel: the hub's rules say so
		{"{topic}", []string{"{topic}", "x"}, "{topic}", nil},
		{"{topic}", []string{"x"}, "", errTopic},
		{"{topic}", []string{"a", "b", "c"}, "", errTopic},
		{"{data.to}", []string{`{"to":"a"}`}, "a", nil},
		{"x.{data.to}.y", []string{"topic", `{"from":1,"to":"a"}`}, "x.a.y", nil},
		{"{data.a.b}", []string{`{"a.b":"c"}`}, "c", nil},
		{"{data.ä}", []string{`{"\u00e4":"\u00e4"}`}, "ä", nil},
		{"{data.to}", []string{`{"to":"a","to":"b"}`}, "b", nil},
		{"{data.to}", []string{`{"to":"a","to":1}`}, "", errField},
		{"{data.to}", []string{`{"to":1,"to":"b"}`}, "b", nil},
		{"{data.to}", []string{`{"To":"a"}`}, "", errField},
		{"{data.to}", []string{`{"to":null}`}, "", errField},
		{"room{data.to}", []string{`{"to":null}`}, "", errField},
		{"room{data.to}", []string{`{"to":""}`}, "room", nil},
		{"{data.to}", []string{`{"to":5}`}, "", errField},
		{"{data.to}", []string{`{"to":["a"]}`}, "", errField},
		{"{data.to}", []string{`{}`}, "", errField},
		{"{data.to}", []string{`["to"]`}, "", errField},
		{"{data.to}", []string{`null`}, "", errField},
		{"{data.to}", []string{`{"to":"a"`}, "", errField},
		{"{data.to}", []string{``}, "", errField},
		{"{data.to}", []string{"a", "b", `{"to":"a"}`}, "", errFrames},
	} {
		to, err := parseTarget(tt.channel)
		if err != nil {
			t.Fatal(err)
		}
		var frames [][]byte
		for _, f := range tt.frames {
			frames = append(frames, []byte(f))
		}
		got, err := to.channel(frames)
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%q of %q: %q, %v; want %q, %v", tt.channel, tt.frames, got, err, tt.want, tt.err)
		}
	}
}

func TestBrokenTargets(t *testing.T) {
	for _, s := range []string{
		"", "{", "a{", "a{topic", "{}", "{ topic }", "{Topic}", "{data}", "{data.}", "{date.x}", "{topic}{topic}", "{topic}.{data.x}",
		"{topic}}", "{topic}{", "{data.x}}", "{data.{topic}}", "{{topic}}",
	} {
		if to, err := parseTarget(s); err == nil {
			t.Errorf("%q is %+v", s, to)
		}
	}
	// What has no meaning stands for itself.
	if to, err := parseTarget("a}b"); err != nil || to.chosen() || to.before != "a}b" {
		t.Errorf("a}b: %+v, %v", to, err)
	}
}

func TestFormats(t *testing.T) {
	deep := strings.Repeat("[", 64) + strings.Repeat("]", 64)
	for _, tt := range []struct{ format, data, want string }{
		{"json", `{"a": [1, null]}`, `{"a": [1, null]}`},
		{"json", ` "x" `, `"x"`},
		{"json", "{\n\"a\": 1\n}", "{\n\"a\": 1\n}"}, // who sends lines takes the breaks out
		{"json", deep, deep},
		{"json", "[" + deep + "]", ""},
		{"json", `["[[[\\\"[[["]` + strings.Repeat(" ", 9), `["[[[\\\"[[["]`},
		{"json", " \t\r\n\"hi\"\n", `"hi"`},
		{"json", `"\ud800"`, `"\ud800"`}, // half a pair, escaped: JSON allows it
		{"json", "", ""},
		{"json", "x", ""},
		{"json", `{"a":1}{}`, ""},
		{"json", "\"a\xffb\"", ""},
		{"json", "\"\xed\xa0\x80\"", ""},
		{"json", "\xef\xbb\xbf1", ""},
		{"json", "\"a\nb\"", ""},
		{"text", "", `""`},
		{"text", "Grüße \"x\"\n", `"Grüße \"x\"\n"`},
		{"text", "a\x00b", `"a\u0000b"`},
		{"text", "a\xff", ""},
		{"base64", "", `""`},
		{"base64", "\x00\xff", `"AP8="`},
		{"base64", "abc", `"YWJj"`},
	} {
		got, err := encode(tt.format, []byte(tt.data), 64)
		if string(got) != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%s of %q: %q, %v; want %q", tt.format, tt.data, got, err, tt.want)
		}
	}
}

// Whatever comes is refused with a reason, or goes to one channel by JSON that
// says what has come.
func FuzzTarget(f *testing.F) {
	f.Add("{data.x}", "json", []byte("topic"), []byte(`{"x":"room"}`))
	f.Add("a{topic}b", "text", []byte("topic"), []byte("\xff"))
	f.Add("room", "base64", []byte(""), []byte("\x00"))
	f.Add("a.{data.x}", "json", []byte("\xff"), []byte(`{"x":"a","x":null}`))
	f.Add("{data.\xff}", "json", []byte(""), []byte("{\"\xff\":\"\\ud800\"}"))
	f.Fuzz(func(t *testing.T, channel, format string, topic, data []byte) {
		to, err := parseTarget(channel)
		if err != nil {
			return
		}
		h := hub.Limits{NameBytes: 64}
		k := &socket{Config: Config{Channel: channel, Format: format}, hub: limited{limits: h}}
		for _, frames := range [][][]byte{{data}, {topic, data}, {topic, topic, data}} {
			var p hub.Publication
			why, err := k.read(to, frames, &p)
			if (why == "") != (err == nil) {
				t.Fatalf("reason %q, error %v", why, err)
			}
			if err != nil {
				continue
			}
			if len(frames) > 2 || hub.CheckChannelName(p.Channel, h.NameBytes) != nil || !json.Valid(p.Data) || !utf8.Valid(p.Data) {
				t.Fatalf("%q: %q goes to %q", frames, p.Data, p.Channel)
			}
			if !strings.HasPrefix(p.Channel, to.before) || !strings.HasSuffix(p.Channel, to.after) {
				t.Fatalf("%q goes to %q", channel, p.Channel)
			}
			if back := decode(t, format, p.Data); back != string(data) {
				t.Fatalf("%q has become %q", data, back)
			}
		}
	})
}

// decode is the other way round of encode.
func decode(t *testing.T, format string, data json.RawMessage) string {
	if format == "json" {
		return string(data)
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		t.Fatal(err)
	}
	if format == "text" {
		return text
	}
	p, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(p)
}

// limited is a hub of which only the limits are asked.
type limited struct {
	Hub
	limits hub.Limits
}

func (l limited) Limits() hub.Limits { return l.limits }
