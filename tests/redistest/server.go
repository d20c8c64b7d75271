// Package redistest has real Redis servers for tests: each listens on a port of
// its own on loopback, keeps what it has in a folder of its own, and ends with
// the test.
package redistest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A Server is one process of redis-server.
type Server struct {
	Addr string // where it listens

	t    testing.TB
	args []string
	user string // and password, as in a URL; "": none
	cli  []string

	mu  sync.Mutex // guards all below
	cmd *exec.Cmd
	out *bytes.Buffer
}

// An Option is a line of a server's configuration, as in "maxmemory 10mb".
type Option string

// AOF has the server keep all that was written, and write it down at once.
const AOF Option = "appendonly yes\nappendfsync always"

// Password has callers show this one.
func Password(p string) Option { return Option("requirepass " + p) }

// Start starts a server that keeps nothing, unless options say otherwise, and
// waits until it answers.
func Start(t testing.TB, options ...Option) *Server {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("redis-server is not here: make deps installs it")
	}
	dir := t.TempDir()
	addr := FreeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	lines := []string{"bind 127.0.0.1", "port " + port, "dir " + dir, "save \"\"", "appendonly no", "daemonize no",
		"loglevel notice", "repl-diskless-sync-delay 0", "enable-debug-command local"}
	s := &Server{Addr: addr, t: t}
	for _, o := range options {
		lines = append(lines, strings.Split(string(o), "\n")...)
		if p, ok := strings.CutPrefix(string(o), "requirepass "); ok {
			s.user, s.cli = ":"+p+"@", []string{"-a", p, "--no-auth-warning"}
		}
	}
	conf := filepath.Join(dir, "redis.conf")
	if err := os.WriteFile(conf, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.args = []string{program, conf}
	s.start()
	t.Cleanup(s.end)
	return s
}

// FreeAddr returns an address of loopback that nobody listens on.
func FreeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// URL is where the server is, for a client.
func (s *Server) URL() string { return "redis://" + s.user + s.Addr + "/0" }

func (s *Server) start() {
	s.t.Helper()
	s.mu.Lock()
	s.out = new(bytes.Buffer)
	s.cmd = exec.Command(s.args[0], s.args[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	err := s.cmd.Start()
	s.mu.Unlock()
	if err != nil {
		s.t.Fatal(err)
	}
	s.awaitAnswer()
}

// awaitAnswer waits until the server answers, and has read what it kept.
func (s *Server) awaitAnswer() {
	s.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		if out, err := s.try("PING"); err == nil && strings.HasPrefix(out, "PONG") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("redis-server does not answer:\n%s", s.log())
}

func (s *Server) log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.String()
}

func (s *Server) end() {
	s.Kill()
	if s.t.Failed() {
		s.t.Logf("redis-server at %s:\n%s", s.Addr, s.log())
	}
}

func (s *Server) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(sig)
	}
}

// Stop has the server stand still.
func (s *Server) Stop() { s.signal(syscall.SIGSTOP) }

// Cont has it go on.
func (s *Server) Cont() { s.signal(syscall.SIGCONT) }

// Kill ends the server without a warning. It may be called again.
func (s *Server) Kill() {
	s.signal(syscall.SIGKILL)
	s.mu.Lock()
	cmd := s.cmd
	s.cmd = nil
	s.mu.Unlock()
	if cmd != nil {
		_ = cmd.Wait()
	}
}

// Restart starts it again, where it was, with what it has kept.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	s.start()
}

// Do calls the server, and fails the test if that does not work. It returns what
// redis-cli prints.
func (s *Server) Do(args ...string) string {
	s.t.Helper()
	out, err := s.try(args...)
	if err != nil {
		s.t.Fatalf("%v: %v: %s", args, err, out)
	}
	return out
}

func (s *Server) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	host, port, _ := net.SplitHostPort(s.Addr)
	all := slices.Concat([]string{"-h", host, "-p", port}, s.cli, args)
	out, err := exec.CommandContext(ctx, "redis-cli", all...).CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err == nil && (strings.HasPrefix(text, "ERR") || strings.HasPrefix(text, "(error)")) {
		err = fmt.Errorf("refused")
	}
	return text, err
}

// Info returns a field of INFO.
func (s *Server) Info(section, field string) string {
	s.t.Helper()
	lines := bufio.NewScanner(strings.NewReader(s.Do("INFO", section)))
	for lines.Scan() {
		if v, ok := strings.CutPrefix(lines.Text(), field+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// ReplicaOf has the server copy the one at addr, and waits until it does.
func (s *Server) ReplicaOf(addr string) {
	s.t.Helper()
	host, port, _ := net.SplitHostPort(addr)
	s.Do("REPLICAOF", host, port)
	for deadline := time.Now().Add(20 * time.Second); s.Info("replication", "master_link_status") != "up"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s does not copy %s", s.Addr, addr)
		}
	}
}

// Promote has a copy be a server of its own.
func (s *Server) Promote() {
	s.t.Helper()
	s.Do("REPLICAOF", "NO", "ONE")
}

// Keys returns how many keys there are.
func (s *Server) Keys() int {
	s.t.Helper()
	n, _ := strconv.Atoi(s.Do("DBSIZE"))
	return n
}
