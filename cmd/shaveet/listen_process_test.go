//go:build unix

package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/shaveet/shaveet/tests/live"
)

// A child is the real program, which writes to a pipe as in a shell.
type child struct {
	cmd    *exec.Cmd
	pipe   *os.File // its standard output
	stdout *bufio.Reader
	stderr output
}

// launch starts a command. What signals do to it is not the business of who
// runs the tests.
func launch(t *testing.T, name string, args ...string) *child {
	t.Helper()
	usual := make(chan os.Signal, 1)
	signal.Notify(usual, syscall.SIGHUP, syscall.SIGPIPE) // what is caught here, a child has as usual
	defer signal.Stop(usual)
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	c := &child{cmd: exec.Command(name, args...), pipe: in, stdout: bufio.NewReader(in)}
	c.cmd.Env = append(os.Environ(), quickExit)
	c.cmd.Stdout, c.cmd.Stderr = out, &c.stderr
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.cmd.Process.Kill()
		c.cmd.Wait()
		in.Close()
	})
	return c
}

// prints waits for a line that has text in it.
func (c *child) prints(t *testing.T, text string) {
	t.Helper()
	for {
		line, err := c.stdout.ReadString('\n')
		if err != nil {
			t.Fatalf("it ends before it prints %q: %v %s", text, err, &c.stderr)
		}
		if strings.Contains(line, text) {
			return
		}
	}
}

// ends waits for its end.
func (c *child) ends() (status int) {
	io.Copy(io.Discard, c.stdout)
	c.cmd.Wait()
	return c.cmd.ProcessState.ExitCode()
}

// The real program ends well on signals and when nobody reads it any more, and
// leaves no client behind.
func TestListenSignals(t *testing.T) {
	srv := live.Start(t)
	for name, end := range map[string]func(*child){
		"SIGINT":  func(c *child) { c.cmd.Process.Signal(syscall.SIGINT) },
		"SIGTERM": func(c *child) { c.cmd.Process.Signal(syscall.SIGTERM) },
		"SIGHUP":  func(c *child) { c.cmd.Process.Signal(syscall.SIGHUP) },
		"SIGHUP twice": func(c *child) {
			c.cmd.Process.Signal(syscall.SIGHUP)
			c.cmd.Process.Signal(syscall.SIGHUP)
		},
		"a closed pipe": func(c *child) {
			c.pipe.Close()
			rpc(t, srv.Main, "publish", "room", "is anybody there?")
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := launch(t, live.Binary(t), "listen", "--url", srv.Main+"/", "room")
			live.Until(t, "it listens", patience, func() bool { return sessions(t, srv.Main) == 1 })
			rpc(t, srv.Main, "publish", "room", "hello")
			c.prints(t, "hello")
			end(c)
			if status := c.ends(); status != 0 || c.stderr.String() != "" {
				t.Errorf("it ends with %d: %s", status, &c.stderr)
			}
			noClients(t, srv.Main)
		})
	}
}

// Whoever starts it by nohup wants it to outlive the terminal.
func TestListenWithoutHangup(t *testing.T) {
	srv := live.Start(t)
	c := launch(t, live.Tool(t, "sh"), "-c", `trap "" HUP; exec "$0" "$@"`, live.Binary(t), "listen", "--url", srv.Main+"/", "room")
	live.Until(t, "it listens", patience, func() bool { return sessions(t, srv.Main) == 1 })
	c.cmd.Process.Signal(syscall.SIGHUP)
	rpc(t, srv.Main, "publish", "room", "still there?")
	c.prints(t, "still there?")
	c.cmd.Process.Signal(syscall.SIGTERM)
	if status := c.ends(); status != 0 {
		t.Errorf("it ends with %d: %s", status, &c.stderr)
	}
	noClients(t, srv.Main)
}

// The doctor too: it tidies up, and does not say that all is well.
func TestDoctorSignals(t *testing.T) {
	srv := live.Start(t)
	for name, tt := range map[string]struct {
		end func(*child)
		say string
	}{
		"SIGHUP":        {func(c *child) { c.cmd.Process.Signal(syscall.SIGHUP) }, "interrupted"},
		"a closed pipe": {func(c *child) { c.pipe.Close() }, "broken pipe"},
	} {
		t.Run(name, func(t *testing.T) {
			c := launch(t, live.Binary(t), "doctor", "--admin-url", srv.Main+"/", srv.Main)
			c.prints(t, "temporary client")
			tt.end(c)
			if status := c.ends(); status != 1 || !strings.Contains(c.stderr.String(), tt.say) {
				t.Errorf("it ends with %d: %s", status, &c.stderr)
			}
			nothingLeft(t, srv.Main)
		})
	}
}
