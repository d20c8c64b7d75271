package park

import (
	"syscall"
	"time"
)

// Options of Linux that package syscall has no names for.
const (
	tcpUserTimeout  = 18
	tcpNotSentLowat = 25
)

// tune sets up the socket of a stream. What the kernel holds for a peer that
// does not read is bounded; and one that has vanished is noticed when it has
// not confirmed for so long what was sent. That counts for a peer without room,
// too, so it must be longer than a write may take. Where these cannot be set,
// the kernel's own limits count.
func (c *Conn) tune(unconfirmed time.Duration) {
	sc, ok := innermost(c.held.rw).(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotSentLowat, c.lot.opts.MaxUnsent)
		syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(unconfirmed.Milliseconds()))
	})
}
