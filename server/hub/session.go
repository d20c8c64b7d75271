package hub

import (
	"context"
	"slices"
	"time"
)

// A Start says where a session begins to read.
type Start struct {
	// At is where the reader was. The zero position is a first visit: it gets
	// what the window still has since each of its memberships began.
	At Position
	// Now begins at the top of the log instead.
	Now bool
	// Session is the reader's own name for itself; with the same one it takes
	// over from its older self. "" is a session of its own.
	Session string
	// Namespace is whose channels alone are read, see [SplitRoom]; "": all.
	Namespace string
	// Holder is by whom [Hub.Readers] finds the reader. nil: it does not.
	Holder any
	// Unlisted says that the reader has no use for [SignalChannels].
	Unlisted bool
	// BatchBytes is how many bytes a batch may have, if that is less than the
	// hub's limit; 0: it is not.
	BatchBytes int
	// Transport is how the reader is connected, as presence tells it.
	Transport string
	// Ready, if not nil, is called once whenever something becomes pending
	// after a Collect. It must not block and must not use the hub. Who gives
	// it waits by it, and not by Next.
	Ready func()
}

// A Session is one live reader that holds its own position. All its methods
// are called by one goroutine at a time.
type Session struct {
	*reader
	cursor    uint64 // everything up to here has been handed over
	offered   uint64 // what Commit will move cursor to
	handed    int32  // messages in the last batch
	gaps      int32  // gaps in it
	resets    int32  // resets in it
	life      uint32 // of the hub, that cursor is of
	fresh     bool   // nothing has been handed over: it cannot miss what it never had
	introduce bool   // nor has it been told where its channels begin
	unlisted  bool   // it is never told
	reset     bool   // the position it came with is worth nothing
	told      bool   // the last batch said that the session ends
	ended     bool   // and has been handed over
}

// Began returns when the session began.
func (s *Session) Began() time.Time { return s.hub.begun.Add(time.Duration(s.began)) }

// A Batch is what a reader gets in one piece.
type Batch struct {
	Position Position   // where the reader is when it has all of the batch; zero if it has had nothing yet
	Signals  []Signal   // before the messages
	Messages []*Message // in the log's order; valid until the next Collect or Commit
	More     bool       // something else is waiting already

	// Common, if not nil, is what the batch is all of, and other sessions get,
	// too. The position is the last message's, as of all batches without signals.
	Common *Common
}

// Empty reports whether the batch tells nothing but a position.
func (b *Batch) Empty() bool { return len(b.Signals) == 0 && len(b.Messages) == 0 }

// Attach begins a session that reads for the clients that creds name, of which
// there must be at least one. With any wrong one the error is
// [ErrBadCredentials] and nothing has happened. The caller must Close the
// session.
func (h *Hub) Attach(ctx context.Context, creds []Credentials, start Start) (*Session, error) {
	if !start.Now && !start.At.IsZero() && h.strange(start.At) {
		if err := h.Sync(ctx); err != nil {
			return nil, err
		}
	}
	r, err := h.open(ctx, creds, start)
	if err != nil {
		return nil, err
	}
	s := &Session{reader: r, unlisted: start.Unlisted}
	if !s.beginNow(start) {
		s.Close()
		return nil, ErrUnavailable
	}
	return s, nil
}

// beginNow says where s begins, in the life that the hub has now. It is not ok
// while the state is being replaced.
func (s *Session) beginNow(start Start) (ok bool) {
	h := s.hub
	for {
		s.life = h.life.Load()
		s.fresh, s.reset = false, false
		if start.Now {
			s.cursor, s.introduce = h.visible.Load(), true
		} else {
			s.begin(start.At)
		}
		if h.life.Load() == s.life {
			return s.life%2 == 0
		}
	}
}

// begin says where s begins.
func (s *Session) begin(at Position) {
	s.introduce = true
	if at.IsZero() {
		s.fresh = true
		return
	}
	seq, same := s.hub.resume(at)
	s.cursor, s.reset, s.introduce = seq, !same, !same
}

