package peer_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/peer"
)

// book is a directory that is written before anybody reads it.
type book struct {
	id, secret string
	nodes      *[]peer.Node
}

func (b book) NodeID() string     { return b.id }
func (b book) Peers() []peer.Node { return *b.nodes }
func (b book) Secret() string     { return b.secret }

// pair returns two nodes that know each other, and one that is dead. The second's
// requests that were handed on are served by h.
func pair(t *testing.T, secret string, h http.HandlerFunc) (a, b *peer.Peers, addr string) {
	t.Helper()
	nodes := new([]peer.Node)
	a = peer.New(peer.Options{Directory: book{"aaaaaaaa", "secret", nodes}})
	b = peer.New(peer.Options{Directory: book{"bbbbbbbb", secret, nodes}, Forwarded: h})
	srv := httptest.NewServer(b)
	t.Cleanup(srv.Close)
	addr = srv.Listener.Addr().String()
	dead := httptest.NewServer(nil)
	*nodes = []peer.Node{{ID: "aaaaaaaa", Addr: "127.0.0.1:1"}, {ID: "bbbbbbbb", Name: "b", Addr: addr}, {ID: "dddddddd", Name: "d", Addr: dead.Listener.Addr().String()}}
	dead.Close()
	return a, b, addr
}

func TestForward(t *testing.T) {
	t.Parallel()
	var b *peer.Peers
	a, b, _ := pair(t, "secret", func(w http.ResponseWriter, r *http.Request) {
		if !peer.Forwarded(r) || r.RemoteAddr != "192.0.2.7:1234" || r.Host != "example.com" || r.Header.Get("X-Forwarded-For") != "192.0.2.9" {
			t.Errorf("it is from %s for %s: %v", r.RemoteAddr, r.Host, r.Header)
		}
		for name := range r.Header {
			if strings.HasPrefix(name, "Shaveet-") {
				t.Errorf("the handler sees %s", name)
			}
		}
		if b.Forward("aaaaaaaa", w, r) {
			t.Error("it was handed on again")
		}
		body, _ := io.ReadAll(r.Body)
		w.Header().Add("Vary", "Origin")
		w.WriteHeader(http.StatusTeapot)
		w.Write(append([]byte(r.URL.RawQuery+" "), body...))
	})
	r := httptest.NewRequest("POST", "/socket.io/?sid=x;y&t=1", strings.NewReader("hello"))
	r.RemoteAddr = "192.0.2.7:1234"
	r.Header.Set("X-Forwarded-For", "192.0.2.9")
	w := httptest.NewRecorder()
	w.Header().Add("Vary", "Origin")
	if !a.Forward("bbbbbbbb", w, r) {
		t.Fatal("it was not handed on")
	}
	if got := w.Body.String(); w.Code != http.StatusTeapot || got != "sid=x;y&t=1 hello" || len(w.Header()["Vary"]) != 1 {
		t.Errorf("%d %q %v", w.Code, got, w.Header())
	}
	for name := range w.Header() {
		if strings.HasPrefix(name, "Shaveet-") {
			t.Errorf("the browser sees %s", name)
		}
	}
	for _, node := range []string{"dddddddd", "aaaaaaaa", "zzzzzzzz", ""} {
		w := httptest.NewRecorder()
		w.Header().Add("Vary", "Origin")
		if a.Forward(node, w, httptest.NewRequest("GET", "/socket.io/", nil)) || len(w.Header()) != 1 || w.Body.Len() > 0 {
			t.Errorf("%q: %d %v", node, w.Code, w.Header())
		}
	}
}

// What a connection could become other than a WebSocket is not asked of another
// node: the request is handed on as any other.
func TestForwardOtherUpgrade(t *testing.T) {
	t.Parallel()
	var served atomic.Int32
	a, _, _ := pair(t, "secret", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.Header.Get("Upgrade") != "" || r.Header.Get("Connection") != "" {
			t.Errorf("it is a %s: %v", r.Method, r.Header)
		}
		if served.Add(1) == 2 {
			panic(http.ErrAbortHandler)
		}
	})
	for i, want := range []bool{true, false} { // the second on the connection of the first, and it is not made again
		r := httptest.NewRequest("GET", "/socket.io/", nil)
		r.Header.Set("Connection", "Upgrade, HTTP2-Settings")
		r.Header.Set("Upgrade", "h2c")
		r.Header.Set("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA")
		r.Header.Set("Idempotency-Key", "x")
		if got := a.Forward("bbbbbbbb", httptest.NewRecorder(), r); got != want {
			t.Errorf("request %d: handed on: %v", i, got)
		}
	}
	if n := served.Load(); n != 2 {
		t.Errorf("%d requests were served, want 2", n)
	}
}

