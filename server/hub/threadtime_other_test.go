//go:build !linux

package hub_test

import "time"

var begun = time.Now()

// threadTime is wall time where the CPU time of a thread is not to be had.
func threadTime() time.Duration { return time.Since(begun) }
