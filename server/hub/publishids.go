package hub

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"
)

// A PublishKey makes a retry of a publish harmless: the same thing said again
// under the same Scope and ID is answered with where it went before.
type PublishKey struct {
	Scope string // the channel; "" for what goes to several
	ID    string // the caller's
	Hash  Digest // of what is said
}

// A Digest tells one payload from another.
type Digest [16]byte

// publishIDs remembers what was published under ids. It is written and read in
// the step that numbers an entry, so that of two retries at once one is first.
type publishIDs struct {
	mu     sync.Mutex // guards all; no other lock is taken under it
	seen   map[publishID]*earlier
	queue  []*earlier // the oldest first
	places int        // of all: what it costs to remember them
}

type publishID struct{ scope, id string }

// An earlier publish: when, what, and where it went.
type earlier struct {
	id   publishID
	hash Digest
	at   int64 // ns since the hub began
	to   []Published
}

func (k *PublishKey) id() publishID { return publishID{k.Scope, k.ID} }

// expire forgets what is older than its time, max at most, and reports whether
// there is more.
func (p *publishIDs) expire(before int64, max int) (more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.expireLocked(before, max)
}

func (p *publishIDs) expireLocked(before int64, max int) (more bool) {
	for range max {
		if len(p.queue) == 0 || p.queue[0].at >= before {
			return false
		}
		e := p.queue[0]
		if p.seen[e.id] == e {
			delete(p.seen, e.id)
		}
		p.places -= len(e.to)
		p.queue[0] = nil
		p.queue = p.queue[1:]
	}
	return true
}

// clear forgets all: who remembers is the log.
func (p *publishIDs) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.seen)
	p.queue, p.places = nil, 0
}

func (p *publishIDs) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.places
}

// check answers a publish to so many places whose id has been used since
// before, with an error if that was for something else. When the table is full
// the publish is refused: to forget an id early would make its retry a second
// message.
func (p *publishIDs) check(key *PublishKey, places int, before int64, limit int) (to []Published, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// Whoever adds one makes room for two, so the table does not stay full.
	p.expireLocked(before, 2)
	e := p.seen[key.id()]
	switch {
	case e != nil && e.at >= before && e.hash == key.Hash:
		return e.to, nil
	case e != nil && e.at >= before:
		return nil, &Error{Kind: Conflict, Name: key.ID, Text: "the publish id has been used for another message"}
	case p.places+places > limit && !p.expireFor(places, before, limit):
		return nil, limitReached("publish_ids", limit)
	}
	return nil, nil
}

// expireFor makes room for so many places, as far as that can be done in one go.
// p.mu is held.
func (p *publishIDs) expireFor(places int, before int64, limit int) bool {
	const most = 1000
	p.expireLocked(before, most)
	return p.places+places <= limit
}

func (p *publishIDs) add(e *earlier) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen[e.id] = e
	p.queue = append(p.queue, e)
	p.places += len(e.to)
}

// checkRetry turns a publish that has been made before into nothing, and
// returns where it went then.
func (h fold) checkRetry(cmd *Command) (to []Published, err error) {
	if cmd.Retry == nil {
		return nil, nil
	}
	l := h.limits()
	to, err = h.retries.check(cmd.Retry, max(1, len(cmd.Messages)), h.now()-int64(l.PublishIDAge), l.PublishIDs)
	if to != nil {
		*cmd = Command{}
		h.totals.repeated.Add(1)
	}
	return slices.Clone(to), err
}

// remember keeps where the messages went, for a retry.
func (h fold) remember(key *PublishKey, messages ...*Message) {
	if key == nil || h.stamp.unknown { // then a retry is answered by the log itself
		return
	}
	e := &earlier{id: key.id(), hash: key.Hash, at: h.stamp.mono, to: h.placesOf(messages)}
	for i := range e.to {
		e.to[i].Repeated = true
	}
	if h.stamp.foreign { // who has asked for it has checked elsewhere, and made room there
		h.retries.expire(h.stamp.mono-int64(h.limits().PublishIDAge), 2)
	}
	h.retries.add(e)
}

// digest returns the hash of what p says, and to whom.
func digest(p *Publication, channels []string) (d Digest) {
	hash := sha256.New()
	write := func(b []byte) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		hash.Write(n[:])
		hash.Write(b)
	}
	write(p.Data)
	write(p.Sender)
	write(binary.BigEndian.AppendUint64(nil, uint64(p.TTL)))
	if p.System {
		write([]byte{1})
	}
	for _, list := range [][]string{channels, p.Exclude} {
		write(nil)
		for _, name := range list {
			write([]byte(name))
		}
	}
	copy(d[:], hash.Sum(nil))
	return d
}
