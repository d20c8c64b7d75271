package deploy

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

// A proxy is one that there is a file for.
type proxy struct {
	name  string
	start func(t *testing.T, to behind) *site
	down  int // its status while nobody listens behind it
}

var proxies = []proxy{
	{"nginx", startNginx, http.StatusBadGateway},
	{"haproxy", startHAProxy, http.StatusServiceUnavailable},
}

// throughEach runs a test through each proxy.
func throughEach(t *testing.T, test func(t *testing.T, p proxy)) {
	for _, p := range proxies {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			test(t, p)
		})
	}
}

// behind is what stands behind a proxy, and how its file is changed for a test.
type behind struct {
	shaveet, backend string        // URLs; without a backend, Shaveet's public door
	silence          time.Duration // the time-outs for silence; 0: as in the file
	tls              string        // a file with certificate and key: HTTP/2 and TLS
	change           func(conf string) string
}

// to is a proxy's way to a server and to no other.
func to(srv *live.Server) behind { return behind{shaveet: srv.Public} }

// site is a running proxy with our file.
type site struct {
	base   string        // URL
	reload func()        // reads the file again; returns when who read with the old one are let go
	output func() string // all that it has logged
}

func (s *site) addr() string {
	_, addr, _ := strings.Cut(s.base, "://")
	return addr
}

// conf is the file as a test uses it: with other addresses and times.
func (to behind) conf(t *testing.T, file string, edits map[string]string) string {
	t.Helper()
	conf := read(t, file)
	for old, now := range edits {
		if strings.Count(conf, old) != 1 {
			t.Fatalf("%s has not exactly one %q", file, old)
		}
		conf = strings.Replace(conf, old, now, 1)
	}
	if to.silence > 0 {
		times := regexp.MustCompile(`(proxy_read_timeout|timeout (?:client|server|tunnel))(\s+)60s`)
		if len(times.FindAllString(conf, -1)) < 2 {
			t.Fatalf("%s has no time-outs", file)
		}
		conf = times.ReplaceAllString(conf, "${1}${2}"+to.silence.String())
	}
	if to.change != nil {
		conf = to.change(conf)
	}
	return conf
}

func (to behind) backendAddr() string {
	if to.backend == "" {
		return hostPort(to.shaveet)
	}
	return hostPort(to.backend)
}

// answers waits until the site answers.
func (s *site) answers(t *testing.T) *site {
	t.Helper()
	live.Until(t, s.base, 20*time.Second, func() bool {
		conn, err := net.DialTimeout("tcp", s.addr(), time.Second)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return s
}

// mortal is a command of a program with children, which it takes with it when
// the kernel ends it because the test process was killed.
func mortal(name string, args ...string) *exec.Cmd {
	if setpriv, err := exec.LookPath("setpriv"); err == nil {
		return exec.Command(setpriv, append([]string{"--pdeathsig", "TERM", name}, args...)...)
	}
	return exec.Command(name, args...)
}

// temporary is a folder that other users can enter, for what drops its rights.
func temporary(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "shaveet-site-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func hostPort(url string) string { return strings.TrimPrefix(url, "http://") }

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// info is what these tests read of the method of that name.
type info struct {
	Counts struct{ Clients, Sessions int }
}

// rpc calls a method at the main door, as the backend does.
func rpc[T any](t *testing.T, srv *live.Server, method string, params ...any) T {
	t.Helper()
	request, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Post(srv.Main+"/", "application/json", bytes.NewReader(request))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Result T
		Error  json.RawMessage
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Error != nil {
		t.Fatalf("%s: %v %s", method, err, answer.Error)
	}
	return answer.Result
}

// metric is the value of one of the server's metrics.
func metric(t *testing.T, srv *live.Server, name string) float64 {
	t.Helper()
	_, text := get(t, srv.Main+"/metrics")
	for line := range strings.Lines(text) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				t.Fatal(err)
			}
			return value
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// client waits longer than a poll is held.
var client = http.Client{Timeout: 40 * time.Second}

func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// inFolder is the path of a file there.
func inFolder(dir string) func(name string) string {
	return func(name string) string { return filepath.Join(dir, name) }
}
