//go:build unix

package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// untilHangup is ctx, but it also ends when the terminal goes away, so that a
// command tidies up. Whoever has that ignored, as nohup does, wants the command
// to go on. A second SIGHUP does no more than the first: a shell and the kernel
// often send one each.
func untilHangup(ctx context.Context) (context.Context, context.CancelFunc) {
	if signal.Ignored(syscall.SIGHUP) {
		return ctx, func() {}
	}
	return signal.NotifyContext(ctx, syscall.SIGHUP)
}

// outliveReader has a write to a closed pipe return its error, until stop is
// called. Go would else have standard output's kill the program, with no time
// to tidy up.
func outliveReader() (stop func()) {
	unread := make(chan os.Signal, 1) // the error says it all
	signal.Notify(unread, syscall.SIGPIPE)
	return func() { signal.Stop(unread) }
}

// isClosedPipe reports whether err is of a write that nobody will read.
func isClosedPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }
