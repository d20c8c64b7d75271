package gallery

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shaveet/shaveet/examples/gallery/wire"
	"github.com/shaveet/shaveet/server"
	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/tests/live"
)

// start runs a server and a gallery beside it, as the demo does.
func start(t *testing.T, token string) (site string, g *Gallery) {
	t.Helper()
	cfg := server.DefaultConfig()
	cfg.DrainDelay, cfg.AdminToken = 0, token
	sockets, err := Prepare(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(cfg, memory.New(), server.Options{Namespaces: Namespaces(nil)})
	if err != nil {
		t.Fatal(err)
	}
	doors := server.Doors{Main: listen(t), Public: listen(t)}
	g, err = New(Config{Admin: doors.Main.Addr(), Public: doors.Public.Addr(), Sockets: sockets, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(g)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, part := range []func(context.Context) error{func(ctx context.Context) error { return srv.Serve(ctx, doors) }, g.Run} {
		running.Go(func() {
			if err := part(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		web.CloseClientConnections()
		web.Close()
		running.Wait()
	})
	return web.URL, g
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func get(t *testing.T, url string) (status int, header http.Header, body string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

// event is what a page hears.
type event struct {
	kind, id, data string
	shown
}

// events hears an example's events until is is true of one, and returns that.
func events(t *testing.T, url string, is func(event) bool) (found event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	e := event{kind: "message"}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "event":
			e.kind = value
		case "id":
			e.id = value
		case "data":
			e.data = value
		case "":
			if e.kind == "message" && e.data != "" {
				if err := json.Unmarshal([]byte(e.data), &e.shown); err != nil {
					t.Fatalf("%v in %s", err, e.data)
				}
			}
			if e.data != "" && is(e) {
				return e
			}
			e = event{kind: "message"}
		}
	}
	t.Fatalf("the event does not come: %v", lines.Err())
	return e
}

// When it has ended, nothing of it is left.
func TestEnd(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	t.Run("run", func(t *testing.T) {
		site, _ := start(t, "")
		if status, _, _ := get(t, site+"/stream/credentials"); status != 200 {
			t.Errorf("credentials: %d", status)
		}
		events(t, site+"/events/live-graph", func(e event) bool { return strings.HasPrefix(e.Title, "message: ") })
	})
	http.DefaultClient.CloseIdleConnections()
	goleak.VerifyNone(t, ignore)
}

// Every example is there twice, with its sources, and what passes is told: calls
// with their answers and what they took, by the token that the page never sees.
func TestExamples(t *testing.T) {
	site, g := start(t, "secret42secret42")
	status, header, text := get(t, site+"/")
	if status != 200 || !strings.Contains(text, "page/shell.js") || header.Get("Content-Security-Policy") != policy {
		t.Errorf("the page: %d, %v", status, header)
	}
	var all []show
	if _, _, text := get(t, site+"/examples"); json.Unmarshal([]byte(text), &all) != nil || len(all) != len(Names()) {
		t.Fatalf("the examples: %s", text)
	}
	for _, e := range all {
		t.Run(e.Name, func(t *testing.T) {
			for i, base := range []string{"/", "/second/"} {
				status, header, text := get(t, site+base+e.Name+"/"+e.Readers[i].Path)
				if status != 200 || !strings.Contains(header.Get("Content-Security-Policy"), "frame-ancestors 'self'") {
					t.Errorf("%s: %d, %q: %.100s", base, status, header.Get("Content-Security-Policy"), text)
				}
			}
			if status, _, text := get(t, site+"/source/"+e.Name+"/README.md"); status != 200 || !strings.HasPrefix(text, "# ") && !strings.HasPrefix(text, "<") {
				t.Errorf("its README: %d %.50q", status, text)
			}
			if !strings.HasPrefix(g.Curl(e.Name), "curl ") || !json.Valid([]byte(e.Call)) {
				t.Errorf("for a terminal: %q", g.Curl(e.Name))
			}
		})
	}
	said(t, site, g)
	called := events(t, site+"/events/chat", func(e event) bool { return e.Kind == wire.KindCall && e.Call.Method == "new_message" })
	if c := called.Call; c.Params != `["curl", "hello", "chat", false]` || c.Result == "" || c.Error != "" || c.MS <= 0 {
		t.Errorf("the call is told as %s = %s, error %q, %v ms", c.Params, c.Result, c.Error, c.MS)
	}
	events(t, site+"/events/chat", func(e event) bool {
		if strings.Contains(e.data, "secret42secret42") {
			t.Errorf("the token is told: %s", e.data)
		}
		return e.ID >= called.ID
	})
	// The producer really speaks ZMTP with the server's socket.
	for _, want := range []string{"greeting: ZMTP 3.1, NULL", "SUBSCRIBE: all topics", "message: {"} {
		events(t, site+"/events/live-graph", func(e event) bool { return e.Door == "zeromq" && strings.HasPrefix(e.Title, want) })
	}
	speaks(t, site)
	events(t, site+"/events/stream", func(e event) bool { return e.Kind == wire.KindCall && e.Call.Method == "publish" && e.Call.Error == "" })
}

// speaks says a line at one web app of the chatterbox: it goes in by a socket, and
// out by the other one to both.
func speaks(t *testing.T, site string) {
	t.Helper()
	live.Until(t, "web app B takes a line", 30*time.Second, func() bool {
		resp, err := http.Post(site+"/second/chatterbox/b/say", "application/json", strings.NewReader(`{"u": "bob", "m": "by ZMTP", "id": "one"}`))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusNoContent
	})
	heard := map[int]bool{}
	events(t, site+"/events/chatterbox", func(e event) bool {
		if e.Door == "zeromq" && strings.HasPrefix(e.Title, "message of 2 frames: chatterbox") && strings.Contains(e.Title, "by ZMTP") {
			heard[e.Conn] = true
		}
		return len(heard) == 2
	})
}

// said makes the call that terminals are told, through the chat's glass.
func said(t *testing.T, site string, g *Gallery) {
	t.Helper()
	s, _ := g.find("chat")
	url := s.Curl[strings.Index(s.Curl, "http://"):strings.Index(s.Curl, " -d ")]
	for _, body := range []string{`{"method": "create_channel", "params": ["chat"]}`, s.Call} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer secret42secret42")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Fatalf("%s: %d %s", body, resp.StatusCode, answer)
		}
	}
}

// The sums are of all that has passed, not of what is kept.
func TestSums(t *testing.T) {
	s := &show{backlog: newBacklog()}
	server := httptest.NewServer(http.HandlerFunc(s.events))
	defer server.Close()
	s.backlog.add("public", 1, wire.Event{Bytes: 5})
	for range backlogEvents {
		s.backlog.add("admin", 1, wire.Event{Bytes: 10})
		s.backlog.add("admin", 1, wire.Event{Call: &wire.Call{}})
	}
	s.backlog.add("admin", 1, wire.Event{Call: &wire.Call{Rest: 7}})
	for _, after := range []string{"", "?after=801", "?after=802"} {
		e := events(t, server.URL+after, func(e event) bool { return e.kind == "passed" })
		if want := `{"admin":{"bytes":4000,"calls":407},"public":{"bytes":5,"calls":0}}`; e.data != want {
			t.Errorf("%q: the sums are %s, want %s", after, e.data, want)
		}
	}
	server.CloseClientConnections()
}

// So many pages can look at a time; when one goes, another can.
func TestPanelsAreBounded(t *testing.T) {
	here, leave := make(chan struct{}), make(chan struct{})
	site := (&Gallery{}).few(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { here <- struct{}{}; <-leave }))
	var all sync.WaitGroup
	look := func() (status int) {
		w := httptest.NewRecorder()
		site.ServeHTTP(w, httptest.NewRequest("GET", "/events/chat", nil))
		return w.Code
	}
	for range maxPanels {
		all.Go(func() { look() })
	}
	for range maxPanels {
		<-here
	}
	if status := look(); status != http.StatusServiceUnavailable {
		t.Errorf("one too many: %d", status)
	}
	for range maxPanels {
		leave <- struct{}{}
	}
	all.Wait()
	all.Go(func() { look() })
	<-here
	leave <- struct{}{}
	all.Wait()
}

// A page goes on where it was, and is told of what it has missed, or that it is
// of another life.
func TestEventsGoOn(t *testing.T) {
	s := &show{life: "now", backlog: newBacklog()}
	server := httptest.NewServer(http.HandlerFunc(s.events))
	defer server.Close()
	for i := range backlogEvents + 50 {
		s.backlog.add("admin", 1, wire.Event{Title: string(rune('a' + i%26))})
	}
	first := events(t, server.URL, func(e event) bool { return e.kind == "message" })
	if first.ID != 51 || first.id != "51" {
		t.Errorf("a new page begins with %s", first.data)
	}
	if e := events(t, server.URL+"?after=60", func(e event) bool { return e.kind != "life" }); e.ID != 61 {
		t.Errorf("behind 60 comes %s %s", e.kind, e.data)
	}
	if e := events(t, server.URL+"?after=20", func(e event) bool { return e.kind != "life" }); e.kind != "lost" || e.data != "30" {
		t.Errorf("behind 20 comes %s %s", e.kind, e.data)
	}
	if e := events(t, server.URL+"?after=20", func(e event) bool { return e.kind == "life" }); e.data != "now" {
		t.Errorf("the life is %q", e.data)
	}
	waiting := make(chan event)
	go func() {
		waiting <- events(t, server.URL+"?after=450", func(e event) bool { return e.kind == "message" })
	}()
	s.backlog.add("admin", 1, wire.Event{Title: "new"})
	if e := <-waiting; e.Title != "new" {
		t.Errorf("live comes %s", e.data)
	}
	server.CloseClientConnections()
}

func TestBacklogIsBounded(t *testing.T) {
	b := newBacklog()
	for range 1000 {
		b.add("admin", 1, wire.Event{Text: strings.Repeat("x", 20_000)})
	}
	lines, lost, last, _ := b.after(1)
	if b.bytes > backlogBytes || len(lines) != len(b.lines) || last != 1000 || lost != 1000-1-uint64(len(lines)) {
		t.Errorf("%d lines of %d bytes; lost %d of %d", len(lines), b.bytes, lost, last)
	}
	b.add("admin", 1, wire.Event{Text: strings.Repeat("x", 2*backlogBytes)})
	if lines, _, _, _ := b.after(0); len(lines) != 1 {
		t.Errorf("of one that is too large there are %d", len(lines))
	}
}

// The second reader's cookies are not the first one's.
func TestSecond(t *testing.T) {
	site := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "new", Path: "/"})
		for _, c := range r.Cookies() {
			_, _ = io.WriteString(w, c.Name+"="+c.Value+";")
		}
	})
	for _, tt := range []struct{ cookies, want string }{
		{"session=one", ""},
		{"session=one; second_session=two; other=x", "session=two;"},
		{"", ""},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", tt.cookies)
		w := httptest.NewRecorder()
		second(site).ServeHTTP(w, r)
		if w.Body.String() != tt.want || w.Header().Get("Set-Cookie") != "second_session=new; Path=/" {
			t.Errorf("with %q: %q, and %q is set", tt.cookies, w.Body, w.Header().Get("Set-Cookie"))
		}
	}
}

