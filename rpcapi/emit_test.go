package rpcapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/shaveet/shaveet/server/hub"
)

// said has one line for each message that the sessions of a hub have not had,
// by the names of the sessions.
func said(sessions map[string]*hub.Session) (all []string) {
	for name, s := range sessions {
		b := s.Collect()
		for _, m := range b.Messages {
			if m.Notice == 0 {
				all = append(all, fmt.Sprintf("%s: %s%s by %s on %s", name, m.Event, m.Data, m.Sender, m.Channel()))
			}
		}
		s.Commit()
	}
	slices.Sort(all)
	return all
}

// gathering has alice and bob on the channel red, carol on the channel
// /chat#red, a socket of alice in / and one of carol in /chat.
func gathering(t *testing.T, b backend) map[string]*hub.Session {
	t.Helper()
	sessions := make(map[string]*hub.Session)
	attach := func(name string, start hub.Start, creds ...hub.Credentials) {
		s, err := b.hub.Attach(t.Context(), creds, start)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		s.Collect()
		s.Commit()
		sessions[name] = s
	}
	socket := func(sid, namespace string, of hub.Credentials) {
		own, _, err := b.hub.CreateSocket(t.Context(), sid, namespace, of.ID)
		if err != nil {
			t.Fatal(err)
		}
		attach(sid, hub.Start{Namespace: namespace}, of, own)
	}
	creds := make(map[string]hub.Credentials)
	for _, pair := range []hub.Pair{{Client: "alice", Channel: "red"}, {Client: "bob", Channel: "red"}, {Client: "carol", Channel: "/chat#red"}} {
		key := strings.Trim(b.do("create_client", `{"client_id":"`+pair.Client+`"}`), `"`)
		creds[pair.Client] = hub.Credentials{ID: pair.Client, Key: key}
		b.do("subscribe", `{"client_id":"`+pair.Client+`","channel_name":"`+pair.Channel+`"}`)
	}
	attach("bob", hub.Start{}, creds["bob"])
	socket("sid-a", "/", creds["alice"])
	socket("sid-c", "/chat", creds["carol"])
	said(sessions)
	return sessions
}

func TestEmit(t *testing.T) {
	for _, tt := range []struct {
		params string
		want   []string
	}{
		{`{"event":"e","to":"red"}`, []string{`bob: e[] by null on red`, `sid-a: e[] by null on red`}},
		{`{"event":"e","args":null,"to":["red"],"sender":{"id" :1}}`, []string{`bob: e[] by {"id" :1} on red`, `sid-a: e[] by {"id" :1} on red`}},
		{`{"event":"é \"","args":[ 1e0,"\ud800",{"a":1,"a":2}],"to":["blue","red"]}`,
			[]string{"bob: é \"[ 1e0,\"\\ud800\",{\"a\":1,\"a\":2}] by null on red", "sid-a: é \"[ 1e0,\"\\ud800\",{\"a\":1,\"a\":2}] by null on red"}},
		{`{"event":"e","to":"sid-a"}`, []string{`sid-a: e[] by null on @/#sid-a`}},
		{`{"event":"e","to":"client:bob"}`, []string{`bob: e[] by null on @/#bob`}},
		{`{"event":"e","to":["red","client:bob","sid-a"]}`, []string{`bob: e[] by null on red`, `sid-a: e[] by null on red`}},
		{`{"event":"e"}`, []string{`sid-a: e[] by null on /#`}},
		{`{"event":"e","to":"red","except":[]}`, []string{`bob: e[] by null on red`, `sid-a: e[] by null on red`}},
		{`{"event":"e","to":"red","except":"sid-a"}`, []string{`bob: e[] by null on red`}},
		{`{"event":"e","to":"red","except":["client:bob","sid-x"]}`, []string{`sid-a: e[] by null on red`}},
		{`{"event":"e","to":"red","except":"red"}`, nil},
		{`{"event":"e","namespace":"/chat"}`, []string{`sid-c: e[] by null on /chat#`}},
		{`{"event":"e","to":"red","namespace":"/chat"}`, []string{`sid-c: e[] by null on /chat#red`}},
		{`{"event":"e","to":"/chat#red"}`, nil}, // a room of that name in /
		{`{"event":"e","to":["sid-x","client:nobody"]}`, nil},
		{`{"event":"e","to":"red","volatile":true}`, []string{`bob: e[] by null on red`, `sid-a: e[] by null on red`}},
		{`["e",[1],"red",null,"/","x"]`, []string{`bob: e[1] by "x" on red`, `sid-a: e[1] by "x" on red`}},
	} {
		t.Run(tt.params, func(t *testing.T) {
			b := newBackend(t, Options{})
			sessions := gathering(t, b)
			answer := b.do("emit", tt.params)
			if want := `{"position":"` + b.hub.Position().String() + `"}`; answer != want {
				t.Errorf("answered %s, want %s", answer, want)
			}
			if got := said(sessions); !slices.Equal(got, tt.want) {
				t.Errorf("heard\n%q, want\n%q", got, tt.want)
			}
		})
	}
}

