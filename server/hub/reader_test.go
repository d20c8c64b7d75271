package hub_test

import (
	"cmp"
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
	listener
	world   *world
	variant string

	session            *hub.Session
	node               *worldNode     // where it reads
	last               *hub.Session   // the one before, if it has not come again since
	came               came           // how that came
	objects            []*modelClient // the clients the session is, or was, attached to
	at                 hub.Position   // what it would show as its cursor
	from               hub.Position   // the same when its session began
	gone               bool           // one of its clients does not exist
	connecting         bool           // nothing else happens while it attaches
	revoked, dismissed bool           // its session must hear that it is
	writable           uint64         // the log's top when the session could last take something
	top                uint64         // of the log when it was collected what comes now; 0: now
	more               bool           // the last batch was not all there was

	// What it knows, of this epoch; what is up to floor was judged when one of
	// its clients was somebody else.
	floor    uint64
	epoch    uint64
	heard    map[uint64]bool // all it has ever had
	got      []*hub.Message  // since floor
	gaps     []span
	resyncs  []span // channels whose notices it cannot be sure of, up to where
	cancels  []cancel
	skips    []skip
	ids      map[string]*numbering
	excused  map[uint64]bool // evicted before it had ever read: the window's end, not a hole
	attached bool            // it has had a whole batch, or came with a position
	fresh    bool            // its session began without a position, and has had no whole batch
}

