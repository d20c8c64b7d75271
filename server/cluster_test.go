package server

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/broker/redis"
	"github.com/shaveet/shaveet/tests/redistest"
)

// redisTimeout is how long Redis may take for an answer to the nodes of tests.
const redisTimeout = 5 * time.Second

// nodes starts servers that share a log, and waits until each knows all.
func nodes(t *testing.T, n int, change ...func(*Config)) []*running {
	t.Helper()
	return nodesOn(t, redistest.Start(t), n, change...)
}

func nodesOn(t *testing.T, store *redistest.Server, n int, change ...func(*Config)) []*running {
	t.Helper()
	all := make([]*running, n)
	brokers := make([]*redis.Broker, n)
	for i := range all {
		cfg := DefaultConfig()
		cfg.DrainDelay, cfg.Redis = 0, store.URL()
		cfg.Namespace = []NamespaceRule{{Name: "/open", NamespaceSettings: NamespaceSettings{Open: true}}}
		for _, f := range change {
			f(&cfg)
		}
		r := &running{t: t, log: new(logBuffer), done: make(chan struct{})}
		logger := slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		var err error
		if brokers[i], err = redis.New(redis.Options{URL: cfg.Redis, Name: fmt.Sprint("node ", i), Timeout: redisTimeout, DeadAfter: 3 * time.Second, Logger: logger}); err != nil {
			t.Fatal(err)
		}
		if r.srv, err = New(cfg, brokers[i], Options{Logger: logger}); err != nil {
			t.Fatal(err)
		}
		all[i] = r
		r.serve(Doors{Main: listen(t), Public: listen(t)})
	}
	for _, b := range brokers {
		wait(t, "the nodes know each other", func() bool {
			there := 0
			for _, p := range b.Peers() {
				if p.Addr != "" {
					there++
				}
			}
			return there == n
		})
	}
	return all
}

func wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not yet: %s", what)
		}
	}
}

// balance returns the address of what sends every request to the next node.
func balance(t *testing.T, all []*running) string {
	t.Helper()
	var turn atomic.Uint64
	proxy := &httputil.ReverseProxy{
		FlushInterval: -1,
		Transport:     &http.Transport{DisableCompression: true},
		Rewrite: func(pr *httputil.ProxyRequest) {
			to := all[turn.Add(1)%uint64(len(all))]
			pr.SetURL(&url.URL{Scheme: "http", Host: to.pub})
			pr.Out.Host = pr.In.Host
		},
	}
	srv := &http.Server{Handler: proxy}
	l := listen(t)
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return l.Addr().String()
}

// join connects to a namespace and returns the socket's id, and what it may come
// back with.
func (c *eio) join(namespace, auth string) (sid, pid string) {
	c.t.Helper()
	c.say("40" + namespace + "," + auth)
	said := c.hear("40" + namespace)
	var about struct{ SID, PID string }
	if err := json.Unmarshal([]byte(said[strings.IndexByte(said, '{'):]), &about); err != nil {
		c.t.Fatalf("%q: %v", said, err)
	}
	return about.SID, about.PID
}

// A connection speaks to whichever node, by polls and by a WebSocket.
func TestAnyNodeServesAConnection(t *testing.T) {
	t.Parallel()
	all := nodes(t, 3)
	at := balance(t, all)
	for range 4 {
		c := connect(t, at, "")
		if len(c.sid) != 28 {
			t.Errorf("the name of a session is %q", c.sid)
		}
		c.join("/open", "")
		all[0].question("emit", map[string]any{"event": "news", "args": []any{1}, "namespace": "/open"})
		c.hear(`42/open,["news",1`)
		c.goOver()
		all[1].question("emit", map[string]any{"event": "news", "args": []any{2}, "namespace": "/open"})
		c.hear(`42/open,["news",2`)
		c.ws.CloseNow()
	}
}

