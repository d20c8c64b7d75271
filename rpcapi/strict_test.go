package rpcapi

import (
	"encoding/json"
	"strings"
	"testing"
)

// Bodies that are no JSON text, beyond what the dialects' tables have.
func TestParseErrors(t *testing.T) {
	a, toy := newToy(Options{})
	for in, message := range map[string]string{
		"\xef\xbb\xbf" + `{"method":"update","params":[1]}`:    "begins with a byte order mark",
		`{"method":"update","params":[1]} {}`:                  "unexpected data after the end at byte 33",
		`{"method":"update","params":[1]}x`:                    "unexpected data after the end at byte 32",
		`{"method":"update","params":[1]}` + "\x00":            "unexpected data after the end at byte 32",
		`[{"method":"update","params":[1]}]]`:                  "unexpected data after the end at byte 34",
		`[{"method":"update","params":[1]},]`:                  "unexpected character at byte 34",
		`{"method":"update","params":[1],}`:                    "unexpected character at byte 32",
		`{"method":"update","params":["a` + "\xff" + `"]}`:     "not valid UTF-8",
		`{"method":"update","params":["` + "\xed\xa0\x80\"]}":  "not valid UTF-8",
		"\xff\xfe{\x00}\x00":                                   "not valid UTF-8",
		"\x00{\x00}":                                           "unexpected character at byte 0",
		`{"method":"update","params":[NaN]}`:                   "unexpected character at byte 29",
		`{"method":"update","params":[Infinity]}`:              "unexpected character at byte 29",
		`{"method":"update","params":[01]}`:                    "unexpected character at byte 30",
		`{"method":"update","params":[+1]}`:                    "unexpected character at byte 29",
		`{"method":"update","params":[1.]}`:                    "unexpected character at byte 31",
		`{"method":"update","params":[.5]}`:                    "unexpected character at byte 29",
		`{"method":"update","params":[1e]}`:                    "unexpected character at byte 31",
		`{"method":"update","params":[-]}`:                     "unexpected character at byte 30",
		`{"method":"update","params":["\x41"]}`:                "unexpected character at byte 31",
		`{"method":"update","params":["\u00g1"]}`:              "unexpected character at byte 34",
		`{"method":"update","params":["` + "\n" + `"]}`:        "unexpected character at byte 30",
		`{"method":"update","params":["\`:                      "unexpected end",
		`{"method":"update","params":["a`:                      "unexpected end",
		`{'method':'update'}`:                                  "unexpected character at byte 1",
		`{"method" "update"}`:                                  "unexpected character at byte 10",
		`{"method":"update" "id":1}`:                           "unexpected character at byte 19",
		`{method:"update"}`:                                    "unexpected character at byte 1",
		`{"method":"update","params":[1]/* no */}`:             "unexpected character at byte 31",
		`{"method":"update","params":[tru]}`:                   "unexpected character at byte 29",
		`   `:                                                  "unexpected end",
		strings.Repeat("[", 10_001):                            "nested deeper than 64 levels (max_json_depth)",
		strings.Repeat(`{"a":`, 10_001):                        "nested deeper than 64 levels (max_json_depth)",
		`{"method":"update","params":[` + nest(63) + `]}`:      "nested deeper than 64 levels (max_json_depth)",
		`[{"method":"update","params":[` + nest(62) + `]}]`:    "nested deeper than 64 levels (max_json_depth)",
		`{"method":"update","params":{"a":` + nest(63) + `}}`:  "nested deeper than 64 levels (max_json_depth)",
		`{"method":"update","x":` + nest(64) + `,"params":[]}`: "nested deeper than 64 levels (max_json_depth)",
	} {
		if code, got := failure(t, handle(a, in)); code != CodeParseError || got != "Parse error: "+message {
			t.Errorf("%.60q: %d %q, want %q", in, code, got, message)
		}
	}
	if len(toy.ran) != 0 {
		t.Errorf("ran all the same: %v", toy.ran)
	}
	for _, in := range []string{
		`{"method":"update","params":[` + nest(62) + `]}`,
		`[{"method":"update","params":[` + nest(61) + `]}]`,
		`{"method":"update","params":["[[[[` + strings.Repeat("{", 100) + `"]}`,
	} {
		if got := handle(a, in); strings.Contains(got, "error") {
			t.Errorf("%s: %s", in, got)
		}
	}
}

// nest returns n arrays, one inside the other.
func nest(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

// The scanner takes exactly what encoding/json takes, since both follow the
// same RFC. Depth apart.
func FuzzScanner(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,-0.5e+7,true,false,null,"\u00e9\n\"",{}],"b":{"c":[]}}`,
		`[]`, `""`, `-`, `01`, `1.`, `{"a"}`, `[1,]`, "\"\x01\"", `"\u12"`, `nul`, ` 1 `, `1 2`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s := scanner{text: text, maxDepth: 1000}
		_, err := s.value()
		s.peek()
		if got, want := err == nil && s.at == len(text), json.Valid(text); got != want && len(text) < 1000 {
			t.Errorf("valid: %v, encoding/json: %v", got, want)
		}
	})
}

// unquote agrees with encoding/json wherever no half surrogate is involved.
func FuzzUnquote(f *testing.F) {
	f.Add(`"\ud83d\ude00\u00e9\/\b\f\n\r\t\\\""`)
	f.Add(`"\ud83d"`)
	f.Add(`"plain"`)
	f.Fuzz(func(t *testing.T, quoted string) {
		var want string
		if !strings.HasPrefix(quoted, `"`) || !strings.HasSuffix(quoted, `"`) || json.Unmarshal([]byte(quoted), &want) != nil {
			return
		}
		got, ok := unquote([]byte(quoted))
		if !ok && !strings.Contains(want, "\ufffd") {
			t.Errorf("%s refused", quoted)
		}
		if ok && strings.ToValidUTF8(string(got), "\ufffd") != want && strings.ToValidUTF8(quoted, "") == quoted {
			t.Errorf("%s is %q, want %q", quoted, got, want)
		}
	})
}
