//go:build !unix

package transport

import "net"

func atEOF(net.Conn) bool { return false }
