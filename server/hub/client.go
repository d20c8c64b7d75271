package hub

import (
	"container/list"
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"sync"
	"sync/atomic"
)

// clientState is where a client is in its life.
type clientState uint8

const (
	live    clientState = iota
	leaving             // about to be let go: nobody may attach meanwhile
	letGo               // idle: off its channels, waiting to be revived
	dead                // killed or forgotten: its key opens nothing
)

// A client is a named reader that outlives its connections. Sessions are bound
// to the object, not to the name: whoever is created later under the same name
// is somebody else.
type client struct {
	// The order is that in which it takes the least room.

	id    string
	owner atomic.Pointer[client] // of a socket: whose key was shown, nil if nobody's; changed only by what an image had of another moment
	key   atomic.Pointer[string] // changed under mu

	lastSeen atomic.Int64 // when a session last came or went; ns since the hub began
	created  atomic.Int64 // when it was created or last revived; the same clock
	attached atomic.Int32 // sessions now
	socket   bool         // it is one connection's, see Hub.CreateSocket
	wheeled  bool         // stands in the wheel; guarded, like the next, by the wheel's lock
	held     bool         // it is for this process to find out when it is idle

	state    clientState // guarded, like all below, by mu
	mu       sync.Mutex  // taken before a channel's lock
	subs     []*member
	sessions []*reader
	changed  uint64           // seq of the last change of subs that somebody asked for
	pasts    *pasts           // nil: no membership has ended
	revoked  map[*reader]bool // those of sessions that came with a key that is void
	rest     *rest            // nil: nothing of that

	nextDue, prevDue *client       // in a bucket of the wheel; guarded, like the next, by the wheel's lock
	dueIn            int64         // the bucket's second
	waiting          *list.Element // in the hub's letGoList; guarded by that list's lock
}

// rest is what few clients have. It is guarded by the client's lock.
type rest struct {
	taken taken
	data  []byte // of a socket: what the backend keeps with it, JSON

	// The rest is for a log that is shared.
	born    uint64   // the seq with which it was created
	version uint64   // of the last entry that has changed anything
	ended   []string // channels that the log may still have it on, which have ended: see [Command.Ended]
}

// rare returns it, to be changed. c.mu is held.
func (c *client) rare() *rest {
	if c.rest == nil {
		c.rest = new(rest)
	}
	return c.rest
}

// taken is what the original's pages, which keep no cursor, have of a client.
type taken struct {
	upTo   uint64 // everything that far has been handed over
	lease  *Poll  // whose answer is under way
	wanted bool   // another poll waits for the lease
}

// bornAt returns the seq with which c was created, where the log is shared.
func (c *client) bornAt() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rest == nil {
		return 0
	}
	return c.rest.born
}

// takenUpTo returns how far such pages have everything. c.mu is held.
func (c *client) takenUpTo() uint64 {
	if c.rest == nil {
		return 0
	}
	return c.rest.taken.upTo
}

// opens reports whether key is c's, in a time that does not depend on how
// much of it is right. A nil client is opened by nothing, in the same time.
func (c *client) opens(key string) bool {
	var right string
	if c != nil {
		right = *c.key.Load()
	}
	a, b := sha256.Sum256([]byte(right)), sha256.Sum256([]byte(key))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && right != ""
}

// openTo reports whether r may read for c. c.mu is held.
func (c *client) openTo(r *reader) bool { return c.state != dead && !c.revoked[r] }

// subLocked returns c's membership in ch, or nil. c.mu or the log's lock is held.
func (c *client) subLocked(ch *channel) *member {
	for _, m := range c.subs {
		if m.channel == ch {
			return m
		}
	}
	return nil
}

// subscriptions returns how many channels c is on. c.mu or the log's lock is held.
func (c *client) subscriptions() (n int) {
	for _, m := range c.subs {
		if !m.channel.gone() {
			n++
		}
	}
	return n
}

func (c *client) stateNow() clientState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// attach binds r, which has shown that it knows key, to c if c is live. One
// that will take over from another may pass the limit until it has.
func (c *client) attach(r *reader, key string, limit int, now int64) (ok bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if *c.key.Load() != key {
		return false, ErrBadCredentials // it was right a moment ago
	}
	if c.state != live {
		return false, nil
	}
	if !c.admitLocked(r, limit, now) {
		return false, limitReached("sessions_per_client", limit)
	}
	return true, nil
}

// attachAgain binds r to c, whose key was this one when another reader came of
// which r is the next, if it is so still, and c is live and has room.
func (c *client) attachAgain(r *reader, key *string, limit int, now int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.key.Load() == key && c.state == live && c.admitLocked(r, limit, now)
}

// admitLocked binds r to c, if there is room for it. c.mu is held.
func (c *client) admitLocked(r *reader, limit int, now int64) bool {
	if len(c.sessions) >= limit && !slices.ContainsFunc(c.sessions, r.replaces) {
		return false
	}
	if len(r.clients) == 1 {
		r.key = c.key.Load()
	}
	c.sessions = append(c.sessions, r)
	c.countLocked()
	c.lastSeen.Store(now)
	return true
}

// usurp has r take over from the sessions of c that have its session id, and
// appends them to dst. Should a newer one have come already, it is r that goes.
func (c *client) usurp(r *reader, dst []*reader) []*reader {
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.ContainsFunc(c.sessions, func(o *reader) bool { return o.replaces(r) }) {
		dst = append(dst, r)
	}
	c.sessions = slices.DeleteFunc(c.sessions, func(o *reader) bool {
		if r.replaces(o) {
			dst = append(dst, o)
			return true
		}
		return false
	})
	return dst
}

// detach undoes attach.
func (c *client) detach(r *reader, now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.sessions, r); i >= 0 {
		c.sessions = slices.Delete(c.sessions, i, i+1)
	}
	if len(c.sessions) == 0 {
		c.sessions = nil // an idle client owns no array
	}
	delete(c.revoked, r)
	c.countLocked()
	c.lastSeen.Store(now)
}

// countLocked says how many sessions there are, and, where this was or becomes
// none, that to c's channels. c.mu is held.
func (c *client) countLocked() {
	before, after := c.attached.Load(), int32(len(c.sessions))
	c.attached.Store(after)
	if (before == 0) == (after == 0) {
		return
	}
	change := int32(1)
	if after == 0 {
		change = -1
	}
	for _, m := range c.subs {
		m.channel.readers.Add(change)
	}
}

// readers appends c's sessions to dst.
func (c *client) readers(dst []*reader) []*reader {
	if c.attached.Load() == 0 {
		return dst
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return append(dst, c.sessions...)
}
