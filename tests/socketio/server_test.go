package socketio_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

// long reports whether there is time for the full counts.
func long() bool { return os.Getenv("SHAVEET_LONG") != "" }

// A server is ours or the stock one.
type server struct {
	Base    string // where Socket.IO is
	Admin   string // where our admin API is, or the stock server's few calls of it
	Pid     int
	Restart func() // nil if it cannot be
}

// ours starts the program with these lines of configuration.
func ours(t testing.TB, config string) *server {
	t.Helper()
	file := filepath.Join(t.TempDir(), "shaveet.toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	srv := live.Start(t, "--config", file, "--public-listen", "127.0.0.1:0", "--drain-delay", "0s")
	return &server{Base: srv.Public, Admin: srv.Main, Pid: srv.Pid(), Restart: srv.Restart}
}

// stock starts the stock server with these options, see stock_server.mjs.
func stock(t testing.TB, options map[string]any) *server {
	t.Helper()
	live.Track(t, "stock_server.mjs", "package-lock.json")
	said, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(live.Tool(t, "node"), "stock_server.mjs", string(said))
	output := live.Run(t, cmd)
	var base string
	live.Until(t, "the stock server listens", 30*time.Second, func() bool {
		line, whole := strings.CutSuffix(output(), "\n")
		base = strings.TrimPrefix(line, "listening ")
		return whole
	})
	return &server{Base: base, Admin: base, Pid: cmd.Process.Pid}
}

// call calls a method of the admin API.
func (s *server) call(t testing.TB, method string, params map[string]any) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(s.Admin, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || bytes.Contains(answer, []byte(`"error"`)) {
		t.Fatalf("%s: %s %s, %v", method, resp.Status, answer, err)
	}
}

// play has a script of Node play cases. It prints what comes of each as a line of
// JSON, or an order. There have to be as many cases as that.
func play(t *testing.T, cases int, orders map[string]func(), script string, args ...any) {
	t.Helper()
	live.Track(t, scripts...)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	words := []string{script}
	for _, arg := range args {
		word, isString := arg.(string)
		if !isString {
			text, err := json.Marshal(arg)
			if err != nil {
				t.Fatal(err)
			}
			word = string(text)
		}
		words = append(words, word)
	}
	cmd := exec.CommandContext(ctx, live.Tool(t, "node"), words...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		seen += told(t, lines.Bytes(), stdin, orders)
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if (err != nil && !(errors.As(err, &exit) && t.Failed())) || ctx.Err() != nil {
		t.Errorf("%s: %v: %s", script, err, stderr.Bytes())
	}
	if seen != cases {
		t.Errorf("%s has played %d cases, want %d", script, seen, cases)
	}
}

// scripts are what the tests here hand to Node.
var scripts = []string{
	"cases.mjs", "cases_engine.mjs", "cases_more.mjs", "cases_socket.mjs", "clients.mjs", "kit.mjs", "package-lock.json", "page.mjs",
	"page/page.html", "page/page.js", "relay.mjs", "stock_server.mjs", "upgrades.mjs", "wire.mjs", "../../client-js/test/browser/browser.mjs",
}

// told takes a line of a script, and returns how many cases it tells of.
func told(t *testing.T, line []byte, answers io.Writer, orders map[string]func()) int {
	t.Helper()
	var l struct {
		Case, Error, Order string
		MS, ID             int
	}
	if err := json.Unmarshal(line, &l); err != nil {
		t.Errorf("it says %q", line)
		return 0
	}
	switch {
	case l.Order != "":
		orders[l.Order]()
		if _, err := fmt.Fprintf(answers, "{\"id\":%d}\n", l.ID); err != nil {
			t.Error(err)
		}
		return 0
	case l.Error != "":
		t.Errorf("%s (%d ms): %s", l.Case, l.MS, l.Error)
	case testing.Verbose():
		t.Logf("%s: %d ms %s", l.Case, l.MS, line)
	}
	return 1
}
