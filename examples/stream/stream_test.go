package stream_test

import (
	"bufio"
	"bytes"
	"flag"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/examples/stream"
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

// backends are the two programs of this example. They do the same, so they are
// held to the same story.
var backends = []struct {
	name    string
	command func(t *testing.T) *exec.Cmd
}{
	{"go", goBackend},
	{"python", func(t *testing.T) *exec.Cmd {
		return exec.Command(live.Tool(t, "python3"), "python/stream.py")
	}},
}

func goBackend(t *testing.T) *exec.Cmd {
	path := filepath.Join(t.TempDir(), "stream")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", path, "./go").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return exec.Command(path)
}

var sources = []string{
	"shaveet.toml", "go/main.go", "go/streamapp/streamapp.go", "go/streamapp/producer.go", "go/streamapp/shaveet.go",
	"python/stream.py", "page/index.html", "page/websocket.html", "page/stream.css", "page/reader.js", "page/stream.js",
	"page/websocket.js", "README.md", "embed.go",
}

// TestSource: whoever wants to show the sources has all of them, and no others.
func TestSource(t *testing.T) {
	var got []string
	err := fs.WalkDir(stream.Source(), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			got = append(got, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range sources {
		if _, err := fs.Stat(stream.Source(), path); err != nil {
			t.Error(err)
		}
	}
	if len(got) != len(sources) {
		t.Errorf("shown are %q, want %q", got, sources)
	}
}

func TestBackends(t *testing.T) {
	t.Parallel()
	live.Track(t, sources...)
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			srv := live.Start(t, "--public-listen", "127.0.0.1:0", "--config", "shaveet.toml")
			site := start(t, b.command(t), srv)
			t.Run("pages", site.servesThePages)
			t.Run("requests", site.refusesOtherRequests)
			t.Run("other sites", site.refusesOtherSites)
			t.Run("lines", site.saysALineASecond)
			t.Run("random", site.saysRandomData)
			t.Run("later", site.letsLaterOnesHearFromThenOn)
			t.Run("ways", site.isHeardInEveryWay)
			t.Run("retry", site.survivesLostAnswers)
			t.Run("short cut", site.losesNothingInAShortCut)
			t.Run("long cut", site.announcesWhatALongCutLost)
			t.Run("restart", site.survivesARestart)
			t.Run("outage", site.reportsAnOutage)
		})
	}
}

// site is a running back end, the Shaveet beside it, and the wire between them.
type site struct {
	url  string
	srv  *live.Server
	wire *wire
	end  func() // of the back end
}

var address = regexp.MustCompile(`http://127\.0\.0\.1:[1-9]\d*/`)

func start(t *testing.T, cmd *exec.Cmd, srv *live.Server) *site {
	t.Helper()
	wire, rpc := startWire(t, srv)
	cmd.Env = append(os.Environ(), "PORT=0", "SHAVEET_RPC="+rpc, "SHAVEET_PUBLIC="+srv.Public, "SHAVEET_TOKEN=")
	output := live.Run(t, cmd)
	s := &site{srv: srv, wire: wire, end: func() { _ = cmd.Process.Kill() }}
	live.Until(t, "the back end's address", 30*time.Second, func() bool {
		s.url = strings.TrimSuffix(address.FindString(output()), "/")
		return s.url != "" && live.Answers(s.url)
	})
	return s
}

