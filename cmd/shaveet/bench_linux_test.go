package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/shaveet/shaveet/tests/live"
)

// startBench starts a bench that goes on until it is ended, and returns it and
// the server that it has started.
func startBench(t *testing.T, out *output) (cmd *exec.Cmd, server int) {
	t.Helper()
	cmd = exec.Command(live.Binary(t), "bench", "--readers", "5", "--duration", "10m", "--warmup", "10ms", "--yardstick", "off")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	live.Until(t, "it measures", patience, func() bool {
		return strings.Contains(out.String(), "connecting") || strings.Contains(out.String(), "preparing")
	})
	live.Until(t, "it has a server", patience, func() bool {
		server = childOf(cmd.Process.Pid)
		return server != 0 && listens(server)
	})
	return cmd, server
}

// childOf is a process that another has started, 0 if there is none.
func childOf(pid int) int {
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, task := range tasks {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, task.Name()))
		if fields := bytes.Fields(text); len(fields) > 0 {
			child, _ := strconv.Atoi(string(fields[0]))
			return child
		}
	}
	return 0
}

func listens(pid int) bool {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return bytes.Contains(text, []byte("--public-listen"))
}

// gone reports whether a process has ended, also if nobody has asked for its
// status yet.
func gone(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := strings.Cut(string(text), ") ")
	return err != nil || strings.HasPrefix(state, "Z")
}

// However the bench ends, its server does.
func TestBenchEndsItsServer(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			var out output
			cmd, server := startBench(t, &out)
			cmd.Process.Signal(sig)
			cmd.Wait()
			live.Until(t, "the server has ended", patience, func() bool { return gone(server) })
		})
	}
}

// Ctrl-C is answered by what has been measured.
func TestBenchInterrupted(t *testing.T) {
	t.Parallel()
	var out output
	cmd, _ := startBench(t, &out)
	live.Until(t, "something is measured", patience, func() bool { return strings.Contains(out.String(), "measuring") })
	cmd.Process.Signal(syscall.SIGINT)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 0 || !strings.Contains(out.String(), "Interrupted") || !strings.Contains(out.String(), "lost") {
		t.Errorf("it ended with %d:\n%s", code, &out)
	}
}

// A server is compared with a yardstick, round by round.
func TestBenchYardstick(t *testing.T) {
	t.Parallel()
	got := benched(t, "--json", "--rounds", "2")
	all, summary := results(t, got.stdout)
	if got.code != 0 || len(all) != 4 || summary == nil {
		t.Fatalf("%+v", got)
	}
	for i, r := range all {
		if want := []string{"shaveet", "yardstick write(2)"}[i%2]; r.Target != want || r.Round != i/2+1 {
			t.Errorf("run %d is round %d of %s", i, r.Round, r.Target)
		}
	}
	if summary.Counted != "deliveries" || summary.Target.Least > summary.Target.Median || summary.Target.Median > summary.Target.Most {
		t.Errorf("%+v", summary)
	}
	table := benched(t, "--transport", "longpoll")
	for _, want := range []string{"fanout: 20 readers by longpoll", "shaveet", "yardstick epoll long-poll", "latency p99, ms", "lost, twice, out of order, misrouted", "0, 0, 0, 0"} {
		if !strings.Contains(table.stdout, want) {
			t.Errorf("the table lacks %q:\n%s", want, table.stdout)
		}
	}
}
