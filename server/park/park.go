// Package park holds connections that have nothing to say most of the time:
// polls that wait for their answer, streams, WebSockets.
//
// A handler hands its request over and returns; from then on a [Tenant] says
// what is to be written, and when. While there is nothing, a connection of
// HTTP/1.1 costs one small goroutine, which notices that the peer has gone, and
// no buffer: it has been taken from net/http, which keeps several of both. Where
// it cannot be taken, as with HTTP/2, the handler's own goroutine stays with it.
// Tenants cannot tell the two apart.
//
// A connection whose poll has been answered waits here for its next request
// too, and goes back to its server with the first byte of that. Where connections
// can be watched together, those who come to a door wait here for their first
// request in the same way.
package park

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shaveet/shaveet/server/alarm"
	"github.com/shaveet/shaveet/server/park/internal/kernel"
)

// Why a connection ended, as [Tenant.Closed] is told.
var (
	// ErrGone: the peer has closed its connection, or broken it.
	ErrGone = errors.New("the peer has gone")
	// ErrTooSlow: the peer has not taken what was written in time.
	ErrTooSlow = errors.New("the peer is too slow")
	// ErrCut: the time to end was over.
	ErrCut = errors.New("the connection was cut off")
)

// Options are what a [Lot] can be told. Zero fields mean the defaults.
type Options struct {
	// Drain, when it ends, lets go of everybody. nil: never.
	Drain context.Context
	// WriteTimeout is how long the peer may take for one piece; default 10 s.
	WriteTimeout time.Duration
	// IdleTimeout is how long a connection may wait for its next request once
	// its poll has been answered; default 75 s.
	IdleTimeout time.Duration
	// MaxUnsent is how many bytes the kernel may hold for a connection that
	// the peer's window has no room for, where the kernel can be told (Linux);
	// default 128 KiB.
	MaxUnsent int
	// DeadAfter is how long a peer may leave unconfirmed what was sent, where
	// the kernel can be told (Linux); default 20 s. That counts for one whose
	// window has no room, too, so it must be longer than WriteTimeout.
	DeadAfter time.Duration

	// Quick reports whether requests for a path are polls, streams or WebSockets,
	// or are answered at once: GET or POST requests for it are served without the
	// detour by net/http's connections, on a goroutine that others wait for. upgrade
	// says that they ask for a WebSocket. nil: none are. Of their [http.Server] they
	// know the handler and the limits, and nothing of BaseContext, ConnContext or
	// ConnState.
	Quick func(path string, upgrade bool) bool
	// Waits says that handlers of quick requests may have to wait for something.
	// They say so by [MayWait] then.
	Waits bool

	// Kernel has the descriptors of parked connections, where connections are
	// parked at all; package parktest has one for tests. nil: the machine's.
	Kernel kernel.Kernel

	// Portable has connections be held in the way of systems without an epoll.
	Portable bool

	// Behind is told of each piece that the peer took its time for, and
	// TooSlow of each connection that was given up for that. nil: nobody.
	Behind, TooSlow func()
	// Panicked is told of a panic in a tenant's methods, which ends its
	// connection; default: it is logged. Where net/http keeps the connection,
	// the panic goes on to it.
	Panicked func(v any, stack []byte)
}

func (o Options) withDefaults() Options {
	if o.Drain == nil {
		o.Drain = context.Background()
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = 10 * time.Second
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = 75 * time.Second
	}
	if o.MaxUnsent == 0 {
		o.MaxUnsent = 128 << 10
	}
	if o.DeadAfter == 0 {
		o.DeadAfter = max(20*time.Second, o.WriteTimeout+time.Second)
	}
	if o.Kernel == nil {
		o.Kernel = ownKernel()
	}
	if o.Quick == nil {
		o.Quick = func(string, bool) bool { return false }
	}
	if o.Behind == nil {
		o.Behind = func() {}
	}
	if o.TooSlow == nil {
		o.TooSlow = func() {}
	}
	if o.Panicked == nil {
		o.Panicked = func(v any, stack []byte) { slog.Error("a tenant panicked", "panic", v, "stack", string(stack)) }
	}
	return o
}

// A Lot holds connections. Its methods may be called by many goroutines at
// once.
type Lot struct {
	opts   Options
	kernel kernel.Kernel // of opts
	clock  *alarm.Clock[*sleeper]
	crew   *crew
	begun  time.Time
	age    atomic.Uint32 // how often it was to forget

	arrives bool // who comes by a door is taken in before anything has been asked

	begin sync.Once // makes poll
	poll  *poller   // nil: there is none

	mu    sync.Mutex // guards all below
	conns map[*Conn]struct{}
	empty chan struct{} // closed when the last one leaves; nil: nobody waits for that
	cut   bool
}

// New returns an empty lot.
func New(opts Options) *Lot {
	arrives := opts.Quick != nil && opts.Kernel == nil // another has no doors
	opts = opts.withDefaults()
	l := &Lot{
		opts: opts, kernel: opts.Kernel, clock: alarm.New[*sleeper](), crew: newCrew(runtime.GOMAXPROCS(0)),
		conns: make(map[*Conn]struct{}), arrives: arrives, begun: time.Now(),
	}
	context.AfterFunc(l.opts.Drain, l.letGo)
	return l
}

// An Event is a reason for calling [Tenant.Next] beside [Conn.Wake].
type Event uint8

// The events. Several may come together.
const (
	Due   Event = 1 << iota // the time has come that was asked for
	Drain                   // the lot lets go of everybody
)

