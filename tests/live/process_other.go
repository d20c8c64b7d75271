//go:build !linux

package live

import "syscall"

// dieWithParent has no equivalent here; t.Cleanup ends the child.
func dieWithParent(*syscall.SysProcAttr) {}

// StandsStill has no equivalent here: it is taken to have stopped at once.
func StandsStill(int) bool { return true }
