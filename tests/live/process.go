package live

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a child that something waits for from the moment it starts.
type process struct {
	cmd  *exec.Cmd
	log  *logBuffer
	done chan struct{} // closed when the child is gone
	err  error         // how it ended; read after done
}

func startProcess(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, log: newLogBuffer(), done: make(chan struct{})}
	cmd.Stderr = p.log
	if cmd.Stdout == nil {
		cmd.Stdout = p.log
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	dieWithParent(cmd.SysProcAttr)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// stop sends sig to this one process and waits until it is gone; what does
// not go in time is killed.
func (p *process) stop(sig syscall.Signal, limit time.Duration) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
		return p.err
	case <-time.After(limit):
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("still running %v after %v", limit, sig)
	}
}

// Run starts any other program a test needs (a proxy, an example back end),
// ends it with the test, and shows its output if the test failed. The
// returned function gives what it has written so far.
func Run(t testing.TB, cmd *exec.Cmd) (output func() string) {
	t.Helper()
	p, err := startProcess(cmd)
	if err != nil {
		t.Fatalf("live: %v", err)
	}
	t.Cleanup(func() {
		_ = p.stop(syscall.SIGTERM, 10*time.Second)
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(cmd.Path), p.log.Tail())
		}
	})
	return p.log.String
}

// Tool is the path of an installed program. Tests do not skip without it:
// a promise that is not checked looks like one that holds.
func Tool(t testing.TB, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} { // not in every user's PATH
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	t.Fatalf("%s is not installed: run make deps", name)
	return ""
}

// logBuffer collects output and tells a waiter that there is more.
type logBuffer struct {
	mu   sync.Mutex // guards buf and more
	buf  bytes.Buffer
	more chan struct{} // closed and replaced at each write
}

func newLogBuffer() *logBuffer { return &logBuffer{more: make(chan struct{})} }

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.more)
	l.more = make(chan struct{})
	return l.buf.Write(p)
}

func (l *logBuffer) changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.more
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Tail is the end of the output, enough to see why something failed.
func (l *logBuffer) Tail() string { return string(lastBytes([]byte(l.String()), 8<<10)) }
