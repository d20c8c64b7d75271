package chatterbox_test

import (
	"bytes"
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
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/examples/chatterbox"
	"github.com/shaveet/shaveet/tests/live"
	"github.com/shaveet/shaveet/tests/torture/faultproxy"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Those that run side by side wait most of the time, also on two processors.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	live.Main(m)
}

var sources = []string{
	"README.md", "shaveet.toml", "embed.go", "page/index.html", "page/chatterbox.css", "page/chatterbox.js", "page/say.js",
	"go/main.go", "go/chatterboxapp/chatterboxapp.go", "go/chatterboxapp/answers.go", "go/chatterboxapp/bus.go",
	"go/chatterboxapp/lines.go", "go/chatterboxapp/shaveet.go", "python/chatterbox.py", "python/bus.py",
}

// TestSource: whoever wants to show the sources has all of them, and no others.
func TestSource(t *testing.T) {
	shown := 0
	_ = fs.WalkDir(chatterbox.Source(), ".", func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			t.Error(err)
		} else if !d.IsDir() {
			shown++
		}
		return nil
	})
	for _, path := range sources {
		if _, err := fs.Stat(chatterbox.Source(), path); err != nil {
			t.Error(err)
		}
	}
	if shown != len(sources) {
		t.Errorf("%d files are shown, want %d", shown, len(sources))
	}
}

// TestChatterbox has one Shaveet and two web applications beside it, one in each
// language. They do the same, so they are held to the same story; and the browser
// has a page of each.
func TestChatterbox(t *testing.T) {
	live.Track(t, sources...)
	w := newWorld(t)
	for name := range w.programs { // which takes its time, and no Shaveet
		t.Run(name+" is not heard", func(t *testing.T) { t.Parallel(); w.saysThatALineIsLost(t, name) })
	}
	t.Run("story", func(t *testing.T) {
		t.Parallel()
		w.begin(t)
		tell := w.startTheBrowser(t)
		t.Run("each", func(t *testing.T) {
			for name := range w.programs {
				t.Run(name+" is deaf", func(t *testing.T) { t.Parallel(); w.looksUpWhatItHasNotHeard(t, name) })
			}
			for _, s := range w.sites() {
				t.Run(s.name, func(t *testing.T) {
					t.Parallel()
					t.Run("page", func(t *testing.T) { s.servesThePage(t, w) })
					t.Run("input", s.refusesBadInput)
					t.Run("other sites", s.refusesOtherSites)
					t.Run("who comes back", s.knowsWhoComesBack)
				})
			}
		})
		t.Run("both hear", w.bothHear)
		t.Run("second attempts", w.saysOnce)
		t.Run("anything pushed", w.passesOverWhatIsNoLine)
		t.Run("restart", w.keepsWhatAServerForgets)
		t.Run("browser", tell)
		t.Run("outage", w.reportsAnOutage)
	})
}

// world is all that a page stands on, with the wire between it and Shaveet.
type world struct {
	programs  map[string][]string // the web applications
	srv       *live.Server
	toPages   *faultproxy.Proxy
	pull, pub string // endpoints of its sockets
	a, b      *site
}

func newWorld(t *testing.T) *world {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "chatterbox")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", binary, "./go").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return &world{
		// Debian's own Python has pyzmq; another one in the PATH does not see it.
		programs: map[string][]string{"go": {binary}, "python": {"/usr/bin/python3", "python/chatterbox.py"}},
		pull:     "tcp://" + live.FreeAddr(t), pub: "tcp://" + live.FreeAddr(t),
	}
}

// begin starts all.
func (w *world) begin(t *testing.T) {
	t.Helper()
	config, err := os.ReadFile("shaveet.toml")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("tcp://127.0.0.1:5556", w.pull, "tcp://127.0.0.1:5557", w.pub).Replace(string(config))
	path := filepath.Join(t.TempDir(), "shaveet.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil || strings.Contains(text, "tcp://127.0.0.1:555") {
		t.Fatalf("%v; the configuration:\n%s", err, text)
	}
	w.srv = live.Start(t, "--public-listen", "127.0.0.1:0", "--config", path)
	w.toPages = faultproxy.Start(t, w.public(), 1, faultproxy.Faults{})
	around := []string{"SHAVEET_RPC=" + w.srv.Main + "/", "SHAVEET_PUBLIC=http://" + w.toPages.Addr(), "SHAVEET_PULL=" + w.pull, "SHAVEET_PUB=" + w.pub}
	w.a, w.b = w.start(t, "python", append(around, "NAME=<A>")...), w.start(t, "go", append(around, "NAME=<B>")...)
	for _, s := range w.sites() {
		s.begins(t)
	}
}

