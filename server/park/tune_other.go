//go:build !linux

package park

import "time"

// tune has nothing to set up: the limits of the kernel count.
func (c *Conn) tune(time.Duration) {}
