package livegraph_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	livegraph "github.com/shaveet/shaveet/examples/live-graph"
	"github.com/shaveet/shaveet/tests/live"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Those that run side by side wait most of the time, also on two processors.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	live.Main(m)
}

// backends are the two programs of this example that serve the pages. They do
// the same, so they are held to the same story.
var backends = map[string]func(t *testing.T) *exec.Cmd{
	"go": func(t *testing.T) *exec.Cmd {
		path := filepath.Join(t.TempDir(), "livegraph")
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", path, "./go").CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
		return exec.Command(path)
	},
	"python": func(t *testing.T) *exec.Cmd {
		return exec.Command(live.Tool(t, "python3"), "python/livegraph.py")
	},
}

var sources = []string{
	"shaveet.toml", "go/main.go", "go/livegraphapp/livegraphapp.go", "go/livegraphapp/shaveet.go",
	"go/producer/producer.go", "go/producer/conn.go", "go/produce/main.go", "python/livegraph.py", "python/producer.py",
	"page/index.html", "page/graph.css", "page/graph.js", "page/live.js", "page/order.js", "page/flot.html", "page/flot.js",
}

// What is not ours is what npm has, byte by byte, and nothing is there that
// nobody has looked at.
func TestVendor(t *testing.T) {
	vendor, err := fs.Sub(livegraph.Page(), "vendor")
	if err != nil {
		t.Fatal(err)
	}
	list, err := fs.ReadFile(vendor, "SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	listed := []string{"README.md", "SHA256SUMS"}
	for line := range strings.Lines(string(list)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		listed = append(listed, name)
		text, err := fs.ReadFile(vendor, name)
		if err != nil {
			t.Error(err)
		} else if got := fmt.Sprintf("%x", sha256.Sum256(text)); got != sum {
			t.Errorf("%s: %s, want %s", name, got, sum)
		}
	}
	files, err := fs.ReadDir(vendor, ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !slices.Contains(listed, f.Name()) {
			t.Errorf("%s is not listed", f.Name())
		}
	}
	for _, name := range []string{"uPlot", "jquery", "jquery.flot"} {
		if !slices.Contains(listed, name+".LICENSE.txt") {
			t.Errorf("%s has no licence here", name)
		}
	}
}

// Source has all that is to be read, and it can be read.
func TestSource(t *testing.T) {
	for _, name := range append(sources, "README.md") {
		if text, err := fs.ReadFile(livegraph.Source(), name); err != nil || len(text) == 0 {
			t.Errorf("%s: %d bytes, %v", name, len(text), err)
		}
	}
	_ = fs.WalkDir(livegraph.Source(), ".", func(name string, d fs.DirEntry, _ error) error {
		if !d.IsDir() && !slices.Contains(append(sources, "README.md", "page/vendor/README.md"), name) {
			t.Errorf("%s is no source", name)
		}
		return nil
	})
}

// TestOrder has browser/order.mjs look at page/order.js.
func TestOrder(t *testing.T) {
	live.Track(t, "page/order.js", "browser/order.mjs")
	out, err := exec.CommandContext(t.Context(), live.Tool(t, "node"), "browser/order.mjs").CombinedOutput()
	if err != nil || string(out) != "done\n" {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestBackends(t *testing.T) {
	t.Parallel()
	live.Track(t, sources...)
	for name, command := range backends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := live.Start(t, "--public-listen", "127.0.0.1:0", "--max-json-depth", "9000")
			s := start(t, command(t), srv.Main+"/", srv.Public)
			s.srv = srv
			t.Run("pages", s.servesThePages)
			t.Run("credentials", s.letsPagesIn)
			t.Run("who comes back", s.knowsWhoComesBack)
			t.Run("other sites", s.refusesOtherSites)
			t.Run("input", s.refusesBadInput)
			t.Run("restart", s.survivesARestart)
			t.Run("odd points", s.passesOverWhatIsNoPoint)
			t.Run("outage", s.reportsAnOutage)
		})
	}
}

// site is a running back end, and the Shaveet beside it.
type site struct {
	url, public string
	srv         *live.Server
}

var address = regexp.MustCompile(`http://127\.0\.0\.1:[1-9]\d*`)

func start(t *testing.T, cmd *exec.Cmd, rpc, public string) *site {
	t.Helper()
	cmd.Env = append(os.Environ(), "PORT=0", "SHAVEET_RPC="+rpc, "SHAVEET_PUBLIC="+public, "SHAVEET_TOKEN=")
	output := live.Run(t, cmd)
	s := &site{public: public}
	live.Until(t, "the back end's address", 30*time.Second, func() bool {
		s.url = address.FindString(output())
		return s.url != "" && live.Answers(s.url)
	})
	return s
}

