package live

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// dieWithParent makes the kernel end the child when the test process is
// killed, by go test's own timeout for example: no server outlives its test.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }

// StandsStill reports whether a process that has been told to stop has done so: the
// signal is on its way when kill returns, and comes to one thread after another.
func StandsStill(pid int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, path := range threads {
		text, err := os.ReadFile(path)
		if _, state, ok := bytes.Cut(text, []byte(") ")); err == nil && (!ok || !bytes.ContainsAny(state[:1], "TZX")) {
			return false
		}
	}
	return err == nil
}
