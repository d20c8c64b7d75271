package main

import (
	"slices"
	"time"
)

// When a transport counts as one that works here, and for how long it is then
// preferred to what should be better.
const (
	proofTime   = 15 * time.Second
	loyaltyTime = 10 * time.Minute
)

// A chooser chooses the transport: the best of those that work here. It does so
// as client-js does.
//
// They are tried in rounds, which begin with the favourite: the last one that
// has opened. Whatever fails before it has brought anything is followed by the
// next one at once. A proxy may also let a stream begin and then keep back what
// follows; so one that falls silent before it is proved counts as not having
// opened.
//
// The favourite that has opened is forgiven when it breaks, and so is one that
// was proved if it then cannot be opened, up to twice in a row: the network was
// cut, or the server restarted, and no other would do better. After a round in
// which all have failed, a round is the favourite and one of the others in
// turn, because it is probably the server that is down.
type chooser struct {
	names     []string // the best first
	round     []string // those still to be tried; the first is in use
	favourite string
	since     time.Time // when it was chosen
	proved    bool      // the favourite has lived for a while
	failures  int       // of the favourite in a row
	opened    time.Time // when what is in use brought something for the first time
	spent     int       // rounds that have failed since anything has opened
}

func newChooser(names []string) *chooser {
	return &chooser{names: names, favourite: names[0], since: time.Now()}
}

// current is the transport to use.
func (c *chooser) current() string { return c.round[0] }

// restart begins a round: at first, and after each wait.
func (c *chooser) restart() {
	first := c.favourite
	if time.Since(c.since) >= loyaltyTime { // it is long ago that the better ones failed
		first, c.since = c.names[0], time.Now()
	}
	others := c.names
	if c.spent > 0 {
		others = []string{c.names[c.spent%len(c.names)]}
	}
	c.round = nil
	for _, name := range append([]string{first, c.favourite}, others...) {
		if !slices.Contains(c.round, name) {
			c.round = append(c.round, name)
		}
	}
}

// heard notes that something has come; first: of what was just opened.
func (c *chooser) heard(first bool) {
	if now := c.current(); now != c.favourite {
		c.favourite, c.since = now, time.Now()
		c.proved, c.failures = false, 0
	}
	if first {
		c.opened, c.spent = time.Now(), 0
	} else if time.Since(c.opened) >= proofTime {
		c.proved, c.failures = true, 0
	}
}

// failed notes that nothing more comes, and reports whether another transport is
// to be tried at once. broken: it had opened and was cut. refused: it would be
// again.
func (c *chooser) failed(broken, refused bool) (another bool) {
	if c.current() == c.favourite && (c.proved || broken) && !refused && c.failures < 2 {
		c.failures++
		return false
	}
	c.round = c.round[1:]
	if len(c.round) > 0 {
		return true
	}
	c.spent++
	return false
}