func TestEmitRepeats(t *testing.T) {
	b := newBackend(t, Options{})
	sessions := gathering(t, b)
	first := b.do("emit", `{"event":"e","args":[1],"to":["red","blue"],"publish_id":"x"}`)
	want := strings.TrimSuffix(first, "}") + `,"repeated":true}`
	if got := b.do("emit", `{"event":"e","args":[1],"to":["red","blue"],"publish_id":"x"}`); got != want {
		t.Errorf("a retry: %s, want %s", got, want)
	}
	if got := said(sessions); len(got) != 2 {
		t.Errorf("heard %q", got)
	}
	for _, other := range []string{`"event":"f","args":[1],"to":["red","blue"]`, `"event":"e","args":[2],"to":["red","blue"]`, `"event":"e","args":[1],"to":["red"],"except":["blue"]`} {
		b.refuses(CodePublishIDConflict, "the publish id has been used for another message", "emit", `{`+other+`,"publish_id":"x"}`)
	}
}

// What is volatile is nowhere to be found later, and takes no number.
func TestEmitVolatile(t *testing.T) {
	b := newBackend(t, Options{})
	b.do("publish", `{"channel":"red","data":1}`)
	b.do("emit", `{"event":"e","to":"red","volatile":true}`)
	b.do("emit", `{"event":"f","args":["x"],"to":"red","ttl_ms":60000}`)
	if m := b.kept("red")[1]; m.Terms == nil || m.Terms.TTL != time.Minute {
		t.Errorf("its terms are %+v", m.Terms)
	}
	b.do("emit", `{"event":"g","to":"blue","ttl_ms":9007199254740991}`)
	if m := b.kept("blue")[0]; m.Terms == nil || m.Terms.TTL <= 0 {
		t.Errorf("the terms of the longest are %+v", m.Terms)
	}
	got := unpack[historyAnswer](b, "history", `{"channel":"red"}`)
	if len(got.Messages) != 2 || got.LastID != 2 {
		t.Fatalf("%+v", got)
	}
	answer := handle(b.api, `{"method":"history","params":["red"]}`)
	if !strings.Contains(answer, `"id":2,`) || !strings.Contains(answer, `"data":null,"event":"f","args":["x"],"time":`) || strings.Contains(answer, `"e"`) {
		t.Error(answer)
	}
}

