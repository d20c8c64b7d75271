//go:build !linux

package bench

import (
	"context"
	"errors"
	"io"
	"time"
)

// What takes Linux. Servers can be loaded from everywhere; what they use of
// the processors and of memory is only known there.

func (c *crowd) run(ctx context.Context) error { return c.runEach(ctx) }

type process int

var errLinux = errors.New("this takes Linux")

func (process) cpu() (time.Duration, error) { return 0, errLinux }
func (process) memory() (Memory, error)     { return Memory{}, errLinux }
func owner(int) process                     { return 0 }
func kernelMemory() int64                   { return 0 }

// HasYardsticks tells that there are yardsticks on this system.
const HasYardsticks = false

// ServeYardstick is a yardstick until ctx ends.
func ServeYardstick(context.Context, string, io.Writer) error { return errLinux }