// No more than so many requests wait for one node, and for all of them.
func TestForwardLimits(t *testing.T) {
	t.Parallel()
	came, release := make(chan bool), make(chan bool)
	hold := func(http.ResponseWriter, *http.Request) {
		came <- true
		<-release
	}
	nodes := &[]peer.Node{}
	for _, id := range []string{"bbbbbbbb", "cccccccc", "dddddddd"} {
		p := peer.New(peer.Options{Directory: book{id, "secret", nodes}, Forwarded: http.HandlerFunc(hold)})
		srv := httptest.NewServer(p)
		defer srv.Close()
		*nodes = append(*nodes, peer.Node{ID: id, Addr: srv.Listener.Addr().String()})
	}
	a := peer.New(peer.Options{Directory: book{"aaaaaaaa", "secret", nodes}, MaxForwards: 2, MaxUnderWay: 3})
	var held sync.WaitGroup
	forward := func(to string) bool {
		return a.Forward(to, httptest.NewRecorder(), httptest.NewRequest("GET", "/socket.io/", nil))
	}
	hand := func(to string) {
		held.Go(func() {
			if !forward(to) {
				t.Errorf("it was not handed on to %s", to)
			}
		})
		<-came
	}
	hand("bbbbbbbb")
	hand("bbbbbbbb")
	if forward("bbbbbbbb") {
		t.Error("a third was handed on to the same node")
	}
	hand("cccccccc")
	if forward("dddddddd") {
		t.Error("a fourth was handed on")
	}
	if s := a.Stats(); s.Under != 3 || s.Forwarded != 3 || s.Failed != 2 {
		t.Errorf("%+v", s)
	}
	close(release)
	held.Wait()
	if s := a.Stats(); s.Under != 0 {
		t.Errorf("%+v", s)
	}
}

// A request that has reached the other node is not made a second time, whatever
// has become of the answer: the poll of a socket has been answered, and another
// would miss what was in that answer.
func TestForwardOnce(t *testing.T) {
	t.Parallel()
	var served atomic.Int32
	a, _, _ := pair(t, "secret", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.ContentLength != 0 {
			t.Errorf("it is a %s of %d bytes", r.Method, r.ContentLength)
		}
		if served.Add(1) == 2 {
			panic(http.ErrAbortHandler)
		}
	})
	for i, want := range []bool{true, false, true} { // the second on the connection of the first
		if got := a.Forward("bbbbbbbb", httptest.NewRecorder(), httptest.NewRequest("GET", "/socket.io/", nil)); got != want {
			t.Errorf("request %d: handed on: %v", i, got)
		}
	}
	if n := served.Load(); n != 3 {
		t.Errorf("%d requests were served, want 3", n)
	}
}

// What becomes a connection of another kind is handed on in both directions.
func TestForwardUpgrade(t *testing.T) {
	t.Parallel()
	a, _, _ := pair(t, "secret", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			t.Errorf("it is a %s", r.Method)
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nShaveet-Node: bbbbbbbb\r\n\r\n")
		io.CopyN(conn, rw, 5)
	})
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.Forward("bbbbbbbb", w, r) }))
	defer front.Close()
	conn, err := net.Dial("tcp", front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(conn, "GET /socket.io/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", resp, err)
	}
	io.WriteString(conn, "hello")
	back := make([]byte, 5)
	if _, err := io.ReadFull(in, back); err != nil || string(back) != "hello" {
		t.Errorf("%q, %v", back, err)
	}
}

func TestAsk(t *testing.T) {
	t.Parallel()
	a, b, _ := pair(t, "secret", nil)
	b.Handle("double", func(_ context.Context, p json.RawMessage) (any, error) {
		var n int
		err := json.Unmarshal(p, &n)
		return 2 * n, err
	})
	b.Handle("fail", func(context.Context, json.RawMessage) (any, error) { return nil, errors.New("no") })
	b.Handle("hang", func(ctx context.Context, _ json.RawMessage) (any, error) { <-ctx.Done(); return nil, ctx.Err() })
	got := a.Ask(t.Context(), "double", 21)
	if len(got) != 2 || got[0].Node.Name != "b" || string(got[0].Result) != "42" || got[0].Err != nil || got[1].Node.Name != "d" || got[1].Err == nil {
		t.Errorf("%v", got)
	}
	if got := a.Ask(t.Context(), "fail", nil); !errors.As(got[0].Err, new(*peer.Refusal)) {
		t.Errorf("%v", got)
	}
	if got := a.Ask(t.Context(), "unknown", nil); got[0].Err == nil {
		t.Errorf("%v", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if got := a.Ask(ctx, "hang", nil); got[0].Err == nil {
		t.Errorf("%v", got)
	}
}

// Who does not know the secret finds nothing, and is believed nothing.
func TestStrangers(t *testing.T) {
	t.Parallel()
	a, _, addr := pair(t, "another", func(http.ResponseWriter, *http.Request) { t.Error("a stranger was served") })
	if a.Forward("bbbbbbbb", httptest.NewRecorder(), httptest.NewRequest("GET", "/socket.io/", nil)) {
		t.Error("the answer of a stranger was taken")
	}
	if got := a.Ask(t.Context(), "x", nil); got[0].Err == nil {
		t.Errorf("%v", got)
	}
	for _, path := range []string{"/", "/ask/x", "/socket.io/"} {
		resp, err := http.Get("http://" + addr + path)
		if err != nil || resp.StatusCode != 404 || resp.Header.Get("Shaveet-Node") != "" {
			t.Errorf("%s: %v %v", path, resp, err)
		}
	}
}
