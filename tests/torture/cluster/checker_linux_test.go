package cluster

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// A position as it is on the wire.
type position struct {
	epoch string
	seq   uint64
}

func (p position) none() bool { return p.epoch == "" }

func (p position) String() string {
	if p.none() {
		return ""
	}
	return p.epoch + "." + strconv.FormatUint(p.seq, 10)
}

func (p *position) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	epoch, seq, ok := strings.Cut(text, ".")
	n, err := strconv.ParseUint(seq, 10, 64)
	if !ok || len(epoch) != 16 || err != nil {
		return fmt.Errorf("%s is no position", b)
	}
	*p = position{epoch, n}
	return nil
}

type message struct {
	Channel string          `json:"channel"`
	ID      uint64          `json:"id"`
	Pos     position        `json:"pos"`
	Data    json.RawMessage `json:"data"`
}

type signal struct {
	Type     string `json:"type"`
	Channel  string `json:"channel"`
	Channels map[string]struct {
		Since position `json:"since"`
		ID    uint64   `json:"id"`
	} `json:"channels"`
	Joined string   `json:"joined"`
	Left   string   `json:"left"`
	From   position `json:"from"`
	To     position `json:"to"`
	Reason string   `json:"reason"`
	Resync bool     `json:"resync"`
	ID     uint64   `json:"id"`
	Cursor position `json:"cursor"`
	Client string   `json:"client"`
}

type batch struct {
	Cursor   position  `json:"cursor"`
	Signals  []signal  `json:"signals"`
	Messages []message `json:"messages"`
	Error    *struct {
		Code int    `json:"code"`
		Type string `json:"type"`
	} `json:"error"`
}

// A seat is what a reader knows of one of its channels, and what it has heard.
type seat struct {
	*channel
	on    bool
	since uint64
	id    uint64 // of the last message, or of the last before it began
	seq   uint64 // where that is
	known []uint64
	holes uint64 // up to here ids may be missing
	any   bool   // the next message may have any id
	heard marks
	spans []span // the reader has all of these,
	lost  []span // but for what was announced as lost
	asOf  int64  // when the membership was told, µs
}

// A checker is a verified reader's memory. It is of the reader's goroutine, and of
// the verdict's when that has ended.
type checker struct {
	*world
	client *client
	shown  string // the key that the reader has come with
	told   []byte // the last that has come
	at     position
	place
	seats     map[string]*seat
	again     bool           // it is of Socket.IO, and may hear again in another epoch what it has heard
	rolled    map[int]uint64 // what it had of former epochs beyond this was lost
	gone      bool           // the client was unknown: what is known of it is void
	anew      int            // of epochs before this one the reader has come as another client
	lastWords atomic.Int32

	loose bool // in this batch ids may be missing: it is the first, or of another life
}

func newChecker(w *world, c *client) *checker {
	k := &checker{world: w, client: c, seats: make(map[string]*seat)}
	for _, ch := range c.channels {
		k.seats[ch.name] = &seat{channel: ch}
	}
	return k
}

func (c *checker) find(format string, args ...any) {
	c.journal.find("%s at %v: %s; it was told %.1000s", c.client.id, c.at, fmt.Sprintf(format, args...), c.told)
}

// signal takes what no message tells. The batch goes up to cursor.
func (c *checker) signal(s *signal, cursor position) {
	st := c.seats[s.Channel]
	switch s.Type {
	case "reset":
		c.reset(s)
	case "channels":
		c.channels(s)
	case "gap":
		c.gap(st, s)
	case "presence":
		if st != nil && s.ID > 0 {
			st.known = append(st.known, s.ID)
		}
		if st != nil && s.Resync {
			st.holes = max(st.holes, s.To.seq, cursor.seq)
		}
	case "skip":
		if st != nil {
			st.known = append(st.known, s.ID)
		}
	case "gone":
		c.gone = true
		c.client.lost(c.world, c.shown)
	}
}