func TestEmitIsStrict(t *testing.T) {
	b := newBackend(t, Options{})
	position := b.hub.Position()
	for params, message := range map[string]string{
		`{}`:                                   "missing parameter: event",
		`{"event":null}`:                       "event: must be a string",
		`{"event":"e","to":[]}`:                "to: must not be an empty array: leave it out for everybody in the namespace",
		`{"event":5}`:                          "event: must be a string",
		`{"event":""}`:                         "an event's name must not be empty",
		`{"event":"\udc00"}`:                   "event: must not hold half of a surrogate pair",
		`{"event":"a\nb"}`:                     "an event's name must not contain control characters",
		`{"event":"connect"}`:                  `the event "connect" has a meaning of its own and cannot be emitted`,
		`{"event":"e","args":{}}`:              "args: must be an array",
		`{"event":"e","args":"[]"}`:            "args: must be an array",
		`{"event":"e","to":5}`:                 "to: must be a string or an array of strings",
		`{"event":"e","to":{}}`:                "to: must be a string or an array of strings",
		`{"event":"e","to":[["a"]]}`:           "to: each element must be a string",
		`{"event":"e","to":""}`:                "a room's name must not be empty",
		`{"event":"e","to":["a",""]}`:          "a room's name must not be empty",
		`{"event":"e","to":"\ud800"}`:          "to: must not hold half of a surrogate pair",
		`{"event":"e","except":false}`:         "except: must be a string or an array of strings",
		`{"event":"e","except":["a",null]}`:    "except: each element must be a string",
		`{"event":"e","except":""}`:            "a room's name must not be empty",
		`{"event":"e","namespace":"chat"}`:     "a namespace must begin with / and must not contain #, ? or a comma",
		`{"event":"e","namespace":"/a,b"}`:     "a namespace must begin with / and must not contain #, ? or a comma",
		`{"event":"e","volatile":1}`:           "volatile: must be true or false",
		`{"event":"e","publish_id":""}`:        "publish_id: must have 1 to 128 bytes",
		`{"event":"e","ttl_ms":0}`:             "ttl_ms: must be a whole number from 1 to 9007199254740991",
		`{"event":"e","room":"a"}`:             "unknown parameter: room",
		`["e",[],"a",[],"/",1,false,"x",1,2]`:  "too many parameters: takes 9 (event, args, to, except, namespace, sender, volatile, publish_id, ttl_ms)",
		`{"event":"e","args":[{"$binary":5}]}`: `args: in argument 1: the value of "$binary" must be canonical base64, padded and without line breaks`,
	} {
		b.refuses(CodeInvalidParams, message, "emit", params)
	}
	if now := b.hub.Position(); now != position {
		t.Errorf("the log went on from %s to %s", position, now)
	}
}

