package engine

import (
	"net/netip"
	"sync"
	"time"
)

// guests counts who begins sessions, by address.
type guests struct {
	mu     sync.Mutex // guards all below
	second int64
	counts map[netip.Addr]int
}

// maxGuests is how many addresses are counted in a second. Those that come after
// them count as one.
const maxGuests = 1 << 14

// admit reports whether one more session may begin for the peer in this second,
// of which there may be most. Peers on this machine may begin as many as they
// like.
func (g *guests) admit(remote string, most int) bool {
	at, err := netip.ParseAddrPort(remote)
	if err != nil { // a Unix socket
		return true
	}
	addr := at.Addr().Unmap().WithZone("")
	if addr.IsLoopback() {
		return true
	}
	if addr.Is6() { // whoever has one has as many as there are behind its prefix
		prefix, _ := addr.Prefix(64)
		addr = prefix.Addr()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := time.Now().Unix(); now != g.second || g.counts == nil {
		g.second, g.counts = now, make(map[netip.Addr]int)
	}
	if _, known := g.counts[addr]; !known && len(g.counts) >= maxGuests {
		addr = netip.Addr{}
	}
	g.counts[addr]++
	return g.counts[addr] <= most
}