// reset has the reader go on in another life of the log.
func (c *checker) reset(s *signal) {
	epoch := c.epochs.of(s.Cursor.epoch)
	switch {
	case c.at.none():
		c.find("a reset to %v of a reader that was nowhere", s.Cursor)
	case epoch == c.epoch:
		c.find("a reset to %v in the same epoch", s.Cursor)
	case epoch < c.epoch:
		c.find("a reset to %v, an epoch that is over", s.Cursor)
	}
	c.journal.note("reset")
	if c.rolled == nil {
		c.rolled = make(map[int]uint64)
	}
	c.rolled[c.epoch] = s.Cursor.seq
	for e := range c.rolled {
		c.rolled[e] = min(c.rolled[e], s.Cursor.seq)
	}
	c.at, c.place, c.loose = s.Cursor, place{epoch, s.Cursor.seq}, true
	for _, st := range c.seats {
		st.id, st.seq, st.known = 0, s.Cursor.seq, nil
		st.any = true
	}
}

// channels says where the reader is, and since when.
func (c *checker) channels(s *signal) {
	missing := false
	for name, st := range c.seats {
		m, on := s.Channels[name]
		if !on {
			missing = true
			st.on = false
			continue
		}
		if st.on && m.Since.seq == st.since {
			continue
		}
		fresh := !st.on
		st.on, st.since, st.asOf = true, m.Since.seq, c.now()
		if fresh || m.Since.seq > st.seq {
			st.id, st.seq, st.known = m.ID, m.Since.seq, nil
			if !c.at.none() {
				st.any = true
			}
		}
		c.client.judge(c, st.channel, m.Since)
	}
	for name := range s.Channels {
		if c.seats[name] == nil {
			c.find("it is said to be on %s", name)
		}
	}
	if missing {
		c.client.missing(c.world)
	}
}

// gap enters a hole that was announced, and looks for its reason.
func (c *checker) gap(st *seat, s *signal) {
	if st == nil {
		c.find("a gap of %s, which it is not on", s.Channel)
		return
	}
	p := place{c.epochs.of(s.To.epoch), s.To.seq}
	st.lost = append(st.lost, span{p.epoch, s.From.seq, s.To.seq})
	st.holes = max(st.holes, s.To.seq)
	n, begun := st.after(p)
	age := time.Duration(c.now()-begun) * time.Microsecond
	good := false
	switch s.Reason {
	case "count":
		good = st.keeps > 0 && (n < 0 || n >= st.keeps-st.slack())
	case "age":
		good = n < 0 || age > c.plan.window*9/10
	case "memory", "bytes":
		good = c.journal.explained(squeezes)
	default:
		good = c.journal.explained(coldNode | endsEpoch)
	}
	if !good && c.journal.explained(endsEpoch) {
		good = true // the log itself has lost it
	}
	c.journal.note("gap: " + s.Reason)
	if !good {
		c.find("a false gap of %s from %v to %v (%s): %d messages and %v later", s.Channel, s.From, s.To, s.Reason, n, age)
	}
}

// slack is how many numbers may be given out and not said yet.
func (c *channel) slack() int { return c.keeps / 4 }

// message takes one. It reports whether the reader had it already.
func (c *checker) message(m *message) (again bool) {
	epoch := c.epochs.of(m.Pos.epoch)
	st := c.seats[m.Channel]
	switch {
	case st == nil || !st.on:
		c.find("a message of %s, which it is not on", m.Channel)
		return false
	case c.at.none() || epoch != c.epoch:
		if !c.at.none() {
			c.find("a message at %v, and nothing tells of another epoch", m.Pos)
		}
		c.epoch = epoch
	case m.Pos.seq <= c.seq:
		return true
	}
	var text string
	if err := json.Unmarshal(m.Data, &text); err != nil {
		c.find("a message is %.80s: %v", m.Data, err)
		return false
	}
	number, n, begun, err := readBody(text)
	if err != nil || number != st.number {
		c.find("on %s: %v (channel %d)", m.Channel, err, number)
		return false
	}
	c.number(st, m)
	c.enter(st, place{epoch, m.Pos.seq}, n, m.ID)
	c.figures.heard(c.now(), begun, c.journal.quiet.Load())
	return false
}

// enter notes that the reader has heard a message.
func (c *checker) enter(st *seat, p place, n int, id uint64) {
	s, err := st.at(p, n, id)
	switch {
	case err != nil:
		c.find("%v", err)
		return
	case outcome(s.outcome.Load()) == refused:
		c.find("message %d of %s was refused, and comes", n, st.name)
	case st.heard.has(n):
		c.repeat(st, p, n)
	}
	s.heard.Store(true)
	if !st.heard.has(n) && int64(n)+1 == st.last.Load() {
		c.lastWords.Add(1)
	}
	st.heard.set(n)
}

