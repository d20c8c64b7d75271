package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

func TestMain(m *testing.M) {
	// Those that may go on at once wait for most of their time.
	flag.Parse()
	flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0)))
	live.Main(m)
}

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

// output is what a program writes, for a test to read meanwhile.
type output struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// ran is a program that has ended.
type ran struct {
	code           int
	stdout, stderr string
}

// run runs the program with args in an environment of env, to its end.
func run(t *testing.T, env []string, args ...string) ran {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var stdout, stderr output
	p := &program{args: args, env: env, stdout: &stdout, stderr: &stderr}
	code := p.run(ctx)
	if ctx.Err() != nil {
		t.Fatalf("shaveet %v does not end:\n%s", args, &stderr)
	}
	return ran{code, stdout.String(), stderr.String()}
}

// running is a program that runs until its test ends, or stop.
type running struct {
	stdout, stderr output
	cancel         context.CancelFunc
	done           chan struct{}
	code           int // read after done
}

func begin(t *testing.T, env []string, args ...string) *running {
	t.Helper()
	r := &running{done: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	p := &program{args: args, env: env, stdout: &r.stdout, stderr: &r.stderr}
	go func() {
		r.code = p.run(ctx)
		close(r.done)
	}()
	t.Cleanup(func() { r.stop() })
	return r
}

// stop ends the program as a signal would, and returns its exit status.
func (r *running) stop() int {
	r.cancel()
	<-r.done
	return r.code
}

// ended reports whether the program has ended.
func (r *running) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// serving is a server of the program's, without a delay when it ends.
func serving(t *testing.T, env []string, args ...string) (r *running, addr func(door string) string) {
	t.Helper()
	args = append([]string{"serve", "--listen", "127.0.0.1:0", "--drain-delay", "0s"}, args...)
	r = begin(t, env, args...)
	live.Until(t, "the server is ready", patience, func() bool {
		return r.ended() || strings.Contains(r.stderr.String(), "msg=listening door=main") && live.Answers("http://"+doorIn(r, "main")+"/healthz")
	})
	if r.ended() {
		t.Fatalf("shaveet %v ended:\n%s", args, &r.stderr)
	}
	return r, func(door string) string { return doorIn(r, door) }
}

// doorIn finds a door's address in a program's log.
func doorIn(r *running, door string) string {
	_, rest, _ := strings.Cut(r.stderr.String(), "msg=listening door="+door+" addr=")
	return strings.Trim(strings.SplitN(rest, "\n", 2)[0], `"`)
}

// file writes a file that only the test has.
func file(t *testing.T, name, content string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	client := http.Client{Timeout: patience}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// rpc calls a method of a server's admin API.
func rpc(t *testing.T, base, method string, params ...any) json.RawMessage {
	t.Helper()
	args := make([]string, len(params))
	for i, p := range params {
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		args[i] = string(text)
	}
	result, err := newAdminAPI(base+"/", "").call(t.Context(), method, jsonOrStrings(args))
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func sessions(t *testing.T, base string) (n int) {
	t.Helper()
	var info struct{ Counts struct{ Sessions int } }
	if err := json.Unmarshal(rpc(t, base, "info"), &info); err != nil {
		t.Fatal(err)
	}
	return info.Counts.Sessions
}
