package storm

import "time"

// Costs are processor times that things take on a node.
type Costs struct {
	Handshake time.Duration // to let a reader in
	Vain      time.Duration // to find out that who comes has gone meanwhile
	Delivery  time.Duration // to write a message that stands alone to one reader
	Joined    time.Duration // the same for one that goes with others, as what was missed does
	Call      time.Duration // a call of the admin API
}

// What docs/performance.md has: medians by a CPU second of the server, of
// readers by WebSocket. It was made on a machine of two processors on which
// readers ran too, so a real node should do better than that.
const (
	letIn     = 6_394     // Idle readers: readers let in
	letInTLS  = 2_387     // Idle readers: the same over TLS
	churned   = 11_866    // Readers that come and go: connect, subscribe, disconnect
	delivered = 120_703   // Fan-out, 5,000 readers, w=1
	joined    = 1_190_816 // Fan-out, 5,000 readers, w=16
	called    = 43_814    // Publishing, single calls
)

// Measured are the costs that docs/performance.md has, for nodes that leave TLS
// to a proxy. Nobody has measured a connection that was given up before it was
// served; one that comes, is served and goes is the most that it can cost.
func Measured() Costs {
	return Costs{Handshake: each(letIn), Vain: each(churned), Delivery: each(delivered), Joined: each(joined), Call: each(called)}
}

// MeasuredTLS are the same where the node itself ends TLS.
func MeasuredTLS() Costs {
	c := Measured()
	c.Handshake = each(letInTLS)
	c.Vain += each(letInTLS) - each(letIn)
	return c
}

func each(perSecond int) time.Duration { return time.Second / time.Duration(perSecond) }
