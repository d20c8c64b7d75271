package bench

import (
	"crypto/tls"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// A crowd is many readers, each on a connection of its own. One goroutine runs
// it; what is atomic, others may look at meanwhile.
type crowd struct {
	readers []int // their numbers
	dialect func(reader int) dialect
	address string      // host:port
	tls     *tls.Config // nil: without TLS
	tally   *tally
	atOnce  int     // connections that may be under way to being ready
	rate    float64 // connections begun in a second
	churn   bool    // a reader that is ready goes, and the next one comes

	ready, cycles, broken atomic.Int64

	mu  sync.Mutex // guards err
	err error      // the first that broke a connection

	ear    ear
	reader int // whose bytes are read
	now    time.Duration
}

func (c *crowd) init() {
	c.ear.heard = func(text []byte) { c.tally.hear(c.reader, text, c.now) }
}

// take hands bytes to a reader's dialect. What it answers is in c.ear until the
// next call.
func (c *crowd) take(reader int, d dialect, p []byte) (n int, err error) {
	c.reader, c.now = reader, time.Since(c.tally.began)
	c.ear.reply, c.ear.ready = c.ear.reply[:0], false
	return d.hear(p, &c.ear)
}

// failed notes that a connection has ended that should not have.
func (c *crowd) failed(err error) {
	c.broken.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
}

func (c *crowd) firstError() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

var errEnded = errors.New("the server closed the connection")

// A pace says how many connections may have begun.
type pace struct {
	rate  float64
	began time.Time
	n     int
}

func (p *pace) may() bool {
	return p.rate <= 0 || float64(p.n) <= p.rate*time.Since(p.began).Seconds()
}
