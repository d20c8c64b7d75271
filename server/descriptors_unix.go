//go:build unix

package server

import "syscall"

// descriptors is how many file descriptors the process may have, 0 if that is
// not known.
func descriptors() int {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 0
	}
	return int(min(r.Cur, 1<<20))
}
