// Package handlers_test has the real program ask backends that misbehave, while a
// thousand pages speak to it.
//
// SHAVEET_LONG=1 makes the numbers of events larger.
package handlers_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

func TestMain(m *testing.M) { live.Main(m) }

const (
	// many is how many sockets there are in a crowd.
	many = 1000
	// patience is what may take long on a busy machine.
	patience = 2 * time.Minute
	// short is the time-out of calls while the backend is ill, and ample while it
	// is well: then none may be over.
	short = 400 * time.Millisecond
	ample = patience
)

// long reports whether there is time for the full counts.
func long() bool { return os.Getenv("SHAVEET_LONG") != "" }

// rounds is how many events each socket says where order is looked at. To a
// program with the race detector in it they cost ten times as much, and by HTTP
// more than by a WebSocket.
func rounds(t testing.TB, byHTTP bool) int {
	switch {
	case long() && raced(t):
		return 20
	case long():
		return 200
	case raced(t) && byHTTP:
		return 4
	case raced(t):
		return 8
	}
	return 20
}

// A server is a running program.
type server struct {
	*live.Server
	t    testing.TB
	file string
	text string // of its configuration, but for the time-out
	addr string
}

// start runs the program with this configuration, and the ample time-out.
func start(t testing.TB, text string) *server {
	t.Helper()
	s := &server{t: t, file: filepath.Join(t.TempDir(), "shaveet.toml"), text: common + text}
	s.write(ample)
	s.Server = live.Start(t, "--config", s.file)
	s.addr = strings.TrimPrefix(s.Main, "http://")
	return s
}

// common is what all servers here have in their configuration. A thousand pages
// on a busy machine answer pings late.
const common = `
drain_delay = "0s"
idle_time = "10m"
socketio_ping_interval = "1m"
socketio_ping_timeout = "2m"
`

// webhookTable is the table of a webhook, and of an open namespace that it answers.
func webhookTable(name, url string) string {
	return fmt.Sprintf("[webhook.%q]\nurl = %q\nsecrets = [%q]\n[namespace.%q]\nopen = true\nhandler = %q\n", name, url, secret, "/"+name, name)
}

func (s *server) write(timeout time.Duration) {
	text := fmt.Sprintf("handler_timeout = %q\n%s", timeout, s.text)
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// timeout has calls that begin from now on have this time-out.
func (s *server) timeout(d time.Duration) {
	s.t.Helper()
	s.write(d)
	var done struct{ Changed []string }
	s.call(&done, "reload", struct{}{})
	if len(done.Changed) != 1 {
		s.t.Fatalf("of the configuration %v have changed", done.Changed)
	}
}

// call calls the admin API and keeps the result.
func (s *server) call(result any, method string, params any) {
	s.t.Helper()
	if err := s.try(result, method, params); err != nil {
		s.t.Fatal(err)
	}
}

// try is call for any goroutine.
func (s *server) try(result any, method string, params any) error {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return err
	}
	resp, err := http.Post("http://"+s.addr, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct{ Result, Error json.RawMessage }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return err
	}
	switch {
	case answer.Error != nil:
		return fmt.Errorf("%s: %s", method, answer.Error)
	case result == nil:
		return nil
	}
	return json.Unmarshal(answer.Result, result)
}

// metric returns one of the metrics, by its name with its labels as they are
// written.
func (s *server) metric(name string) int {
	s.t.Helper()
	resp, err := http.Get(s.Main + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(resp.Body); err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(text.String()) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return int(n)
		}
	}
	s.t.Fatalf("there is no metric %s", name)
	return 0
}

// ofHandler returns one of a handler's metrics.
func (s *server) ofHandler(metric, name string) int {
	s.t.Helper()
	return s.metric(fmt.Sprintf("shaveet_handler_%s{handler=%q}", metric, name))
}