func TestBinaryArguments(t *testing.T) {
	const (
		bad         = `the value of "$binary" must be canonical base64, padded and without line breaks`
		many        = "must not have more than 10 binary values"
		placeholder = `an object with "_placeholder": true must not stand beside binary values`
	)
	ten := strings.TrimSuffix(strings.Repeat(`{"$binary":"AA=="},`, 10), ",")
	for args, want := range map[string]string{
		`[{"$binary":"AAEC"}]`:                                 "",
		`[{"$binary":""}]`:                                     "",
		`[ { "$binary" : "\/+8=" } ]`:                          "",
		`[{"\u0024bin\u0061ry":"\u0041AEC"}]`:                  "",
		`[{"$binary":"AAEC","a":1}]`:                           "",
		`[{"$binary":"x","$binary":"AAEC"}]`:                   "", // two members
		`[{"a":{"$binary":"AAEC","$binary":"?"}}]`:             "",
		`["$binary",["$binary","?"]]`:                          "",
		`[{"_placeholder":true,"num":0},"$binary"]`:            "",
		`[{"_placeholder":false},{"$binary":"AAEC"}]`:          "",
		`[{"_placeholder":true,"_placeholder":1},` + ten + `]`: "",
		`[` + ten + `]`:                                        "",

		`[1,{"$binary":"AAE"}]`:                                   "in argument 2: " + bad,
		`[{"$binary":"AAF="}]`:                                    "in argument 1: " + bad, // bits beyond the end
		`[{"$binary":"AAE=="}]`:                                   "in argument 1: " + bad,
		`[{"$binary":"AA\nEC"}]`:                                  "in argument 1: " + bad,
		`[{"$binary":" AAEC"}]`:                                   "in argument 1: " + bad,
		`[{"$binary":"_-8="}]`:                                    "in argument 1: " + bad,
		`[{"$binary":"\ud800"}]`:                                  "in argument 1: " + bad,
		`[{"\u0024binary":"?"}]`:                                  "in argument 1: " + bad,
		`[{"$binary":null}]`:                                      "in argument 1: " + bad,
		`[{"$binary":["AAEC"]}]`:                                  "in argument 1: " + bad,
		`[{"$binary":{"$binary":"AAEC"}}]`:                        "in argument 1: " + bad,
		`[0,[[]],[{"a":[{"\u0024binary":"?"}]}],{"$binary":"?"}]`: "in argument 3: " + bad,
		`[[{"$binary":"AAEC"},` + ten + `]]`:                      many,
		`[{"_placeholder":true,"num":0},{"$binary":""}]`:          placeholder,
		`[{"$binary":""},[{"_placeholder":1,"_placeh\u006flder":true,"a":2}]]`: placeholder,
		`[{"_placeholder":true,"a":{"$binary":""}}]`:                           placeholder,
	} {
		if !json.Valid([]byte(args)) {
			t.Fatalf("%s is not JSON", args)
		}
		var a eventArgs
		if got := a.read([]byte(args), bounds{}); got != want {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
		if want == "" && string(a) != args {
			t.Errorf("%s has become %s", args, a)
		}
	}
}

// FuzzEventArgs finds the same binary values as somebody who decodes everything.
func FuzzEventArgs(f *testing.F) {
	for _, s := range []string{
		`[{"$binary":"AAEC"}]`, `[{"a":[{"$binary":"AAE"}]}]`, `[{"\u0024binary":"\/+8="}]`, `[{"$binary":"AAF="},{"_placeholder":true}]`,
		`[{"_placeholder":true},{"$binary":""},1]`, `[ [ ] , { "$binary" : "" , "$binary" : 1 } ]`, `["$binary"]`, `{}`, `[{"$binary":"AA\nEC"}]`,
		`[` + strings.Repeat(`{"$binary":""},`, 10) + `{"$binary":""}]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := &scanner{text: raw, maxDepth: 64}
		if value, err := s.value(); !utf8.Valid(raw) || err != nil || len(value) != len(raw) {
			return
		}
		var a eventArgs
		fault := a.read(raw, bounds{})
		var want reference
		d := json.NewDecoder(strings.NewReader(string(raw)))
		d.UseNumber()
		want.value(t, d)
		good := raw[0] == '[' && !want.broken && want.count <= 10 && (want.count == 0 || !want.placeholder)
		if good != (fault == "") {
			t.Errorf("%s: %q, of %+v", raw, fault, want)
		}
	})
}

// reference reads JSON by encoding/json's tokens.
type reference struct {
	count               int
	broken, placeholder bool
}

// value returns the next value if it is a string or true, and nil if it is
// anything else.
func (r *reference) value(t *testing.T, d *json.Decoder) any {
	token, err := d.Token()
	if err != nil {
		t.Fatal(err)
	}
	switch token {
	case json.Delim('['):
		for d.More() {
			r.value(t, d)
		}
		d.Token()
		return nil
	case json.Delim('{'):
		r.object(t, d)
		return nil
	}
	return token
}

func (r *reference) object(t *testing.T, d *json.Decoder) {
	members, binary := 0, false
	var said, placeholder any
	for d.More() {
		name, _ := d.Token()
		value := r.value(t, d)
		members++
		switch name {
		case "$binary":
			binary, said = true, value
		case "_placeholder":
			placeholder = value
		}
	}
	d.Token()
	r.placeholder = r.placeholder || placeholder == true
	if members != 1 || !binary {
		return
	}
	r.count++
	text, ok := said.(string)
	data, err := base64.StdEncoding.DecodeString(text)
	r.broken = r.broken || !ok || err != nil || base64.StdEncoding.EncodeToString(data) != text
}
