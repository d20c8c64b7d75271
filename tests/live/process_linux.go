package live

import "syscall"

// dieWithParent makes the kernel end the child when the test process is
// killed, by go test's own timeout for example: no server outlives its test.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
