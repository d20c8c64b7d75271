//go:build unix

package main

import "syscall"

// descriptorLimit is how many descriptors programs started from here may have.
// A Go program takes all of them when it starts.
func descriptorLimit() (n uint64, known bool) {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 0, false
	}
	return uint64(r.Max), true
}
