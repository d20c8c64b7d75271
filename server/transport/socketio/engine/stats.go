package engine

import "sync/atomic"

// Stats are numbers about a server. Those that are not said to be of now are
// since it was made.
type Stats struct {
	Polling, WebSocket int // sessions now, by transport

	Handshakes     uint64 // sessions that have begun
	Refused        uint64 // handshakes that were refused because there were too many, or by the app
	BadRequests    uint64 // requests and WebSockets that were refused for what they were
	UpgradesBegun  uint64 // WebSockets to go over to
	UpgradesDone   uint64
	UpgradesFailed uint64
	PacketsIn      uint64 // of all kinds
	PacketsOut     uint64 // messages; what was put by one Raw counts as one

	closed [reasonCount]uint64
}

// Closed returns how many sessions have ended because of why.
func (s Stats) Closed(why Reason) uint64 { return s.closed[why] }

type counts struct {
	sockets                                                                             atomic.Int64
	handshakes, refused, badRequests, upgrades, upgraded, failed, packetsIn, packetsOut atomic.Uint64
	closed                                                                              [reasonCount]atomic.Uint64
}

// Stats returns the numbers as they are now.
func (sv *Server) Stats() Stats {
	sv.mu.RLock()
	sessions := len(sv.sessions)
	sv.mu.RUnlock()
	k := &sv.counts
	sockets := int(k.sockets.Load())
	stats := Stats{
		Polling: max(sessions-sockets, 0), WebSocket: sockets,
		Handshakes: k.handshakes.Load(), Refused: k.refused.Load(), BadRequests: k.badRequests.Load(),
		UpgradesBegun: k.upgrades.Load(), UpgradesDone: k.upgraded.Load(), UpgradesFailed: k.failed.Load(),
		PacketsIn: k.packetsIn.Load(), PacketsOut: k.packetsOut.Load(),
	}
	for why := range stats.closed {
		stats.closed[why] = k.closed[why].Load()
	}
	return stats
}
