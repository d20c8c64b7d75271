package server

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// The backend's WebSocket is for those who may call by POST, and for nobody else:
// not for a page that shows what pages cannot help to show.
func TestBackendGuard(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"", rightToken} {
		r := start(t, func(c *Config) { c.AllowedHosts, c.AdminToken = []string{"push.internal"}, token })
		more := asks
		for _, shown := range []string{rightToken, wrongToken} {
			more = append(more, asks[0])
			last := &more[len(more)-1]
			last.name, last.change = "token "+shown, header("Authorization", "Bearer "+shown)
		}
		for _, tt := range more {
			if strings.HasPrefix(tt.name, "peer") {
				continue // here all are on this machine
			}
			status := make(map[string]int)
			for method, want := range map[string]int{"POST": 200, "GET": 101} {
				req := plainCall()
				req.Method, req.RequestURI, req.Header = method, "", http.Header{"Content-Type": {"application/json"}}
				req.URL.Scheme, req.URL.Host, req.URL.Path = "http", r.main, "/rpc"
				if method == "GET" {
					req.Body, req.ContentLength = nil, 0
					for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} {
						req.Header.Set(name, value)
					}
				}
				tt.change(req)
				resp, err := oneShot.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if status[method] = resp.StatusCode; resp.StatusCode != want && resp.StatusCode != 404 {
					t.Errorf("%s by %s: %d", tt.name, method, resp.StatusCode)
				}
			}
			if (status["POST"] == 200) != (status["GET"] == 101) {
				t.Errorf("token %q, %s: %v", token, tt.name, status)
			}
			if token == "" && !strings.HasPrefix(tt.name, "token") && (status["GET"] == 101) != tt.backend {
				t.Errorf("%s: %v", tt.name, status)
			}
			if token != "" && (status["GET"] == 101) != (tt.name == "token "+token) {
				t.Errorf("token %q, %s: %v", token, tt.name, status)
			}
		}
		if _, resp, err := websocket.Dial(t.Context(), "ws://"+r.pub+"/rpc", nil); err == nil || resp.StatusCode != 404 {
			t.Errorf("at the public door: %v", err)
		}
		r.wantMetric("shaveet_backend_connections", 0)
	}
}

// By its WebSocket the backend calls, one call after the other without waiting, and
// is called. Pages are answered by what it says, and who serves at the end is told
// of all who leave.
func TestBackend(t *testing.T) {
	t.Parallel()
	r := start(t, asksBackend, func(c *Config) { c.AdminListen, c.AdminToken = "127.0.0.1:0", rightToken })
	b := r.backend()
	const calls = 500
	for i := range calls {
		b.say(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"publish","params":{"channel":"room","data":%d}}`, i, i))
	}
	for i := range calls {
		if m := b.next(); string(m.ID) != fmt.Sprint(i) || m.Error != nil {
			t.Fatalf("%d. answer: %+v", i, m)
		}
	}
	b.serve()
	c := connect(t, r.pub, "")
	c.say(`40{"token":"alice_!!_` + r.client("alice") + `"}`)
	connected := b.reply("connect alice to /", `{"join":"room","data":[1]}`)
	c.hear("40")
	c.say(`421["ask",{"x":1}]`)
	asked := b.next()
	// While it has a question to answer, it can ask the page, and call whatever it likes.
	b.say(`{"jsonrpc":"2.0","id":"a","method":"emit_with_ack","params":{"event":"sure","to":"room"}}`)
	b.say(`{"jsonrpc":"2.0","id":"b","method":"set_socket_data","params":["` + connected.Params.SID + `",[2]]}`)
	if m := b.next(); string(m.ID) != `"b"` || m.Error != nil {
		t.Errorf("%+v", m)
	}
	var id int
	if _, err := fmt.Sscanf(c.hear("42"), `42%d["sure"`, &id); err != nil {
		t.Error(err)
	}
	c.say(fmt.Sprintf("43%d[true]", id))
	if m := b.next(); string(m.ID) != `"a"` || !strings.Contains(string(m.Result), `"args":[true]`) {
		t.Errorf("%+v", m)
	}
	b.say(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":["yes"]}`, asked.ID))
	if got := c.hear("43"); got != `431["yes"]` {
		t.Errorf("%s", got)
	}
	for name, want := range map[string]float64{
		"shaveet_backend_connections": 1, "shaveet_backend_serving": 1, "shaveet_backend_requests_total": calls + 3,
		`shaveet_handler_under_way{handler="rpc"}`: 0,
	} {
		r.wantMetric(name, want)
	}

	r.stop()
	left := b.reply("disconnect: server shutting down", "null")
	if p := left.Params; p.SID != connected.Params.SID || string(p.Data) != "[2]" || p.Serial != 3 {
		t.Errorf("%+v", p)
	}
	if _, _, err := b.Read(b.ctx); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
		t.Errorf("at the end: %v", err)
	}
	if <-r.done; r.err != nil {
		t.Error(r.err)
	}
}

// Who serves no more is asked no more, and the next one is.
func TestBackendsTakeTurns(t *testing.T) {
	t.Parallel()
	r := start(t, asksBackend)
	first := r.backend()
	first.serve()
	pages := []*eio{connect(t, r.pub, ""), connect(t, r.pub, "")}
	pages[0].say("40")
	first.reply("connect nobody to /", "true")
	pages[0].hear("40")
	second := r.backend()
	second.serve()
	first.Close(websocket.StatusNormalClosure, "")
	r.wantMetric("shaveet_backend_serving", 1)
	pages[1].say("40")
	second.reply("connect nobody to /", "true")
	pages[1].hear("40")
	pages[0].say(`42["say"]`)
	second.reply("event say[]", "null")
	for _, c := range pages {
		c.say("41")
		second.reply("disconnect: client namespace disconnect", "null")
	}
}

// There are no more of these connections than there may be.
func TestMaxBackends(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.MaxBackends = 1 })
	r.backend()
	if _, resp, err := websocket.Dial(t.Context(), "ws://"+r.main+"/rpc", nil); err == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%v", err)
	}
	r.wantMetric("shaveet_backend_refused_total", 1)
}
