package hub

import "maps"

// An era is one life of the log, as this hub has known them: what became of
// positions of former ones.
type era struct {
	epoch uint64
	began uint64            // the seq of the entry with which it began; 0: with the hub
	ends  map[uint64]uint64 // of former epochs the last seq that is still of the log
}

// newEra has the hub live in the epoch of img from now on. The log's lock is
// held.
func (h fold) newEra(img *Image) {
	next := &era{epoch: img.Epoch, began: img.Began, ends: maps.Clone(img.Ends)}
	h.era.Store(next)
	h.epoch.Store(img.Epoch)
}

// endReplacing has another life of the hub begin, in this epoch. The log's lock is
// held.
func (h fold) endReplacing(epoch uint64) {
	var all []uint64
	if p := h.epochs.Load(); p != nil {
		all = *p
	}
	life := h.life.Load() + 1
	next := make([]uint64, life/2+1)
	copy(next, all)
	next[life/2] = epoch
	h.epochs.Store(&next)
	h.life.Store(life)
}

// epochOf returns in which epoch of the log a life of the hub was.
func (h *Hub) epochOf(life uint32) uint64 {
	if p := h.epochs.Load(); p != nil && int(life/2) < len(*p) {
		return (*p)[life/2]
	}
	return h.epoch.Load() // it has had one only
}

// resume returns from where a reader goes on that was at p, and whether it misses
// nothing that can be known: p is of this life, and not beyond its top.
//
// Where the log has gone on from a copy that lagged behind, what had not come
// to the copy has never been said, and a reader that has heard it goes on from
// where the copy stood. A position of which nothing is known goes on with this
// life's first entry.
func (h *Hub) resume(p Position) (seq uint64, same bool) {
	e := h.era.Load()
	switch {
	case e == nil || p.Epoch == e.epoch:
		if p.Epoch == h.epoch.Load() && p.Seq <= h.visible.Load() {
			return p.Seq, true
		}
	default:
		if end, known := e.ends[p.Epoch]; known {
			return min(p.Seq, end), false
		}
	}
	if e == nil || e.began == 0 {
		return 0, false
	}
	return e.began - 1, false
}

// strange reports whether nothing can be said of p before the hub has caught up
// with the log.
func (h *Hub) strange(p Position) bool {
	return h.shared != nil && (p.Epoch != h.epoch.Load() || p.Seq > h.visible.Load())
}
