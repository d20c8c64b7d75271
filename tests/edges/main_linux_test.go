package edges_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

func TestMain(m *testing.M) { live.Main(m) }

// patience is what may take long on a busy machine.
const patience = 90 * time.Second

// long reports whether there is time for the full counts.
func long() bool { return os.Getenv("SHAVEET_LONG") != "" }

// count is a number of connections: few, or in the long form many.
func count(few, many int) int {
	if long() {
		return many
	}
	return few
}

// A server is a running program. Readers come by its public door.
type server struct {
	*live.Server
	t    testing.TB
	door string // host:port, for readers
}

// start runs the program with these arguments.
func start(t testing.TB, args ...string) *server {
	t.Helper()
	return startLimited(t, 0, args...)
}

func startLimited(t testing.TB, descriptors int, args ...string) *server {
	t.Helper()
	args = append([]string{"--public-listen", "127.0.0.1:0", "--drain-delay", "0s"}, args...)
	s := &server{Server: live.StartLimited(t, descriptors, args...), t: t}
	s.door = strings.TrimPrefix(s.Public, "http://")
	return s
}

// A request is a call of the admin API.
type request struct {
	Version string `json:"jsonrpc"`
	Method  string `json:"method"`
	Params  any    `json:"params"`
	ID      int    `json:"id"`
}

type answer struct {
	Result, Error json.RawMessage
	ID            int
}

// call calls the admin API, and keeps the result.
func (s *server) call(result any, method string, params any) {
	s.t.Helper()
	var a answer
	s.post(request{"2.0", method, params, 1}, &a)
	if a.Error != nil {
		s.t.Fatalf("%s: %s", method, a.Error)
	}
	if result != nil {
		if err := json.Unmarshal(a.Result, result); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *server) post(body, into any) {
	s.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.Post(s.Main, "application/json", bytes.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		s.t.Fatal(err)
	}
}

// metrics are the metrics, by their names with labels as they are written.
func (s *server) metrics() map[string]float64 {
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
	all := make(map[string]float64)
	for line := range strings.Lines(text.String()) {
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' { // labels may have spaces
			all[line[:at]], _ = strconv.ParseFloat(strings.TrimSpace(line[at:]), 64)
		}
	}
	return all
}

// sessions is how many readers the server has.
func (s *server) sessions() int { return int(s.metrics()["shaveet_sessions"]) }

// awaitSessions waits until it has so many.
func (s *server) awaitSessions(n int) {
	s.t.Helper()
	live.Until(s.t, fmt.Sprintf("%d sessions", n), patience, func() bool { return s.sessions() == n })
}

// descriptors is how many the process has.
func (s *server) descriptors() int {
	s.t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.Pid()))
	if err != nil {
		s.t.Fatal(err)
	}
	return len(all)
}

// cpu is the time of processors that it has used.
func (s *server) cpu() time.Duration {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.Pid()))
	if err != nil {
		s.t.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var ticks int
	for _, field := range fields[11:13] { // utime, stime
		n, err := strconv.Atoi(field)
		if err != nil {
			s.t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// memory is what it has in memory, in bytes.
func (s *server) memory() int {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.Pid()))
	if err != nil {
		s.t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		s.t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// A speaker says numbered messages on channels, from 0 on in each.
type speaker struct {
	s    *server
	size int // of a message, about
	said []uint32
}

// say says n more messages on a channel, in one call.
func (p *speaker) say(channel, n int) {
	p.s.t.Helper()
	type message struct {
		Channel string `json:"channel"`
		Data    string `json:"data"`
	}
	var all []message
	for range n {
		text := fmt.Sprintf("@!%04x.%08x.%s!", channel, p.said[channel], strings.Repeat("x", p.size))
		all = append(all, message{nameOf(channel), text})
		p.said[channel]++
	}
	var done []struct{ Error json.RawMessage }
	p.s.call(&done, "publish_many", map[string]any{"messages": all})
	for _, d := range done {
		if d.Error != nil {
			p.s.t.Fatalf("a message was not said: %s", d.Error)
		}
	}
}

func nameOf(channel int) string { return fmt.Sprintf("ch%d", channel) }
