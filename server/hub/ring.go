package hub

import "sort"

// A ring holds a channel's newest messages, oldest first, in seq order. What
// it loses is always a prefix; evicted says up to where. Not safe for
// concurrent use: its channel's lock guards it.
type ring struct {
	buf     []*Message // circular; its length is a power of two, or 0
	head    int        // where the oldest stands
	n       int
	bytes   int    // charges of all
	evicted uint64 // highest seq that was dropped
	reason  Reason // why it was dropped
}

func (r *ring) at(i int) *Message { return r.buf[(r.head+i)&(len(r.buf)-1)] }

func (r *ring) push(m *Message) {
	if r.n == len(r.buf) {
		r.resize(max(1, 2*len(r.buf)))
	}
	r.buf[(r.head+r.n)&(len(r.buf)-1)] = m
	r.n++
	r.bytes += m.charge()
}

func (r *ring) resize(size int) {
	buf := make([]*Message, size)
	for i := range r.n {
		buf[i] = r.at(i)
	}
	r.buf, r.head = buf, 0
}

// pop drops the oldest message and returns it. An empty ring keeps no buffer,
// and no ring a buffer much larger than it needs.
func (r *ring) pop(why Reason) *Message {
	m := r.buf[r.head]
	r.buf[r.head] = nil
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
	r.bytes -= m.charge()
	r.evicted, r.reason = m.Seq, why
	switch {
	case r.n == 0:
		r.buf, r.head = nil, 0
	case len(r.buf) >= 64 && r.n <= len(r.buf)/4:
		r.resize(len(r.buf) / 2)
	}
	return m
}

// after returns where the first message beyond seq stands; r.n if there is none.
func (r *ring) after(seq uint64) int {
	return sort.Search(r.n, func(i int) bool { return r.at(i).Seq > seq })
}

// between appends to dst the messages with from < seq <= to, limit at most.
func (r *ring) between(dst []*Message, from, to uint64, limit int) []*Message {
	first := r.after(from)
	for i := first; i < r.n && i-first < limit; i++ {
		m := r.at(i)
		if m.Seq > to {
			break
		}
		dst = append(dst, m)
	}
	return dst
}