// Strangers whose keys nobody can judge, since Redis does not answer, keep waiting
// nobody but themselves.
func TestStrangersWhileRedisHangs(t *testing.T) {
	t.Parallel()
	store := redistest.Start(t)
	r := nodesOn(t, store, 1, func(cfg *Config) { cfg.Limits.SessionsPerClient = 1000 })[0]
	key := r.client("alice", "room")
	store.Stop()
	defer store.Cont()
	ask := func(id, key string) net.Conn {
		c, err := net.Dial("tcp", r.pub)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(patience))
		body := fmt.Sprintf(`{"clients":[{"id":%q,"key":%q}],"wait":0}`, id, key)
		fmt.Fprintf(c, "POST /longpoll HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		return c
	}
	status := func(c net.Conn) int {
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}
	var strangers, known []net.Conn
	for i := range 150 {
		strangers = append(strangers, ask(fmt.Sprint("stranger", i), "wrong"))
		if i%3 == 0 {
			known = append(known, ask("alice", key))
		}
	}
	began := time.Now()
	for i, c := range known {
		if got := status(c); got != http.StatusOK {
			t.Fatalf("alice's poll %d: status %d", i, got)
		}
	}
	served := time.Since(began)
	for i, c := range strangers {
		if got := status(c); got != http.StatusServiceUnavailable {
			t.Fatalf("stranger %d: status %d", i, got)
		}
	}
	// All are told at the same time, and alice long before that.
	if waited := time.Since(began); served > waited/2 || waited > 2*redisTimeout {
		t.Errorf("alice was served after %v, and the strangers were told after %v", served, waited)
	}
}

// That readers leave who wait to be let in is nothing for an operator to see to.
func TestStrangersLeaveWhileRedisHangs(t *testing.T) {
	t.Parallel()
	store := redistest.Start(t)
	r := nodesOn(t, store, 1)[0]
	store.Stop()
	defer store.Cont()
	for _, path := range []string{"/message_updates?callback=cb&client_id=bob_!!_wrong", "/longpoll?client_id=bob_!!_wrong", "/sse?client_id=bob_!!_wrong"} {
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.pub+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		left := make(chan struct{})
		go func() {
			defer close(left)
			if resp, err := oneShot.Do(req); err == nil {
				resp.Body.Close()
			}
		}()
		route, _, _ := strings.Cut(path, "?")
		under := fmt.Sprintf("shaveet_http_requests_in_flight{route=%q}", route)
		r.wantMetric(under, 1)
		cancel()
		<-left
		r.wantMetric(under, 0)
		r.wantMetric(fmt.Sprintf("shaveet_http_requests_total{code=%q,route=%q}", "gone", route), 1)
	}
	if log := r.log.String(); strings.Contains(log, `"level":"ERROR"`) {
		t.Error(log)
	}
}

// Other nodes come by a door with a limit of its own, and what they leave behind is
// room again: WebSockets that ended here, and those that their readers left.
func TestTheNodesDoor(t *testing.T) {
	t.Parallel()
	all := nodes(t, 2)
	room := newRoom(descriptors(), 2, 0, roomForNodes(descriptors(), true))
	if got, want := all[0].srv.metric(t, `shaveet_connections_max{door="node"}`), float64(room.partOfNodes().now()); got != want {
		t.Errorf("there is room for %v connections, want %v", got, want)
	}
	if got, want := all[0].srv.metric(t, `shaveet_connections_max{door="public"}`), float64(room.part(0).now()); got != want {
		t.Errorf("the public door has room for %v connections, want %v", got, want)
	}
	for i := range 4 {
		c := connect(t, all[0].pub, "")
		c.join("/open", "")
		c.url = strings.Replace(c.url, all[0].pub, all[1].pub, 1)
		c.goOver()
		all[0].question("emit", map[string]any{"event": "news", "args": []any{i}, "namespace": "/open"})
		c.hear(fmt.Sprintf(`42/open,["news",%d`, i))
		if i%2 == 0 {
			all[0].question("disconnect_sockets", map[string]any{"namespace": "/open", "close": true})
		}
		c.ws.CloseNow()
	}
	wait(t, "nothing is handed on any more", func() bool { return all[1].srv.cluster.peers.Stats().Under == 0 })
	all[1].srv.cluster.peers.CloseIdle()
	all[0].wantMetric(`shaveet_connections{door="node"}`, 0)
}

