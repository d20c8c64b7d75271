package browser

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// A position is a place in the log of one life of the server.
type position struct {
	epoch string
	seq   uint64
}

func parsePosition(text string) (position, error) {
	epoch, number, ok := strings.Cut(text, ".")
	seq, err := strconv.ParseUint(number, 10, 64)
	if !ok || err != nil || len(epoch) != 16 {
		return position{}, fmt.Errorf("%q is no position", text)
	}
	return position{epoch, seq}, nil
}

func (p *position) UnmarshalText(text []byte) (err error) {
	*p, err = parsePosition(string(text))
	return err
}

func (p position) none() bool     { return p.epoch == "" }
func (p position) String() string { return fmt.Sprintf("%.4s….%d", p.epoch, p.seq) }

// A saying is one numbered message that the publisher has tried to say.
type saying struct {
	channel string
	n       int // its number in the channel: 1, 2, 3, …
	pad     int // how many bytes come with it
	life    int // of the server, when it was tried
	pos     position
	id      uint64
}

// acknowledged reports whether the server has said where it is. Of the others
// nobody knows whether they are anywhere.
func (s *saying) acknowledged() bool { return !s.pos.none() }

// The truth is what the backend knows to have happened.
type truth struct {
	mu      sync.Mutex // guards all below
	said    map[string][]*saying
	lives   []string                       // epochs; all but the last one are over
	entered map[string]map[string]position // by epoch and channel: since when the client is on
	faults  []string                       // what the backend itself found wrong
}

func newTruth() *truth {
	return &truth{said: make(map[string][]*saying), entered: make(map[string]map[string]position)}
}

// life is the index of an epoch, or -1.
func (tr *truth) life(epoch string) int {
	for i, e := range tr.lives {
		if e == epoch {
			return i
		}
	}
	return -1
}

// find is the saying of this number, or nil.
func (tr *truth) find(channel string, n int) *saying {
	if all := tr.said[channel]; n >= 1 && n <= len(all) {
		return all[n-1]
	}
	return nil
}

// An entry is what a page noted when it was told something.
type entry struct {
	Kind    string   `json:"k"` // message, gap, gone, state, load, connect, frozen, hidden
	Channel string   `json:"c"`
	N       int      `json:"n"`
	ID      uint64   `json:"i"`
	Pos     position `json:"p"`
	Pad     int      `json:"x"`
	From    position `json:"f"`
	To      position `json:"t"`
	Text    string   `json:"w"` // the reason of a gap, the name of a state
	By      string   `json:"by"`
}

func (e entry) String() string {
	return strings.TrimSpace(fmt.Sprintln(e.Kind, e.Channel, e.N, e.Pos, e.From, e.To, e.Text, e.By))
}

// A hole is what is after from, up to to, of one channel or of all.
type hole struct {
	channel  string
	from, to position
}

// A verdict goes through what one page has noted. It shares nothing with the
// page, nor with what the page uses.
type verdict struct {
	*truth
	findings []string
	at       int // the entry
	first    int // the entry of the first finding; -1: none
	received map[*saying]bool
	numbers  map[string]int // the last of each channel
	last     position
	holes    []hole
	figures  map[string]int
}

// mostFindings is as many as are told.
const mostFindings = 20

// judge says all that is wrong, and counts what happened. The promise: every
// acknowledged number once and in order, or inside an announced hole; nothing
// else; and no hole but where the server has lost its memory.
func judge(tr *truth, record []entry) *verdict {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	v := &verdict{truth: tr, first: -1, received: make(map[*saying]bool), numbers: make(map[string]int), figures: make(map[string]int)}
	for _, f := range tr.faults {
		v.find("the backend: %s", f)
	}
	for i := range record {
		v.at = i
		switch e := &record[i]; e.Kind {
		case "message":
			v.message(e)
		case "gap":
			v.gap(e)
		default:
			v.figures[e.Kind]++
		}
	}
	v.missing()
	return v
}