func (s *site) get(t *testing.T, path string) (status int, header http.Header, body string) {
	t.Helper()
	resp, err := http.Get(s.url + path)
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

func (s *site) servesThePages(t *testing.T) {
	for _, path := range []string{"/", "/flot", "/flot?x=1"} {
		status, header, page := s.get(t, path)
		if status != 200 || !strings.Contains(page, `<script src="`+s.public+`/static/shaveet.js"`) {
			t.Errorf("%s: status %d, without shaveet.js:\n%s", path, status, page)
		}
		policy := header.Get("Content-Security-Policy")
		for _, want := range []string{
			"default-src 'self';", "script-src 'self' " + s.public + ";", "frame-ancestors 'self'",
			"connect-src 'self' " + s.public + strings.Replace(" "+s.public, "http", "ws", 1) + ";",
		} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: Content-Security-Policy: %q lacks %q", path, policy, want)
			}
		}
		// Whatever a page names, it gets, below any path.
		for _, match := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(page, -1) {
			name := match[1]
			if strings.HasPrefix(name, s.public) || name == "data:," {
				continue
			}
			want := map[string]string{".js": "text/javascript", ".css": "text/css"}[filepath.Ext(name)]
			status, header, _ := s.get(t, "/"+strings.TrimPrefix(name, "./"))
			if status != 200 || !strings.HasPrefix(header.Get("Content-Type"), want) || strings.HasPrefix(name, "/") {
				t.Errorf("%s names %s: status %d, Content-Type %q", path, name, status, header.Get("Content-Type"))
			}
		}
	}
	if _, _, licence := s.get(t, "/vendor/uPlot.LICENSE.txt"); !strings.Contains(licence, "MIT") {
		t.Errorf("uPlot's licence: %q", licence)
	}
	for _, path := range []string{"/nothing", "/vendor", "/vendor/", "/../go/main.go", "/%2e%2e/python/livegraph.py", "/index.html", "/flot.html", "/credentials"} {
		if status, _, body := s.get(t, path); status != 404 && status != 405 {
			t.Errorf("GET %s: status %d\n%.200s", path, status, body)
		}
	}
}

// credentials are what a page connects with.
type credentials struct {
	URL, Channel, ClientID, Token, Key, Cursor string

	Points []point
}

var drawn = regexp.MustCompile(`^graph-[0-9A-Za-z]{26,32}$`)

func (s *site) letIn(t *testing.T, clientID, token string) (c credentials) {
	t.Helper()
	status := s.post(t, map[string]any{"clientId": clientID, "token": token}, "", &c)
	if status != 200 || c.URL != s.public || c.Channel != "graph" || !drawn.MatchString(c.ClientID) {
		t.Fatalf("credentials: status %d, %+v", status, c)
	}
	return c
}