func (s *site) servesThePages(t *testing.T) {
	for _, path := range []string{"/", "/websocket"} {
		resp, err := client.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		page, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !strings.Contains(string(page), `<script src="`+s.srv.Public+`/static/shaveet.js"`) {
			t.Errorf("%s does not include shaveet.js:\n%s", path, page)
		}
		policy := resp.Header.Get("Content-Security-Policy")
		for _, want := range []string{
			"default-src 'self';", "script-src 'self' " + s.srv.Public + ";", "frame-ancestors 'self'",
			"connect-src 'self' " + s.srv.Public + strings.Replace(" "+s.srv.Public, "http", "ws", 1) + ";",
		} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: Content-Security-Policy: %q lacks %q", path, policy, want)
			}
		}
	}
	for name, media := range map[string]string{
		"/stream.css": "text/css", "/reader.js": "text/javascript", "/stream.js": "text/javascript", "/websocket.js": "text/javascript",
	} {
		resp, err := client.Get(s.url + name)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || !strings.HasPrefix(got, media) {
			t.Errorf("%s: status %d, Content-Type %q", name, resp.StatusCode, got)
		}
	}
}

func (s *site) refusesOtherRequests(t *testing.T) {
	for path, want := range map[string]int{
		"/nothing": 404, "/../go/main.go": 404, "/%2e%2e/python/stream.py": 404, "/index.html": 404, "/websocket.html": 404,
		"/credentials?channel=admin": 404, "/credentials?channel=stream:hello": 404, "/credentials?channel=%ff": 404,
		"/credentials/": 404, "/credentials?channel=": 200, "/credentials?x=1": 200,
	} {
		if status, body := s.get(t, path); status != want {
			t.Errorf("GET %s: status %d, want %d: %.200s", path, status, want, body)
		}
	}
	resp, err := client.Post(s.url+"/credentials", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 405 {
		t.Errorf("POST /credentials: status %d, want 405", resp.StatusCode)
	}
}

// refusesOtherSites: they could have clients made by the thousand.
func (s *site) refusesOtherSites(t *testing.T) {
	for site, want := range map[string]int{"cross-site": 403, "same-site": 403, "x": 403, "same-origin": 200, "none": 200, "": 200} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/credentials", nil)
		if err != nil {
			t.Fatal(err)
		}
		if site != "" {
			req.Header.Set("Sec-Fetch-Site", site)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("from %q: status %d, want %d", site, resp.StatusCode, want)
		}
	}
}

func (s *site) saysALineASecond(t *testing.T) {
	c := s.credentials(t, "")
	if c.URL != s.srv.Public || c.Channel != "stream:hello" || c.ClientID == s.credentials(t, "").ClientID {
		t.Errorf("credentials: %+v", c)
	}
	l := s.listen(t, "?channel=hello")
	first := l.hear()
	for i := 1; i <= 3; i++ {
		got := l.hear()
		if got.Number != first.Number+i || got.Text != "Hello World" || got.Producer != first.Producer || got.Lost != 0 {
			t.Errorf("after %+v came %+v", first, got)
		}
		if took := time.Duration(got.Time-first.Time) * time.Millisecond; i == 3 && (took < 2*time.Second || took > 20*time.Second) {
			t.Errorf("three lines took %v", took)
		}
	}
}

func (s *site) saysRandomData(t *testing.T) {
	if c := s.credentials(t, "?channel=random"); c.Channel != "stream:random" {
		t.Errorf("credentials: %+v", c)
	}
	l := s.listen(t, "?channel=random")
	first := l.hear()
	for i := 1; i <= 4; i++ {
		if got := l.hear(); got.X != first.X+i || got.Y < 1 || got.Y > 5 || got.Producer != first.Producer {
			t.Errorf("after %+v came %+v", first, got)
		}
	}
}

// letsLaterOnesHearFromThenOn: nothing from before, and all from then on.
func (s *site) letsLaterOnesHearFromThenOn(t *testing.T) {
	early := s.listen(t, "?channel=random")
	before := early.hear()
	late := s.listen(t, "?channel=random")
	first := late.hear()
	if first.X <= before.X {
		t.Errorf("who came after %d hears %d", before.X, first.X)
	}
	got := before
	for got.X < first.X {
		got = early.hear()
	}
	if got != first {
		t.Errorf("one hears %+v, the other %+v", got, first)
	}
	if a, b := early.hear(), late.hear(); a != b {
		t.Errorf("one hears %+v, the other %+v", a, b)
	}
}