// A name that somebody has made to point here is refused.
func TestHosts(t *testing.T) {
	site := (&Gallery{shows: []*show{{example: example{Name: "x"}, handler: http.NotFoundHandler()}}}).routes()
	for host, ok := range map[string]bool{
		"127.0.0.1:8080": true, "localhost:8080": true, "[::1]:8080": true, "10.0.0.7": true, "evil.example:8080": false, "localhost.evil.example": false,
	} {
		for path, want := range map[string]int{"/": 200, "/x/": 404, "/second/x/": 404, "/examples": 200} {
			if !ok {
				want = http.StatusMisdirectedRequest
			}
			r := httptest.NewRequest("GET", path, nil)
			r.Host = host
			w := httptest.NewRecorder()
			if site.ServeHTTP(w, r); w.Code != want {
				t.Errorf("%s%s: %d, want %d", host, path, w.Code, want)
			}
		}
	}
}

// Only what is for reading is shown, and nothing outside.
func TestSource(t *testing.T) {
	site, _ := start(t, "")
	for _, name := range Names() {
		_, _, text := get(t, site+"/source/"+name)
		var files []sourceFile
		if err := json.Unmarshal([]byte(text), &files); err != nil || len(files) < 8 || files[0].Path != "README.md" {
			t.Errorf("%s: %v, %s", name, err, text)
		}
		for _, f := range files {
			on, err := os.ReadFile(filepath.Join("..", name, filepath.FromSlash(f.Path)))
			status, header, text := get(t, site+"/source/"+name+"/"+f.Path)
			if err != nil || status != 200 || text != string(on) || header.Get("Content-Type") != "text/plain; charset=utf-8" {
				t.Errorf("%s/%s: %v, status %d, %d bytes of %d", name, f.Path, err, status, len(text), len(on))
			}
			if strings.HasSuffix(f.Path, "_test.go") || f.Bytes != int64(len(on)) {
				t.Errorf("%s/%s of %d bytes is listed", name, f.Path, f.Bytes)
			}
		}
		if !slices.ContainsFunc(files, func(f sourceFile) bool { return path.Ext(f.Path) == ".py" }) {
			t.Errorf("%s has no Python", name)
		}
	}
	for _, path := range []string{"chat/nothing", "chat/../gallery.go", "chat/%2e%2e/gallery.go", "nothing/README.md", "live-graph/page/vendor/jquery.min.js"} {
		if status, _, _ := get(t, site+"/source/"+path); status != 404 {
			t.Errorf("%s: %d", path, status)
		}
	}
}

