package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"
)

// A child is a server that the bench has started. It ends with us, however we
// end.
type child struct {
	cmd   *exec.Cmd
	done  chan struct{}
	lines chan string // of its standard error, as long as somebody waits for them
	mu    sync.Mutex  // guards said
	said  []string    // the last lines
}

const linesKept = 20

// startChild starts a program whose standard error is read.
func startChild(name string, env []string, args ...string) (*child, error) {
	c := &child{cmd: exec.Command(name, args...), done: make(chan struct{}), lines: make(chan string, 100)}
	c.cmd.Env = env
	c.cmd.SysProcAttr = diesWithUs()
	out, err := c.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	started := make(chan error)
	go func() {
		// The kernel ends the child when the thread that has started it ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		c.read(out)
		c.cmd.Wait()
		close(c.done)
	}()
	return c, <-started
}

func (c *child) read(out io.Reader) {
	for in := bufio.NewScanner(out); in.Scan(); {
		c.mu.Lock()
		c.said = append(c.said, in.Text())
		if len(c.said) > linesKept {
			c.said = c.said[1:]
		}
		c.mu.Unlock()
		select {
		case c.lines <- in.Text():
		default:
		}
	}
}

// wait waits until the child has said where it is: found is given its lines
// until it is true.
func (c *child) wait(ctx context.Context, found func(line string) bool) error {
	late := time.NewTimer(20 * time.Second)
	defer late.Stop()
	for {
		select {
		case line := <-c.lines:
			if found(line) {
				return nil
			}
		case <-c.done:
			return fmt.Errorf("the server ended before it was ready:\n%s", c.tail())
		case <-late.C:
			return fmt.Errorf("the server does not become ready:\n%s", c.tail())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *child) tail() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.said, "\n")
}

func (c *child) process() process { return process(c.cmd.Process.Pid) }

// stop ends the child, and waits for that. It has nothing to save.
func (c *child) stop() {
	c.cmd.Process.Kill() // unless it has ended already
	<-c.done
}
