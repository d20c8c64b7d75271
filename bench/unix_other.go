//go:build !unix

package bench

import "time"

func ownCPU() time.Duration { return 0 }

func raiseLimit(int) error { return nil }
