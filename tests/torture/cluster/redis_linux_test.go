package cluster

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

// A redis is a process of redis-server or redis-sentinel.
type redis struct {
	addr string
	args []string
	dir  string
	life sync.Mutex // held by who ends it and starts it again

	mu  sync.Mutex // guards all below
	cmd *exec.Cmd
}

// program is the path of one of Redis' programs. Tests do not pass without it.
func program(t testing.TB, name string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not installed: run make deps", name)
	}
	return path
}

// newRedis prepares a server with lines of configuration.
func newRedis(t testing.TB, name, addr string, lines ...string) *redis {
	_, port, _ := net.SplitHostPort(addr)
	dir := t.TempDir()
	text := fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\ndaemonize no\n%s\n", port, dir, strings.Join(lines, "\n"))
	file := filepath.Join(dir, "redis.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &redis{addr: addr, dir: dir, args: []string{program(t, name), file}}
	t.Cleanup(s.kill)
	return s
}

// start starts the server and returns when it answers.
func (s *redis) start(ctx context.Context) error {
	cmd := exec.Command(s.args[0], s.args[1:]...)
	out := new(bytes.Buffer)
	cmd.Stdout = out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	s.mu.Lock()
	err := cmd.Start()
	if err == nil {
		s.cmd = cmd
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	for {
		if _, err := s.do("PING"); err == nil {
			return nil
		} else if !pause(ctx, 10*time.Millisecond) {
			return fmt.Errorf("%s does not answer: %w", s.args[0], err)
		}
	}
}

func (s *redis) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(sig)
	}
}

// kill ends it without a warning, and forgets nothing that is on its disk.
func (s *redis) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

// wipe forgets what is on its disk.
func (s *redis) wipe() error {
	return errors.Join(os.RemoveAll(filepath.Join(s.dir, "appendonlydir")), os.RemoveAll(filepath.Join(s.dir, "dump.rdb")))
}

// do makes one call by a connection of its own.
func (s *redis) do(args ...string) (string, error) {
	c, err := net.DialTimeout("tcp", s.addr, time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(3 * time.Second))
	var ask strings.Builder
	fmt.Fprintf(&ask, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&ask, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := io.WriteString(c, ask.String()); err != nil {
		return "", err
	}
	return readReply(bufio.NewReader(c))
}

// readReply reads a reply, an array as its parts on lines.
func readReply(in *bufio.Reader) (string, error) {
	text, err := in.ReadString('\n')
	if err != nil || len(text) < 3 {
		return "", errors.Join(err, io.ErrUnexpectedEOF)
	}
	kind, text := text[0], strings.TrimSpace(text[1:])
	switch kind {
	case '-':
		return "", errors.New(text)
	case '$', '*':
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return "", err
		}
		if kind == '$' {
			all := make([]byte, n+2)
			_, err := io.ReadFull(in, all)
			return string(all[:n]), err
		}
		var parts []string
		for range n {
			part, err := readReply(in)
			if err != nil {
				return "", err
			}
			parts = append(parts, part)
		}
		return strings.Join(parts, "\n"), nil
	}
	return text, nil
}

// all makes some calls, one after the other.
func (s *redis) all(calls ...string) error {
	for _, c := range calls {
		if _, err := s.do(strings.Fields(c)...); err != nil {
			return fmt.Errorf("%s: %w", c, err)
		}
	}
	return nil
}

// A store is a primary, a replica, and sentinels that watch them. Nodes come by
// links, which go to the primary of the moment; those that ask the sentinels
// themselves find it without.
type store struct {
	servers   []*redis
	sentinels []*redis
	links     []*link

	mu      sync.Mutex // guards primary
	primary *redis
}

// newStore starts all of it. Without sentinels there is one server.
func newStore(ctx context.Context, t testing.TB, sentinels int) *store {
	common := []string{"save \"\"", "appendonly yes", "appendfsync everysec", "repl-diskless-sync-delay 0", "loglevel warning",
		"enable-debug-command local", "repl-timeout 10", "maxmemory-policy noeviction"}
	s := &store{}
	n := 1
	if sentinels > 0 {
		n = 2
	}
	for range n {
		s.servers = append(s.servers, newRedis(t, "redis-server", live.FreeAddr(t), common...))
	}
	s.primary = s.servers[0]
	for range sentinels {
		host, port, _ := net.SplitHostPort(s.primary.addr)
		s.sentinels = append(s.sentinels, newRedis(t, "redis-sentinel", live.FreeAddr(t),
			fmt.Sprintf("sentinel monitor shaveet %s %s 2", host, port), "sentinel down-after-milliseconds shaveet 2500",
			"sentinel failover-timeout shaveet 6000", "loglevel warning"))
	}
	for i, r := range append(append([]*redis{}, s.servers...), s.sentinels...) {
		if err := r.start(ctx); err != nil {
			t.Fatal(err)
		}
		if i == 1 && n == 2 {
			if err := s.follow(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

// follow has a server be a copy of the primary.
func (s *store) follow(r *redis) error {
	host, port, _ := net.SplitHostPort(s.now().addr)
	_, err := r.do("REPLICAOF", host, port)
	return err
}

func (s *store) now() *redis {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.primary
}

// other is the server that is not the primary.
func (s *store) other() *redis {
	now := s.now()
	for _, r := range s.servers {
		if r != now {
			return r
		}
	}
	return nil
}

// watch asks the sentinels all the time who the primary is, and has the links go
// there.
func (s *store) watch(ctx context.Context) {
	for ok := len(s.sentinels) > 0; ok; ok = pause(ctx, 100*time.Millisecond) {
		s.look()
	}
}

func (s *store) look() {
	for _, q := range s.sentinels {
		text, err := q.do("SENTINEL", "get-master-addr-by-name", "shaveet")
		if err == nil {
			s.become(strings.ReplaceAll(text, "\n", ":"))
			return
		}
	}
}

func (s *store) become(addr string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.servers {
		if r.addr == addr && r != s.primary {
			s.primary = r
			for _, l := range s.links {
				l.retarget(addr)
			}
		}
	}
}

// copyKnown tells whether all sentinels have heard from the copy that it is one.
// One that still has it for a primary come back demotes it when the others have
// made it primary, and half a minute goes by until they mend that.
func (s *store) copyKnown() bool {
	for _, q := range s.sentinels {
		text, err := q.do("SENTINEL", "REPLICAS", "shaveet")
		if err != nil || !strings.Contains(text, "flags\nslave\n") || !strings.Contains(text, "role-reported\nslave\n") {
			return false
		}
	}
	return true
}

// settled waits until there is a primary, and the other server is its copy.
func (s *store) settled(ctx context.Context) error {
	for {
		s.look()
		text, err := s.now().do("ROLE")
		if err == nil && strings.HasPrefix(text, "master") {
			other := s.other()
			if other == nil {
				return nil
			}
			role, err := other.do("ROLE")
			if err == nil && strings.HasPrefix(role, "slave") && strings.Contains(role, "connected") {
				return nil
			}
			if err == nil && strings.HasPrefix(role, "master") {
				_ = s.follow(other)
			}
		}
		if !pause(ctx, 50*time.Millisecond) {
			return fmt.Errorf("Redis has not settled: %w", context.Cause(ctx))
		}
	}
}