// question calls a method with named parameters, and returns its result.
func (r *running) question(method string, params map[string]any) map[string]any {
	r.t.Helper()
	body, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	req, _ := http.NewRequest(http.MethodPost, "http://"+r.adm+"/rpc", strings.NewReader(string(body)))
	status, text := do(r.t, req)
	var answer struct {
		Result map[string]any
		Error  any
	}
	if err := json.Unmarshal([]byte(text), &answer); status != 200 || err != nil || answer.Error != nil {
		r.t.Fatalf("%s: %d %q", method, status, text)
	}
	return answer.Result
}

// What is asked of sockets is asked of those of all nodes.
func TestSocketsOfAllNodes(t *testing.T) {
	t.Parallel()
	all := nodes(t, 2)
	a, b := connect(t, all[0].pub, ""), connect(t, all[1].pub, "")
	aid, _ := a.join("/open", "")
	bid, _ := b.join("/open", "")
	open := func(more ...any) map[string]any {
		p := map[string]any{"namespace": "/open"}
		for i := 0; i < len(more); i += 2 {
			p[more[i].(string)] = more[i+1]
		}
		return p
	}
	for i, node := range all {
		if got := node.question("sockets_join", open("rooms", "red")); got["sockets"] != 2.0 {
			t.Errorf("node %d: sockets_join: %v", i, got)
		}
	}
	for i, node := range all {
		found := map[string]bool{}
		for after := ""; ; {
			got := node.question("fetch_sockets", open("to", "red", "limit", 1, "after", after))
			for _, s := range got["sockets"].([]any) {
				found[s.(map[string]any)["sid"].(string)] = true
			}
			if got["unreached"] != nil {
				t.Errorf("node %d: %v", i, got)
			}
			next, more := got["next"].(string)
			if !more {
				break
			}
			after = next
		}
		if len(found) != 2 || !found[aid] || !found[bid] {
			t.Errorf("node %d has found %v, want %s and %s", i, found, aid, bid)
		}
	}
	answers := make(chan map[string]any, 1)
	go func() {
		answers <- all[0].question("emit_with_ack", open("event", "who", "to", "red", "timeout_ms", 20_000))
	}()
	for _, c := range []*eio{a, b} {
		said := c.hear("42/open,")
		id := strings.TrimSuffix(strings.TrimPrefix(said, "42/open,"), `["who"]`)
		c.say("43/open," + id + `["me"]`)
	}
	if got := <-answers; len(got["answers"].([]any)) != 2 || len(got["missing"].([]any)) != 0 {
		t.Errorf("emit_with_ack: %v", got)
	}
	if got := all[1].question("sockets_leave", open("rooms", "red", "to", aid)); got["sockets"] != 1.0 {
		t.Errorf("sockets_leave: %v", got)
	}
	if got := all[1].question("disconnect_sockets", open()); got["sockets"] != 2.0 {
		t.Errorf("disconnect_sockets: %v", got)
	}
	a.hear("41/open")
	b.hear("41/open")
}