func (v *verdict) find(format string, args ...any) {
	if v.first < 0 {
		v.first = v.at
	}
	if len(v.findings) < mostFindings {
		v.findings = append(v.findings, fmt.Sprintf(format, args...))
	}
}

// message checks one that the page was told.
func (v *verdict) message(e *entry) {
	name := fmt.Sprintf("%s %d at %v", e.Channel, e.N, e.Pos)
	s := v.truth.find(e.Channel, e.N)
	life := v.life(e.Pos.epoch)
	switch {
	case s == nil || life < 0:
		v.find("%s was never said", name)
		return
	case s.acknowledged() && (e.Pos != s.pos || e.ID != s.id):
		v.find("%s with id %d is not where it was said, which is %v with id %d", name, e.ID, s.pos, s.id)
	case life < s.life:
		v.find("%s comes from before it was said", name)
	case e.Pad != s.pad:
		v.find("%s has been changed", name)
	}
	if v.received[s] {
		v.find("%s is told twice", name)
	} else if e.N < v.numbers[e.Channel] {
		v.find("%s comes after number %d", name, v.numbers[e.Channel])
	}
	if !v.last.none() && !v.after(e.Pos, v.last) {
		v.find("%s comes after %v", name, v.last)
	}
	for _, h := range v.holes {
		if h.of(e.Channel) && v.after(e.Pos, h.from) && !v.after(e.Pos, h.to) {
			v.find("%s comes although it was said to be lost: a false hole from %v to %v", name, h.from, h.to)
		}
	}
	v.received[s] = true
	v.numbers[e.Channel] = max(v.numbers[e.Channel], e.N)
	v.last = e.Pos
	v.figures["received"]++
}

// gap checks a hole that the page was told of: there are none but those of a
// server that has died, and they begin where the page was.
func (v *verdict) gap(e *entry) {
	h := hole{e.Channel, e.From, e.To}
	from, to := v.life(e.From.epoch), v.life(e.To.epoch)
	if e.Text != "reset" || from < 0 || to <= from {
		v.find("a false hole of %q from %v to %v: %s", e.Channel, e.From, e.To, e.Text)
		return
	}
	for _, told := range v.holes {
		if told == h {
			return // it may be told again
		}
	}
	if !v.last.none() && v.after(v.last, h.from) {
		v.find("a false hole of %q from %v to %v: %v was heard already", e.Channel, e.From, e.To, v.last)
	}
	v.holes = append(v.holes, h)
	v.figures["holes"]++
}

// missing looks for what was acknowledged and did not come.
func (v *verdict) missing() {
	for channel, all := range v.said {
		for _, s := range all {
			switch {
			case v.received[s]:
				if !s.acknowledged() {
					v.figures["unknown, heard"]++
				}
			case !s.acknowledged():
				v.figures["unknown, not heard"]++
			case v.lost(s):
				v.figures["in holes"]++
			default:
				v.find("%s %d at %v is missing without a word", channel, s.n, s.pos)
			}
		}
	}
}

// lost reports whether s is in an announced hole. One that ends in a new life
// reaches to where the client was put on its channels again.
func (v *verdict) lost(s *saying) bool {
	for _, h := range v.holes {
		if !h.of(s.channel) || !v.after(s.pos, h.from) {
			continue
		}
		if !v.after(s.pos, h.to) {
			return true
		}
		since, entered := v.entered[h.to.epoch][s.channel]
		if s.pos.epoch == h.to.epoch && (!entered || s.pos.seq <= since.seq) {
			return true
		}
	}
	return false
}

// after reports whether a comes after b, also in a later life.
func (v *verdict) after(a, b position) bool {
	if a.epoch == b.epoch {
		return a.seq > b.seq
	}
	return v.life(a.epoch) > v.life(b.epoch)
}

func (h hole) of(channel string) bool { return h.channel == "" || h.channel == channel }
