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
//
// TCP's keep-alive is off. Whoever is held is told something from time to time, or has
// only so long to say something, if the lot's and the server's options are not to wait
// for ever; and when nobody is told anything, because the process stands still, a
// single question that is lost would end a connection after that time, as many are
// that go out at once.
func (l *Lot) tune(c net.Conn) {
	sc, ok := innermost(c).(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) { l.tuneSocket(int(fd)) })
}

func (l *Lot) tuneSocket(fd int) {
	syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 0)
	syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, tcpNotSentLowat, l.opts.MaxUnsent)
	syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, tcpUserTimeout, int(l.opts.DeadAfter.Milliseconds()))
}

// tuneArrival sets these for a listener, or who was accepted. The latter has them
// from its listener, unless it came before that had them, or the listener speaks
// MPTCP, as those of package net do.
func (l *Lot) tuneArrival(fd int) {
	inherited, _ := syscall.GetsockoptInt(fd, syscall.IPPROTO_TCP, tcpUserTimeout)
	if inherited == int(l.opts.DeadAfter.Milliseconds()) { // which is set last
		return
	}
	syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1) // as package net does
	l.tuneSocket(fd)
}
