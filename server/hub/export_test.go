package hub

// SetStep has f called between the steps of reading.
func (h *Hub) SetStep(f func()) { h.step = f }

// NewMessage returns what a reader knows of a message that it has decoded.
func NewMessage(channel string, seq, id uint64) *Message {
	return &Message{Seq: seq, ID: id, name: channel}
}

// Wheeled reports how many clients the wheel holds.
func (h *Hub) Wheeled() int {
	h.wheel.mu.Lock()
	defer h.wheel.mu.Unlock()
	n := 0
	for _, c := range h.wheel.buckets {
		for ; c != nil; c = c.nextDue {
			n++
		}
	}
	return n
}

// Slots returns how long the channel's list of members is, holes and all.
func (h *Hub) Slots(channel string) int {
	ch := h.channels.get(channel)
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return len(ch.members)
}

// Deleted returns how many deleted channels still hold something.
func (h *Hub) Deleted() int {
	h.idle.mu.Lock()
	defer h.idle.mu.Unlock()
	return len(h.idle.deleted)
}

// Leftovers returns how many memberships the client keeps, members their
// deleted channels, and readers with a void key the client.
func (h *Hub) Leftovers(client string) (subs, members, revoked int) {
	c := h.clients.get(client)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.subs {
		if m.channel.gone() {
			members += len(m.channel.members)
		}
	}
	return len(c.subs), members, len(c.revoked)
}

// Pasts returns how many memberships the client remembers that have ended.
func (h *Hub) Pasts(client string) int {
	c := h.clients.get(client)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pasts == nil {
		return 0
	}
	return len(c.pasts.list)
}
