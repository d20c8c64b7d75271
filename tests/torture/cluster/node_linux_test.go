package cluster

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A node is one process of the program, life after life at the same addresses.
type node struct {
	name   string
	binary string
	args   []string
	env    []string
	public string // address of its public door
	admin  string // of its main door

	healthy atomic.Bool // so says the balancer's look
	links   []*link     // to Redis
	peers   *link       // from the other nodes; nil: they do not talk

	life  sync.Mutex // held while it is being started or ended
	mu    sync.Mutex // guards all below
	cmd   *exec.Cmd
	gone  chan struct{} // closed when cmd has ended
	err   error         // how; read after gone
	tail  []byte        // of what it has written
	log   *os.File      // has all of it; may be nil
	panic []string      // lines that must not be there
}

// start starts the process and returns when it is ready.
func (n *node) start(ctx context.Context) error {
	n.life.Lock()
	defer n.life.Unlock()
	cmd := exec.Command(n.binary, append([]string{"serve", "--listen", n.admin, "--public-listen", n.public}, n.args...)...)
	cmd.Env = append(environment(), n.env...)
	cmd.Stderr = n
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	gone := make(chan struct{})
	n.mu.Lock()
	n.cmd, n.gone = cmd, gone
	n.mu.Unlock()
	go func() { n.err = cmd.Wait(); close(gone) }()
	for !n.ready(ctx) {
		select {
		case <-gone:
			return fmt.Errorf("%s has ended at once: %v\n%s", n.name, n.err, n.lastWords())
		default:
		}
		if !pause(ctx, 20*time.Millisecond) {
			return fmt.Errorf("%s is not ready: %w\n%s", n.name, context.Cause(ctx), n.lastWords())
		}
	}
	return nil
}

// environment is ours, without what is meant for these tests.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "SHAVEET_") })
}

var quick = &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 4}}

func (n *node) ready(ctx context.Context) bool {
	text, err := get(ctx, "http://"+n.public+"/readyz")
	return err == nil && strings.HasPrefix(text, "ready")
}

func get(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return "", err
	}
	resp, err := quick.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%d %.100s", resp.StatusCode, text)
	}
	return string(text), err
}

// Write takes what the process writes on standard error.
func (n *node) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, bad := range []string{"DATA RACE", "panic: ", "fatal error: ", "all goroutines are asleep"} {
		if i := bytes.Index(p, []byte(bad)); i >= 0 && len(n.panic) < 5 {
			n.panic = append(n.panic, fmt.Sprintf("%s: %.2000s", n.name, p[i:]))
		}
	}
	if n.log != nil {
		_, _ = n.log.Write(p)
	}
	n.tail = append(n.tail, p...)
	if len(n.tail) > 64<<10 {
		n.tail = bytes.Clone(n.tail[len(n.tail)-32<<10:])
	}
	return len(p), nil
}

func (n *node) lastWords() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return string(n.tail[max(0, len(n.tail)-4096):])
}

// signal sends one to the process, if there is one.
func (n *node) signal(s syscall.Signal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd != nil {
		_ = n.cmd.Process.Signal(s)
	}
}

// end ends the process and returns how it went.
func (n *node) end(s syscall.Signal, limit time.Duration) error {
	n.life.Lock()
	defer n.life.Unlock()
	n.mu.Lock()
	cmd, gone := n.cmd, n.gone
	n.mu.Unlock()
	if cmd == nil {
		return nil
	}
	_ = cmd.Process.Signal(s)
	select {
	case <-gone:
	case <-time.After(limit):
		_ = cmd.Process.Kill()
		<-gone
		return fmt.Errorf("%s still ran %v after %v", n.name, limit, s)
	}
	if s == syscall.SIGTERM && n.err != nil {
		return fmt.Errorf("%s, at SIGTERM: %w\n%s", n.name, n.err, n.lastWords())
	}
	return nil
}

// A sample is what a node needs at a moment.
type sample struct {
	goroutines, descriptors, sessions, clients, sockets int
	memory                                              int64
}

// look asks a node what it needs.
func (n *node) look(ctx context.Context) (s sample, err error) {
	text, err := get(ctx, "http://"+n.admin+"/metrics")
	if err != nil {
		return s, err
	}
	into := map[string]*int{"go_goroutines": &s.goroutines, "process_open_fds": &s.descriptors, "shaveet_sessions": &s.sessions,
		"shaveet_clients": &s.clients, "shaveet_sockets": &s.sockets}
	for in := bufio.NewScanner(strings.NewReader(text)); in.Scan(); {
		name, value, _ := strings.Cut(in.Text(), " ")
		f, err := strconv.ParseFloat(value, 64)
		if into[name] != nil && err == nil {
			*into[name] = int(f)
		}
		if name == "process_resident_memory_bytes" {
			s.memory = int64(f)
		}
	}
	return s, nil
}

// A roster is the nodes as a balancer sees them.
type roster struct {
	nodes []*node
	next  atomic.Uint64
}

// watch looks all the time which nodes are ready.
func (r *roster) watch(ctx context.Context) {
	var looks sync.WaitGroup
	for _, n := range r.nodes {
		looks.Go(func() {
			for ok := true; ok; ok = pause(ctx, 250*time.Millisecond) {
				n.healthy.Store(n.ready(ctx))
			}
		})
	}
	looks.Wait()
}

// pick is the next node in rotation; any, if none is well.
func (r *roster) pick() *node {
	for range r.nodes {
		if n := r.nodes[r.next.Add(1)%uint64(len(r.nodes))]; n.healthy.Load() {
			return n
		}
	}
	return r.nodes[r.next.Add(1)%uint64(len(r.nodes))]
}
