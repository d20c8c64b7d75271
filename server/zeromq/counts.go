package zeromq

import (
	"slices"
	"sync/atomic"
	"time"
)

// A reason is why a message was dropped.
type reason string

// The reasons.
const (
	byLimit   reason = "limit"   // it is over max_message_bytes or max_frames
	byTopic   reason = "topic"   // it begins with none of the topics
	byShape   reason = "shape"   // it has not the frames or fields to go by
	byChannel reason = "channel" // the channel it names is none, or not allowed
	byData    reason = "data"    // its data are not of the format
	byHub     reason = "hub"     // the hub has refused it
	byBacklog reason = "backlog" // a peer was too far behind to get it
	byRing    reason = "ring"    // channels had let go of something before it was sent to anybody
)

var reasons = []reason{byLimit, byTopic, byShape, byChannel, byData, byHub, byBacklog, byRing}

// reasonsOf are those that a type of sockets can have.
var reasonsOf = map[string][]reason{
	"sub":  {byLimit, byTopic, byShape, byChannel, byData, byHub},
	"pull": {byLimit, byShape, byChannel, byData, byHub},
	"pub":  {byBacklog, byRing},
	"rep":  {byLimit, byShape},
}

type counts struct {
	peers    atomic.Int64
	refused  atomic.Uint64
	received atomic.Uint64
	bytes    atomic.Uint64
	sent     atomic.Uint64
	dropped  [8]atomic.Uint64 // as reasons
}

func (c *counts) drop(why reason, n uint64) { c.dropped[slices.Index(reasons, why)].Add(n) }

func (c *counts) stats(name, kind string) Stats {
	s := Stats{
		Name: name, Type: kind,
		Peers:    int(c.peers.Load()),
		Refused:  c.refused.Load(),
		Received: c.received.Load(),
		Bytes:    c.bytes.Load(),
		Sent:     c.sent.Load(),
		Dropped:  make(map[string]uint64, len(reasons)),
	}
	for _, r := range reasonsOf[kind] {
		s.Dropped[string(r)] = c.dropped[slices.Index(reasons, r)].Load()
	}
	return s
}

// drop counts a message that is dropped, and says why.
func (k *socket) drop(why reason, err error) {
	k.counts.drop(why, 1)
	if k.rare.allow() {
		k.log.Warn("zeromq message dropped", "reason", string(why), "error", err)
	}
}

// A rareLog lets one line a second through: a flood of bad messages must not
// become a flood of lines. All are counted.
type rareLog struct{ last atomic.Int64 }

func (l *rareLog) allow() bool {
	now := time.Now().Unix()
	last := l.last.Load()
	return now != last && l.last.CompareAndSwap(last, now)
}
