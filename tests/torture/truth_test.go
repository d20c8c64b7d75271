package torture

import (
	"slices"
	"sync"
	"sync/atomic"
)

// truth is what the backend knows to have happened. The verdict compares with
// it what readers have got.
//
// Its clock ticks at every note, so that of two things it can be told which
// was over before the other began.
type truth struct {
	clock atomic.Int64

	mu     sync.Mutex // guards all below
	said   map[int]*saying
	acked  int
	stays  []*stay
	lives  []*life
	ends   []ending
	faults []string // what the backend itself found wrong
}

func (w *truth) tick() int64 { return w.clock.Add(1) }

// A saying is one numbered message that the backend has tried to publish.
type saying struct {
	n       int
	channel string
	pad     string
	exclude []string
	begun   int64    // before the first attempt
	pos     position // where it is; none as long as nobody has said so
	id      uint64
}

// charge is what a message counts for in a window of bytes.
func (s *saying) charge() int {
	size := len(`"back"`) + len(`{"n":,"pad":""}`) + len(s.pad) + digits(s.n) + 256
	for _, id := range s.exclude {
		size += len(id) + 16
	}
	return size
}

func digits(n int) (d int) {
	for d = 1; n >= 10; n /= 10 {
		d++
	}
	return d
}

// A stay is one membership of a client.
type stay struct {
	client, channel string
	at              position // of its joining
	leaving         int64    // before it was asked to end; 0: never
	left            int64    // after it had ended
}

// A life is one run of the server.
type life struct {
	epoch string
	died  int64 // after it was over; 0: it is not
}

// An ending is a channel that was deleted.
type ending struct {
	channel string
	at      position
}

func newTruth() *truth { return &truth{said: make(map[int]*saying)} }

// saying notes that something is about to be published.
func (w *truth) saying(s *saying) {
	s.begun = w.tick()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said[s.n] = s
}

// ack notes where a message is, and returns how many are acknowledged.
func (w *truth) ack(s *saying, pos position, id uint64) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !s.pos.none() && (s.pos != pos || s.id != id) {
		w.faults = append(w.faults, "a repeated publish is somewhere else than the first")
	}
	s.pos, s.id = pos, id
	w.acked++
	return w.acked
}

func (w *truth) joined(client, channel string, at position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stays = append(w.stays, &stay{client: client, channel: channel, at: at})
}

// end has stays end by what do does; the filter says which.
func (w *truth) end(which func(*stay) bool, do func() error) error {
	w.mu.Lock()
	epoch := w.lives[len(w.lives)-1].epoch
	var ending []*stay
	for _, s := range w.stays {
		if s.left == 0 && s.at.epoch == epoch && which(s) {
			ending = append(ending, s)
		}
	}
	w.mark(ending, func(s *stay, now int64) { s.leaving = now })
	w.mu.Unlock()
	err := do()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mark(ending, func(s *stay, now int64) { s.left = now })
	return err
}

func (w *truth) mark(stays []*stay, how func(*stay, int64)) {
	now := w.tick()
	for _, s := range stays {
		how(s, now)
	}
}

// isOn reports whether the client is on the channel now, as far as is known.
func (w *truth) isOn(client, channel string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	epoch := w.lives[len(w.lives)-1].epoch
	return slices.ContainsFunc(w.stays, func(s *stay) bool {
		return s.client == client && s.channel == channel && s.left == 0 && s.at.epoch == epoch
	})
}

func (w *truth) born(epoch string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lives = append(w.lives, &life{epoch: epoch})
}

func (w *truth) died() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lives[len(w.lives)-1].died = w.tick()
}

func (w *truth) deleted(channel string, at position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends = append(w.ends, ending{channel, at})
}
