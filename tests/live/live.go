// Package live starts the real shaveet program for tests that must see it
// from outside: through a socket, a proxy or another language.
//
//	srv := live.Start(t, "--public-listen", "127.0.0.1:0")
//	http.Get(srv.Public + "/static/shaveet.js")
//
// The program is built once per test process; when the environment names a
// ready one in SHAVEET_BIN (make test does, with the race detector in it),
// that is used. Everything started here ends with the test that started it.
//
// A package that uses this has one more function, which tidies up at the end:
//
//	func TestMain(m *testing.M) { live.Main(m) }
package live

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startTimeout bounds how long the program may take to open its doors;
// stopTimeout how long it may take to drain and exit.
const (
	startTimeout = 30 * time.Second
	stopTimeout  = 45 * time.Second
)

// Server is one running program. Its methods are for the test's goroutine.
type Server struct {
	Main   string // base URL of --listen, without a slash at the end
	Public string // base URL of --public-listen; empty without that flag
	Admin  string // base URL of --admin-listen; empty without that flag

	t           testing.TB
	args        []string
	descriptors int // it may have; 0: as many as we

	mu   sync.Mutex // guards proc
	proc *process
}

// Start runs "shaveet serve --listen 127.0.0.1:0" with args behind it (so
// that they win) and returns when every door it was asked for is open.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	return StartLimited(t, 0, args...)
}

// StartLimited is Start for a program that may have no more than so many file
// descriptors; 0 is as many as we may. It needs a shell.
func StartLimited(t testing.TB, descriptors int, args ...string) *Server {
	t.Helper()
	s := &Server{t: t, args: append([]string{"serve", "--listen", "127.0.0.1:0"}, args...), descriptors: descriptors}
	t.Cleanup(s.cleanup)
	s.start()
	return s
}

// Stop asks the program to end with SIGTERM, and fails the test if it does
// not exit with 0 in time.
func (s *Server) Stop() {
	s.t.Helper()
	p := s.current()
	if p == nil {
		s.t.Fatal("live: Stop: not running")
	}
	if err := p.stop(syscall.SIGTERM, stopTimeout); err != nil {
		s.t.Errorf("live: after SIGTERM: %v\n%s", err, p.log.Tail())
	}
	s.forget()
}

// Kill ends the program as a power cut would. It returns when it is gone.
func (s *Server) Kill() {
	p := s.current()
	if p == nil {
		return
	}
	_ = p.stop(syscall.SIGKILL, stopTimeout) // its status says only that it was killed
	s.forget()
}

// Restart kills the program if it runs, and starts it again with the same
// flags on the same addresses: what a browser sees when a server comes back.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	for flag, base := range map[string]string{"--listen": s.Main, "--public-listen": s.Public, "--admin-listen": s.Admin} {
		if addr, ok := strings.CutPrefix(base, "http://"); ok {
			s.args = append(s.args, flag, addr)
		}
	}
	s.start()
}

// End is Stop for a program that may take its time: it returns how it exited.
func (s *Server) End(limit time.Duration) error {
	p := s.current()
	if p == nil {
		return errors.New("not running")
	}
	defer s.forget()
	return p.stop(syscall.SIGTERM, limit)
}

// Pause has the program stand still, and returns when it does. resume has it go on.
func (s *Server) Pause() (resume func()) {
	s.t.Helper()
	pid := s.Pid()
	if pid == 0 {
		s.t.Fatal("live: Pause: not running")
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		s.t.Fatalf("live: Pause: %v", err)
	}
	Until(s.t, "the program stands still", stopTimeout, func() bool { return StandsStill(pid) })
	return func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
}

// Pid is the process id of the running program, 0 when there is none.
func (s *Server) Pid() int {
	if p := s.current(); p != nil {
		return p.cmd.Process.Pid
	}
	return 0
}

// Log is what the running program has written to standard error so far.
func (s *Server) Log() string {
	if p := s.current(); p != nil {
		return p.log.String()
	}
	return ""
}

