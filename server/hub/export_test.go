package hub

// SetStep has f called between the steps of reading.
func (h *Hub) SetStep(f func()) { h.step = f }

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
