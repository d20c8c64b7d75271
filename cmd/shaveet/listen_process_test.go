//go:build unix

package main

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/shaveet/shaveet/tests/live"
)

// The real program ends well on both signals, and leaves no client behind.
func TestListenSignals(t *testing.T) {
	srv := live.Start(t)
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd := exec.Command(live.Binary(t), "listen", "--url", srv.Main+"/", "room")
		cmd.Env = append(os.Environ(), quickExit)
		var stdout, stderr output
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		live.Until(t, "it listens", patience, func() bool { return sessions(t, srv.Main) == 1 })
		rpc(t, srv.Main, "publish", "room", "hello")
		live.Until(t, "it prints", patience, func() bool { return strings.Contains(stdout.String(), "hello") })
		cmd.Process.Signal(sig)
		if err := cmd.Wait(); err != nil || stderr.String() != "" {
			t.Errorf("after %v: %v %s", sig, err, &stderr)
		}
		noClients(t, srv.Main)
	}
}
