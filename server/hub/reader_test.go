package hub_test

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// A reader is what a good client library does with what it gets: it remembers
// where it is, drops what it has seen, and takes note of every signal. A
// variant is a reader that does one thing wrong.
type reader struct {
	world   *world
	client  string
	variant string

	session            *hub.Session
	object             *modelClient // the client the session is attached to
	at                 hub.Position // what it would show as its cursor
	gone               bool         // its client does not exist
	connecting         bool         // nothing else happens while it attaches
	revoked, dismissed bool         // its session must hear that it is

	// What it knows, of this epoch and this life of its client.
	life     int
	epoch    uint64
	got      []*hub.Message
	gaps     []span
	resyncs  []span // channels whose notices it cannot be sure of, up to where
	cancels  []cancel
	skips    []skip
	ids      map[string]*numbering
	excused  map[uint64]bool // evicted before it had ever read: the window's end, not a hole
	attached bool            // it has had a whole batch in this life
	fresh    bool            // its session began without a position, and has had no whole batch
}

type span struct {
	channel  string
	from, to uint64
}

type cancel struct {
	channels map[string]hub.Membership
	at       uint64 // where the reader was
	top      uint64 // where the log was
}

// A skip says that a message is not for the reader.
type skip struct {
	channel string
	id, top uint64
}

// A numbering is how far a reader has counted a channel's messages.
type numbering struct {
	since uint64
	last  uint64          // the last id it has had, or knows not to be for it
	skips map[uint64]bool // ids that are not for it, above last
	loose uint64          // up to this seq ids may be missing: it has been told so
	any   bool            // the next one it accepts whatever its id
}

// hangUp ends the connection.
func (r *reader) hangUp() {
	r.revoked, r.dismissed = false, false
	if r.session == nil {
		return
	}
	r.session.Close()
	r.session = nil
	r.object.attached--
	r.object.seen = time.Now()
}

// connect attaches if need be, and reports whether that was possible.
func (r *reader) connect() bool {
	if r.session != nil {
		return true
	}
	w := r.world
	c := w.model.clients[r.client]
	start := hub.Start{At: r.at}
	r.connecting = true
	defer func() { r.connecting = false }()
	s, err := w.hub.Attach(context.Background(), []hub.Credentials{{ID: r.client, Key: w.keys[r.client]}}, start)
	if c == nil {
		if !errors.Is(err, hub.ErrBadCredentials) {
			w.t.Fatalf("attach to nobody: %v", err)
		}
		r.gone = true
		return false
	}
	if err != nil {
		w.t.Fatalf("attach: %v", err)
	}
	if c.away {
		w.model.revive(c)
	}
	r.gone = false
	if r.life != c.life || r.epoch != w.hub.Position().Epoch {
		r.judgeWhatCame()
		r.forget()
		r.life, r.epoch = c.life, w.hub.Position().Epoch
		r.attached = !r.at.IsZero()
	}
	c.attached++
	c.seen = time.Now()
	r.session, r.object, r.fresh = s, c, r.at.IsZero()
	return true
}

func (r *reader) forget() {
	r.got, r.gaps, r.resyncs, r.cancels, r.skips = nil, nil, nil, nil, nil
	r.ids = map[string]*numbering{}
	r.excused = map[uint64]bool{}
}

// read takes one batch, or as much of it as the connection carries.
func (r *reader) read() {
	if !r.connect() {
		return
	}
	w := r.world
	w.t.Logf("collect at %d", r.at.Seq)
	revoked, dismissed := r.revoked, r.dismissed
	b := r.session.Collect()
	if drain := hasSignal(b, hub.SignalDrain); dismissed && !drain || drain && !r.dismissed {
		w.t.Fatalf("dismissed %v, and hears %+v", dismissed, b.Signals)
	}
	if revoked && !dismissed && (len(b.Messages) > 0 || !hasSignal(b, hub.SignalGone)) {
		w.t.Fatalf("its key is void, and it hears %+v", b)
	}
	for _, m := range b.Messages {
		if m.Terms != nil && m.Terms.TTL > 0 && time.Now().UnixMilli()-m.Time > m.Terms.TTL.Milliseconds() {
			w.t.Fatalf("seq %d came when it was not worth hearing any more", m.Seq)
		}
	}
	w.t.Logf("collected %d signals, %d messages, to %d", len(b.Signals), len(b.Messages), b.Position.Seq)
	whole := r.receive(&b)
	if w.model.clients[r.client] != r.object {
		// Killed meanwhile. It is told so now or when it comes back.
		r.gone = whole && hasSignal(b, hub.SignalGone)
		r.hangUp()
		r.life = 0
		return
	}
	if !whole {
		r.hangUp()
		return
	}
	r.session.Commit()
	r.fresh = false
	if hasSignal(b, hub.SignalDrain) || hasSignal(b, hub.SignalGone) {
		if !r.session.Ended() {
			w.t.Fatalf("the session has not ended after %+v", b.Signals)
		}
		r.hangUp()
		return
	}
	r.attached = true
	if !w.ending && w.draw(8) == 0 {
		r.hangUp()
	}
}

