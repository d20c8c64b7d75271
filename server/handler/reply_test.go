package handler

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/socketio"
)

const failedAck = `ack [{"error":{"type":"handler_failed","message":"whoever answers this has failed"}}]`

// What is done for the results of events.
func TestEventResults(t *testing.T) {
	for _, tt := range []struct {
		result string
		want   string // what is done, in order
	}{
		{`null`, `ack []`},
		{` null `, `ack []`},
		{`[]`, `ack []`},
		{` ["a", {"b":1}]`, `ack  ["a", {"b":1}]`},
		{`true`, `ack [true]`},
		{`false`, `ack [false]`},
		{` "x" `, `ack ["x"]`},
		{`3`, `ack [3]`},
		{`{}`, `ack []`},
		{`{"ack":["y",2]}`, `ack ["y",2]`},
		{`{"disconnect":true}`, "ack []\ndisconnect"},
		{`{"disconnect":false}`, "ack []"},
		{`{"disconnect":null,"join":null,"leave":null,"emit":null}`, "ack []"},
		{`{"disconnect":true,"ack":[1],"emit":{"event":"e"},"data":{"n":1},"join":"a","leave":["b","c"]}`,
			`leave ["b" "c"]
join ["a"]
data {"n":1}
emit e [] in /chat to [] except [] by null
ack [1]
disconnect`},
		{`{"data":null}`, "data null\nack []"},
		{`{"join":[]}`, "ack []"},
		{`{"join":"a\ufffd\ud83d\ude00\\ud800"}`, "join [\"a\ufffd\U0001f600\\\\ud800\"]\nack []"},
		{`{"emit":[{"event":"e","args":[1],"to":"r","except":["x","y"],"namespace":"/z","volatile":true,"sender":{"a":1}},{"event":"f","to":["a","b"],"namespace":null,"to2":1}]}`, failedAck},
		{`{"emit":[{"event":"e","args":[1],"to":"r","except":["x","y"],"namespace":"/z","volatile":true,"sender":{"a":1}},{"event":"f","to":["a","b"],"namespace":null,"args":[]}]}`,
			`emit e [1] in /z to ["r"] except ["x" "y"] by {"a":1} volatile
emit f [] in /chat to ["a" "b"] except [] by null
ack []`},
		{`{"emit":[]}`, "ack []"},
		{`{"emit":{"event":"e","to":null,"except":null,"volatile":null,"sender":null}}`, "emit e [] in /chat to [] except [] by null\nack []"},

		{`{"acks":[1]}`, failedAck},
		{`{"Ack":[1]}`, failedAck},
		{`{"refuse":{}}`, failedAck},
		{`{"ack":1}`, failedAck},
		{`{"ack":null}`, failedAck},
		{`{"ack":[1],"ack":[2]}`, failedAck},
		{`{"ack":[1],"\u0061ck":[2]}`, failedAck},
		{`{"join":1}`, failedAck},
		{`{"join":[1]}`, failedAck},
		{`{"join":["a",["b"]]}`, failedAck},
		{`{"join":"\ud800"}`, failedAck},
		{"{\"join\":\"\xef\xbf\xbd\\udc00\"}", failedAck},
		{`{"join":"\ud800x\udc00"}`, failedAck},
		{`{"join":"\ud800\n\udc00"}`, failedAck},
		{`{"join":"\ud800\ud800\udc00"}`, failedAck},
		{`{"join":"a","disconnect":1}`, failedAck},
		{`{"disconnect":"true"}`, failedAck},
		{`{"emit":"e"}`, failedAck},
		{`{"emit":{}}`, failedAck},
		{`{"emit":{"event":""}}`, failedAck},
		{`{"emit":{"event":1}}`, failedAck},
		{`{"emit":{"event":"e","args":{}}}`, failedAck},
		{`{"emit":{"event":"e","args":null}}`, failedAck},
		{`{"emit":{"event":"e","to":[]}}`, failedAck},
		{`{"emit":{"event":"e","to":7}}`, failedAck},
		{`{"emit":{"event":"e","namespace":7}}`, failedAck},
		{`{"emit":{"event":"e","volatile":"yes"}}`, failedAck},
		{`{"emit":{"event":"e","Event":"f"}}`, failedAck},
		{`{"emit":[{"event":"e"},3]}`, failedAck},
		{`{`, failedAck},
		{``, failedAck},
		{`[1] [2]`, failedAck},
		{"[\"\xff\"]", failedAck},
		{strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth), "ack " + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)},
		{strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1), failedAck},
	} {
		w := newWorld(t, Limits{})
		w.answers(tt.result, nil)
		w.say("~s", "e")
		wantSame(t, tt.result, w.performed(), strings.Split(tt.want, "\n")...)
		want := "event ok"
		if tt.want == failedAck {
			want = "event failed"
		}
		wantSame(t, tt.result, w.observed(), want)
	}
}

