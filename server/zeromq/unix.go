//go:build unix

package zeromq

import (
	"net"
	"syscall"
)

// listenUnix makes the socket so that it is never open to other users, not even
// for the moment between its making and a chmod.
func listenUnix(path string) (net.Listener, error) {
	old := syscall.Umask(0o177)
	defer syscall.Umask(old)
	return net.Listen("unix", path)
}
