package cluster

import (
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// An outcome is what a publisher knows of a message.
type outcome int32

const (
	unknown outcome = iota // it may have been said
	acknowledged
	refused // it has not been said
)

// A saying is one message of a channel.
type saying struct {
	publisher int
	tries     atomic.Int32
	outcome   atomic.Int32
	heard     atomic.Bool
	begun     int64 // µs since the world began
}

// A place is where a message is in the log: its epoch, by the order in which they
// were heard of, and its number.
type place struct {
	epoch int
	seq   uint64
}

func (p place) compare(q place) int {
	if p.epoch != q.epoch {
		return p.epoch - q.epoch
	}
	switch {
	case p.seq < q.seq:
		return -1
	case p.seq > q.seq:
		return 1
	}
	return 0
}

// A channel is one that verified readers are on, and all that was said there.
type channel struct {
	number int
	name   string
	keeps  int          // messages at most; 0: as many as its age allows
	last   atomic.Int64 // the number of the last word, and one more; 0: it is not said

	mu      sync.Mutex // guards all below
	sayings []*saying
	places  map[place]int // indexes of sayings
	ids     map[place]uint64
	members int
}

// say enters a message before it is published, and returns its number.
func (c *channel) say(publisher int, now int64) (int, *saying) {
	s := &saying{publisher: publisher, begun: now}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sayings = append(c.sayings, s)
	return len(c.sayings) - 1, s
}

func newChannel(number int, name string) *channel {
	return &channel{number: number, name: name, places: make(map[place]int), ids: make(map[place]uint64)}
}

// at enters where a message is, and which id it has. The error is that somebody
// else knows better.
func (c *channel) at(p place, n int, id uint64) (*saying, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n < 0 || n >= len(c.sayings) {
		return nil, fmt.Errorf("message %d was never said on %s", n, c.name)
	}
	if other, taken := c.places[p]; taken && other != n {
		return nil, fmt.Errorf("messages %d and %d of %s are both at %v", other, n, c.name, p)
	}
	if other, known := c.ids[p]; known && other != id {
		return nil, fmt.Errorf("message %d of %s at %v has the id %d here, and %d elsewhere", n, c.name, p, id, other)
	}
	c.places[p], c.ids[p] = n, id
	return c.sayings[n], nil
}

// firstPlace is where a message was first.
func (c *channel) firstPlace(n int) (first place, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, i := range c.places {
		if i == n && (!ok || p.compare(first) < 0) {
			first, ok = p, true
		}
	}
	return first, ok
}

// after is how many messages were said since the one at p, and when that was;
// -1: nobody knows what is there.
func (c *channel) after(p place) (n int, begun int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, known := c.places[p]
	if !known {
		return -1, 0
	}
	return len(c.sayings) - 1 - i, c.sayings[i].begun
}

// log is what is known of the channel's part of the log, in its order.
func (c *channel) log() []placed {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]placed, 0, len(c.places))
	for p, n := range c.places {
		all = append(all, placed{p, n, c.sayings[n]})
	}
	slices.SortFunc(all, func(a, b placed) int { return a.place.compare(b.place) })
	return all
}

// placed is a message and where it is.
type placed struct {
	place
	n int
	*saying
}

// body is what a message says: its channel, number and time, a filling, and a sum
// of all that.
func body(channel, n int, now int64, filling string) string {
	text := fmt.Sprintf("@%x.%x.%x.%s.", channel, n, now, filling)
	return text + fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(text)))
}

// readBody takes a body apart.
func readBody(text string) (channel, n int, begun int64, err error) {
	at := strings.LastIndexByte(text, '.') + 1
	if at == 0 || fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(text[:at]))) != text[at:] {
		return 0, 0, 0, fmt.Errorf("a message is damaged: %.80q", text)
	}
	fields := strings.SplitN(strings.TrimPrefix(text, "@"), ".", 4)
	var numbers [3]int64
	for i := range numbers {
		if numbers[i], err = strconv.ParseInt(fields[i], 16, 64); err != nil {
			return 0, 0, 0, err
		}
	}
	return int(numbers[0]), int(numbers[1]), numbers[2], nil
}

// epochs are the lives of the log, in the order in which anybody has heard of them.
type epochs struct {
	mu    sync.Mutex // guards all below
	names map[string]int
	born  []time.Time
}

// of is the number of an epoch.
func (e *epochs) of(name string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n, known := e.names[name]
	if !known {
		n = len(e.born)
		e.names[name] = n
		e.born = append(e.born, time.Now())
	}
	return n
}

func (e *epochs) births() []time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.born)
}

// marks say which messages a reader has heard.
type marks []uint64

func (b marks) has(n int) bool { return n>>6 < len(b) && b[n>>6]&(1<<(n&63)) != 0 }

func (b *marks) set(n int) {
	for n>>6 >= len(*b) {
		*b = append(*b, 0)
	}
	(*b)[n>>6] |= 1 << (n & 63)
}

// A span is a part of an epoch: what is after from, up to to.
type span struct {
	epoch    int
	from, to uint64
}

func within(all []span, p place) bool {
	for _, s := range all {
		if s.epoch == p.epoch && s.from < p.seq && p.seq <= s.to {
			return true
		}
	}
	return false
}
