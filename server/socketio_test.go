package server

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/shaveet/shaveet/server/socketioclient"
)

// An eio is one connection of Engine.IO, by polls until it has gone over.
type eio struct {
	t    testing.TB
	http *http.Client
	url  string // with the session, once there is one
	sid  string
	open map[string]any // what the server said of it
	in   []string       // packets that have come
	ws   *websocket.Conn
}

// connect begins a connection at an address, with more of a query.
func connect(t testing.TB, addr, more string) *eio {
	t.Helper()
	c := &eio{t: t, http: oneShot, url: "http://" + addr + "/socket.io/?EIO=4&transport=polling" + more}
	c.begin()
	return c
}

func (c *eio) begin() {
	c.t.Helper()
	status, body := c.ask("GET", "")
	if status != 200 || !strings.HasPrefix(body, "0{") || json.Unmarshal([]byte(body[1:]), &c.open) != nil {
		c.t.Fatalf("the handshake: %d %q", status, body)
	}
	c.sid = c.open["sid"].(string)
	c.url += "&sid=" + c.sid
}

func (c *eio) ask(method, body string) (status int, answer string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if method == "POST" {
		req.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// say sends packets.
func (c *eio) say(packets ...string) {
	c.t.Helper()
	if c.ws != nil {
		for _, p := range packets {
			if err := c.ws.Write(c.t.Context(), websocket.MessageText, []byte(p)); err != nil {
				c.t.Fatal(err)
			}
		}
		return
	}
	if status, body := c.ask("POST", strings.Join(packets, "\x1e")); status != 200 || body != "ok" {
		c.t.Fatalf("%q: %d %q", packets, status, body)
	}
}

// hear returns what comes next that begins so. What comes before it is lost.
func (c *eio) hear(prefix string) string {
	c.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if len(c.in) == 0 {
			c.in = strings.Split(c.next(), "\x1e")
		}
		p := c.in[0]
		c.in = c.in[1:]
		if strings.HasPrefix(p, prefix) {
			return p
		}
		if p == "2" {
			c.say("3")
		}
	}
	c.t.Fatalf("nothing comes that begins with %q", prefix)
	return ""
}

func (c *eio) next() string {
	c.t.Helper()
	if c.ws != nil {
		_, p, err := c.ws.Read(c.t.Context())
		if err != nil {
			c.t.Fatal(err)
		}
		return string(p)
	}
	status, body := c.ask("GET", "")
	if status != 200 {
		c.t.Fatalf("a poll: %d %q", status, body)
	}
	return body
}

// socket opens a WebSocket for the connection.
func (c *eio) socket() *websocket.Conn {
	c.t.Helper()
	ws, _, err := websocket.Dial(c.t.Context(), strings.Replace(c.url, "transport=polling", "transport=websocket", 1), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { ws.CloseNow() })
	return ws
}

// goOver goes over to a WebSocket.
func (c *eio) goOver() {
	c.t.Helper()
	c.ws = c.socket()
	c.say("2probe")
	c.hear("3probe")
	c.say("5")
}

// From the backend's call to the page, by polls and by a WebSocket, until the
// server goes. Each of its ends is told, and nothing is left.
func TestSocketIO(t *testing.T) {
	t.Parallel()
	r := start(t)
	key := r.client("alice", "room")
	c := connect(t, r.pub, "")
	c.say(`40{"token":"alice_!!_` + key + `"}`)
	if answer := c.hear("40"); !strings.Contains(answer, `"sid":`) || !strings.Contains(answer, `"pid":`) {
		t.Errorf("%s", answer)
	}
	r.call("publish", "room", "by a poll")
	if got := c.hear("42"); !strings.HasPrefix(got, `42["message",{"channel":"room"`) || !strings.Contains(got, `"data":"by a poll"`) {
		t.Errorf("%s", got)
	}
	c.goOver()
	r.call("publish", "room", "by a frame")
	if got := c.hear("42"); !strings.Contains(got, `"data":"by a frame"`) {
		t.Errorf("%s", got)
	}
	for name, want := range map[string]float64{
		`shaveet_socketio_sessions{transport="websocket"}`: 1, `shaveet_socketio_sessions{transport="polling"}`: 0,
		"shaveet_socketio_sockets": 1, "shaveet_sockets": 1, "shaveet_clients": 1,
		"shaveet_socketio_handshakes_total": 1, "shaveet_socketio_connects_total": 1,
		"shaveet_socketio_upgrades_begun_total": 1, "shaveet_socketio_upgrades_done_total": 1,
		`shaveet_http_requests_in_flight{route="/socket.io/"}`: 1,
	} {
		r.wantMetric(name, want)
	}

	polling := connect(t, r.pub, "") // holds no request
	began := time.Now()
	r.stop()
	if _, _, err := c.ws.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
		t.Errorf("at the end the WebSocket is closed with %v", err)
	}
	<-r.done
	if r.err != nil || time.Since(began) > patience/2 {
		t.Errorf("%v after %v, with %s left", r.err, time.Since(began), polling.sid)
	}
}

