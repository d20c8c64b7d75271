package handler

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/uuid"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/socketio"
)

// What a backend is told, to the letter. In bubbles it is always the same time.
func TestParams(t *testing.T) {
	const common = `"epoch":"0000000000000abc","time":"2000-01-01T00:00:00.000Z",`
	shake := &socketio.Handshake{
		Auth: json.RawMessage(`{"token":"x"}`), Recovered: true, Address: "10.0.0.1:99", Protocol: 4,
		Header: http.Header{"Cookie": {"a=1", "b=2"}, "User-Agent": {"<x>"}, "X-Forwarded-For": {"1.1.1.1", "2.2.2.2"}, "X-Real-Ip": {"3.3.3.3"}, "Authorization": {"no"}},
	}
	life := func(kind hub.LifeKind, channels ...string) hub.Life {
		return hub.Life{Client: "ada", Kind: kind, Channels: channels, At: hub.Position{Epoch: 0xabc, Seq: 9}}
	}
	for _, tt := range []struct {
		name   string
		do     func(w *world, s *fakeSocket)
		method string
		want   string
	}{
		{"connect", func(w *world, s *fakeSocket) { w.h.connect(context.Background(), s, shake) }, "connect",
			`"sid":"~s","namespace":"/chat","client_id":"ada","auth":{"token":"x"},"recovered":true,"address":"10.0.0.1:99",` +
				`"headers":{"cookie":"a=1; b=2","user-agent":"\u003cx\u003e","x-forwarded-for":"1.1.1.1, 2.2.2.2","x-real-ip":"3.3.3.3"},"protocol":4`},
		{"connect of nobody", func(w *world, s *fakeSocket) {
			s.owner = ""
			w.h.connect(context.Background(), s, &socketio.Handshake{Protocol: 3})
		}, "connect", `"sid":"~s","namespace":"/chat","client_id":null,"auth":null,"recovered":false,"address":"","headers":{},"protocol":3`},
		{"event", func(w *world, s *fakeSocket) { w.h.event(context.Background(), s, w.event(`a"b`)) }, "event",
			`"sid":"~s","namespace":"/chat","client_id":"ada","event":"a\"b","args":["hello"],"ack":true,"data":{"n":1}`},
		{"event without an answer", func(w *world, s *fakeSocket) {
			s.data = nil
			w.h.event(context.Background(), s, &socketio.Event{Name: "a", Args: json.RawMessage("[]")})
		}, "event", `"sid":"~s","namespace":"/chat","client_id":"ada","event":"a","args":[],"ack":false,"data":null`},
		{"disconnect", func(w *world, s *fakeSocket) { w.h.disconnect(s, "ping timeout") }, "disconnect",
			`"sid":"~s","namespace":"/chat","client_id":"ada","reason":"ping timeout","data":{"n":1}`},
		{"let go", func(w *world, _ *fakeSocket) { w.h.Notify(life(hub.LetGo, "a", "b")) }, "client_gone",
			`"client_id":"ada","reason":"idle","channels":["a","b"]`},
		{"killed", func(w *world, _ *fakeSocket) { w.h.Notify(life(hub.Killed)) }, "client_gone",
			`"client_id":"ada","reason":"killed","channels":[]`},
		{"back", func(w *world, _ *fakeSocket) { w.h.Notify(life(hub.Back, "a")) }, "client_back", `"client_id":"ada","channels":["a"]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Limits{})
				tt.do(w, &fakeSocket{w: w, id: "~s", owner: "ada", data: json.RawMessage(`{"n":1}`)})
				synctest.Wait()
				if len(w.tries()) != 1 {
					t.Fatalf("%d calls", len(w.tries()))
				}
				c := w.tries()[0]
				if got, want := string(c.Params), `{"serial":1,`+common+tt.want+"}"; got != want {
					t.Errorf("params:\n%s\nwant:\n%s", got, want)
				}
				if c.Method != tt.method {
					t.Errorf("method %s, want %s", c.Method, tt.method)
				}
				if sid := paramsOf(t, &c).SID; c.Socket != sid {
					t.Errorf("the socket is %q, want %q", c.Socket, sid)
				}
				if _, err := uuid.Parse(c.ID); err != nil {
					t.Errorf("the id is %q: %v", c.ID, err)
				}
			})
		})
	}
}

// Where there are several nodes, calls and notifications say whose they are.
func TestCallsOfNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Limits{})
		w.h.opts.Node = "AAAAAAAA"
		w.h.connect(context.Background(), &fakeSocket{w: w, id: "~s"}, &socketio.Handshake{})
		w.leaves("~s")
		synctest.Wait()
		for i, c := range w.tries() {
			if !strings.HasPrefix(string(c.Params), fmt.Sprintf(`{"serial":%d,"node":"AAAAAAAA","epoch":`, i+1)) {
				t.Errorf("%s: %s", c.Method, c.Params)
			}
		}
		if n := len(w.tries()); n != 2 {
			t.Errorf("%d calls", n)
		}
	})
}

// A notification tells when it happened, whenever it is heard.
func TestTimeOfNotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Limits{})
		w.answers("", notSent())
		w.leaves("~s")
		sleep(t.Context(), longestNotePause*3)
		w.answers("null", nil)
		sleep(t.Context(), longestNotePause)
		first, last := w.tries()[0], w.tries()[len(w.tries())-1]
		if len(w.tries()) < 3 || first.ID != last.ID || string(first.Params) != string(last.Params) {
			t.Errorf("of %d tries the first was %+v\nthe last %+v", len(w.tries()), first, last)
		}
	})
}
