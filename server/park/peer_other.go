//go:build !unix

package park

import (
	"net"
	"syscall"
)

func peerGone(net.Conn) bool { return false }

const canAwait = false

func awaitBytes(syscall.Conn) {}
