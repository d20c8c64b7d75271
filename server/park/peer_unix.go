//go:build unix

package park

import (
	"net"
	"syscall"
)

// peerGone reports whether the next read of c would find its end, or that it
// was reset, without reading anything: what the kernel knows at this moment.
func peerGone(c net.Conn) (gone bool) {
	c = innermost(c)
	if known, ok := c.(interface{ Gone() bool }); ok { // it is no socket, but knows
		return known.Gone()
	}
	sc, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	// Control, not Read: the latter would wait for another read to end.
	err = raw.Control(func(fd uintptr) { gone = fdGone(int(fd)) })
	return gone || err != nil
}

const canAwait = true

// awaitBytes waits until there is something to read, if it is only the end.
func awaitBytes(c syscall.Conn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	raw.Read(func(fd uintptr) bool {
		var b [1]byte
		for {
			_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			if err != syscall.EINTR {
				return err != syscall.EAGAIN
			}
		}
	})
}

func fdGone(fd int) bool {
	var b [1]byte
	n, _, err := syscall.Recvfrom(fd, b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	switch err {
	case nil:
		return n == 0
	case syscall.EAGAIN, syscall.EINTR:
		return false
	}
	return true
}