// Renew begins another session like s, which is closed, at a position: for who
// comes again in the same way. It reports whether it could: for one client only,
// and as long as the key with which s came is good, the client has not been let go
// of, and has room. Otherwise nothing has happened, and Attach says what is wrong.
func (s *Session) Renew(at Position) (*Session, bool) {
	r, ok := s.renewed()
	if !ok {
		return nil, false
	}
	if s.hub.strange(at) {
		r.close()
		return nil, false
	}
	again := &Session{reader: r, unlisted: s.unlisted}
	if !again.beginNow(Start{At: at}) {
		again.Close()
		return nil, false
	}
	return again, true
}

// At returns where the session is: nowhere, if it has had nothing yet.
func (s *Session) At() Position { return s.reached() }

// Close ends the session. It may be called again.
func (s *Session) Close() { s.close() }

// Ended reports whether the session has nobody left to read for, has been taken
// over or disconnected: the last batch that was committed said so.
func (s *Session) Ended() bool { return len(s.clients) == 0 || s.ended }

// Next returns what is pending, waiting for it if need be. When ctx ends
// first, the batch is empty, carries the session's position, and the error is
// ctx's cause.
func (s *Session) Next(ctx context.Context) (Batch, error) {
	for {
		b := s.Collect()
		if !b.Empty() {
			return b, nil
		}
		if err := s.await(ctx); err != nil {
			return b, err
		}
	}
}

// Collect returns what is pending now, without waiting. The same is returned
// again until Commit says that it has been handed over.
func (s *Session) Collect() Batch {
	h := s.hub
	if life := h.life.Load(); life == s.life {
		if b := s.collect(); h.life.Load() == life {
			return b
		}
	}
	return s.collectAnew()
}

// collectAnew is Collect where the hub's state has been replaced, or is being:
// then there is nothing, and the session is woken afterwards.
func (s *Session) collectAnew() Batch {
	h := s.hub
	for {
		s.pending.Store(false) // before the look
		life := h.life.Load()
		if life%2 == 1 {
			s.handed, s.gaps, s.resets, s.told = 0, 0, 0, false
			s.offered = s.cursor
			return Batch{Position: s.reached()}
		}
		if s.life != life {
			s.move(life)
		}
		if b := s.collect(); h.life.Load() == life {
			return b
		}
		s.giveBack()
	}
}

// move has s go on in another life of the hub, which may be one of the log.
func (s *Session) move(life uint32) {
	h := s.hub
	seq, same := h.resume(Position{h.epochOf(s.life), s.cursor})
	if !s.fresh {
		s.reset = s.reset || !same
		s.introduce = true
		s.cursor = seq
	}
	s.life = life
	s.behind, s.writable = s.cursor, h.visible.Load()
}

// collect is Collect in one life of the hub.
//
// The order of its steps carries the promise that nothing is missed: the mark
// is cleared before the top is read, so later news sets it again; the top is
// read before the memberships, so what a membership owes below the top is in
// the rings by now; and the rings are read only up to the top.
func (s *Session) collect() Batch {
	h := s.hub
	s.pending.Store(false)
	s.handed, s.gaps, s.resets = 0, 0, 0
	s.told = true
	switch {
	case s.usurped.Load():
		return s.lastBatch(SignalSuperseded)
	case s.dismissed.Load():
		return s.lastBatch(SignalDrain)
	}
	s.told = false
	top := h.visible.Load()
	h.yield()

	if b, ok := s.shared(top); ok {
		return b
	}
	var b Batch
	s.borrow()
	s.readMemberships(&b)
	if len(s.announced) > 0 {
		return s.goneBatch()
	}
	h.yield()
	var cut bool
	b.Messages, cut = s.gather(top, func(src source) { s.lost(src, &b) })
	if cut {
		top = b.Messages[len(b.Messages)-1].Seq
	}
	b.More = cut
	s.behind = s.cursor
	b.Messages = s.withhold(b.Messages, &b.Signals)
	if n := len(b.Messages); n > 0 && len(b.Signals) == 0 {
		top = b.Messages[n-1].Seq // that is what readers are told whose bytes are shared
	}
	s.handed = int32(len(b.Messages))
	// Another life's position is never kept, and a position never goes back.
	s.offered = max(top, s.cursor)
	b.Position = h.position(s.offered)
	if len(b.Messages) == 0 {
		s.giveBack()
	}
	return b
}

// lastBatch ends the session.
func (s *Session) lastBatch(why SignalType) Batch {
	s.offered = s.cursor
	return Batch{Position: s.reached(), Signals: []Signal{{Type: why}}}
}

