package redistest

import "syscall"

// dieWithParent has the kernel end the server when the test process is killed,
// by go test's own timeout for example.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
