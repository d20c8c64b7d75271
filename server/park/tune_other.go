//go:build !linux

package park

import "net"

// tune has nothing to set up: the limits of the kernel count.
func (l *Lot) tune(net.Conn) {}
