//go:build !linux

package live

import "syscall"

// dieWithParent has no equivalent here; t.Cleanup ends the child.
func dieWithParent(*syscall.SysProcAttr) {}