// What is done for the results of connect, and whether the backend is told that
// the socket is not there after all.
func TestConnectResults(t *testing.T) {
	for _, tt := range []struct {
		result string
		want   string // the refusal, or "" when it is let in, or "failed"
		done   string
	}{
		{`null`, "", ""},
		{`true`, "", ""},
		{`{}`, "", ""},
		{`{"refuse":null}`, "", ""},
		{`{"leave":"a","emit":{"event":"e"},"data":1,"join":["b"]}`, "",
			"leave [\"a\"]\njoin [\"b\"]\ndata 1\nemit e [] in /chat to [] except [] by null"},
		{`false`, "refused <>", ""},
		{`{"refuse":{"message":"no","data":{"a":1}}}`, `no <{"a":1}>`, ""},
		{`{"refuse":{}}`, "refused <>", ""},
		{`{"refuse":{"data":null},"join":"a"}`, "refused <null>", ""},

		{`{"refuse":true}`, "failed", ""},
		{`{"refuse":{"message":1}}`, "failed", ""},
		{`{"refuse":{"reason":"x"}}`, "failed", ""},
		{`{"ack":[]}`, "failed", ""},
		{`{"disconnect":true}`, "failed", ""},
		{`{"joins":"a"}`, "failed", ""},
		{`[]`, "failed", ""},
		{`"no"`, "failed", ""},
		{`0`, "failed", ""},
		{`tru`, "failed", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Limits{})
			w.answerBy(func(_ context.Context, c *Call) (string, error) { return tt.result, nil })
			err := w.connect("~s")
			got := ""
			if r := (*socketio.Refusal)(nil); errors.As(err, &r) {
				got = r.Message + " <" + string(r.Data) + ">"
			} else if f := (*Failure)(nil); errors.As(err, &f) && f.Kind() == Failed {
				got = "failed"
			} else if err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("%s: %s, want %s", tt.result, got, tt.want)
			}
			wantSame(t, tt.result, []string{strings.Join(w.performed(), "\n")}, tt.done)
			synctest.Wait()
			want := []string{"1 connect ~s"}
			if tt.want == "failed" { // it may believe that the socket is there
				want = append(want, "2 disconnect ~s")
			}
			wantSame(t, tt.result, w.made(), want...)
		})
	}
}

// What goes wrong, and what the page hears of it.
func TestFailures(t *testing.T) {
	ack := func(kind string) string {
		return `ack [{"error":{"type":"` + kind + `","message":"` + messages[kind] + `"}}]`
	}
	for _, tt := range []struct {
		err    error
		ack    string
		result string
	}{
		{&Lost{errors.New("502")}, ack(Unavailable), "unavailable"},
		{&Lost{context.DeadlineExceeded}, ack(Unavailable), "unavailable"},
		{context.DeadlineExceeded, ack(Timeout), "timeout"},
		{errors.New("nonsense"), ack(Failed), "failed"},
		{&Answered{Code: -32000, Message: "secret"}, ack(Failed), "failed"},
		{&Answered{Code: 0, Message: "secret"}, ack(Failed), "failed"},
		{&Answered{Code: 100000, Message: "secret"}, ack(Failed), "failed"},
		{&Answered{Code: 1, Message: "n<o"}, `ack [{"error":{"type":"refused","code":1,"message":"n\u003co"}}]`, "refused"},
		{&Answered{Code: 99999, Message: "no", Data: json.RawMessage(`{"a":1}`)},
			`ack [{"error":{"type":"refused","code":99999,"message":"no","data":{"a":1}}}]`, "refused"},
	} {
		w := newWorld(t, Limits{})
		w.answers("", tt.err)
		w.say("~s", "e")
		wantSame(t, tt.err.Error(), w.performed(), tt.ack)
		wantSame(t, tt.err.Error(), w.observed(), "event "+tt.result)
		if n := len(w.made()); n != 1 {
			t.Errorf("%v: %d calls: who may have heard is not asked again", tt.err, n)
		}
		w.h.event(t.Context(), w.socket("~s"), &socketio.Event{Name: "e", Args: json.RawMessage("[]")}) // nobody to be told
	}
}