func (s *Server) start() {
	s.t.Helper()
	cmd := exec.Command(Binary(s.t), s.args...)
	if s.descriptors > 0 { // the program would raise a soft limit
		limited := fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, s.descriptors)
		cmd = exec.Command("sh", append([]string{"-c", limited, Binary(s.t)}, s.args...)...)
	}
	cmd.Env = cleanEnv()
	p, err := startProcess(cmd)
	if err != nil {
		s.t.Fatalf("live: %v", err)
	}
	s.mu.Lock()
	s.proc = p
	s.mu.Unlock()

	want := doorsOf(s.args)
	doors, err := waitForDoors(p, want)
	if err != nil {
		s.t.Fatalf("live: %s %s: %v\n%s", cmd.Path, strings.Join(s.args, " "), err, p.log.Tail())
	}
	s.Main, s.Public, s.Admin = doors["main"], doors["public"], doors["admin"]
}

// cleanup ends the program and reports what the race detector or a panic
// left in its log, which would otherwise go unseen.
func (s *Server) cleanup() {
	p := s.current()
	if p == nil {
		return
	}
	s.Kill()
	text := p.log.String()
	if strings.Contains(text, "DATA RACE") || strings.Contains(text, "\npanic: ") || strings.Contains(text, "\nfatal error: ") {
		s.t.Errorf("live: the server's log:\n%s", text)
	} else if s.t.Failed() {
		s.t.Logf("live: the server's last lines:\n%s", p.log.Tail())
	}
}

func (s *Server) current() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc
}

func (s *Server) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proc = nil
}

// doorsOf lists the doors that args ask for, which is what Start waits for.
func doorsOf(args []string) []string {
	doors := []string{"main"}
	for _, door := range []string{"public", "admin"} {
		flag := "--" + door + "-listen"
		if slices.ContainsFunc(args, func(a string) bool { return a == flag || strings.HasPrefix(a, flag+"=") }) {
			doors = append(doors, door)
		}
	}
	return doors
}

func waitForDoors(p *process, want []string) (map[string]string, error) {
	deadline := time.Now().Add(startTimeout)
	for {
		more := p.log.changed() // before reading, or a line between the two is missed
		doors := parseDoors(p.log.String())
		if !slices.ContainsFunc(want, func(d string) bool { return doors[d] == "" }) {
			return doors, nil
		}
		select {
		case <-p.done:
			return nil, fmt.Errorf("it ended before it was ready: %w", p.err)
		case <-more:
		case <-time.After(time.Until(deadline)):
			return nil, fmt.Errorf("no line about %v within %v", want, startTimeout)
		}
	}
}

// parseDoors finds the lines with msg=listening and makes URLs of them.
func parseDoors(log string) map[string]string {
	doors := map[string]string{}
	for line := range strings.Lines(log) {
		fields := map[string]string{}
		for _, word := range strings.Fields(line) {
			if k, v, ok := strings.Cut(word, "="); ok {
				fields[k] = strings.Trim(v, `"`)
			}
		}
		if fields["msg"] != "listening" || fields["door"] == "" {
			continue
		}
		addr := fields["addr"]
		if !strings.HasPrefix(addr, "unix:") && !strings.HasPrefix(addr, "/") {
			addr = "http://" + addr
		}
		doors[fields["door"]] = addr
	}
	return doors
}

// cleanEnv is the environment without SHAVEET_*, so that a developer's own
// settings do not change what a test starts.
func cleanEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "SHAVEET_") })
}

// Until calls ok again and again until it is true, and fails the test with
// what after the time is up.
func Until(t testing.TB, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, limit)
		}
	}
}

// Answers reports whether something speaks HTTP at url, whatever it says.
func Answers(url string) bool {
	client := http.Client{Timeout: 2 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return true
}

// Ready reports whether the server at base says that it is ready.
func Ready(base string) bool {
	client := http.Client{Timeout: 2 * time.Second}
	resp, err := client.Get(base + "/readyz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// lastBytes keeps failure reports readable.
func lastBytes(b []byte, n int) []byte {
	if len(b) <= n {
		return b
	}
	b = b[len(b)-n:]
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		b = b[i+1:]
	}
	return b
}