// came is how a session came.
type came struct {
	hub       *hub.Hub
	objects   []*modelClient
	creds     []hub.Credentials
	namespace string
	unlisted  bool
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

// hangUp ends the connection.
func (r *reader) hangUp() {
	r.revoked, r.dismissed, r.more = false, false, false
	if r.session == nil {
		return
	}
	r.session.Close()
	r.last, r.session = r.session, nil
	for _, c := range r.objects {
		c.attached--
		c.seen = time.Now()
	}
}

// reached is up to where the reader has everything, of this epoch.
func (r *reader) reached() uint64 {
	if r.at.Epoch != r.world.hub.Position().Epoch {
		return 0
	}
	return r.at.Seq
}

// find returns the clients of these names, nil if one does not exist.
func (m *model) find(ids []string) (clients []*modelClient) {
	for _, id := range ids {
		if m.clients[id] == nil {
			return nil
		}
		clients = append(clients, m.clients[id])
	}
	return clients
}

// connect attaches if need be, and reports whether that was possible.
func (r *reader) connect() bool {
	if r.session != nil {
		return true
	}
	w := r.world
	objects := w.model.find(r.clients)
	var creds []hub.Credentials
	for _, id := range r.clients {
		creds = append(creds, hub.Credentials{ID: id, Key: w.keys[id]})
	}
	r.connecting = true
	defer func() { r.connecting = false }()
	s, err := r.renew(objects, creds)
	if s == nil {
		r.node = w.anyNode(false)
		s, err = r.node.Attach(context.Background(), creds, hub.Start{At: r.at, Namespace: r.namespace, Unlisted: r.unlisted})
	}
	if objects == nil {
		if !errors.Is(err, hub.ErrBadCredentials) {
			w.t.Fatalf("attach to nobody: %v", err)
		}
		r.gone = true
		return false
	}
	if err != nil {
		w.t.Fatalf("attach: %v", err)
	}
	r.writable = w.model.top
	r.become(objects)
	for _, c := range objects {
		if c.away {
			w.model.revive(c)
		}
		c.attached++
		c.seen = time.Now()
	}
	r.session, r.from, r.fresh, r.gone = s, r.at, r.at.IsZero(), false
	return true
}

// renew has the reader come again as it came last, every other time, if it can.
func (r *reader) renew(objects []*modelClient, creds []hub.Credentials) (*hub.Session, error) {
	w, last, as := r.world, r.last, r.came
	r.last, r.came = nil, came{w.hub, objects, creds, r.namespace, r.unlisted}
	if last == nil || w.count > 1 || as.hub != w.hub || as.namespace != r.namespace || as.unlisted != r.unlisted || len(as.creds) == 0 ||
		as.creds[0].ID != r.clients[0] || len(as.creds) != len(r.clients) || w.draw(2) == 0 {
		return nil, nil
	}
	want := len(objects) == 1 && objects[0] == as.objects[0] && !objects[0].away && creds[0] == as.creds[0]
	s, ok := last.Renew(r.at)
	if ok != want {
		w.t.Fatalf("renewed: %v, want %v", ok, want)
	}
	return s, nil
}

// become has the reader go on with these clients.
func (r *reader) become(objects []*modelClient) {
	epoch := r.world.hub.Position().Epoch
	switch {
	case r.epoch != epoch:
		r.floor, r.heard, r.excused = 0, map[uint64]bool{}, map[uint64]bool{}
		r.gaps, r.resyncs, r.cancels, r.skips = nil, nil, nil, nil
		r.ids = map[string]*numbering{}
	case slices.Equal(r.objects, objects):
		return
	default:
		r.judge(r.reached())
		r.floor = r.reached()
	}
	r.got = nil
	r.objects, r.epoch, r.attached = objects, epoch, !r.at.IsZero()
}

// read takes one batch, or as much of it as the connection carries.
func (r *reader) read() {
	if !r.connect() {
		return
	}
	w := r.world
	if !r.more && w.draw(8) == 0 {
		r.takes()
	}
	w.t.Logf("collect at %d", r.at.Seq)
	revoked, dismissed := r.revoked, r.dismissed
	if w.count > 1 {
		r.node.broker.Step(w.draw(4))
	}
	b := r.session.Collect()
	if drain := hasSignal(b, hub.SignalDrain); dismissed && !drain || drain && !r.dismissed {
		w.t.Fatalf("dismissed %v, and hears %+v", dismissed, b.Signals)
	}
	if revoked && !dismissed && (len(b.Messages) > 0 || !hasSignal(b, hub.SignalGone)) {
		w.t.Fatalf("its key is void, and it hears %+v", b)
	}
	for _, m := range b.Messages {
		r.mustBeHeard(m)
		if b.Position.Epoch == r.from.Epoch && m.Seq <= r.from.Seq {
			w.t.Fatalf("it came at %d, and hears %d again", r.from.Seq, m.Seq)
		}
	}
	w.t.Logf("collected %d signals, %d messages, to %d", len(b.Signals), len(b.Messages), b.Position.Seq)
	whole := r.receive(&b)
	if !slices.Equal(w.model.find(r.clients), r.objects) {
		// Killed meanwhile. It is told so now or when it comes back.
		r.gone = whole && hasSignal(b, hub.SignalGone)
		r.hangUp()
		return
	}
	if !whole {
		r.hangUp()
		return
	}
	r.commit(&b)
}

// commit takes note that all of the batch has come.
func (r *reader) commit(b *hub.Batch) {
	w := r.world
	r.session.Commit()
	r.fresh, r.more = false, b.More
	drain, gone := hasSignal(*b, hub.SignalDrain), hasSignal(*b, hub.SignalGone)
	if drain || gone {
		if !r.session.Ended() && (drain || len(r.clients) == 1) {
			w.t.Fatalf("the session has not ended after %+v", b.Signals)
		}
		r.hangUp()
		return
	}
	r.attached = true
	if !b.More {
		r.hasVolatile(b.Position.Seq)
		w.interrupt() // it takes its time to take what it was given
		r.takes()
	}
	if !w.ending && w.draw(8) == 0 {
		r.hangUp()
	}
}

// takes says that the reader can take something from now on.
func (r *reader) takes() {
	r.session.Writable()
	r.writable = r.world.model.top
}

func hasSignal(b hub.Batch, kind hub.SignalType) bool {
	return slices.ContainsFunc(b.Signals, func(s hub.Signal) bool { return s.Type == kind })
}

// receive takes the batch piece by piece and reports whether all of it came:
// anywhere between two pieces the connection may break.
func (r *reader) receive(b *hub.Batch) bool {
	w := r.world
	r.excuse()
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
	r.reach(b.Position)
	return true
}

// excuse takes note of what was lost before the reader had ever read.
func (r *reader) excuse() {
	if r.attached {
		return
	}
	for _, e := range r.world.model.events {
		if e.evicted || e.deleted {
			r.excused[e.seq] = true
		}
	}
}

// reach has the reader be where a batch ends.
func (r *reader) reach(at hub.Position) {
	switch {
	case at.IsZero():
	case at.Epoch == r.at.Epoch:
		r.at.Seq = max(r.at.Seq, at.Seq)
	default:
		r.at = at
	}
}

// takeWhole takes a batch that has come by a connection, which was collected when
// the log's top was r.top.
func (r *reader) takeWhole(b *hub.Batch) {
	r.excuse()
	for _, take := range r.pieces(b) {
		take()
	}
	r.reach(b.Position)
	r.fresh, r.attached = false, true
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
		pieces = append(pieces, func() { r.number(m); r.got, r.heard[m.Seq] = append(r.got, m), true; moved(m.Seq) })
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
	top := cmp.Or(r.top, r.world.model.top)
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
		if r.unlisted {
			r.world.t.Fatalf("it has no use for %+v", s)
		}
		r.cancels = append(r.cancels, cancel{s.Channels, r.seq(b), top})
		for name, m := range s.Channels {
			n := r.ids[name]
			switch {
			case n == nil || n.since < m.Since.Seq && m.Since.Seq >= r.seq(b):
				n = &numbering{since: m.Since.Seq, last: m.ID, skips: map[uint64]bool{}}
				r.ids[name] = n
			case n.since < m.Since.Seq: // another of its clients, which was there already
				n.since = m.Since.Seq
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
		return e.channel == s.Channel && e.id == s.ID && e.kind == message && (r.isNot(e) || r.hearsElsewhere(e))
	}) {
		r.world.t.Fatalf("id %d of %s is for this reader, and it is told otherwise", s.ID, s.Channel)
	}
}
