package handlers_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
)

// A ledger has what a backend was told, of all its connections and of all its
// lives. It may be used by many goroutines.
type ledger struct {
	mu     sync.Mutex         // guards all below
	lives  map[string][]*told // calls about a socket, as they came
	calls  map[uint64]*told   // by their serials; of one that came again the first
	epoch  string
	faults []string
}

func newLedger() *ledger {
	return &ledger{lives: make(map[string][]*told), calls: make(map[uint64]*told)}
}

// told is a call that has come.
type told struct {
	ID     string
	Method string
	Params struct {
		Serial                   uint64
		Epoch, Time, SID, Reason string
		Args                     []json.RawMessage
	}
	n        int    // of an event
	by       string // who has heard it
	answered bool   // properly; guarded by the ledger
}

// readCall reads a call of JSON-RPC.
func readCall(text []byte) (*told, error) {
	c := &told{n: -1}
	if err := json.Unmarshal(text, c); err != nil {
		return nil, fmt.Errorf("the call %.200q: %w", text, err)
	}
	p := &c.Params
	switch {
	case c.ID == "" || p.SID == "" || p.Serial == 0 || p.Epoch == "" || p.Time == "":
		return nil, fmt.Errorf("the call %.200q lacks something", text)
	case c.Method == "event":
		if err := json.Unmarshal(p.Args[0], &c.n); err != nil {
			return nil, err
		}
	case c.Method != "connect" && c.Method != "disconnect":
		return nil, fmt.Errorf("a call of %q", c.Method)
	}
	p.Args, p.Time = nil, "" // there are many calls
	return c, nil
}

func (c *told) String() string {
	return fmt.Sprintf("%s of %s, event %d, serial %d", c.Method, c.Params.SID, c.n, c.Params.Serial)
}

// note notes a call. Only notifications come again.
func (l *ledger) note(c *told) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sid := c.Params.SID
	l.lives[sid] = append(l.lives[sid], c)
	if l.epoch == "" {
		l.epoch = c.Params.Epoch
	}
	if c.Params.Epoch != l.epoch {
		l.faultLocked("there are two epochs, %s and %s", l.epoch, c.Params.Epoch)
	}
	before := l.calls[c.Params.Serial]
	switch {
	case before == nil:
		l.calls[c.Params.Serial] = c
	case before.String() != c.String():
		l.faultLocked("two calls have one serial: %v; %v", before, c)
	case c.Method != "disconnect":
		l.faultLocked("it came again: %v", c)
	case len(c.ID) == len("00000000-0000-0000-0000-000000000000") && c.ID != before.ID: // of a webhook
		l.faultLocked("it came again with another id: %v", c)
	}
}

// answered notes that a call was answered.
func (l *ledger) answered(c *told) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.answered = true
}

// fault notes what is wrong at once.
func (l *ledger) fault(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faultLocked(format, args...)
}

func (l *ledger) faultLocked(format string, args ...any) {
	if len(l.faults) < 10 {
		l.faults = append(l.faults, fmt.Sprintf(format, args...))
	}
}

// life returns a copy of what was heard of a socket.
func (l *ledger) life(sid string) []told {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]told, len(l.lives[sid]))
	for i, c := range l.lives[sid] {
		all[i] = *c
	}
	return all
}

// heard counts the calls of a method, each once, that were answered.
func (l *ledger) heard(method string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := make(map[uint64]bool)
	for _, life := range l.lives {
		for _, c := range life {
			if c.Method == method && c.answered {
				seen[c.Params.Serial] = true
			}
		}
	}
	return len(seen)
}

// last is the highest serial that was heard.
func (l *ledger) last() (last uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for serial := range l.calls {
		last = max(last, serial)
	}
	return last
}

// holes are the serials behind one that were not heard.
func (l *ledger) holes(after uint64) (all []uint64) {
	last := l.last()
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := after + 1; n < last; n++ {
		if l.calls[n] == nil {
			all = append(all, n)
		}
	}
	return all
}

// judge wants each socket of the crowd to have been answered all it has said, in
// order, and the backend to have heard of it in that order. strict wants the
// backend to have heard of it in order even what it did not answer.
func (l *ledger) judge(t testing.TB, c *crowd, strict bool) {
	t.Helper()
	l.mu.Lock()
	faults := slices.Clone(l.faults)
	l.mu.Unlock()
	for _, s := range c.sockets {
		faults = append(faults, l.judgeOne(s, strict)...)
	}
	if len(faults) > 0 {
		t.Errorf("%d faults, first: %q", len(faults), faults[:min(10, len(faults))])
	}
}

func (l *ledger) judgeOne(s *socket, strict bool) (faults []string) {
	fault := func(format string, args ...any) {
		faults = append(faults, s.sid+": "+fmt.Sprintf(format, args...))
	}
	acks, ended := s.state()
	if ended != nil && !s.gone {
		fault("it has ended: %v", ended)
	}
	for i, a := range acks {
		if a.n != i {
			fault("its %d. answer is to %d", i, a.n)
			return faults
		}
	}
	if len(acks) != s.said && !s.gone {
		fault("it has said %d and was answered %d", s.said, len(acks))
	}
	life := l.life(s.sid)
	if len(life) == 0 || life[0].Method != "connect" || !life[0].answered {
		fault("it did not begin by connect: %v", life)
		return faults
	}
	faults = append(faults, judgeEvents(s, acks, life, strict)...)
	left := slices.IndexFunc(life, func(c told) bool { return c.Method == "disconnect" })
	switch {
	case left >= 0 != s.gone:
		fault("gone: %t; disconnect: the %d. of %v", s.gone, left, life)
	case left >= 0:
		for _, c := range life[left:] {
			if c.Method != "disconnect" || c.Params.Serial != life[left].Params.Serial {
				fault("after it was gone: %v", &c)
			}
		}
	}
	return faults
}

// judgeEvents looks at what was heard of a socket's events.
func judgeEvents(s *socket, acks []ack, life []told, strict bool) (faults []string) {
	last, heard, answered := -1, make(map[int]bool), make(map[int]bool)
	for _, c := range life {
		if c.Method != "event" {
			continue
		}
		if heard[c.n] {
			faults = append(faults, fmt.Sprintf("%s: %d was heard twice", s.sid, c.n))
		}
		heard[c.n] = true
		counts := strict || c.n < len(acks) && acks[c.n].kind == ""
		if counts && c.n <= last {
			faults = append(faults, fmt.Sprintf("%s: %d was heard after %d", s.sid, c.n, last))
		}
		if counts {
			last = c.n
		}
		answered[c.n] = answered[c.n] || c.answered
	}
	for _, a := range acks {
		if a.kind == "" && !answered[a.n] {
			faults = append(faults, fmt.Sprintf("%s: nobody has answered %d, and it was told an answer", s.sid, a.n))
		}
	}
	return faults
}