// reached is where the session is: nowhere, if it has had nothing yet.
func (s *Session) reached() Position {
	if s.fresh || s.reset {
		return Position{}
	}
	return Position{s.hub.epochOf(s.life), s.cursor}
}

// goneBatch tells that clients are gone, and nothing else. It is no step
// further: whoever is created under the same name is owed what was said since,
// and may be read for from this position.
func (s *Session) goneBatch() Batch {
	s.offered = s.cursor
	b := Batch{Position: s.reached()}
	for _, c := range s.announced {
		b.Signals = append(b.Signals, Signal{Type: SignalGone, Client: c.id})
	}
	return b
}

// Commit says that the last batch has been handed over whole: the session goes
// on from its position. A session that waits keeps nothing of what it gave.
func (s *Session) Commit() {
	s.ended = s.told
	if s.told {
		return
	}
	s.cursor = max(s.cursor, s.offered)
	s.count()
	defer s.giveBack()
	if s.scratch == nil || len(s.announced) == 0 {
		s.fresh, s.reset, s.introduce = false, false, false
		return
	}
	s.detach(s.announced)
	s.clients = slices.DeleteFunc(s.clients, func(c *client) bool { return slices.Contains(s.announced, c) })
}

// Writable says that from now on the session can take something: of volatile
// messages it hears what is said after that. So it is at first. Who hands over
// what Collect has returned says so again when that is done, if it was all there
// was.
func (s *Session) Writable() { s.writable = s.hub.visible.Load() }

// readMemberships makes the sources of what the clients are members of, and
// tells of a new life of the log and of memberships that have changed. Clients
// that are gone are announced.
func (s *Session) readMemberships(b *Batch) {
	s.sources = s.sources[:0]
	s.announced = s.announced[:0]
	changed, namespace := s.introduce, s.namespace.Value()
	for _, c := range s.clients {
		c.mu.Lock()
		if !c.openTo(s.reader) {
			s.announced = append(s.announced, c)
		}
		changed = changed || c.changed > s.cursor
		for _, m := range c.subs {
			if at := m.channel.deleted.Load(); at > 0 {
				changed = changed || at > s.cursor
				continue
			}
			if namespace != "" && !belongs(m.channel.name, namespace) {
				continue
			}
			s.source(m, max(s.cursor, m.since))
		}
		c.mu.Unlock()
	}
	if len(s.announced) > 0 {
		return // that is all they will be told
	}
	if s.reset {
		s.resets++
		b.Signals = append(b.Signals, Signal{Type: SignalReset, From: s.hub.position(s.cursor)})
	}
	if changed && !s.unlisted {
		// Of the same look: what is not named here has no messages below.
		b.Signals = append(b.Signals, Signal{Type: SignalChannels, Channels: s.memberships()})
	}
}

// memberships says where each channel begins for the session.
func (s *Session) memberships() map[string]Membership {
	all := make(map[string]Membership, len(s.sources))
	for _, src := range s.sources {
		all[src.channel.name] = Membership{s.hub.position(src.member.since), src.member.sinceID}
	}
	return all
}

// count counts what has been handed over.
func (s *Session) count() {
	t := &s.hub.totals
	t.batches.Add(1)
	t.delivered.Add(uint64(s.handed))
	if s.gaps+s.resets > 0 {
		t.gaps.Add(uint64(s.gaps))
		t.resets.Add(uint64(s.resets))
	}
}

// lost tells what the source's channel no longer has, or tells only as a
// number. These signals reach beyond the top: what is gone is gone, even if
// the reader would not have come to it yet. The channel's lock is held.
func (s *Session) lost(src source, b *Batch) {
	ch := src.channel
	if ch.counted > src.from && ch.settings().Presence {
		b.Signals = append(b.Signals, Signal{Type: SignalCount, Channel: ch.name, Count: ch.size()})
	}
	if s.fresh {
		return
	}
	h := s.hub
	if r := &ch.messages; r.evicted > src.from {
		s.gaps++
		b.Signals = append(b.Signals, Signal{Type: SignalGap, Channel: ch.name,
			From: h.position(src.from), To: h.position(r.evicted), Reason: r.reason})
	}
	if ch.notices.evicted > src.from {
		b.Signals = append(b.Signals, Signal{Type: SignalResync, Channel: ch.name,
			From: h.position(src.from), To: h.position(ch.notices.evicted)})
	}
}
