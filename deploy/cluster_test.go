package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/shaveet/shaveet/tests/live"
	"github.com/shaveet/shaveet/tests/redistest"
)

// A balancer is one that there is a file for, with several nodes behind it.
type balancer struct {
	name  string
	start func(t *testing.T, nodes []*live.Server) *entry
}

var balancers = []balancer{{"nginx", nginxCluster}, {"haproxy", haproxyCluster}}

// An entry is a running balancer.
type entry struct {
	*site
	admin string // URL of its door for the backend
}

// throughBalancers runs a test with three nodes on one Redis, behind each.
func throughBalancers(t *testing.T, test func(t *testing.T, nodes []*live.Server, at *entry)) {
	for _, b := range balancers {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			nodes := startNodes(t, 3)
			test(t, nodes, b.start(t, nodes))
		})
	}
}

// startNodes starts nodes on one Redis. Their main doors stand for those with a
// token, since to these the balancer is a program on the same machine.
func startNodes(t *testing.T, n int) (nodes []*live.Server) {
	t.Helper()
	server := redistest.Start(t, redistest.AOF, redistest.MaxMemory("200mb"))
	for range n {
		nodes = append(nodes, live.Start(t, "--redis", server.URL(), "--public-listen", "127.0.0.1:0"))
	}
	for _, n := range nodes {
		live.Until(t, "the node is ready", 20*time.Second, func() bool { return live.Ready(n.Main) })
	}
	return nodes
}

// clusterConf is a file for three nodes, as a test uses it.
func clusterConf(t *testing.T, file string, nodes []*live.Server, edits map[string]string) string {
	t.Helper()
	for i, n := range nodes {
		edits[fmt.Sprintf("10.0.0.1%d:8083", i+1)] = hostPort(n.Public)
		edits[fmt.Sprintf("10.0.0.1%d:8084", i+1)] = hostPort(n.Main)
	}
	return behind{}.conf(t, file, edits)
}

func nginxCluster(t *testing.T, nodes []*live.Server) *entry {
	t.Helper()
	addr, admin := live.FreeAddr(t), live.FreeAddr(t)
	conf := clusterConf(t, "nginx-cluster.conf", nodes, map[string]string{
		"server 127.0.0.1:5000;": "server " + hostPort(nodes[0].Public) + ";",
		"listen 80;":             "listen " + addr + ";",
		"listen 127.0.0.1:8084;": "listen " + admin + ";",
	})
	return &entry{runNginx(t, "http://"+addr, conf), "http://" + admin}
}

func haproxyCluster(t *testing.T, nodes []*live.Server) *entry {
	t.Helper()
	addr, admin := live.FreeAddr(t), live.FreeAddr(t)
	conf := clusterConf(t, "haproxy-cluster.cfg", nodes, map[string]string{
		"    user haproxy\n":            "",
		"    group haproxy\n":           "",
		"maxconn 20000":                 "maxconn 1000",
		"bind :80\n":                    "bind " + addr + "\n",
		"bind 127.0.0.1:8084":           "bind " + admin,
		"server backend 127.0.0.1:5000": "server backend " + hostPort(nodes[0].Public),
	})
	file := write(t, inFolder(temporary(t))("haproxy.cfg"), conf)
	haproxy := mortal(live.Tool(t, "haproxy"), "-W", "-f", file)
	output := live.Run(t, haproxy)
	s := &site{base: "http://" + addr, output: output}
	return &entry{s.answers(t), "http://" + admin}
}

// TestClusterDelivery reads in every way through a balancer, and loses a node.
// Whoever says something, and wherever, all readers are told in order and once.
func TestClusterDelivery(t *testing.T) {
	t.Parallel()
	throughBalancers(t, func(t *testing.T, nodes []*live.Server, at *entry) {
		var readers []*reader
		for i, w := range ways {
			r := newReader(t, nodes[i%len(nodes)], at.base, w, "news").read(t)
			r.next(t, 3*atOnce)
			readers = append(readers, r)
		}
		const few = 30
		for i := range few {
			say(t, nodes[i%len(nodes)], "news", i+1, i+1, "")
		}
		for _, r := range readers {
			r.expect(t, 1, few, false)
		}
		nodes[1].Kill()
		for i := range few {
			say(t, nodes[2*(i%2)], "news", few+i+1, few+i+1, "")
		}
		for _, r := range readers {
			r.expect(t, few+1, 2*few, true)
		}
	})
}

