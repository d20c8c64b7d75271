package rpcapi

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/server/hub"
)

// Parameters go where reflection would put them.
func TestDirectTargets(t *testing.T) {
	var one publishParams
	var old messageParams
	var many publishManyParams
	for name, tt := range map[string]struct {
		of any
		to targets
	}{
		"publish":      {&one, (*publishTargets)(&one)},
		"new_message":  {&old, (*messageTargets)(&old)},
		"publish_many": {&many, manyTarget{&many.Messages}},
	} {
		if directly[name] == nil {
			t.Errorf("%s is not answered directly", name)
		}
		s := must(newSignature(reflect.TypeOf(tt.of).Elem()))
		want := fields{reflect.ValueOf(tt.of).Elem(), s.params}
		for i := range s.params {
			got, want := reflect.ValueOf(tt.to.target(i)), reflect.ValueOf(want.target(i))
			if got.Type() != want.Type() || got.Pointer() != want.Pointer() {
				t.Errorf("%s: %s goes elsewhere", name, s.params[i].name)
			}
		}
	}
	if len(directly) != 3 {
		t.Error("not all of them are checked")
	}
}

// twins are two APIs on hubs of their own: one answers directly what can be, the
// other asks gorilla for everything.
type twins struct{ short, long backend }

func newTwins(t testing.TB) (w twins) {
	for i, b := range []*backend{&w.short, &w.long} {
		h := newHub(t, hub.Limits{Clients: 10, Channels: 8, MessageBytes: 300, PublishIDs: 20, ExcludePerMessage: 3, NameBytes: 20, ChannelMessages: 10, TotalBytes: 1 << 20})
		*b = backend{nil, New(h, Options{MaxBatch: 4, MaxAnswer: 2000, MaxDepth: 9, Logger: quiet}), h}
		for _, m := range b.api.methods {
			if i == 1 {
				m.direct = nil
			}
		}
	}
	return w
}

// agree has both answer body, and compares what they say and what they keep.
func (w twins) agree(t *testing.T, body []byte) {
	t.Helper()
	plain := func(b backend) []byte {
		answer := b.api.Handle(context.Background(), body)
		return bytes.ReplaceAll(answer, fmt.Appendf(nil, "%016x", b.hub.Position().Epoch), []byte("epoch"))
	}
	if short, long := plain(w.short), plain(w.long); !bytes.Equal(short, long) {
		t.Errorf("%s\ndirectly:      %s\nby reflection: %s", body, short, long)
	}
	if short, long := w.short.hub.Stats(), w.long.hub.Stats(); short != long {
		t.Errorf("%s\ndirectly:      %+v\nby reflection: %+v", body, short, long)
	}
	for _, channel := range []string{"room", "a", "b"} {
		if short, long := keeps(w.short, channel), keeps(w.long, channel); short != long {
			t.Errorf("%s\ndirectly:      %s\nby reflection: %s", body, short, long)
		}
	}
}

// keeps is what a channel keeps, but for what time ends.
func keeps(b backend, channel string) string {
	h, err := b.hub.History(hub.HistoryQuery{Channel: channel, Limit: 100})
	if err != nil {
		return err.Error()
	}
	var all strings.Builder
	for _, m := range h.Messages {
		if m.Terms != nil && m.Terms.TTL > 0 {
			continue
		}
		fmt.Fprintf(&all, "%d %d %s %s %v %+v\n", m.Seq, m.ID, m.Sender, m.Data, m.System, m.Terms)
	}
	return all.String()
}

// directSeeds are parameters of publish, publish_many and new_message, good ones
// and others.
var directSeeds = []string{
	`{"channel":"room","data":1}`, `["room",{"a":[1,"\u00e9"]},"bob","p1",["a","b"],5000,true]`, `["room",1,null,null,null,null,null]`,
	`{"channel":"room","data":1,"publish_id":"x","exclude":["b","a"],"ttl_ms":1e3,"system":false,"sender":{"id":1}}`,
	`{"channel":"room","data":2,"publish_id":"x"}`, `{"channel":"","data":1}`, `{"channel":7,"data":1}`, `{"channel":"\ud800","data":1}`,
	`{"channel":"room"}`, `{"data":1}`, `{"channel":"room","data":1,"data":2}`, `{"channel":"room","data":1,"Data":2}`,
	`{"channel":"room","data":1,"ttl_ms":0}`, `{"channel":"room","data":1,"ttl_ms":1.5}`, `{"channel":"room","data":1,"system":1}`,
	`{"channel":"room","data":1,"exclude":["a","b","c","d"]}`, `{"channel":"room","data":1,"exclude":[1]}`, `{"channel":"room","data":1,"publish_id":""}`,
	`{"channel":"a name that is too long for here","data":1}`, `{"channel":"@/x#y","data":1}`, `{"channel":"room","data":"` + strings.Repeat("x", 300) + `"}`,
	`{"messages":[{"channel":"a","data":1},{"channel":"b","data":[2]},7,{"data":3}]}`, `[[{"channel":"room","data":1,"publish_id":"y"},{"channel":"room","data":2,"publish_id":"y"}]]`,
	`[[1,2,3,4,5]]`, `{"messages":{}}`, `[[]]`, `{"messages":[{"channel":"room","data":1,"more":1},{"channel":"room","data":1,"data":1},[]]}`,
	`["bob","hello","room",false]`, `{"client_id":5,"message":"\ud83d\ude00","channel_name":"room","system":true}`, `["bob","hello","room",null]`,
	`["bob","hello","room",false,1]`, `null`, `7`, `{}`, `[]`, nest(12),
	`[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33]`,
}

