package park

import (
	"net"
	"syscall"
)

// Options of Linux that package syscall has no names for.
const (
	tcpUserTimeout  = 18
	tcpNotSentLowat = 25
)

// tune sets up a socket. What the kernel holds for a peer that does not read is
// bounded; and one that has vanished, or makes no room, is noticed when it has
// not confirmed for so long what was sent, also when the connection is closed
// already. Where these cannot be set, the kernel's own limits count.
func (l *Lot) tune(c net.Conn) {
	sc, ok := innermost(c).(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotSentLowat, l.opts.MaxUnsent)
		syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(l.opts.DeadAfter.Milliseconds()))
	})
}