// A Tenant says what is written to a connection. Its methods are called one at
// a time, by whichever goroutine; they must not block, since others may have to
// wait for that.
type Tenant interface {
	// Next appends to dst what is to be written now, and returns it; with
	// nothing appended nothing is written. When it says end, the connection
	// ends after that. It is called after a Wake and for events; not again
	// before what it returned last has been written.
	Next(dst []byte, why Event) (out []byte, end bool)
	// Sent says that the kernel has all that Next returned last.
	Sent()
	// Closed is the last call, which always comes, once. err is nil if Next
	// has said the end, or a poll was answered.
	Closed(err error)
}

// A Peer is a tenant that is spoken to.
type Peer interface {
	Tenant
	// Received is given what has come, which is valid only for the time of
	// the call.
	Received(p []byte)
}

// A Witness is an http.ResponseWriter that wants to know how a request ends
// that outlives its handler. It is found below others that have a method
// Unwrap.
type Witness interface {
	// Outlive is called before the handler returns, and what it returns when
	// the request has ended, with status 0 if nothing has been written. took is
	// the time between the two.
	Outlive() (ended func(status int, bytes int64, took time.Duration, peer fmt.Stringer))
	// Again returns what is called each time that the same peer makes the same
	// request once more, and its handler is not asked; ended is then called for
	// that, too.
	Again() (begun func())
}

// poller returns the lot's poller, or nil if it has none.
func (l *Lot) poller() *poller {
	l.begin.Do(func() {
		if l.opts.Portable {
			return
		}
		var err error
		if l.poll, err = newPoller(l.kernel); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			slog.Error("connections cannot be watched together", "error", err)
		}
	})
	return l.poll
}

// Herd calls wake, which wakes many, and sees to them itself before it returns, as
// far as others do not: so who has more to wake goes no faster than those can be
// served who have been woken. late is how long the oldest of what they are woken for has been
// waiting; if that is long, more work at it at once.
func (l *Lot) Herd(late time.Duration, wake func()) { l.crew.herd(late, wake) }

// Parked returns how many of the held cost neither a goroutine nor a buffer.
func (l *Lot) Parked() int {
	if p := l.poller(); p != nil {
		return p.held()
	}
	return 0
}

// A Detachable is a connection around another that keeps account of when that is
// closed. Without it, a connection that has another inside is not parked, but
// costs a goroutine.
type Detachable interface {
	// Detach returns the connection inside, which is the caller's from now on,
	// and what is to be called when it has been closed; nil: nothing.
	Detach() (inner net.Conn, gone func())
}

// A Gate is a listener that lets so many through at once of those who come to the
// listener inside. The lot may take them in there.
type Gate interface {
	net.Listener
	Inside() net.Listener
	// Enter waits until there is room for one more. The error says that there
	// never will be.
	Enter() error
	// Leave says that nobody has come for that room, and Entered that somebody
	// has; then gone is to be called when the connection has been closed.
	Leave()
	Entered() (gone func())
}

// Held returns how many connections there are, those included that wait for
// their next request.
func (l *Lot) Held() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// Wait returns when nobody is held any more, or ctx ends: then the rest is cut
// off, and the error says so. It is for the end of a lot that drains.
func (l *Lot) Wait(ctx context.Context) error {
	l.mu.Lock()
	if l.empty == nil {
		l.empty = make(chan struct{})
		if len(l.conns) == 0 {
			close(l.empty)
		}
	}
	empty := l.empty
	l.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
	}
	l.cutOff()
	select {
	case <-empty:
	case <-time.After(cutTime):
	}
	return ErrCut
}

// cutTime is how long those who are cut off may take to notice.
const cutTime = time.Second

// add makes c one of the held.
func (l *Lot) add(c *Conn) {
	l.mu.Lock()
	l.conns[c] = struct{}{}
	cut := l.cut
	l.mu.Unlock()
	if cut {
		c.kick(cutOff)
	}
	if l.opts.Drain.Err() != nil {
		c.kick(draining)
	}
}

// elapsed is the time since the lot was made.
func (l *Lot) elapsed() time.Duration { return time.Since(l.begun) }

func (l *Lot) remove(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
	if len(l.conns) == 0 && l.empty != nil {
		select {
		case <-l.empty:
		default:
			close(l.empty)
		}
	}
}

func (l *Lot) all() []*Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]*Conn, 0, len(l.conns))
	for c := range l.conns {
		all = append(all, c)
	}
	return all
}

// letGo tells everybody that it is time to go.
func (l *Lot) letGo() {
	for _, c := range l.all() {
		c.letGo()
	}
}

func (l *Lot) cutOff() {
	l.mu.Lock()
	l.cut = true
	l.mu.Unlock()
	for _, c := range l.all() {
		c.cut()
	}
}

// placeKey finds the place of a request's connection.
type placeKey struct{}

// A place is the connection that a request came by, and the way back to its
// server.
type place struct {
	conn net.Conn
	back *returns
}

// Serve has srv serve ln, and whatever connections come back from the lot. It
// sets srv's ConnContext, and returns when both are over, with the error for
// ln.
func (l *Lot) Serve(srv *http.Server, ln net.Listener) error {
	back := newReturns(srv, ln.Addr())
	also := srv.ConnContext
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if also != nil {
			ctx = also(ctx, c)
		}
		if _, known := c.(*replay); !known {
			l.tune(c)
		}
		return context.WithValue(ctx, placeKey{}, place{c, back})
	}
	var both sync.WaitGroup
	both.Go(func() { srv.Serve(back) }) // ends with the server, or below
	err := srv.Serve(l.arrivals(srv, ln, back))
	back.Close()
	both.Wait()
	l.dismiss(back)
	return err
}

// dismiss closes connections by which a server that has ended might be asked
// something.
func (l *Lot) dismiss(back *returns) {
	for _, c := range l.all() {
		c.mu.Lock()
		if c.parked.on && c.tenant == nil && c.held.back == back {
			c.kick(draining)
		}
		c.mu.Unlock()
	}
}
