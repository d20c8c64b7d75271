package live_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/shaveet/shaveet/tests/live"
)

// TestNobodyGetsAnAddressTwice asks for more than one block has, in several
// processes at once.
func TestNobodyGetsAnAddressTwice(t *testing.T) {
	const env, processes, each = "SHAVEET_TEST_ADDRS", 4, 60
	if os.Getenv(env) != "" {
		for range each {
			fmt.Println("addr", live.FreeAddr(t))
		}
		_, _ = os.Stdin.Read(make([]byte, 1)) // has its ports until it may end
		return
	}
	var mu sync.Mutex
	of := make(map[string]int)
	var wait, printed sync.WaitGroup
	end := make(chan struct{})
	printed.Add(processes)
	for p := range processes {
		wait.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run=^TestNobodyGetsAnAddressTwice$")
			cmd.Env = append(os.Environ(), env+"=1")
			stdin, _ := cmd.StdinPipe()
			stdout, _ := cmd.StdoutPipe()
			if err := cmd.Start(); err != nil {
				t.Error(err)
				printed.Done()
				return
			}
			for range each {
				var addr string
				if _, err := fmt.Fscanf(stdout, "addr %s\n", &addr); err != nil {
					t.Error(err)
					break
				}
				mu.Lock()
				if other, given := of[addr]; given {
					t.Errorf("%s is of process %d and of %d", addr, other, p)
				}
				of[addr] = p
				mu.Unlock()
			}
			printed.Done()
			<-end
			_ = stdin.Close()
			_ = cmd.Wait()
		})
	}
	printed.Wait()
	close(end)
	wait.Wait()
	for addr := range of {
		if host, _, err := net.SplitHostPort(addr); err != nil || !strings.HasPrefix(host, "127.") {
			t.Errorf("%q", addr)
		}
	}
	if len(of) != processes*each {
		t.Errorf("%d addresses", len(of))
	}
}
