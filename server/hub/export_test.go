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
