// Package redistest has real Redis servers for tests: each listens on a port of
// its own on loopback, keeps what it has in a folder of its own, and ends with
// the test.
package redistest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
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

	"github.com/shaveet/shaveet/tests/live"
)

// A Server is one process of redis-server, or of redis-sentinel.
type Server struct {
	Addr string // where it listens
	CA   string // file with the certificate to trust; "": it speaks without TLS

	t    testing.TB
	dir  string
	args []string
	user *url.Userinfo // nil: nobody is asked who they are
	cli  []string      // flags of redis-cli

	mu  sync.Mutex // guards all below
	cmd *exec.Cmd
	out *output
}

// Start starts a server that keeps nothing, unless options say otherwise, and
// waits until it answers.
func Start(t testing.TB, options ...Option) *Server {
	t.Helper()
	s := prepare(t)
	lines := []string{"save \"\"", "appendonly no", "loglevel notice", "repl-diskless-sync-delay 0", "enable-debug-command local"}
	for _, o := range options {
		lines = append(lines, strings.Split(s.take(o), "\n")...)
	}
	if s.CA == "" {
		lines = append(lines, "port "+s.port())
	}
	s.run("redis-server", lines)
	return s
}

// prepare makes what every process needs, and starts none.
func prepare(t testing.TB) *Server {
	t.Helper()
	return &Server{Addr: live.FreeAddr(t), t: t, dir: t.TempDir()}
}

// run starts the program with these lines of configuration.
func (s *Server) run(program string, lines []string) {
	s.t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		s.t.Fatal(program + " is not here: make deps installs it")
	}
	lines = append([]string{"bind 127.0.0.1", "dir " + s.dir, "daemonize no"}, lines...)
	conf := filepath.Join(s.dir, "redis.conf")
	if err := os.WriteFile(conf, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.args = []string{path, conf}
	s.t.Cleanup(s.end)
	s.start()
}

func (s *Server) host() string { h, _, _ := net.SplitHostPort(s.Addr); return h }
func (s *Server) port() string { _, p, _ := net.SplitHostPort(s.Addr); return p }

// URL is where the server is, for a client.
func (s *Server) URL() string {
	u := url.URL{Scheme: "redis", User: s.user, Host: s.Addr, Path: "/0"}
	if s.CA != "" {
		u.Scheme = "rediss"
	}
	return u.String()
}