// peek makes a poll that waits for nothing, by a connection of its own.
func peek(t *testing.T, r *reader) error {
	t.Helper()
	r.net.CloseIdleConnections()
	query := url.Values{"wait": {"0"}, "cursor": {"now"}}
	resp, err := r.ask(t.Context(), "GET", "/longpoll", query, r.authorization(), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// TestClusterLosesNode kills a node. From that moment on nobody is sent there in
// vain, though the balancer may not know yet.
func TestClusterLosesNode(t *testing.T) {
	t.Parallel()
	throughBalancers(t, func(t *testing.T, nodes []*live.Server, at *entry) {
		r := newReader(t, nodes[0], at.base, longpollGET, "news")
		untilAllKnow(t, nodes, r)
		nodes[2].Kill()
		for i := range 30 {
			if err := peek(t, r); err != nil {
				t.Errorf("poll %d: %v", i, err)
			}
			rpcAt[int](t, at.admin, "new_message", "bob", "hello", "news", false)
		}
	})
}

// untilAllKnow waits until a client can read at every node.
func untilAllKnow(t *testing.T, nodes []*live.Server, r *reader) {
	t.Helper()
	for _, n := range nodes {
		there := &reader{way: r.way, base: n.Public, id: r.id, key: r.key, net: newNetwork()}
		live.Until(t, "the client at "+n.Public, 10*time.Second, func() bool { return peek(t, there) == nil })
	}
}

// TestClusterRollingRestart ends and starts one node after the other, while
// somebody asks all the time: no request fails, neither a reader's nor the
// backend's, clients are what they were, and all messages are there once. With
// nginx, who knows of no end before it has come, the backend may have to repeat
// itself.
func TestClusterRollingRestart(t *testing.T) {
	t.Parallel()
	throughBalancers(t, func(t *testing.T, nodes []*live.Server, at *entry) {
		r := newReader(t, nodes[0], at.base, longpollGET, "news")
		untilAllKnow(t, nodes, r)
		listener := newReader(t, nodes[1], at.base, webSocket, "news").read(t)
		listener.next(t, 3*atOnce)
		ctx, cancel := context.WithCancel(t.Context())
		var asking sync.WaitGroup
		said, repeated := 0, 0
		asking.Go(func() {
			for ctx.Err() == nil {
				if err := peek(t, r); err != nil && ctx.Err() == nil {
					t.Errorf("poll: %v", err)
				}
				said++
				err := publishAt(at.admin, said)
				if err != nil && strings.Contains(err.Error(), "nginx") {
					repeated++
					err = publishAt(at.admin, said)
				}
				if err != nil {
					t.Errorf("publish: %v", err)
				}
			}
		})
		for _, n := range nodes {
			n.Stop()
			n.Restart()
			live.Until(t, "ready", 20*time.Second, func() bool { return isReady(n) })
			if strings.Contains(at.output(), "is DOWN") { // HAProxy says so
				up := func() bool {
					return strings.Count(at.output(), "is UP") == strings.Count(at.output(), "is DOWN")
				}
				live.Until(t, "back", 20*time.Second, up)
			}
		}
		cancel()
		asking.Wait()
		listener.expect(t, 1, said, true)
		t.Logf("%d messages, %d repeated", said, repeated)
	})
}

func isReady(n *live.Server) bool {
	resp, err := client.Get(n.Public + "/readyz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// publishAt says the message number n, under its own id.
func publishAt(base string, n int) error {
	return callAt(base, "publish", "news", fmt.Sprintf("message %d.", n), "bob", fmt.Sprint("id", n))
}

// callAt calls a method at a URL, by a connection of its own.
func callAt(base, method string, params ...any) error {
	_, err := answerAt(base, method, params...)
	return err
}

func answerAt(base, method string, params ...any) (json.RawMessage, error) {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "method": method, "params": params, "id": 1})
	if err != nil {
		return nil, err
	}
	resp, err := client.Post(base, "application/json", strings.NewReader(string(body)))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Result json.RawMessage
		Error  any
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Error != nil {
		return nil, fmt.Errorf("status %d: %.200q", resp.StatusCode, text)
	}
	return answer.Result, nil
}

func rpcAt[T any](t *testing.T, base, method string, params ...any) (result T) {
	t.Helper()
	text, err := answerAt(base, method, params...)
	if err == nil {
		err = json.Unmarshal(text, &result)
	}
	if err != nil {
		t.Errorf("%s: %v", method, err)
	}
	return result
}

// TestClusterNeverRepeats has nodes stand still and be killed while the backend
// says things without a publish id. What it was told of is there once; of what
// failed nobody knows, but nothing is there twice.
func TestClusterNeverRepeats(t *testing.T) {
	t.Parallel()
	throughBalancers(t, func(t *testing.T, nodes []*live.Server, at *entry) {
		r := newReader(t, nodes[0], nodes[0].Public, stream, "news").read(t)
		r.next(t, atOnce)
		const all = 200
		var failed []string
		for i := range all {
			if i == all/3 {
				nodes[1].Kill()
			}
			if i == 2*all/3 {
				nodes[2].Kill()
			}
			text := fmt.Sprintf("message %d.", i)
			if err := callAt(at.admin, "new_message", "bob", text, "news", false); err != nil {
				failed = append(failed, text)
			}
		}
		say(t, nodes[0], "news", all, all, "")
		heard := make(map[string]int)
		for last := fmt.Sprintf("message %d.", all); heard[last] == 0; {
			for _, m := range r.next(t, 3*atOnce).Messages {
				heard[m.Data]++
			}
		}
		for i := range all {
			text := fmt.Sprintf("message %d.", i)
			if n := heard[text]; n > 1 || n == 0 && !slices.Contains(failed, text) {
				t.Errorf("%s: heard %d times", text, n)
			}
		}
		t.Logf("failed: %v", failed)
	})
}

// TestClusterHangs has a node stand still, as a machine does that swaps. HAProxy,
// which asks, sends nobody there after a while; those who were are cut off in
// time and come again.
func TestClusterHangs(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, 3)
	at := haproxyCluster(t, nodes)
	r := newReader(t, nodes[0], at.base, longpollGET, "news")
	untilAllKnow(t, nodes, r)
	defer nodes[1].Pause()()
	live.Until(t, "it is out", 20*time.Second, func() bool { return strings.Contains(at.output(), "shaveet/node2 is DOWN") })
	for i := range 20 {
		if err := peek(t, r); err != nil {
			t.Errorf("poll %d: %v", i, err)
		}
	}
}

// TestClusterWebSockets has connections of Socket.IO by WebSocket alone on all
// nodes, which need no stickiness: what is said in a room on one is heard on all.
func TestClusterWebSockets(t *testing.T) {
	t.Parallel()
	throughBalancers(t, func(t *testing.T, nodes []*live.Server, at *entry) {
		var pages []*page
		for range 6 {
			ws, _, err := websocket.Dial(t.Context(), at.base+"/socket.io/?EIO=4&transport=websocket", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer ws.CloseNow()
			pages = append(pages, &page{t: t, ws: ws})
		}
		for i, p := range pages {
			id := fmt.Sprint("page", i)
			key := rpc[string](t, nodes[i%len(nodes)], "create_client", id)
			p.hear("0", atOnce)
			p.say(fmt.Sprintf(`40{"client_id":%q,"key":%q}`, id, key))
			p.hear("40", atOnce)
		}
		for i, n := range nodes {
			if _, err := answerAt(n.Main+"/", "emit", fmt.Sprintf("news%d", i)); err != nil {
				t.Fatal(err)
			}
			for _, p := range pages {
				p.hear(fmt.Sprintf(`42["news%d"`, i), atOnce)
			}
		}
	})
}

// TestClusterSocketIO has pages of Socket.IO poll, and go over to a WebSocket,
// through balancers that send each request to another node.
func TestClusterSocketIO(t *testing.T) {
	t.Parallel()
	throughBalancers(t, func(t *testing.T, nodes []*live.Server, at *entry) {
		key := rpc[string](t, nodes[0], "create_client", "ada")
		rpc[int](t, nodes[1], "subscribe", "ada", "news")
		pg := openPage(t, at.site)
		pg.say(`40{"client_id":"ada","key":"` + key + `"}`)
		pg.hear("40", atOnce)
		for i := range 9 {
			if i == 6 {
				pg.goOver()
			}
			say(t, nodes[i%len(nodes)], "news", i, i, "")
			if got := pg.hear("42", atOnce); !strings.Contains(got, fmt.Sprintf(`"message %d."`, i)) {
				t.Errorf("message %d: heard %s", i, got)
			}
		}
	})
}
