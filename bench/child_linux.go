package bench

import "syscall"

func diesWithUs() *syscall.SysProcAttr {
	// In a group of its own, so that a terminal's Ctrl-C is for us alone: we
	// end it when we have measured.
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