func (w *world) public() string { return strings.TrimPrefix(w.srv.Public, "http://") }

func (w *world) sites() []*site { return []*site{w.a, w.b} }

// site is a running web application.
type site struct {
	t         *testing.T // it lives as long as this
	name, url string
	command   exec.Cmd // to start it again
	running   *exec.Cmd
}

var address = regexp.MustCompile(`http://127\.0\.0\.1:[1-9]\d*`)

// start starts a web application, with this in its environment.
func (w *world) start(t *testing.T, program string, around ...string) *site {
	t.Helper()
	s := &site{t: t, command: *exec.Command(w.programs[program][0], w.programs[program][1:]...)}
	s.command.Env = append(append(os.Environ(), "PORT=0", "SHAVEET_TOKEN="), around...)
	_, s.name, _ = strings.Cut(around[len(around)-1], "=")
	s.run(t)
	s.command.Env = append(s.command.Env, "PORT="+s.url[strings.LastIndex(s.url, ":")+1:])
	return s
}

// run starts it, at its old address if it had one.
func (s *site) run(t *testing.T) {
	t.Helper()
	cmd := s.command
	s.running = &cmd
	output := live.Run(s.t, s.running)
	live.Until(t, "the web application's address", 30*time.Second, func() bool {
		s.url = address.FindString(output())
		return s.url != "" && live.Answers(s.url)
	})
}

func (s *site) kill(t *testing.T) {
	t.Helper()
	_ = s.running.Process.Kill()
	live.Until(t, "the web application is gone", 30*time.Second, func() bool { return !live.Answers(s.url) })
}

// begins waits until it is connected with Shaveet, both ways.
func (s *site) begins(t *testing.T) {
	t.Helper()
	line := map[string]string{"u": "test", "m": "begins", "id": fmt.Sprint("begins ", s.name, time.Now().UnixNano())}
	live.Until(t, s.name+" is connected", 30*time.Second, func() bool {
		status, _ := s.post(t, "/say", line, nil)
		return status == 204
	})
}

var client = http.Client{Timeout: 60 * time.Second}

// post returns the answer's status and its error, and decodes it into into.
func (s *site) post(t *testing.T, path string, request any, into any, header ...string) (status int, refusal string) {
	t.Helper()
	body, ok := request.(string)
	if !ok {
		text, err := json.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		body = string(text)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
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
	var failed struct{ Error string }
	_ = json.NewDecoder(bytes.NewReader(text)).Decode(&failed)
	return resp.StatusCode, failed.Error
}

// says is for what must be said.
func (s *site) says(t *testing.T, line map[string]string) {
	t.Helper()
	if status, why := s.post(t, "/say", line, nil); status != 204 {
		t.Errorf("%s says %v: status %d, %s", s.name, line, status, why)
	}
}

// joined is what a page is told.
type joined struct {
	Auth struct {
		ClientID string `json:"client_id"`
		Key      string
		Cursor   string
	}
	Token string
	Lines []struct {
		Pos  string
		Data struct{ U, M, ID, W string }
	}
}

func (s *site) join(t *testing.T, id, token string) (j joined) {
	t.Helper()
	if status, why := s.post(t, "/join", map[string]string{"client_id": id, "token": token}, &j); status != 200 {
		t.Fatalf("%s: join: status %d, %s", s.name, status, why)
	}
	return j
}

// told is what newcomers are told, as "name: text" of each line.
func (s *site) told(t *testing.T) (all []string) {
	t.Helper()
	for _, l := range s.join(t, "", "").Lines {
		all = append(all, l.Data.U+": "+l.Data.M)
	}
	return all
}
