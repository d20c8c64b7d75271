package live

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

// Ports that tests use are below those that systems by default give to whoever
// connects, so that nobody takes one by accident.
const (
	firstPort  = 10_000
	blocks     = 400
	blockPorts = 50
)

var (
	portsMu sync.Mutex
	ports   []int          // are this process's, and not given to anybody yet
	claims  []net.Listener // keep them so until the process ends
)

// FreeAddr returns an address of loopback where nobody listens, for a program that
// cannot choose one and tell, or is ended and started again. Nobody else who calls
// it gets the same, in other processes neither: each has blocks of ports, and
// listens at the first port of each as long as it lives.
func FreeAddr(t testing.TB) string {
	t.Helper()
	portsMu.Lock()
	defer portsMu.Unlock()
	for range 10 * blocks {
		if len(ports) == 0 {
			claimPorts()
			continue
		}
		addr := loopback(ports[0])
		ports = ports[1:]
		if l, err := net.Listen("tcp", addr); err == nil { // and nobody who does not know of blocks
			_ = l.Close()
			return addr
		}
	}
	t.Fatal("live: no port is free")
	return ""
}

// claimPorts tries to make some block this process's.
func claimPorts() {
	first := firstPort + blockPorts*rand.IntN(blocks)
	l, err := net.Listen("tcp", loopback(first))
	if err != nil {
		return // another process has it
	}
	claims = append(claims, l)
	for port := first + 1; port < first+blockPorts; port++ {
		ports = append(ports, port)
	}
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