// The server is told what the examples' own configurations tell one; and what
// somebody says of a channel themselves counts.
func TestPrepare(t *testing.T) {
	cfg := server.DefaultConfig()
	if _, err := Prepare(&cfg); err != nil {
		t.Fatal(err)
	}
	wanted := 0
	for _, name := range Names() {
		text, err := os.ReadFile(filepath.Join("..", name, "shaveet.toml"))
		if err != nil && name != "chat" {
			t.Error(err)
		}
		for _, table := range strings.Split(string(text), "\n[channel.\"")[1:] {
			wanted++
			pattern, rest, _ := strings.Cut(table, `"]`)
			i := slices.IndexFunc(cfg.Channel, func(r hub.ChannelRule) bool { return r.Pattern == pattern })
			if i < 0 {
				t.Errorf("%s: there is no rule for %q", name, pattern)
				continue
			}
			r := cfg.Channel[i]
			if quiet := strings.Contains(rest, "presence = false"); r.Presence == quiet {
				t.Errorf("%s: presence of %q is %v", name, pattern, r.Presence)
			}
			if kept := strings.Contains(rest, `window   = "24h"`) && strings.Contains(rest, "messages = 1000"); kept != (r.Window == 24*time.Hour && r.Messages == 1000) {
				t.Errorf("%s: of %q are kept %d for %v", name, pattern, r.Messages, r.Window)
			}
		}
	}
	if wanted == 0 || len(cfg.Channel) != wanted || len(cfg.ZeroMQ) != 3 || cfg.ZeroMQ[0].Channel != "graph" || cfg.ZeroMQ[1].Channel != "chatterbox" {
		t.Errorf("%d rules and %d sockets; the examples have %d rules", len(cfg.Channel), len(cfg.ZeroMQ), wanted)
	}
	if _, err := Prepare(&cfg); err != nil || cfg.Validate() != nil || len(cfg.Channel) != wanted {
		t.Errorf("where there are rules already: %v, %v, %d rules", err, cfg.Validate(), len(cfg.Channel))
	}
}
