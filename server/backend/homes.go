package backend

// manyHomes is how many are kept for certain.
const manyHomes = 128 << 10

// homes are the connections that sockets' calls go to, by their numbers. They
// are needed once there are more connections than when a socket came: without
// them it would move. Those that were asked for least lately are forgotten when
// there are too many, as not all sockets say goodbye; the calls of such a socket
// go where hashing puts them, which is the same place if nobody has come since.
type homes struct{ recent, older map[string]uint64 }

// of returns where the calls of a socket go; 0: that is open.
func (h *homes) of(socket string) uint64 {
	if n := h.recent[socket]; n != 0 {
		return n
	}
	n := h.older[socket]
	if n != 0 {
		h.set(socket, n)
	}
	return n
}

func (h *homes) set(socket string, n uint64) {
	if h.recent == nil || len(h.recent) >= manyHomes {
		h.recent, h.older = make(map[string]uint64), h.recent
	}
	h.recent[socket] = n
}

func (h *homes) remove(socket string) {
	delete(h.recent, socket)
	delete(h.older, socket)
}
