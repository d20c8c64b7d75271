package hub

import "sync/atomic"

// Stats are a hub's counts: some of this moment, the others since it began.
type Stats struct {
	Clients      int    // live clients that are no sockets
	Sockets      int    // sockets, see Hub.CreateSocket
	LetGoClients int    // clients waiting to be revived
	Channels     int    // channels that exist
	Sessions     int    // readers attached
	Messages     int    // messages and notices kept
	Bytes        int64  // charged for them and their encodings
	PublishIDs   int    // publish ids remembered, a broadcast's once for each channel
	TopSeq       uint64 // the log's highest seq

	Published uint64                   // messages published, each copy of a broadcast counted
	Repeated  uint64                   // publishes answered from their publish id
	Delivered uint64                   // messages and notices handed to readers
	Batches   uint64                   // batches handed to readers
	Attached  uint64                   // readers that came
	BadKeys   uint64                   // readers refused for their credentials
	Gaps      uint64                   // gaps told to readers
	Resets    uint64                   // resets told to readers
	LetGo     uint64                   // clients let go
	Revived   uint64                   // clients revived
	Refused   uint64                   // commands and readers refused because of a limit
	Evicted   [ReasonMemory + 1]uint64 // messages and notices dropped, by Reason
}

// totals are the counts since the hub began.
type totals struct {
	published, repeated, delivered, batches, attached, badKeys,
	gaps, resets, letGo, revived, refused, readers atomic.Uint64
	evicted [ReasonMemory + 1]atomic.Uint64
}

// Stats returns the hub's counts. Each is right by itself; together they need
// not be of one instant.
func (h *Hub) Stats() Stats {
	t := &h.totals
	s := Stats{
		Clients:      int(h.nClients.Load() - h.nSockets.Load()),
		Sockets:      int(h.nSockets.Load()),
		LetGoClients: h.letGo.len(),
		Channels:     int(h.nChannels.Load()),
		Sessions:     int(h.sessions.Load()),
		Messages:     int(h.kept.Load()),
		Bytes:        h.bytes.Load(),
		PublishIDs:   h.retries.len(),
		TopSeq:       h.visible.Load(),
		Published:    t.published.Load(),
		Repeated:     t.repeated.Load(),
		Delivered:    t.delivered.Load(),
		Batches:      t.batches.Load(),
		Attached:     t.attached.Load(),
		BadKeys:      t.badKeys.Load(),
		Gaps:         t.gaps.Load(),
		Resets:       t.resets.Load(),
		LetGo:        t.letGo.Load(),
		Revived:      t.revived.Load(),
		Refused:      t.refused.Load(),
	}
	for i := range t.evicted {
		s.Evicted[i] = t.evicted[i].Load()
	}
	return s
}
