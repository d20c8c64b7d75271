// Package kernel is what parked connections ask of the operating system. On
// Linux that is a handful of system calls; package parktest has a kernel in
// memory, for tests that have time stand still.
package kernel

import (
	"net"
	"net/netip"
)

// A Kernel has connections by their descriptors. None of its calls waits: where
// a connection would, the error is [syscall.EAGAIN]. Other errors are those of
// package syscall, too, EINTR among them.
type Kernel interface {
	// Duplicate returns another descriptor of a connection that is nothing but
	// its descriptor.
	Duplicate(conn net.Conn) (fd int, ok bool)
	// Conn makes a connection of a descriptor, which is the connection's from
	// now on. gone is called when it is closed; nil: nothing is.
	Conn(fd int, peer netip.AddrPort, gone func()) net.Conn

	// Read reads what has come; 0 bytes are the end.
	Read(fd int, p []byte) (n int, err error)
	// Peek reads and leaves what it has read where it is.
	Peek(fd int, p []byte) (n int, err error)
	// Write writes what there is room for.
	Write(fd int, p []byte) (n int, err error)
	// Gone reports whether the next read would find the end, or that the
	// connection is broken.
	Gone(fd int) bool
	// Shutdown says the end of what is written.
	Shutdown(fd int) error
	// Abort has Close forget what the peer has not taken.
	Abort(fd int)
	// Close lets go of a descriptor. No poll tells of it any more.
	Close(fd int)

	// NewPoll returns a poll that tells of nothing yet.
	NewPoll() (Poll, error)
}

// A Poll tells what happens to descriptors, once whenever it does: that
// something has come or nothing more will, and, if that is wanted, that there is
// room again after there was none.
type Poll interface {
	// Add begins to tell of fd, and tells what has happened to it already.
	Add(fd int) error
	// WantRoom tells of room, too, beginning with what there is.
	WantRoom(fd int) error
	// Remove ends that.
	Remove(fd int) error
	// Wait waits until there is something to tell. It is called by one
	// goroutine at a time.
	Wait(told []Event) (n int)
	// Interrupt has Wait not wait, or, with false, wait again.
	Interrupt(on bool)
}

// An Event is what has happened to a descriptor.
type Event struct {
	FD   int32
	What What
}

// What may have happened, and several at once.
type What uint32

// The bits of a What.
const (
	Came   What = 1 << iota // there is something to read, the end included
	Room                    // there is room for more
	Ending                  // nothing more will come, or the connection is broken
)
