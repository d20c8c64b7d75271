package hub

import (
	"slices"
	"sync/atomic"
	"weak"
)

// A Common is a batch of nothing but messages that is the same for all sessions
// that stand where one does and have news on the same channel only, which is what
// most readers of a busy channel do. It is made once for all of them, and so are
// its bytes. It never changes; all its methods are safe for concurrent use.
type Common struct {
	batch   Batch
	from    uint64 // where its readers stand
	newest  uint64 // of the channel, which has nothing behind it
	charge  int
	encoded atomic.Pointer[commonEncoding]
}

// A commonEncoding is a batch's bytes in one wire form, and a link of a list.
type commonEncoding struct {
	form  Form
	bytes []byte
	next  *commonEncoding
}

// Encoding returns the batch in the given wire form, of which there are as many as
// for messages. The first caller encodes, by encode; whoever comes later shares its
// bytes, which must not be written to.
func (c *Common) Encoding(form Form, encode func(*Batch) []byte) []byte {
	head := c.encoded.Load()
	for e := head; e != nil; e = e.next {
		if e.form == form {
			return e.bytes
		}
	}
	bytes := encode(&c.batch)
	c.encoded.CompareAndSwap(head, &commonEncoding{form, bytes, head}) // losing the race costs one that is not shared
	return bytes
}

// shared returns what the session has in common with others, if that is all
// there is for it, and nothing that is its own: no signals, no part of it. top is
// where this look ends, and was read after the mark was cleared.
func (s *Session) shared(top uint64) (b Batch, ok bool) {
	if len(s.clients) != 1 || s.fresh || s.introduce || s.reset {
		return b, false
	}
	m, ok := s.only(s.clients[0])
	if !ok {
		return b, false
	}
	s.hub.yield()
	if m != nil {
		common := m.channel.common(s.cursor, top, s.hub.limits())
		if common == nil || s.batchBytes > 0 && common.charge > int(s.batchBytes) {
			return b, false
		}
		b = common.batch
		b.Common = common
		s.handed = int32(len(b.Messages))
		top = b.Position.Seq
	} else {
		b.Position = s.hub.position(max(top, s.cursor))
	}
	s.behind = s.cursor
	s.offered = max(top, s.cursor)
	return b, true
}

// only returns the one membership of c on whose channel there is news for s, nil
// if there is none. It is not ok if there are more, or something else to tell.
func (s *Session) only(c *client) (one *member, ok bool) {
	namespace := s.namespace.Value()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.openTo(s.reader) || c.changed > s.cursor {
		return nil, false
	}
	for _, m := range c.subs {
		ch := m.channel
		if ch.newest.Load() <= max(s.cursor, m.since) && !ch.gone() || namespace != "" && !belongs(ch.name, namespace) {
			continue
		}
		if one != nil || ch.gone() {
			return nil, false
		}
		one = m
	}
	return one, true
}

// common returns what everybody is to hear of ch who stands at seq from, up to
// top. It is nil if not all hear the same, or it is more than a batch, or part of
// it is beyond the top.
func (ch *channel) common(from, top uint64, l *Limits) *Common {
	newest := ch.newest.Load()
	if newest > top {
		return nil
	}
	if last := ch.shared.Load(); last != nil {
		if c := last.Value(); c != nil && c.from == from && c.newest == newest {
			return c
		}
	}
	ch.hub.yield()
	c := ch.gatherCommon(from, l)
	if c == nil || c.newest > top {
		return nil
	}
	last := weak.Make(c) // nobody keeps it when it is not needed any more
	ch.shared.Store(&last)
	return c
}

func (ch *channel) gatherCommon(from uint64, l *Limits) *Common {
	ch.mu.RLock()
	defer ch.mu.RUnlock()
	if ch.messages.evicted > from || ch.notices.evicted > from || ch.counted > from ||
		ch.volatile != nil && ch.volatile.n > 0 && ch.volatile.at(ch.volatile.n-1).Seq > from {
		return nil
	}
	c := &Common{from: from, newest: ch.newest.Load()}
	all := ch.messages.between(nil, from, c.newest, l.BatchMessages+1)
	n := len(all)
	all = ch.notices.between(all, from, c.newest, l.BatchMessages+1)
	if n > 0 && len(all) > n {
		slices.SortFunc(all, bySeq)
	}
	if all, cut := l.cut(all, l.BatchBytes); cut || len(all) == 0 {
		return nil
	}
	for _, m := range all {
		if m.Terms != nil || m.Volatile {
			return nil
		}
		c.charge += m.charge()
	}
	c.batch = Batch{Messages: all, Position: all[len(all)-1].Position()}
	return c
}

func bySeq(a, b *Message) int {
	if a.Seq < b.Seq {
		return -1
	}
	return 1 // no two are the same
}
