package hub

import (
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"unique"
)

// Credentials open a client.
type Credentials struct{ ID, Key string }

// A reader is what sessions and polls have in common: the clients they read
// for, and the mark that says that something waits for them.
type reader struct {
	// The order is that in which it takes the least room.

	hub       *Hub
	clients   []*client
	number    uint64                // of two readers, the one that came later has the higher one
	key       *string               // the client's that it came with, if it reads for one only
	*scratch                        // lent while the reader looks; nil while it waits
	news      chan struct{}         // holds a token when notify was called
	notify    func()                // told once when something becomes pending
	holder    any                   // who reads, as it has said; nil if it has not
	session   string                // the session id, "" if it has none
	namespace unique.Handle[string] // whose channels alone are read; "": all
	transport unique.Handle[string] // how it is connected; there are few ways
	began     int64                 // monotonic

	pending    atomic.Bool // notify has been called since the last look
	usurped    atomic.Bool // a newer session of the same id has taken over
	dismissed  atomic.Bool // the backend has asked for its end
	batchBytes int32       // a limit of its own for a batch; 0: it has none
	behind     uint64      // of a session: what has been handed over, as its look began
	writable   uint64      // the top when the reader could last take something anew
	poll       bool        // it is a page's of 2010
	closed     bool
}

// A scratch is what a reader needs only while it looks what there is.
type scratch struct {
	sources   []source
	batch     []*Message
	announced []*client // clients the last batch called gone
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// borrow sees to it that r has a scratch.
func (r *reader) borrow() {
	if r.scratch == nil {
		r.scratch = scratches.Get().(*scratch)
	}
}

// giveBack gives the scratch back: what was in it is not valid any more.
func (r *reader) giveBack() {
	s := r.scratch
	if s == nil {
		return
	}
	r.scratch = nil
	if cap(s.sources)+cap(s.batch) > maxScratch {
		return
	}
	// To the last entry: a longer look may have been before the last one.
	clear(s.sources[:cap(s.sources)])
	clear(s.batch[:cap(s.batch)])
	clear(s.announced[:cap(s.announced)])
	s.sources, s.batch, s.announced = s.sources[:0], s.batch[:0], s.announced[:0]
	scratches.Put(s)
}

// maxScratch is how large a scratch may have become to be used again.
const maxScratch = 4096

// wake tells r that there is something to look at, unless it knows.
func (r *reader) wake() {
	if r.pending.CompareAndSwap(false, true) {
		r.notify()
	}
}

func (r *reader) signal() {
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// replaces reports whether r is the newer self of o.
func (r *reader) replaces(o *reader) bool {
	return r.session != "" && r.session == o.session && r.number > o.number
}

// await waits until r is woken or ctx ends.
func (r *reader) await(ctx context.Context) error {
	select {
	case <-r.news:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Opens reports whether the credentials are right, without doing anything.
func (h *Hub) Opens(cr Credentials) bool { return h.clients.get(cr.ID).opens(cr.Key) }

// OpensNow is Opens where the hub may not have heard yet that the key is right:
// before it says no, it catches up with the log. The error is that it cannot.
func (h *Hub) OpensNow(ctx context.Context, cr Credentials) (bool, error) {
	if h.Opens(cr) {
		return true, nil
	}
	if err := h.Sync(ctx); err != nil {
		return false, err
	}
	return h.Opens(cr), nil
}

// open makes a reader for the clients that creds name. All credentials are
// checked before anything happens for any of them. Clients that were let go
// are revived.
func (h *Hub) open(ctx context.Context, creds []Credentials, start Start) (*reader, error) {
	if h.shared != nil && h.shared.Stale() {
		return nil, ErrUnavailable
	}
	clients, keys, right := h.find(creds)
	if !right && h.shared != nil {
		// They may be so new that they are not known here.
		if err := h.Sync(ctx); err != nil {
			return nil, err
		}
		clients, keys, right = h.find(creds)
	}
	if !right {
		return nil, h.refuse(ErrBadCredentials)
	}
	r := &reader{hub: h, number: h.totals.readers.Add(1), clients: clients, session: start.Session,
		holder: start.Holder, namespace: unique.Make(start.Namespace), writable: h.visible.Load(), notify: start.Ready, batchBytes: int32(min(start.BatchBytes, math.MaxInt32)), transport: unique.Make(start.Transport), began: h.now()}
	if r.notify == nil {
		r.news = make(chan struct{}, 1)
		r.notify = r.signal
	}
	h.yield()
	for i, c := range clients {
		if err := h.attach(ctx, c, keys[i], r); err != nil {
			r.detach(clients[:i])
			return nil, err
		}
	}
	r.arrive()
	return r, nil
}

// find returns the clients that creds name, each once, with the keys that were
// shown, and whether all keys are right.
func (h *Hub) find(creds []Credentials) (clients []*client, keys []string, right bool) {
	clients = make([]*client, 0, len(creds))
	keys = make([]string, 0, len(creds))
	right = len(creds) > 0
	for _, cr := range creds {
		c := h.clients.get(cr.ID)
		// No short cut: the time taken must not tell which one is wrong.
		right = c.opens(cr.Key) && right
		if !slices.Contains(clients, c) {
			clients, keys = append(clients, c), append(keys, cr.Key)
		}
	}
	return clients, keys, right
}

// arrive has r, which is attached, count as one that is there.
func (r *reader) arrive() {
	r.hub.sessions.Add(1)
	r.hub.totals.attached.Add(1)
	r.takeOver()
}

// renewed returns another reader like r, which is closed, if that needs nobody's
// leave: its client is live, has room for it, and the key that r came with.
func (r *reader) renewed() (*reader, bool) {
	h := r.hub
	if len(r.clients) != 1 || r.key == nil || h.shared != nil && h.shared.Stale() {
		return nil, false
	}
	again := &reader{hub: h, number: h.totals.readers.Add(1), clients: r.clients, session: r.session, holder: r.holder,
		namespace: r.namespace, writable: h.visible.Load(), notify: r.notify, news: r.news, batchBytes: r.batchBytes,
		transport: r.transport, began: h.now()}
	h.yield()
	if !r.clients[0].attachAgain(again, r.key, h.limits().SessionsPerClient, again.began) {
		return nil, false
	}
	h.hold(r.clients[0], again.began)
	again.arrive()
	return again, true
}

// takeOver ends r's older selves, now that r has come to stay.
func (r *reader) takeOver() {
	if r.session == "" {
		return
	}
	var older []*reader
	for _, c := range r.clients {
		older = c.usurp(r, older)
	}
	for _, o := range older {
		o.usurped.Store(true)
		o.wake()
	}
}

// attach binds r to c, which it revives if need be. Should c be let go again
// and again in between, the caller is told to try later.
func (h *Hub) attach(ctx context.Context, c *client, key string, r *reader) error {
	for range 3 {
		ok, err := c.attach(r, key, h.limits().SessionsPerClient, h.now())
		if ok {
			h.hold(c, h.now())
		}
		if ok || err != nil {
			return h.refuse(err)
		}
		if c.stateNow() == dead {
			return h.refuse(ErrBadCredentials)
		}
		if _, err := h.append(ctx, Command{Op: OpRevive, Client: c.id, Key: key}); err != nil {
			return err
		}
	}
	return ErrUnavailable
}

func (r *reader) detach(from []*client) {
	now := r.hub.now()
	for _, c := range from {
		c.detach(r, now)
		r.hub.unhold(c)
	}
}

// close ends r. It may be called again.
func (r *reader) close() {
	if r.closed {
		return
	}
	r.closed = true
	r.giveBack()
	r.detach(r.clients)
	r.hub.sessions.Add(-1)
}

// A source is a channel, where to read it from, and the membership by which.
type source struct {
	channel *channel
	from    uint64
	member  *member
}

// source adds m's channel to the sources. Where several clients of one reader
// are members, the lowest start and the oldest membership count.
func (r *reader) source(m *member, from uint64) {
	if len(r.clients) > 1 {
		for i := range r.sources {
			if s := &r.sources[i]; s.channel == m.channel {
				s.from = min(s.from, from)
				if m.since < s.member.since {
					s.member = m
				}
				return
			}
		}
	}
	r.sources = append(r.sources, source{m.channel, from, m})
}

// gather reads what the sources hold up to seq top, merged by seq and cut at
// the limits of a batch, and reports whether it was cut. lost, if not nil, is
// called for every source with its channel's lock held.
func (r *reader) gather(top uint64, lost func(source)) (batch []*Message, cut bool) {
	l := r.hub.limits()
	batch = r.batch[:0]
	parts := 0
	for _, s := range r.sources {
		if s.channel.newest.Load() <= s.from {
			continue
		}
		r.hub.yield()
		n := len(batch)
		s.channel.mu.RLock()
		if lost != nil {
			lost(s)
		}
		batch = s.channel.messages.between(batch, s.from, top, l.BatchMessages+1)
		if len(batch) > n {
			parts++
		}
		n = len(batch)
		batch = s.channel.notices.between(batch, s.from, top, l.BatchMessages+1)
		if len(batch) > n {
			parts++
		}
		if v := s.channel.volatile; v != nil {
			batch = v.between(batch, max(s.from, r.writable), top, l.BatchMessages+1)
			parts++
		}
		s.channel.mu.RUnlock()
	}
	if parts > 1 {
		slices.SortFunc(batch, bySeq)
	}
	r.batch = batch
	most := l.BatchBytes
	if r.batchBytes > 0 {
		most = min(most, int(r.batchBytes))
	}
	return l.cut(batch, most)
}

// cut shortens batch to what one batch may have, of bytes so many at most: at
// least one message.
func (l *Limits) cut(batch []*Message, most int) ([]*Message, bool) {
	bytes := 0
	for i, m := range batch {
		bytes += m.charge()
		if i > 0 && (i >= l.BatchMessages || bytes > most) {
			return batch[:i], true
		}
	}
	return batch, false
}

// withhold takes the messages that are not for r out of batch. They are told
// as skips, if skips is not nil.
func (r *reader) withhold(batch []*Message, skips *[]Signal) []*Message {
	now := r.hub.now()
	kept := batch[:0]
	for _, m := range batch {
		if !m.late(now) && !r.excluded(m) && !r.excepted(m) {
			kept = append(kept, m)
		} else if skips != nil && !m.Volatile {
			*skips = append(*skips, Signal{Type: SignalSkip, Channel: m.name, ID: m.ID})
		}
	}
	return kept
}

// excluded reports whether m is for none of the clients by whom r would hear
// it.
func (r *reader) excluded(m *Message) bool {
	if m.Terms == nil || len(m.Terms.Exclude) == 0 {
		return false
	}
	for _, c := range r.clients {
		if _, found := slices.BinarySearch(m.Terms.Exclude, c.id); !found && (len(r.clients) == 1 || r.owes(c, m)) {
			return false
		}
	}
	return true
}

// owes reports whether r owes m to c: c was a member already when it was said,
// and, of a poll, has not taken it yet.
func (r *reader) owes(c *client, m *Message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	member := c.subLocked(m.channel)
	return member != nil && m.Seq > member.since && !(r.poll && m.Seq <= c.takenUpTo())
}
