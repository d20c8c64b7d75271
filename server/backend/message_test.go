package backend

import (
	"encoding/json"
	"strings"
	"testing"
)

var testWaits = map[string]bool{"ask": true}

func TestSort(t *testing.T) {
	for _, tt := range []struct {
		text string
		want kind
		id   string
	}{
		{`{"jsonrpc":"2.0","method":"publish","params":{},"id":1}`, request, ""},
		{`{"id":1,"method":"publish","result":2}`, request, "1"},
		{`{"method":"ask","id":"a"}`, waiting, `"a"`},
		{`{"id":[1], "m\u0065thod" : "a\u0073k" }`, waiting, "[1]"},
		{` [ {"method":"publish"} , {"params":["]}\""],"method":"ask"} ]`, waiting, ""},
		{`[{"method":"publish"},{"params":{"method":"ask"}},["ask"],"ask",{"x":[{"method":"ask"}]}]`, request, ""},
		{`{"method":"serve"}`, serving, ""},
		{`{"method":"serve","params":{"handler":"rpc"},"id":null}`, serving, "null"},
		{`{"method":"serve","id":{}}`, request, "{}"},
		{`{"method":"serve","id":1,}`, request, "1"},
		{`{"method":"serve","id":1,"params":nonsense}`, request, "1"},
		{`{"method":"serve","id":[],"result":1}`, request, "[]"},
		{`{"method":"ask","result":1}`, waiting, ""},
		{`{"method":"serve","method":"serve","id":1}`, request, "1"},
		{`{"method":"serve","id":1,"id":2}`, request, "2"},
		{`{"method":["serve"],"id":1}`, request, ""},
		{`[{"method":"serve"}]`, request, ""},

		{`{"jsonrpc":"2.0","result":null,"id":"s-1"}`, reply, `"s-1"`},
		{"\t{\r\n\"id\" :\"s-1\" , \"error\" :{ \"code\" :1} } ", reply, `"s-1"`},
		{`{"result":{"method":"publish"},"id":"s-1"}`, reply, `"s-1"`},
		{`{"result":"\"method\":\"publish\"","id":"s-1"}`, reply, `"s-1"`},
		{`{"re\u0073ult":1}`, reply, ""},
		{`{"result":1,"error":2,"id":3}`, reply, "3"},
		{`{"result":1,"id":"s-1","id":"s-2"}`, request, `"s-2"`},
		{`{"result":1,"id":"s-1"} x`, request, `"s-1"`},
		{`{"result":1,"id":"s-1"`, request, `"s-1"`},
		{`{"result":1,"m\u0065thod":"publish","id":"s-1"}`, request, ""},
		{`{"Result":1,"id":"s-1"}`, request, `"s-1"`},
		{`[{"result":1,"id":"s-1"}]`, request, ""},
		{`{}`, request, ""},
		{``, request, ""},
		{`"result"`, request, ""},
		{`{"result"}`, request, ""},
		{`{"result":}`, request, ""},
		{`{"result":"`, request, ""},
		{`{"result":"\`, request, ""},
		{`{"result":[`, request, ""},
		{`{"\ud8zz":1,"result":1}`, request, ""},
	} {
		m := sort([]byte(tt.text), testWaits)
		if m.kind != tt.want || string(m.id) != tt.id || string(m.text) != tt.text {
			t.Errorf("%s\nis of kind %d with the id %s, want %d and %s", tt.text, m.kind, m.id, tt.want, tt.id)
		}
	}
}

func TestNumber(t *testing.T) {
	for id, want := range map[string]uint64{
		`"s-1"`: 1, `"s-907"`: 907, `"\u0073-12"`: 12, `"` + idOf(1<<63) + `"`: 1 << 63,
		`"s-"`: 0, `"s-01"`: 0, `"s-0"`: 0, `"s-+1"`: 0, `"s--1"`: 0, `"s-1_0"`: 0, `"s-1 "`: 0, `"s-0x1"`: 0, `"S-1"`: 0, `"1"`: 0, `1`: 0, `null`: 0, ``: 0, `"`: 0,
	} {
		if got := number([]byte(id)); got != want {
			t.Errorf("%s is of the call %d, want %d", id, got, want)
		}
	}
}

// FuzzSort holds what is found quickly against what a real parser finds.
func FuzzSort(f *testing.F) {
	for _, text := range []string{
		`{"jsonrpc":"2.0","method":"publish","params":{"a":"}\"]"},"id":1}`,
		`{"method":"ask","id":"a"}`,
		`[{"method":"publish"},{"method":"a\u0073k","x":[[],{}]}]`,
		`{"method":"serve","params":["rpc"],"id":-1.5e3}`,
		`{"jsonrpc":"2.0","result":{"ack":[1,"\\"]},"id":"s-1"}`,
		`{"error":{"code":1,"message":"\u00e4"},"result":null,"id":"s-1"}`,
		`{"id":1,"id":2,"result":true}`, `{"":{}, "result" : false }`, "[", `{"a":"\`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		before := string(text)
		m := sort(text, testWaits)
		if string(text) != before {
			t.Fatal("the text was changed")
		}
		for _, part := range [][]byte{m.id, m.params} {
			if part != nil && !strings.Contains(before, string(part)) {
				t.Fatalf("%q is no part of %q", part, before)
			}
		}
		number(m.id)
		if !json.Valid(text) {
			if m.kind == serving {
				t.Fatalf("%q is no JSON, and calls are to be made for it", text)
			}
			return
		}
		if got, want := m.kind, slowly(t, text); got != want {
			t.Fatalf("%q is of kind %d, want %d", text, got, want)
		}
	})
}

// slowly sorts what is valid JSON.
func slowly(t *testing.T, text []byte) kind {
	var batch []json.RawMessage
	if json.Unmarshal(text, &batch) == nil && batch != nil {
		for _, e := range batch {
			names, values := membersOf(t, e)
			for i, name := range names {
				// The first that waits is enough, and so is a method twice, which is refused anyhow.
				if name == "method" && testWaits[textOf(values[i])] {
					return waiting
				}
			}
		}
		return request
	}
	names, values := membersOf(t, text)
	counts := make(map[string]int)
	last := make(map[string]string)
	for i, name := range names {
		counts[name]++
		last[name] = values[i]
	}
	method := textOf(last["method"])
	id := last["id"]
	switch {
	case counts["method"] > 1 || counts["id"] > 1 || counts["params"] > 1:
		return request
	case counts["method"] == 1 && testWaits[method]:
		return waiting
	case counts["method"] == 1 && method == serve:
		if id == "" || strings.ContainsRune(`"n-0123456789`, rune(id[0])) {
			return serving
		}
		return request
	case counts["method"] == 0 && counts["result"]+counts["error"] > 0:
		return reply
	}
	return request
}

// membersOf are the members of an object, none if it is none.
func membersOf(t *testing.T, text []byte) (names, values []string) {
	d := json.NewDecoder(strings.NewReader(string(text)))
	if first, _ := d.Token(); first != json.Delim('{') {
		return nil, nil
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			t.Fatal(err)
		}
		names, values = append(names, name.(string)), append(values, string(value))
	}
	return names, values
}

func textOf(value string) (s string) {
	if len(value) > 0 && value[0] == '"' {
		json.Unmarshal([]byte(value), &s)
	}
	return s
}