// A refusal of the backend's own is one of connect, too; any other error is not
// for the page, and the backend is not told what it knows.
func TestConnectErrors(t *testing.T) {
	for _, tt := range []struct {
		err   error
		want  string
		calls int
	}{
		{&Answered{Code: 403, Message: "no", Data: json.RawMessage("1")}, `no {"type":"refused","code":403,"message":"no","data":1}`, 1},
		{&Answered{Code: -32601, Message: "no such method"}, "handler_failed", 1},
		{errors.New("500"), "handler_failed", 2},
		{&Lost{errors.New("502")}, "handler_unavailable", 2},
		{context.DeadlineExceeded, "handler_timeout", 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Limits{})
			w.answerBy(func(_ context.Context, c *Call) (string, error) {
				if c.Method == "connect" {
					return "", tt.err
				}
				return "null", nil
			})
			err := w.connect("~s")
			got := ""
			if r := (*socketio.Refusal)(nil); errors.As(err, &r) {
				got = r.Message + " " + string(r.Data)
			} else if f := (*Failure)(nil); errors.As(err, &f) {
				got = f.Kind()
			}
			if got != tt.want {
				t.Errorf("%v: %s, want %s", tt.err, got, tt.want)
			}
			synctest.Wait()
			if n := len(w.tries()); n != tt.calls {
				t.Errorf("%v: %d calls, want %d", tt.err, n, tt.calls)
			}
			if tt.calls == 2 && paramsOf(t, &w.tries()[1]).Reason != NotConnected {
				t.Errorf("%v: %s", tt.err, w.tries()[1].Params)
			}
		})
	}
}

// What a reply asks for is done up to the first fault, but that the socket has
// left is none: others hear what it has said before.
func TestPerformFaults(t *testing.T) {
	const result = `{"join":"a","emit":[{"event":"e"},{"event":"f"}],"ack":[1],"disconnect":true}`
	const e, f = "emit e [] in /chat to [] except [] by null", "emit f [] in /chat to [] except [] by null"
	for _, tt := range []struct {
		what string
		err  error
		want []string
	}{
		{"join", hub.ErrUnknownClient, []string{`join ["a"]`, e, f, "ack [1]", "disconnect"}},
		{"join", socketio.ErrLeft, []string{`join ["a"]`, e, f, "ack [1]", "disconnect"}},
		{"join", hub.ErrLimitReached, []string{`join ["a"]`, failedAck}},
		{"emit", hub.ErrTooLarge, []string{`join ["a"]`, e, failedAck}},
		{"ack", socketio.ErrLeft, []string{`join ["a"]`, e, f, "ack [1]", "disconnect"}},
		{"ack", socketio.ErrBusy, []string{`join ["a"]`, e, f, "ack [1]", "disconnect"}},
		{"ack", errors.New("too many attachments"), []string{`join ["a"]`, e, f, "ack [1]", failedAck}},
	} {
		w := newWorld(t, Limits{})
		w.fault[tt.what] = tt.err
		w.answers(result, nil)
		w.say("~s", "e")
		wantSame(t, tt.what+": "+tt.err.Error(), w.performed(), tt.want...)
	}
}

// While the log takes nothing, what a reply asks for is done again and again.
func TestInsist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Limits{})
		w.fault["join"] = hub.ErrUnavailable
		w.answers(`{"join":"a"}`, nil)
		time.AfterFunc(time.Second, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			delete(w.fault, "join")
		})
		w.say("~s", "e")
		done := w.performed()
		if n := len(done); n < 3 || done[n-2] != `join ["a"]` || done[n-1] != "ack []" {
			t.Errorf("done: %q", done)
		}

		w.fault["join"] = hub.ErrUnavailable // and not for ever
		began := time.Now()
		w.say("~s", "e")
		if took := time.Since(began); took < 5*time.Second || took > 7*time.Second {
			t.Errorf("given up after %v", took)
		}
		if done := w.performed(); done[len(done)-1] != failedAck {
			t.Errorf("the last was %s", done[len(done)-1])
		}
	})
}
