//go:build unix

package bench

import (
	"fmt"
	"syscall"
	"time"
)

// ownCPU is the time of processors that this process has used.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// raiseLimit makes sure that so many descriptors may be open. A Go program has
// taken all that it may have by itself; servers that it starts do so, too.
func raiseLimit(n int) error {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return nil // then it will be seen when one is missing
	}
	if r.Cur >= uint64(n) {
		return nil
	}
	want := syscall.Rlimit{Cur: uint64(n), Max: max(r.Max, uint64(n))}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &want); err != nil {
		return fmt.Errorf("%d descriptors are needed, and %d are allowed: raise it by ulimit -n", n, r.Max)
	}
	return nil
}