func (s *Server) start() {
	s.t.Helper()
	s.mu.Lock()
	s.out = new(output)
	s.cmd = exec.Command(s.args[0], s.args[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	s.cmd.SysProcAttr = new(syscall.SysProcAttr)
	dieWithParent(s.cmd.SysProcAttr)
	err := s.cmd.Start()
	if err != nil {
		s.cmd = nil
	}
	s.mu.Unlock()
	if err != nil {
		s.t.Fatal(err)
	}
	s.awaitAnswer()
}

// awaitAnswer waits until the server answers, and has read what it kept.
func (s *Server) awaitAnswer() {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		if out, err := s.try("PING"); err == nil && strings.HasPrefix(out, "PONG") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("%s does not answer:\n%s", filepath.Base(s.args[0]), s.Log())
}

// Log is what the server has said since it was started the last time.
func (s *Server) Log() string {
	s.mu.Lock()
	out := s.out
	s.mu.Unlock()
	return out.String()
}

// An output keeps what a program says, also while it goes on.
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

func (s *Server) end() {
	s.Kill()
	if s.t.Failed() {
		s.t.Logf("%s at %s:\n%s", filepath.Base(s.args[0]), s.Addr, s.Log())
	}
}

// signal sends a signal to the process, and returns its id; 0: there is none.
func (s *Server) signal(sig syscall.Signal) (pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return 0
	}
	_ = s.cmd.Process.Signal(sig)
	return s.cmd.Process.Pid
}

// Stop has the server stand still, and returns when it does.
func (s *Server) Stop() {
	s.t.Helper()
	pid := s.signal(syscall.SIGSTOP)
	live.Until(s.t, "the server stands still", 10*time.Second, func() bool { return pid == 0 || live.StandsStill(pid) })
}

// Cont has it go on.
func (s *Server) Cont() { s.signal(syscall.SIGCONT) }

// Kill ends the server without a warning. It may be called again.
func (s *Server) Kill() { s.finish(syscall.SIGKILL) }

// Term ends the server as an operator does: it writes down what it has to.
func (s *Server) Term() { s.finish(syscall.SIGTERM) }

func (s *Server) finish(sig syscall.Signal) {
	s.signal(sig)
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
	all := slices.Concat([]string{"-e", "-h", s.host(), "-p", s.port()}, s.cli, args)
	out, err := exec.CommandContext(ctx, "redis-cli", all...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// Info returns a field of INFO.
func (s *Server) Info(section, field string) string {
	s.t.Helper()
	v, err := s.info(section, field)
	if err != nil {
		s.t.Fatalf("INFO %s: %v", section, err)
	}
	return v
}

// info is Info where it may fail: Sentinel, when it changes what a server is, cuts
// off all who talk to it.
func (s *Server) info(section, field string) (string, error) {
	out, err := s.try("INFO", section)
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	for line := range strings.Lines(out) {
		if v, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(v), nil
		}
	}
	return "", nil
}

// ReplicaOf has the server copy the one at addr, and waits until it does.
func (s *Server) ReplicaOf(addr string) {
	s.t.Helper()
	host, port, _ := net.SplitHostPort(addr)
	s.Do("REPLICAOF", host, port)
	s.until("copies "+addr, s.linked)
}

// Follow is ReplicaOf for one that may ask who copies it.
func (s *Server) Follow(primary *Server) {
	s.t.Helper()
	s.follow(primary)
	s.ReplicaOf(primary.Addr)
}

// follow has the server know what to show the primary, should it copy it.
func (s *Server) follow(primary *Server) {
	s.t.Helper()
	if u := primary.user; u != nil {
		secret, _ := u.Password()
		s.Do("CONFIG", "SET", "masteruser", u.Username())
		s.Do("CONFIG", "SET", "masterauth", secret)
		s.Do("CONFIG", "REWRITE") // for Restart
	}
}

// linked tells whether the server gets from its primary what comes there.
func (s *Server) linked() bool {
	status, err := s.info("replication", "master_link_status")
	return err == nil && status == "up"
}

// InSync waits until the copy has all that the primary has said so far.
func (s *Server) InSync(primary *Server) {
	s.t.Helper()
	said := 0
	primary.until("says how much it has", func() (ok bool) {
		said, ok = primary.number("master_repl_offset")
		return ok
	})
	s.until("has all of "+primary.Addr, func() bool {
		has, ok := s.number("slave_repl_offset")
		return ok && has >= said && s.linked()
	})
}

// number is a field of INFO that says how much is replicated, if it is there.
func (s *Server) number(field string) (n int, ok bool) {
	text, _ := s.info("replication", field)
	n, err := strconv.Atoi(text)
	return n, err == nil
}

// patience is for what a machine that has much to do takes long for.
const patience = time.Minute

// until asks again and again, since nobody tells.
func (s *Server) until(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: not within %v: %s", s.Addr, patience, what)
		}
	}
}

// FlushAll empties the server.
func (s *Server) FlushAll() {
	s.t.Helper()
	s.Do("FLUSHALL")
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

// CPU returns how much time of a processor the server has taken.
func (s *Server) CPU() (total time.Duration) {
	s.t.Helper()
	for _, field := range []string{"used_cpu_user", "used_cpu_sys"} {
		seconds, err := strconv.ParseFloat(s.Info("cpu", field), 64)
		if err != nil {
			s.t.Fatal(err)
		}
		total += time.Duration(seconds * float64(time.Second))
	}
	return total
}