// A socket that does not come back in its time is forgotten.
func TestSocketIOForgets(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.SocketioRecoveryTime = time.Millisecond })
	c := connect(t, r.pub, "&token=alice_!!_"+r.client("alice"))
	c.say("40")
	c.hear("40")
	r.wantMetric("shaveet_sockets", 1)
	c.say("1")
	r.wantMetric("shaveet_socketio_sockets", 0)
	r.wantMetric("shaveet_sockets", 0)
	r.wantMetric("shaveet_clients", 1)
}

// Over HTTP/2, as a proxy may speak it, a poll is held too.
func TestSocketIOOverHTTP2(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.HTTP2 = true })
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	c := &eio{t: t, http: &http.Client{Transport: transport, Timeout: patience}, url: "http://" + r.pub + "/socket.io/?EIO=4&transport=polling"}
	c.begin()
	c.say(`40{"token":"alice_!!_` + r.client("alice", "room") + `"}`)
	c.hear("40")
	heard := make(chan string, 1)
	go func() { heard <- c.hear("42") }()
	r.wantMetric(`shaveet_http_requests_in_flight{route="/socket.io/"}`, 1)
	r.call("publish", "room", "hello")
	if got := <-heard; !strings.Contains(got, `"data":"hello"`) {
		t.Errorf("%s", got)
	}
}

// Switched off there is nothing of it, and nothing is told of it.
func TestWithoutSocketIO(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.Socketio = false })
	for _, path := range []string{
		"/socket.io/", "/socket.io", "/socket.io/?EIO=4&transport=polling", "/socket.io/socket.io.js", "/socket.io/socket.io.min.js", "/engine.io/",
	} {
		if status, _ := get(t, "http://"+r.pub+path); status != 404 {
			t.Errorf("%s: %d", path, status)
		}
	}
	for name := range r.srv.allMetrics(t) {
		if strings.HasPrefix(name, "shaveet_socketio") {
			t.Errorf("there is %s", name)
		}
	}
	r.reload = func() (Config, error) { return DefaultConfig(), nil }
	if done, err := r.srv.Reload(t.Context()); err != nil || fmt.Sprint(done.Restart) != "[socketio]" {
		t.Errorf("%+v, %v", done, err)
	}
}

// The echo is for test suites, and there only if it was asked for.
func TestConformance(t *testing.T) {
	t.Parallel()
	open := NamespaceSettings{Open: true}
	r := start(t, func(c *Config) {
		c.SocketioConformance, c.SocketioRecoveryTime = true, 0
		c.Namespace = []NamespaceRule{{"/", open}, {"/custom", open}}
	})
	echo := &eio{t: t, http: oneShot, url: "http://" + r.pub + "/engine.io/?EIO=4&transport=polling"}
	echo.begin()
	echo.say("4hello")
	if got := echo.hear("4"); got != "4hello" {
		t.Errorf("%q", got)
	}
	c := connect(t, r.pub, "")
	c.say("40", "40/custom,")
	for range 2 { // they come in any order
		switch got := c.hear("42"); got {
		case `42["auth",{}]`, `42/custom,["auth",{}]`:
		default:
			t.Errorf("%s", got)
		}
	}
	c.say(`42["message",1,"2"]`)
	c.hear(`42["message-back",1,"2"]`)
	r.stop()
	if <-r.done; r.err != nil {
		t.Error(r.err)
	}
}

// Which pages may come is decided as for all other ways. A page that may not is
// refused with each request, and with its WebSocket.
func TestSocketIOOrigins(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		origins []string
		origin  string
		may     bool
		allowed string
	}{
		{[]string{"*"}, page, true, "*"},
		{[]string{"*"}, "", true, ""},
		{[]string{page}, page, true, page},
		{[]string{page}, "https://evil.test", false, ""},
		{nil, page, false, ""},
		{nil, "", true, ""},
	} {
		r := start(t, func(c *Config) { c.AllowedOrigins = tt.origins })
		c := connect(t, r.pub, "")
		for _, q := range []struct {
			method, url, body string
			want              int
		}{
			{"GET", "http://" + r.pub + "/socket.io/?EIO=4&transport=polling", "", 200},
			{"POST", c.url, "3", 200},
			{"OPTIONS", c.url, "", 204},
			{"GET", strings.Replace(c.url, "polling", "websocket", 1), "", 101},
		} {
			req, _ := http.NewRequest(q.method, q.url, strings.NewReader(q.body))
			if q.body == "" {
				req.Body = nil
			}
			if tt.origin != "" {
				req.Header.Set("Origin", tt.origin)
			}
			if q.want == 101 {
				for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} {
					req.Header.Set(name, value)
				}
			}
			resp, err := oneShot.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			want := q.want
			if !tt.may {
				want = 403
			}
			h := resp.Header
			if resp.StatusCode != want || h.Get("Access-Control-Allow-Origin") != tt.allowed || h.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s from %q, %v allowed: %d %v, want %d", q.method, tt.origin, tt.origins, resp.StatusCode, h, want)
			}
		}
	}
}