func (s *site) post(t *testing.T, request any, origin string, into any) (status int) {
	t.Helper()
	body, ok := request.(string)
	if !ok {
		text, err := json.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		body = string(text)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/credentials", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if origin != "" {
		req.Header.Set("Origin", origin)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if into != nil && resp.StatusCode == 200 {
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
	}
	return resp.StatusCode
}

// letsPagesIn: a page has the newest points, and hears what is said after them.
func (s *site) letsPagesIn(t *testing.T) {
	first := s.letIn(t, "", "")
	if len(first.Points) != 0 {
		t.Errorf("points: %v", first.Points)
	}
	now := time.Now().UnixMilli()
	for i := range 130 {
		s.call(t, "publish", map[string]any{"channel": "graph", "data": map[string]any{"x": now + int64(i), "y": 2.5}})
	}
	c := s.letIn(t, "", "")
	if len(c.Points) != 100 || c.Points[0] != (point{now + 30, 2.5}) || c.Points[99] != (point{now + 129, 2.5}) {
		t.Errorf("%d points behind %d: %v", len(c.Points), now, c.Points)
	}
	if c.ClientID == first.ClientID || c.Key == first.Key || c.Token == first.Token {
		t.Errorf("%+v is no client of its own beside %+v", c, first)
	}
	s.call(t, "publish", map[string]any{"channel": "graph", "data": "next"})
	if heard := s.hears(t, c); !slices.Equal(heard, []string{`"next"`}) {
		t.Errorf("behind the points it heard %s", heard)
	}
	if heard := s.hears(t, first); len(heard) != 131 {
		t.Errorf("the first heard %d messages: %s", len(heard), heard)
	}
}

// hears is what a page hears that begins at its cursor.
func (s *site) hears(t *testing.T, c credentials) (data []string) {
	t.Helper()
	body, _ := json.Marshal(map[string]any{"clients": []any{map[string]string{"id": c.ClientID, "key": c.Key}}, "cursor": c.Cursor, "wait": 0})
	resp, err := http.Post(s.public+"/longpoll", "text/plain", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var batch struct {
		Messages []struct{ Data json.RawMessage }
	}
	if err := json.NewDecoder(resp.Body).Decode(&batch); err != nil || resp.StatusCode != 200 {
		t.Fatalf("status %d, %v", resp.StatusCode, err)
	}
	for _, m := range batch.Messages {
		data = append(data, string(m.Data))
	}
	return data
}

// knowsWhoComesBack: they stay the client they were, if they can prove it.
func (s *site) knowsWhoComesBack(t *testing.T) {
	c := s.letIn(t, "", "")
	if back := s.letIn(t, c.ClientID, c.Token); back.ClientID != c.ClientID || back.Key != c.Key || back.Token != c.Token {
		t.Errorf("%+v came back as %+v", c, back)
	} else if len(back.Points) != 130 { // what it would show, and what it might have missed
		t.Errorf("it has %d points", len(back.Points))
	}
	other := s.letIn(t, "", "")
	for _, token := range []string{"", other.Token, c.Token + "0", strings.ToUpper(c.Token), "é", "\x00"} {
		if liar := s.letIn(t, c.ClientID, token); liar.ClientID == c.ClientID || liar.Key == c.Key {
			t.Errorf("whoever says %q is %+v", token, liar)
		}
	}
}

func (s *site) refusesOtherSites(t *testing.T) {
	for _, origin := range []string{"http://evil.example", "null", "http://127.0.0.1:1", s.url + ".evil.example", s.public} {
		if status := s.post(t, map[string]any{}, origin, nil); status != 403 {
			t.Errorf("from %s: status %d", origin, status)
		}
	}
	if status := s.post(t, map[string]any{}, s.url, nil); status != 200 {
		t.Errorf("from our own page: status %d", status)
	}
}

func (s *site) refusesBadInput(t *testing.T) {
	for _, body := range []string{
		"", "{", "[]", "null", `"text"`, "clientId=1", `{"clientId": 5}`, `{"token": ["a"]}`,
		`{"clientId": "` + strings.Repeat("x", 20<<10) + `"}`,
	} {
		if status := s.post(t, body, "", nil); status != 400 {
			t.Errorf("the body %.30q: status %d, want 400", body, status)
		}
	}
	if status := s.post(t, `{"clientId": "half \ud800"}`, "", nil); status >= 500 {
		t.Errorf("half a character: status %d", status)
	}
}

// survivesARestart: Shaveet has forgotten everybody, and the page is let in
// again as who it was.
func (s *site) survivesARestart(t *testing.T) {
	c := s.letIn(t, "", "")
	s.srv.Restart()
	s.call(t, "publish", map[string]any{"channel": "graph", "data": point{time.Now().UnixMilli(), 1}.data()})
	back := s.letIn(t, c.ClientID, c.Token)
	if back.ClientID != c.ClientID || back.Key == c.Key || len(back.Points) != 1 {
		t.Errorf("%+v came back as %+v", c, back)
	}
	s.call(t, "publish", map[string]any{"channel": "graph", "data": "late"})
	if heard := s.hears(t, back); !slices.Equal(heard, []string{`"late"`}) {
		t.Errorf("it heard %s", heard)
	}
}

func (s *site) reportsAnOutage(t *testing.T) {
	s.srv.Kill()
	if status := s.post(t, map[string]any{}, "", nil); status != 502 {
		t.Errorf("status %d, want 502", status)
	}
	if status, _, _ := s.get(t, "/"); status != 200 {
		t.Errorf("the page: status %d", status)
	}
}

// call is one of the admin API.
func (s *site) call(t *testing.T, method string, params any) json.RawMessage {
	t.Helper()
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(s.srv.Main+"/", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Result, Error json.RawMessage }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if answer.Error != nil {
		t.Fatalf("%s: %s", method, answer.Error)
	}
	return answer.Result
}