// repeat looks at a message that comes again. That may be only where the log has
// lost it meanwhile: it was said again then.
func (c *checker) repeat(st *seat, p place, n int) {
	first, ok := st.firstPlace(n)
	lost, rolled := c.rolled[first.epoch]
	switch {
	case ok && first.epoch < p.epoch && rolled && first.seq > lost:
		c.journal.note("said again in another epoch, since its own had lost it")
	case ok && first.epoch < p.epoch && first.epoch < c.anew:
		c.journal.note("said again in another epoch, to a client that was made again")
	case ok && first.epoch < p.epoch && c.again:
		c.journal.note("Socket.IO: heard again in another epoch")
	default:
		c.find("message %d of %s comes a second time, at %v after %v (the epoch was rolled back to %d)", n, st.name, p, first, lost)
	}
}

// number checks that ids have no hole that was not announced.
func (c *checker) number(st *seat, m *message) {
	strict := st.holes <= st.seq && !st.any && !c.loose && !c.again
	for id := st.id + 1; id < m.ID && strict; id++ {
		if !slices.Contains(st.known, id) {
			c.find("%s: id %d at %v follows id %d at %d; nothing announces a hole", st.name, m.ID, m.Pos, st.id, st.seq)
			break
		}
	}
	if m.ID <= st.id && strict {
		c.find("%s: id %d after %d", st.name, m.ID, st.id)
	}
	st.id, st.seq, st.any = m.ID, m.Pos.seq, false
	st.known = slices.DeleteFunc(st.known, func(id uint64) bool { return id <= m.ID })
}

// move has the reader stand at a cursor: it has all up to there.
func (c *checker) move(to position) {
	epoch := c.epochs.of(to.epoch)
	if c.at.none() {
		c.epoch, c.seq = epoch, 0
	}
	switch {
	case epoch != c.epoch:
		c.find("the cursor goes to %v, and nothing tells of another epoch", to)
		c.epoch, c.seq = epoch, to.seq
	case to.seq < c.seq:
		c.find("the cursor goes back to %v", to)
	}
	first := c.at.none()
	for _, st := range c.seats {
		if first || c.loose {
			st.holes = max(st.holes, to.seq)
		}
		if st.on {
			st.cover(epoch, max(c.seq, st.since), to.seq)
			if first && (st.keeps > 0 || c.now()-st.asOf > c.plan.window.Microseconds()/2) {
				st.lost = append(st.lost, span{epoch, 0, to.seq}) // the first answer does not tell of what was gone before
			}
		}
	}
	c.at, c.seq = to, to.seq
}

// cover notes that the reader has all of a part of the log.
func (st *seat) cover(epoch int, from, to uint64) {
	if from >= to {
		return
	}
	if n := len(st.spans); n > 0 {
		if last := &st.spans[n-1]; last.epoch == epoch && last.to == from {
			last.to = to
			return
		}
	}
	st.spans = append(st.spans, span{epoch, from, to})
}

// batch takes a whole batch.
func (c *checker) batch(b *batch) {
	c.loose = c.at.none()
	for i := range b.Signals {
		c.signal(&b.Signals[i], b.Cursor)
	}
	last := uint64(0)
	for i := range b.Messages {
		m := &b.Messages[i]
		if m.Pos.seq <= last {
			c.find("message at %v comes after %d", m.Pos, last)
		}
		last = m.Pos.seq
		if c.message(m) {
			c.journal.note("repeat dropped")
		}
	}
	if !b.Cursor.none() && !c.gone {
		c.move(b.Cursor)
	}
	c.loose = false
}

// forget begins anew: the client was unknown, and is somebody else now.
func (c *checker) forget() {
	c.anew = c.epoch + 1
	c.at, c.place, c.gone = position{}, place{}, false
	for _, st := range c.seats {
		st.on, st.id, st.seq, st.since, st.holes, st.known, st.any = false, 0, 0, 0, 0, nil, false
	}
}