// The preflight of a stock client with headers of its own passes if they are
// those of ours.
func TestSocketIOPreflight(t *testing.T) {
	_, public, _, _ := doors(t, func(*Config) {})
	for headers, may := range map[string]bool{"content-type": true, "authorization,content-type": true, "x-my-header": false} {
		r := httptest.NewRequest("OPTIONS", "/socket.io/?EIO=4&transport=polling", nil)
		r.Header.Set("Origin", page)
		r.Header.Set("Access-Control-Request-Method", "POST")
		r.Header.Set("Access-Control-Request-Headers", headers)
		w := answerOf(public, r)
		if w.Code != 204 || (w.Header().Get("Access-Control-Allow-Origin") == "*") != may {
			t.Errorf("%s: %d %v", headers, w.Code, w.Header())
		}
	}
}

// A body may be as long as the client was told, and not a byte longer, whether
// it says so before or not; the connection stays what it was.
func TestSocketIOBodies(t *testing.T) {
	t.Parallel()
	const most = 20_000
	r := start(t, func(c *Config) { c.SocketioMaxPayload, c.SocketioMaxAuthBytes = most, most })
	c := connect(t, r.pub, "&token="+r.client("alice")+"x") // a wrong key
	if c.open["maxPayload"] != float64(most) {
		t.Errorf("%v", c.open)
	}
	long := `40/nobody,{"x":"` + strings.Repeat("x", most) + `"}`
	for _, tt := range []struct {
		body    io.Reader
		chunked bool
		want    int
	}{
		{strings.NewReader("3"), false, 200},
		{strings.NewReader(long[:most+1]), false, 413},
		{strings.NewReader(long[:most+1]), true, 413},
		{strings.NewReader(`40/nobody,{"x":"` + strings.Repeat("x", most-18) + `"}`), false, 200},
	} {
		req, _ := http.NewRequest("POST", c.url, tt.body)
		if tt.chunked {
			req.ContentLength = -1
		}
		resp, err := oneShot.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tt.want || tt.chunked && !resp.Close {
			t.Errorf("%d, closing: %v, want %d", resp.StatusCode, resp.Close, tt.want)
		}
	}
	if got := c.hear("44"); !strings.Contains(got, "Invalid namespace") {
		t.Errorf("%s", got)
	}
}

// What comes too slowly is not waited for.
func TestSocketIOSlowBody(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.BodyTimeout = 50 * time.Millisecond })
	c := connect(t, r.pub, "")
	conn := dial(t, r.pub)
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n3", strings.TrimPrefix(c.url, "http://"+r.pub))
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 4") {
		t.Errorf("%q, %v", answer, err)
	}
}

// Neither keys nor the names by which connections and sockets come back are in
// the log, however talkative.
func TestSocketIOSecrets(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.AccessLog = 1 })
	key := r.client("alice", "room")
	c := connect(t, r.pub, "&client_id=alice&key="+key)
	c.say("40")
	var said struct{ SID, PID string }
	if err := json.Unmarshal([]byte(c.hear("40")[2:]), &said); err != nil || said.PID == "" {
		t.Fatalf("%+v, %v", said, err)
	}
	c.say(`41`)
	c.ask("POST", "nonsense")
	c.ask("GET", "")
	c = connect(t, r.pub, "")
	c.say(`40{"token":"alice_!!_` + key + `x"}`)
	c.hear("44")
	c.say(`40{"token":"alice_!!_` + key + `","pid":"` + said.PID + `","offset":"x"}`)
	c.hear("40")
	c.goOver()
	c.ws.CloseNow()
	spin(t, func() bool { return strings.Count(r.log.String(), `"status":101`) > 0 })
	r.stop()
	<-r.done
	for _, secret := range []string{key, said.PID, c.sid} {
		if strings.Contains(r.log.String(), secret) {
			t.Errorf("the log has %s", secret)
		}
	}
}

// The stock client is served as our own is.
func TestSocketIOClient(t *testing.T) {
	t.Parallel()
	r := start(t)
	all, err := socketioclient.Files.ReadDir("dist")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		content, err := socketioclient.Files.ReadFile("dist/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		wantFile(t, "http://"+r.pub+"/socket.io/"+f.Name(), content)
	}
}
