//go:build !linux

package redistest

import "syscall"

// dieWithParent has no equivalent here; the test's cleanup ends the server.
func dieWithParent(*syscall.SysProcAttr) {}
