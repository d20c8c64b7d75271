// Package zeromq_test has the real program talk with sockets of libzmq, those
// that other people's programs have.
//
// SHAVEET_LONG=1 makes the floods 200,000 messages instead of 20,000.
package zeromq_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

func TestMain(m *testing.M) { live.Main(m) }

// patience is what may take long on a busy machine.
const patience = 2 * time.Minute

// flood is how many messages a flood has.
func flood() int {
	if os.Getenv("SHAVEET_LONG") != "" {
		return 200_000
	}
	return 20_000
}

// A server is a running program with ZeroMQ sockets, whose channels keep all
// that is said in a test.
type server struct {
	*live.Server
	t    *testing.T
	file string
	text string
	at   []string // endpoints of its sockets, in the file's order
}

const keepsAll = `
window = "1h"
channel_bytes = 500_000_000
total_bytes = 1_000_000_000
drain_delay = "0s"
`

// start runs the program with these sockets, each a table without its head.
// Those of port 0 keep the one that they get.
func start(t *testing.T, more string, sockets ...string) *server {
	t.Helper()
	s := &server{t: t, file: filepath.Join(t.TempDir(), "shaveet.toml"), text: keepsAll + more}
	for _, table := range sockets {
		s.text += "\n[[zeromq]]\n" + table + "\n"
	}
	s.write()
	s.Server = live.Start(t, "--config", s.file)
	live.Until(t, "its sockets are bound", patience, func() bool {
		s.at = nil
		for _, found := range boundAt.FindAllStringSubmatch(s.Log(), -1) {
			s.at = append(s.at, found[2])
		}
		return len(s.at) == strings.Count(s.text, "\nbind = ")
	})
	// The log's order is that of goroutines.
	s.at = nil
	for _, name := range names.FindAllStringSubmatch(s.text, -1) {
		for _, found := range boundAt.FindAllStringSubmatch(s.Log(), -1) {
			if found[1] == name[1] {
				s.at = append(s.at, found[2])
			}
		}
	}
	for _, at := range s.at {
		s.text = strings.Replace(s.text, "tcp://127.0.0.1:0", at, 1)
	}
	s.write()
	return s
}

var (
	boundAt = regexp.MustCompile(`msg="zeromq socket bound" socket=(\S+) .*endpoint=(\S+)`)
	names   = regexp.MustCompile(`(?m)^name = "(.*)"$`)
)

func (s *server) write() {
	if err := os.WriteFile(s.file, []byte(s.text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// table returns a socket's table.
func table(name, kind, bind string, lines ...string) string {
	return fmt.Sprintf("name = %q\ntype = %q\nbind = %q\n%s", name, kind, bind, strings.Join(lines, "\n"))
}

// anyPort is an endpoint of this machine.
const anyPort = "tcp://127.0.0.1:0"

// call calls the admin API and keeps the result.
func (s *server) call(result any, method string, params any) {
	s.t.Helper()
	if fault := s.try(result, method, params); fault != "" {
		s.t.Fatalf("%s: %s", method, fault)
	}
}

// try is call, with the error's message instead of a failed test.
func (s *server) try(result any, method string, params any) (fault string) {
	s.t.Helper()
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.Post(s.Main, "application/json", bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Result json.RawMessage
		Error  *struct{ Message string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		s.t.Fatal(err)
	}
	if answer.Error != nil {
		return answer.Error.Message
	}
	if result != nil {
		if err := json.Unmarshal(answer.Result, result); err != nil {
			s.t.Fatal(err)
		}
	}
	return ""
}

// metric returns one of a socket's metrics, the labels as they are written.
func (s *server) metric(name, labels string) int {
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
		if rest, ok := strings.CutPrefix(line, "shaveet_zeromq_"+name+"{"+labels+"} "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return int(n)
		}
	}
	s.t.Fatalf("there is no shaveet_zeromq_%s{%s}", name, labels)
	return 0
}

// dropped is what a socket has dropped for this reason.
func (s *server) dropped(socket, reason string) int {
	s.t.Helper()
	return s.metric("dropped_total", fmt.Sprintf(`reason=%q,socket=%q`, reason, socket))
}

func (s *server) received(socket string) int {
	s.t.Helper()
	return s.metric("received_total", fmt.Sprintf("socket=%q", socket))
}

// until wants a metric to reach n.
func (s *server) until(name, labels string, n int) {
	s.t.Helper()
	live.Until(s.t, fmt.Sprintf("%s{%s} is %d", name, labels, n), patience, func() bool { return s.metric(name, labels) >= n })
}

// kept returns the numbers that a channel keeps, in its order.
func (s *server) kept(channel string) (all []int) {
	s.t.Helper()
	since := ""
	for more := true; more; {
		var page struct {
			Messages []struct {
				Pos  string
				Data struct{ N int }
			}
			More bool
		}
		params := map[string]any{"channel": channel, "limit": 1000}
		if since != "" {
			params["since"] = since
		}
		if fault := s.try(&page, "history", params); strings.HasPrefix(fault, "unknown channel") {
			return nil // nothing has been said there
		} else if fault != "" {
			s.t.Fatal(fault)
		}
		for _, m := range page.Messages {
			all = append(all, m.Data.N)
			since = m.Pos
		}
		more = page.More
	}
	return all
}

// cpu is how much time of processors the program has used so far.
func (s *server) cpu() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.Pid()))
	if err != nil {
		return 0 // no Linux
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}
