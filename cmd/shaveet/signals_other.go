//go:build !unix

package main

import "context"

// Elsewhere a terminal that goes away is an interrupt, which main looks after,
// and a closed pipe is an error as any other: it kills nobody.

func untilHangup(ctx context.Context) (context.Context, context.CancelFunc) {
	return ctx, func() {}
}

func outliveReader() (stop func()) { return func() {} }

func isClosedPipe(error) bool { return false }
