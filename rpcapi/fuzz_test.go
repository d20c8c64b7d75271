package rpcapi

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/server/hub"
)

// FuzzFront sends anything to an API on a running hub. Whatever comes, the
// answer is a line of JSON or nothing, no method panics, ids come back, and
// nothing of the inside shows.
func FuzzFront(f *testing.F) {
	for _, tt := range specification {
		f.Add([]byte(tt.in))
	}
	for _, s := range []string{
		`{"method":"create_client","params":["alice"],"id":1}`,
		`{"version":"1.1","method":"subscribe","params":["alice","room"]}`,
		`{"jsonrpc":"2.0","method":"subscribe_many","params":{"channels":{"room":["alice","bob"],"r\u00fc":[]}},"id":"\u0000"}`,
		`{"jsonrpc":"2.0","method":"unsubscribe_all_channel","params":["room",["bob"]],"id":9007199254740993}`,
		`[{"method":"new_message","params":["bob",{"a":[1,-2.5e-3]},"room",false],"id":null},{"method":"info"}]`,
		`{"method":"new_message","params":{"client_id":5,"message":"\ud83d\ude00","channel_name":"room","system":true},"id":{}}`,
		`{"method":"get_channel_clients","params":["room"],"id":[1]}`,
		`{"method":"get_client_channels","params":["alice"],"id":1.5}`,
		`{"method":"kill_client","params":["\ud800"],"id":0}`,
		`{"jsonrpc":"2.0","method":"publish","params":{"channel":"room","data":1,"sender":null,"publish_id":"a","exclude":["b"],"ttl_ms":1e3,"system":true},"id":1}`,
		`{"jsonrpc":"2.0","method":"publish_many","params":[[{"channel":"room","data":[1]},7,{"data":2}]],"id":1}`,
		`{"jsonrpc":"2.0","method":"broadcast","params":{"channels":["a","b","a"],"data":null},"id":1}`,
		`{"jsonrpc":"2.0","method":"emit","params":["e",[{"$binary":"AAEC"},{"_placeholder":true}],["a","client:b"],"c","/",null,true,"x",1],"id":1}`,
		`{"jsonrpc":"2.0","method":"emit","params":{"event":"e","namespace":"/chat"},"id":1}`,
		`{"jsonrpc":"2.0","method":"emit_with_ack","params":["e",[{"$binary":"AAEC"}],"room",["client:b"],"/",1e3],"id":1}`,
		`{"method":"sockets_join","params":["red",null,["~rVn5Zq0cYx1kB8mT2sA"],"/chat"],"id":1}`,
		`{"method":"sockets_leave","params":{"rooms":["a","b"]}}`, `{"method":"disconnect_sockets","params":["room",[],null,true]}`,
		`{"method":"fetch_sockets","params":[null,null,"/",1,"~"]}`, `{"method":"set_socket_data","params":["~rVn5Zq0cYx1kB8mT2sA",[null]]}`,
		`{"method":"declare_namespace","params":["/b-*",true,"rpc",["e"],{"e":"*","f\u00e9":"room"}],"id":1}`,
		`{"method":"declare_namespace","params":{"name":"/b-*","remove":true}}`,
		`{"jsonrpc":"2.0","method":"history","params":["room",null,2.0,true],"id":1}`,
		`{"method":"history","params":{"channel":"room","since":"000000000000001f.42"}}`,
		`{"method":"presence","params":["room","a",1]}`, `{"method":"channels","params":["*\\*",null,1]}`,
		`{"method":"clients","params":{"after":"a"}}`, `{"method":"rotate_key","params":["alice"],"id":1}`,
		`{"method":"disconnect","params":["alice","x"]}`, `{"method":"delete_channel","params":["room"]}`,
		`{"method":"stats"}`, `{"method":"rpc.discover","id":1}`,
		`{"method":"a","METHOD":"b"}`, `{"id":1,"id":2,"method":"info"}`,
		`{"method":"system.describe"}`, `{"jsonrpc":"2.0","method":"system.list_methods","id":null}`,
		"\xef\xbb\xbf{}", "{\"method\":\"\xff\"}", `[[]]`, `[`, `nul`, ``, ` `, `{"method":"info"} x`,
		nest(70),
	} {
		f.Add([]byte(s))
	}
	h := newHub(f, hub.Limits{Clients: 50, Channels: 50, TotalBytes: 1 << 20})
	a := New(h, Options{Sockets: newHall(), MaxBatch: 5, MaxBody: 64 << 10, Logger: quiet})
	f.Fuzz(func(t *testing.T, body []byte) {
		given := bytes.Clone(body)
		answer := a.Handle(context.Background(), body)
		if !bytes.Equal(body, given) {
			t.Error("the body was changed")
		}
		if answer == nil {
			return
		}
		if !json.Valid(answer) || !bytes.HasSuffix(answer, []byte("\n")) {
			t.Errorf("the answer is not a line of JSON: %q", answer)
		}
		shown := bytes.ReplaceAll(answer, a.OpenRPC(), nil) // it tells of errors
		for _, word := range []string{"-32603", "-32000", "goroutine", "rpcapi", ".go", "hub."} {
			if bytes.Contains(shown, []byte(word)) && !bytes.Contains(body, []byte(word)) && !bytes.Contains(body, []byte(`\u`)) {
				t.Errorf("%q is in %s", word, answer)
			}
		}
		checkShape(t, body, answer)
	})
}

// checkShape checks the answer to a body that is one object.
func checkShape(t *testing.T, body, answer []byte) {
	var in, out map[string]json.RawMessage
	if json.Unmarshal(body, &in) != nil || in == nil || len(body) > 64<<10 {
		return
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		t.Fatalf("%s for one object", answer)
	}
	for name := range out {
		if !strings.Contains("jsonrpc result error id", name) {
			t.Errorf("member %s in %s", name, answer)
		}
	}
	id, answered := in["id"], out["id"]
	if string(id) == "null" {
		id = nil
	}
	if string(answered) == "null" {
		answered = nil
	}
	var e struct{ Code int }
	_ = json.Unmarshal(out["error"], &e)
	switch e.Code {
	case CodeParseError, CodeInvalidRequest:
		return // perhaps the id was what was wrong
	}
	if !bytes.Equal(id, answered) {
		t.Errorf("id %s came back as %s", id, answered)
	}
}
