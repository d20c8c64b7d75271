package hub_test

import "github.com/shaveet/shaveet/server/hub"

// A numbering is how far a reader has counted a channel's messages.
type numbering struct {
	since uint64
	last  uint64          // the last id it has had, or knows not to be for it
	skips map[uint64]bool // ids that are not for it, above last
	loose uint64          // up to this seq ids may be missing: it has been told so
	any   bool            // the next one it accepts whatever its id
}

func (r *reader) numbering(channel string) *numbering {
	if r.ids[channel] == nil {
		r.ids[channel] = &numbering{skips: map[uint64]bool{}, any: true}
	}
	return r.ids[channel]
}

// lose takes note that ids up to a seq may be missing.
func (n *numbering) lose(to uint64) { n.loose, n.any = max(n.loose, to), true }

// number says that the ids of a channel have no hole that nobody has told of.
func (r *reader) number(m *hub.Message) {
	if m.Volatile || r.unlisted {
		return
	}
	n := r.numbering(m.Channel())
	if m.ID <= n.last && m.Seq <= r.at.Seq {
		return // it has it already
	}
	delete(n.skips, m.ID) // it was another copy's turn, of a batch that has not come
	next := n.last + 1
	for n.skips[next] {
		next++
	}
	if m.ID != next && !n.any {
		r.world.t.Fatalf("id %d of %s came after %d, and nobody said why", m.ID, m.Channel(), n.last)
	}
	n.last, n.any = m.ID, m.Seq <= n.loose
}
