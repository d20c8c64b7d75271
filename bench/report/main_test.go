package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/shaveet/shaveet/tests/live"
)

// The report starts itself as a server for TLS, so the tests' program is one if
// it is told to be.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == serveTLS {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	live.Main(m)
}
