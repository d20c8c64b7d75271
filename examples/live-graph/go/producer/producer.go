// Package producer makes a sine and sends it by a ZeroMQ socket, a point every
// tenth of a second. It is the source of the live graph example, and can run by
// itself (see ../produce) or inside another program.
package producer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/shaveet/shaveet/server/zmtp"
)

// Config says where points go. Zero fields mean the defaults.
type Config struct {
	Endpoint string        // where the server's socket is bound, such as tcp://127.0.0.1:5555; required
	Interval time.Duration // between two points; default 100 ms
	Push     bool          // be a PUSH socket, for a PULL socket, instead of a PUB socket, for SUB

	Made   func(Point)  // is called with each point that is made
	Sent   func(Point)  // is called with each that is sent, by another goroutine than Made
	Logger *slog.Logger // hears when the server comes and goes; default slog.Default()
}

// A Point is what one message says.
type Point struct {
	X int64   `json:"x"` // Unix ms
	Y float64 `json:"y"` // 0 to 5
}

func (p Point) String() string {
	text, _ := json.Marshal(p) // two numbers cannot fail
	return string(text)
}

// At is the point of a moment.
func At(t time.Time) Point {
	x := t.UnixMilli()
	return Point{x, 2.5 * (1 + math.Sin(float64(x)/500))}
}

// most is how many points wait to be sent: as many as sockets of libzmq keep,
// if they are told nothing.
const most = 1000

// Run makes points and sends them until ctx ends, and returns nil then. It
// connects to the server whenever there is one. Meanwhile it does what the
// socket's kind does: PUB drops what nobody has subscribed to, and PUSH keeps
// it, and waits when it has kept as much as it may.
func Run(ctx context.Context, c Config) error {
	at, err := zmtp.ParseEndpoint(c.Endpoint)
	switch {
	case err != nil:
		return fmt.Errorf("endpoint: %w", err)
	case strings.HasPrefix(at.Address, ":"):
		return fmt.Errorf("endpoint: %q must name a host", c.Endpoint)
	case c.Interval < 0 || c.Interval > 0 && c.Interval < time.Millisecond:
		return errors.New("interval: must be a millisecond at least")
	}
	run(ctx, c, dialer(at))
	return nil
}

func run(ctx context.Context, c Config, dial dial) {
	c.Interval = cmp.Or(c.Interval, 100*time.Millisecond)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	p := &producer{Config: c, dial: dial, queue: make(chan Point, most)}
	var connecting sync.WaitGroup
	connecting.Go(func() { p.connect(ctx) })
	p.produce(ctx)
	connecting.Wait()
}

type producer struct {
	Config
	dial  dial
	queue chan Point // what is to be sent

	mu     sync.Mutex // guards topics, and is held to queue for PUB
	topics []string   // what the server has subscribed to; none while there is no server
}

// A point that is a little late is made all the same. After a longer time (the
// machine has slept) we go on with the present.
const late = time.Second

// produce makes points until ctx ends. Their times are multiples of the
// interval, whenever they are really made: so whoever gets them can tell that
// one is missing.
func (p *producer) produce(ctx context.Context) {
	next := func() time.Time { return time.Now().Truncate(p.Interval).Add(p.Interval) }
	for due := next(); ; due = due.Add(p.Interval) {
		if wait := time.Until(due); wait < -late || wait > 2*p.Interval { // or the clock was set
			due = next()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(due)):
		}
		point := At(due)
		if p.Made != nil {
			p.Made(point)
		}
		p.put(ctx, point)
	}
}

// put has a point sent, if it is to be.
func (p *producer) put(ctx context.Context, point Point) {
	if p.Push {
		select {
		case p.queue <- point:
		case <-ctx.Done():
		}
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	text := point.String()
	for _, topic := range p.topics {
		if strings.HasPrefix(text, topic) {
			select {
			case p.queue <- point:
			default: // the server is too slow
			}
			return
		}
	}
}