func hasSignal(b hub.Batch, kind hub.SignalType) bool {
	return slices.ContainsFunc(b.Signals, func(s hub.Signal) bool { return s.Type == kind })
}

// receive takes the batch piece by piece and reports whether all of it came:
// anywhere between two pieces the connection may break.
func (r *reader) receive(b *hub.Batch) bool {
	w := r.world
	if !r.attached {
		for _, e := range w.model.events {
			if e.evicted || e.deleted {
				r.excused[e.seq] = true
			}
		}
	}
	pieces := r.pieces(b)
	breaks := -1
	if !w.ending && w.draw(5) == 0 {
		breaks = w.draw(len(pieces) + 1)
	}
	for i, take := range pieces {
		if i == breaks {
			return false
		}
		take()
	}
	if breaks == len(pieces) {
		return false
	}
	if b.Position.IsZero() {
		return true
	}
	if b.Position.Epoch == r.at.Epoch {
		r.at.Seq = max(r.at.Seq, b.Position.Seq)
	} else {
		r.at = b.Position
	}
	return true
}

// pieces are the batch's parts, in the order they are sent.
func (r *reader) pieces(b *hub.Batch) (pieces []func()) {
	moved := func(seq uint64) { r.at = hub.Position{Epoch: b.Position.Epoch, Seq: max(seq, r.seq(b))} }
	messages := b.Messages
	if r.variant == "fold_last" {
		messages = foldNotices(messages)
	}
	var late []hub.Signal // gap_merge: sent when the messages have come so far
	for _, s := range b.Signals {
		if s.Type == hub.SignalGap && r.variant == "gap_merge" {
			late = append(late, s)
			continue
		}
		pieces = append(pieces, func() {
			r.signal(s, b)
			if s.Type == hub.SignalGap && r.variant == "gap_first" {
				moved(s.To.Seq)
			}
		})
	}
	for _, m := range messages {
		for len(late) > 0 && late[0].To.Seq <= m.Seq {
			s := late[0]
			late = late[1:]
			pieces = append(pieces, func() { r.signal(s, b); moved(s.To.Seq) })
		}
		pieces = append(pieces, func() { r.number(m); r.got = append(r.got, m); moved(m.Seq) })
	}
	for _, s := range late {
		pieces = append(pieces, func() { r.signal(s, b); moved(s.To.Seq) })
	}
	return pieces
}

// seq is where the reader is in the batch's epoch.
func (r *reader) seq(b *hub.Batch) uint64 {
	if r.at.Epoch != b.Position.Epoch {
		return 0
	}
	return r.at.Seq
}

// foldNotices moves each channel's notices to the place of their last one.
func foldNotices(messages []*hub.Message) (folded []*hub.Message) {
	for i, m := range messages {
		if m.Notice == 0 {
			folded = append(folded, m)
			continue
		}
		again := func(o *hub.Message) bool { return o.Notice != 0 && o.Channel() == m.Channel() }
		if slices.ContainsFunc(messages[i+1:], again) {
			continue
		}
		// The last one stands for all: a fold has one position.
		folded = append(folded, m)
		for _, o := range messages[:i] {
			if again(o) {
				folded = append(folded, o)
			}
		}
	}
	return folded
}

