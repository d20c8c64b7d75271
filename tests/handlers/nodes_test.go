package handlers_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
	"github.com/shaveet/shaveet/tests/redistest"
)

// A nodeCall is what a webhook is told by one of several nodes.
type nodeCall struct {
	Method string
	Params struct {
		Node, SID string
		Serial    uint64
	}
}

// A nodeHook is a webhook of several nodes, which agrees with all it is told.
type nodeHook struct {
	*httptest.Server

	mu    sync.Mutex // guards all below
	calls []nodeCall
}

func newNodeHook(t *testing.T) *nodeHook {
	h := &nodeHook{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c struct {
			ID string
			nodeCall
		}
		if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
			t.Error(err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.calls = append(h.calls, c.nodeCall)
		result := "null"
		if c.Method == "event" {
			result = `["heard"]`
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%q,"result":%s}`, c.ID, result)
	}))
	t.Cleanup(h.Close)
	return h
}

// of returns what was told of a socket, and how often each call came.
func (h *nodeHook) of(sid string) (said string, nodes map[string]bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	nodes = make(map[string]bool)
	for _, c := range h.calls {
		if c.Params.SID == sid {
			said += c.Method + " "
			nodes[c.Params.Node] = true
		}
	}
	return said, nodes
}

// startNodes starts programs that share a log, and ask this webhook.
func startNodes(t *testing.T, n int, h *nodeHook) (all []*live.Server) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "shaveet.toml")
	if err := os.WriteFile(file, []byte(common+webhookTable("shop", h.URL)), 0o600); err != nil {
		t.Fatal(err)
	}
	store := redistest.Start(t)
	for range n {
		all = append(all, live.Start(t, "--config", file, "--redis", store.URL()))
	}
	for _, s := range all {
		live.Until(t, "the nodes are ready", patience, func() bool { return live.Ready(s.Main) })
	}
	return all
}

// A roamer is a page that polls, and each request of which comes to another node.
type roamer struct {
	t     *testing.T
	nodes []*live.Server
	turn  int
	sid   string // of the connection
}

func (p *roamer) do(method, body string) string {
	p.t.Helper()
	base := p.nodes[p.turn%len(p.nodes)].Main
	p.turn++
	url := fmt.Sprintf("%s/socket.io/?EIO=4&transport=polling&t=%d", base, p.turn)
	if p.sid != "" {
		url += "&sid=" + p.sid
	}
	req, err := http.NewRequestWithContext(p.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		p.t.Fatalf("%s %s: %s %s, %v", method, body, resp.Status, text, err)
	}
	return string(text)
}

// join connects it to the namespace, and returns the id of its socket.
func (p *roamer) join() (sid string) {
	p.t.Helper()
	var shake struct{ SID string }
	if err := json.Unmarshal([]byte(p.do("GET", "")[1:]), &shake); err != nil {
		p.t.Fatal(err)
	}
	p.sid = shake.SID
	p.do("POST", "40/shop,")
	rest, ok := strings.CutPrefix(p.do("GET", ""), "40/shop,")
	if err := json.Unmarshal([]byte(rest), &shake); !ok || err != nil {
		p.t.Fatalf("it is told %s", rest)
	}
	return shake.SID
}

// The backend is asked once, by the node that has the socket, whatever way the
// requests take.
func TestHandlersOfNodes(t *testing.T) {
	t.Parallel()
	h := newNodeHook(t)
	nodes := startNodes(t, 3, h)
	for i := range 12 {
		p := &roamer{t: t, nodes: nodes, turn: i}
		sid := p.join()
		for n := range 5 {
			p.do("POST", fmt.Sprintf(`42/shop,%d["n"]`, n))
			if got, want := p.do("GET", ""), fmt.Sprintf(`43/shop,%d["heard"]`, n); got != want {
				t.Fatalf("it is told %s, want %s", got, want)
			}
		}
		p.do("POST", "41/shop,")
		live.Until(t, "the backend is told of the end", patience, func() bool {
			said, _ := h.of(sid)
			return strings.Contains(said, "disconnect")
		})
		said, by := h.of(sid)
		if want := "connect " + strings.Repeat("event ", 5) + "disconnect "; said != want || len(by) != 1 {
			t.Errorf("of %s the backend was told %s by %d nodes, want %s by one", sid, said, len(by), want)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	serials := make(map[string]uint64)
	for _, c := range h.calls {
		if serials[c.Params.Node]++; c.Params.Node == "" || serials[c.Params.Node] != c.Params.Serial {
			t.Errorf("the serial %d of node %q, want %d", c.Params.Serial, c.Params.Node, serials[c.Params.Node])
		}
	}
	if len(serials) != 3 {
		t.Errorf("%d nodes have asked, want 3", len(serials))
	}
}

// A node that does not answer is named, and what the others know is told.
func TestUnreachedNodes(t *testing.T) {
	t.Parallel()
	h := newNodeHook(t)
	nodes := startNodes(t, 2, h)
	here, there := (&roamer{t: t, nodes: nodes[:1]}).join(), (&roamer{t: t, nodes: nodes[1:]}).join()
	s := &server{t: t, addr: strings.TrimPrefix(nodes[0].Main, "http://")}
	var found struct {
		Sockets   []struct{ ID string }
		Unreached []string
	}
	fetch := func() {
		t.Helper()
		found.Sockets, found.Unreached = nil, nil
		s.call(&found, "fetch_sockets", map[string]any{"namespace": "/shop"})
	}
	live.Until(t, "the nodes know of each other", patience, func() bool { fetch(); return len(found.Sockets) == 2 })
	if len(found.Unreached) != 0 {
		t.Errorf("%+v, want %s and %s", found, here, there)
	}
	defer nodes[1].Pause()()
	began := time.Now()
	fetch()
	if len(found.Sockets) != 1 || len(found.Unreached) != 1 {
		t.Errorf("after %v: %+v, want %s alone", time.Since(began), found, here)
	}
}