// isHeardInEveryWay: what the back end answers is the body of any request.
func (s *site) isHeardInEveryWay(t *testing.T) {
	for _, path := range []string{"/sse", "/longpoll"} {
		c := s.credentials(t, "")
		var text []byte
		live.Until(t, path, 20*time.Second, func() bool {
			resp := s.post(t, path, c.body)
			defer resp.Body.Close()
			for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
				if text = lines.Bytes(); bytes.Contains(text, []byte(`"Hello World"`)) {
					return true
				}
			}
			return false
		})
	}
}

// survivesLostAnswers: a back end that does not know whether it was heard says
// it again, and it is heard once.
func (s *site) survivesLostAnswers(t *testing.T) {
	l := s.listen(t, "?channel=random")
	last := l.hear()
	s.wire.loses.Store(3)
	for range 8 {
		got := l.hear()
		if got.X != last.X+1 || got.Lost != 0 {
			t.Errorf("after %+v came %+v", last, got)
		}
		last = got
	}
	if s.wire.loses.Load() >= 0 {
		t.Error("no answer was lost")
	}
}

// losesNothingInAShortCut: what could not be said is said later.
func (s *site) losesNothingInAShortCut(t *testing.T) {
	l := s.listen(t, "?channel=random")
	last := l.hear()
	s.cut(t, 4)
	for range 8 {
		got := l.hear()
		if got.X != last.X+1 || got.Lost != 0 {
			t.Errorf("after %+v came %+v", last, got)
		}
		last = got
	}
}

// announcesWhatALongCutLost: of what could not be said the newest is said
// later, and as lost is announced what nobody has heard and will hear. That is
// not the first, which has come through without an answer.
func (s *site) announcesWhatALongCutLost(t *testing.T) {
	l := s.listen(t, "?channel=random")
	last := l.hear()
	s.wire.loses.Store(1000)
	s.tried(t, 2)
	s.cut(t, 12)
	s.wire.loses.Store(0)
	lost := 0
	for range 14 {
		got := l.hear()
		lost += got.Lost
		if got.X != last.X+1+got.Lost {
			t.Errorf("after %+v came %+v", last, got)
		}
		last = got
	}
	if lost < 3 {
		t.Errorf("%d values are announced as lost", lost)
	}
}

// cut lets nothing through until so many attempts have been made. The producer
// makes one for each value.
func (s *site) cut(t *testing.T, attempts int32) {
	t.Helper()
	s.wire.between(func() { s.wire.cut.Store(true) })
	s.tried(t, attempts)
	s.wire.cut.Store(false)
}

// tried waits until so many attempts have been made.
func (s *site) tried(t *testing.T, attempts int32) {
	t.Helper()
	before := s.wire.tries.Load()
	live.Until(t, "attempts", 30*time.Second, func() bool { return s.wire.tries.Load() >= before+attempts })
}

// survivesARestart: Shaveet has forgotten everybody. Who comes again hears the
// same producer go on.
func (s *site) survivesARestart(t *testing.T) {
	before := s.listen(t, "").hear()
	s.restart()
	after := s.listen(t, "").hear()
	if after.Producer != before.Producer || after.Number <= before.Number {
		t.Errorf("before the restart %+v, then %+v", before, after)
	}
}

func (s *site) restart() {
	s.stop()
	s.srv.Restart()
}

// stop kills Shaveet, while it is not told anything: whether a line that it took
// and did not confirm is said once more by the next Shaveet, nobody promises.
func (s *site) stop() { s.wire.between(s.srv.Kill) }

func (s *site) reportsAnOutage(t *testing.T) {
	s.stop()
	if status, _ := s.get(t, "/credentials"); status != 502 {
		t.Errorf("credentials: status %d, want 502", status)
	}
	if status, _ := s.get(t, "/"); status != 200 {
		t.Errorf("the page: status %d", status)
	}
}