func (r *reader) signal(s hub.Signal, b *hub.Batch) {
	top := r.world.model.top
	switch s.Type {
	case hub.SignalReset:
		// What was of another life is lost, and said to be.
		r.at = s.From
		r.ids = map[string]*numbering{}
	case hub.SignalGap:
		r.gaps = append(r.gaps, span{s.Channel, s.From.Seq, s.To.Seq})
		r.numbering(s.Channel).lose(s.To.Seq)
	case hub.SignalResync:
		r.resyncs = append(r.resyncs, span{s.Channel, 0, top})
		r.numbering(s.Channel).lose(s.To.Seq)
	case hub.SignalSkip:
		r.skips = append(r.skips, skip{s.Channel, s.ID, top})
		r.numbering(s.Channel).skips[s.ID] = true
		r.mustBeSkipped(s)
	case hub.SignalChannels:
		r.cancels = append(r.cancels, cancel{s.Channels, r.seq(b), top})
		for name, m := range s.Channels {
			n := r.ids[name]
			if n == nil || n.since < m.Since.Seq {
				n = &numbering{since: m.Since.Seq, last: m.ID, skips: map[uint64]bool{}}
				r.ids[name] = n
			}
			if r.fresh {
				n.lose(b.Position.Seq) // of what was before it came nobody tells
			}
		}
	}
}

// mustBeSkipped says that a skip is right.
func (r *reader) mustBeSkipped(s hub.Signal) {
	if !slices.ContainsFunc(r.world.model.events, func(e *event) bool {
		return e.channel == s.Channel && e.id == s.ID && (e.late() || slices.Contains(e.exclude, r.client))
	}) {
		r.world.t.Fatalf("id %d of %s is for this reader, and it is told otherwise", s.ID, s.Channel)
	}
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
	n := r.numbering(m.Channel())
	if m.ID <= n.last && m.Seq <= r.at.Seq {
		return // it has it already
	}
	next := n.last + 1
	for n.skips[next] {
		next++
	}
	if m.ID != next && !n.any {
		r.world.t.Fatalf("id %d of %s came after %d, and nobody said why", m.ID, m.Channel(), n.last)
	}
	n.last, n.any = m.ID, m.Seq <= n.loose
}

// judge says whether the reader has everything, or knows what it has not.
func (r *reader) judge() {
	r.judgeWhatCame()
	if r.gone || r.life == 0 {
		return // it was told that its client is gone, with all it was owed
	}
	seen := map[uint64]bool{}
	for _, m := range r.got {
		seen[m.Seq] = true
	}
	for _, e := range r.world.model.events {
		if e.owed[r.life] && !seen[e.seq] && !r.knows(e) {
			r.world.t.Fatalf("silent hole: seq %d (id %d) on %s, notice %v", e.seq, e.id, e.channel, e.notice)
		}
	}
}

// judgeWhatCame says whether what the reader has is right: in order, for it,
// and no gap was told where there is none.
func (r *reader) judgeWhatCame() {
	t := r.world.t
	if r.life == 0 || r.epoch != r.world.hub.Position().Epoch {
		return // the model of that life is gone
	}
	events := map[uint64]*event{}
	for _, e := range r.world.model.events {
		events[e.seq] = e
	}
	seen := map[uint64]bool{}
	var last uint64
	for _, m := range r.got {
		e := events[m.Seq]
		if e == nil || e.id != m.ID || e.channel != m.Channel() {
			t.Fatalf("seq %d (id %d) on %s was never said", m.Seq, m.ID, m.Channel())
		}
		if !e.owed[r.life] || slices.Contains(e.exclude, r.client) {
			t.Fatalf("seq %d on %s was not for this client", m.Seq, m.Channel())
		}
		if seen[m.Seq] {
			continue
		}
		if m.Seq < last {
			t.Fatalf("seq %d came after %d", m.Seq, last)
		}
		seen[m.Seq], last = true, m.Seq
	}
	for _, g := range r.gaps {
		if !slices.ContainsFunc(r.world.model.events, func(e *event) bool {
			return e.channel == g.channel && (e.evicted || e.deleted) && !e.notice && g.from < e.seq && e.seq <= g.to
		}) {
			t.Fatalf("false gap on %s: %d to %d", g.channel, g.from, g.to)
		}
	}
}

// knows reports whether the reader was told that it would not get e.
func (r *reader) knows(e *event) bool {
	if r.excused[e.seq] {
		return true
	}
	for _, g := range r.gaps {
		if !e.notice && g.channel == e.channel && g.from < e.seq && e.seq <= g.to {
			return true
		}
	}
	for _, s := range r.resyncs {
		if e.notice && s.channel == e.channel && e.seq <= s.to && (e.evicted || e.deleted) {
			return true
		}
	}
	for _, s := range r.skips {
		if s.channel == e.channel && s.id == e.id && e.seq <= s.top {
			return true
		}
	}
	for _, c := range r.cancels {
		member, still := c.channels[e.channel]
		if e.seq <= c.top && c.at < e.seq && (!still || member.Since.Seq >= e.seq) {
			return true
		}
	}
	return false
}