// A socket that comes back to another node is the one it was, and the connection it
// had ends.
func TestSocketsComeBackToAnotherNode(t *testing.T) {
	t.Parallel()
	all := nodes(t, 2)
	for _, dropped := range []bool{false, true} {
		c := connect(t, all[0].pub, "")
		sid, pid := c.join("/open", "")
		all[1].question("sockets_join", map[string]any{"rooms": "red", "namespace": "/open"})
		all[1].question("emit", map[string]any{"event": "news", "args": []any{1}, "namespace": "/open", "to": "red"})
		var said []string
		text := c.hear(`42/open,["news",1,`)
		if err := json.Unmarshal([]byte(strings.Replace(text[len(`42/open,`):], "1,", "", 1)), &said); err != nil {
			t.Fatal(err)
		}
		if dropped {
			c.say("1")
		}
		all[1].question("emit", map[string]any{"event": "news", "args": []any{2}, "namespace": "/open", "to": "red"})
		d := connect(t, all[1].pub, "")
		auth, _ := json.Marshal(map[string]string{"pid": pid, "offset": said[1]})
		again, _ := d.join("/open", string(auth))
		if again != sid {
			t.Errorf("dropped %v: it was %s, and is %s", dropped, sid, again)
		}
		d.hear(`42/open,["news",2,`)
		if got := all[0].question("fetch_sockets", map[string]any{"to": sid, "namespace": "/open"}); len(got["sockets"].([]any)) != 1 {
			t.Errorf("dropped %v: the socket is here: %v", dropped, got)
		}
		if n := all[0].srv.socketio.Stats().Waiting; n != 0 {
			t.Errorf("dropped %v: %d sockets wait where none does", dropped, n)
		}
		if !dropped {
			if status, _ := c.ask("GET", ""); status == 200 {
				status, _ = c.ask("GET", "")
				if status != 400 {
					t.Errorf("the former connection goes on: %d", status)
				}
			}
		}
		d.say("41/open")
	}
}

// Who is attached where is told by all nodes.
func TestSessionsOfAllNodes(t *testing.T) {
	t.Parallel()
	all := nodes(t, 2)
	key := all[0].client("alice", "room")
	for _, r := range all {
		r.stream("alice", key)
	}
	for i, r := range all {
		wait(t, "the sessions are known", func() bool {
			clients := r.question("clients", map[string]any{})["clients"].([]any)
			members := r.question("presence", map[string]any{"channel": "room"})["members"].([]any)
			t.Logf("node %d: %v %v", i, clients, members)
			return clients[0].(map[string]any)["sessions"] == 2.0 && len(members[0].(map[string]any)["sessions"].([]any)) == 2
		})
	}
}

// stream reads until the test ends.
func (r *running) stream(id, key string) {
	r.t.Helper()
	resp, err := http.Get("http://" + r.pub + "/sse?client_id=" + url.QueryEscape(id+"_!!_"+key))
	if err != nil || resp.StatusCode != 200 {
		r.t.Fatalf("sse: %v %v", resp, err)
	}
	r.t.Cleanup(func() { resp.Body.Close() })
}

// A node that has gone is not waited for: its clients are told that their sessions
// are unknown.
func TestNodesThatHaveGone(t *testing.T) {
	t.Parallel()
	all := nodes(t, 2)
	c := connect(t, all[0].pub, "")
	c.join("/open", "")
	held := make(chan int, 1)
	c.url = strings.Replace(c.url, all[0].pub, all[1].pub, 1)
	go func() {
		status, _ := c.ask("GET", "")
		held <- status
	}()
	wait(t, "the poll is held", func() bool { return all[1].srv.cluster.peers.Stats().Under == 1 })
	all[0].stop()
	if status := <-held; status != 200 && status != 400 {
		t.Errorf("the poll is answered by %d", status)
	}
	<-all[0].done
	if status, body := c.ask("GET", ""); status != 400 || !strings.Contains(body, `"code":1`) {
		t.Errorf("a poll for a node that has gone: %d %q", status, body)
	}
	if status, body := get(t, "http://"+all[1].pub+"/socket.io/?EIO=4&transport=polling&sid=AAAAAAAA"+c.sid[8:]); status != 400 || !strings.Contains(body, `"code":1`) {
		t.Errorf("a poll for nobody: %d %q", status, body)
	}
}