// Whatever publish, publish_many and new_message are called with, answers,
// errors and what is kept are those of the general way.
func FuzzDirect(f *testing.F) {
	for _, s := range directSeeds {
		f.Add(s)
	}
	w := newTwins(f)
	f.Fuzz(func(t *testing.T, params string) {
		for _, method := range []string{"publish", "publish_many", "new_message"} {
			w.agree(t, fmt.Appendf(nil, `{"jsonrpc":"2.0","method":%q,"params":%s,"id":1}`, method, params))
			w.agree(t, fmt.Appendf(nil, `{"method":%q,"params":%s}`, method, params))
			w.agree(t, fmt.Appendf(nil, `{"jsonrpc":"2.0","method":%q,"params":%s}`, method, params))
		}
	})
}

// A batch is answered in its order, with calls of both sorts in it, and with
// those that an answer too large leaves no room for.
func TestDirectInBatches(t *testing.T) {
	w := newTwins(t)
	for i, a := range directSeeds {
		for _, b := range directSeeds[i:] {
			w.agree(t, fmt.Appendf(nil, `[{"jsonrpc":"2.0","method":"publish","params":%s,"id":"\u0031"},`+
				`{"jsonrpc":"2.0","method":"get_channel_clients","params":["room"],"id":2},`+
				`{"method":"publish_many","params":%s,"id":{}},{"jsonrpc":"2.0","method":"new_message","params":%s}]`, a, b, a))
		}
	}
	long := strings.Repeat("i", 1500)
	w.agree(t, fmt.Appendf(nil, `[{"jsonrpc":"2.0","method":"publish","params":["room",1],"id":%q},`+
		`{"jsonrpc":"2.0","method":"publish","params":["room",2],"id":%q},{"jsonrpc":"2.0","method":"publish","params":["room",3],"id":3}]`, long, long))
	if got := keeps(w.short, "room"); strings.Contains(got, "null 3 ") {
		t.Errorf("the last was made: %s", got)
	}
}

// What is lent to one body is empty when it is lent to the next.
func TestDeskIsEmpty(t *testing.T) {
	w := newTwins(t)
	full := `{"jsonrpc":"2.0","method":"publish","params":{"channel":"room","data":1,"publish_id":"x","exclude":["a"],"ttl_ms":5,"system":true,"sender":9},"id":"left"}`
	for _, body := range []string{
		full, `{"method":"publish","params":["a",2]}`, `[` + full + `,` + full + `]`, `[` + full + `,{"method":"publish","params":["a",2]}]`,
		`[{"method":"publish_many","params":[[{"channel":"a","data":1},7]]},{"method":"publish_many","params":[[7,{"channel":"a","data":2}]]},{"method":"publish_many","params":[]}]`,
		`[{"method":"new_message","params":[1,2,"a",true]},{"method":"new_message","params":[1,2,"a",false]}]`, `{"params":[]}`, `[7,{}]`, `{"method":"publish"}`,
		`{"method":"publish_many","params":[[{"channel":"a","data":1},{"channel":"a","data":1,"exclude":["b"],"system":true}]],"id":1}`,
		`{"method":"publish_many","params":[[{"channel":"b","data":3}]],"id":1}`, `{"method":"publish_many","params":[[]],"id":1}`,
		`{"method":"new_message","params":[1,2,"b",true],"id":1}`, `{"method":"new_message","params":[1,2],"id":1}`,
		`{"method":"publish_many","params":[[1,2,3,4,5]],"id":1}`, `{"method":"publish_many","params":[[{"channel":"b","data":3}]],"id":1}`,
		`{"method":"nope","params":[1,2,3,4,5,6,7,8,9],"id":1}`, `[`, `{"method":"publish","params":["a",2],"id":1}`,
	} {
		fresh := newTwins(t)
		fresh.agree(t, []byte(body))
		for range 3 {
			w.agree(t, []byte(body))
		}
	}
}
