package edges_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A crowd is many readers, whose sockets one goroutine looks after.
type crowd struct {
	t  testing.TB
	s  *server
	to syscall.Sockaddr
	ep int

	mu      sync.Mutex // guards all below, and the readers
	readers []*seat
	waiting []*seat // for their turn to connect
	under   int     // connections under way to standing
	buffer  []byte
	closed  bool
	done    chan struct{}
}

// A seat is a reader and its socket.
type seat struct {
	reader
	at      int32 // its number
	fd      int   // 0: it is away
	turn    int32
	talking bool // the connection stands
	slow    bool // counted in crowd.under
	in, out []byte
	hushed  bool // what it answers waits
	narrow  bool // there is little room for what comes
}

var (
	errEnded = errors.New("ended as it should")
	errEOF   = errors.New("the end of the file")
)

// atOnce is how many connections may be on their way.
const atOnce = 100

// newCrowd makes n readers, by all of these ways in turn, on so many channels, and
// has them come if they should.
func newCrowd(s *server, n, channels int, ways []way) *crowd {
	s.t.Helper()
	at, err := net.ResolveTCPAddr("tcp", s.door)
	if err != nil {
		s.t.Fatal(err)
	}
	c := &crowd{t: s.t, s: s, to: &syscall.SockaddrInet4{Port: at.Port, Addr: [4]byte{127, 0, 0, 1}},
		buffer: make([]byte, 256<<10), done: make(chan struct{})}
	if c.ep, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		s.t.Fatal(err)
	}
	for i := range n {
		c.readers = append(c.readers, &seat{at: int32(i), reader: reader{way: ways[i%len(ways)], id: fmt.Sprintf("r%d", i), channel: i / len(ways) % channels}})
	}
	c.enlist()
	go c.run()
	s.t.Cleanup(c.close)
	return c
}

// enlist makes the readers' clients.
func (c *crowd) enlist() {
	c.t.Helper()
	for from := 0; from < len(c.readers); from += 500 {
		some := c.readers[from:min(from+500, len(c.readers))]
		var calls []request
		on := make(map[string][]string)
		for i, r := range some {
			calls = append(calls, request{"2.0", "create_client", []string{r.id}, i})
			on[nameOf(r.channel)] = append(on[nameOf(r.channel)], r.id)
		}
		var answers []struct {
			Result string
			Error  any
			ID     int
		}
		c.s.post(calls, &answers)
		for _, a := range answers {
			if a.Error != nil || a.Result == "" {
				c.t.Fatalf("create_client: %v", a)
			}
			some[a.ID].key = a.Result
		}
		c.s.call(nil, "subscribe_many", []any{on})
	}
}

func (c *crowd) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	<-c.done
	for _, r := range c.readers {
		c.leave(r)
	}
	syscall.Close(c.ep)
}

// run looks after the sockets.
func (c *crowd) run() {
	defer close(c.done)
	events := make([]syscall.EpollEvent, 512)
	for {
		n, err := syscall.EpollWait(c.ep, events, 5)
		if err != nil && err != syscall.EINTR {
			c.t.Errorf("epoll_wait: %v", err)
			return
		}
		c.mu.Lock()
		if c.closed {
			c.mu.Unlock()
			return
		}
		for _, e := range events[:max(n, 0)] {
			if r := c.readers[e.Fd]; r.fd != 0 && r.turn == e.Pad {
				c.happened(r, e.Events)
			}
		}
		for c.under < atOnce && len(c.waiting) > 0 {
			r := c.waiting[0]
			c.waiting = c.waiting[1:]
			c.connect(r)
		}
		c.mu.Unlock()
	}
}

// come has readers connect as soon as it is their turn.
func (c *crowd) come(readers ...*seat) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, readers...)
}

// comeAll has all connect, and waits until they hear what is said.
func (c *crowd) comeAll() {
	c.t.Helper()
	c.come(c.readers...)
	c.await("every reader stands", func(r *seat) bool { return r.stands || r.deaf })
}

func (c *crowd) connect(r *seat) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		c.t.Errorf("a socket: %v", err)
		return
	}
	syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	if r.narrow {
		syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10)
	}
	if err := syscall.Connect(fd, c.to); err != nil && err != syscall.EINPROGRESS {
		c.t.Errorf("connecting: %v", err)
		syscall.Close(fd)
		return
	}
	r.fd, r.turn, r.talk, r.talking = fd, r.turn+1, talk{}, false
	r.in, r.out = r.in[:0], r.begin()
	r.slow = true
	c.under++
	c.watch(r, syscall.EPOLL_CTL_ADD, syscall.EPOLLIN|syscall.EPOLLOUT)
}

func (c *crowd) watch(r *seat, op int, events uint32) {
	e := syscall.EpollEvent{Events: events, Fd: r.at, Pad: r.turn}
	if err := syscall.EpollCtl(c.ep, op, r.fd, &e); err != nil {
		c.t.Errorf("epoll_ctl: %v", err)
	}
}

// steady says that a connection is not on its way any more.
func (c *crowd) steady(r *seat) {
	if r.slow {
		r.slow = false
		c.under--
	}
}

// happened does what an event asks for.
func (c *crowd) happened(r *seat, events uint32) {
	if events&syscall.EPOLLOUT != 0 && len(r.out) > 0 {
		r.talking = true
		c.send(r)
		if r.deaf && r.fd != 0 && len(r.out) == 0 {
			c.steady(r)
			c.watch(r, syscall.EPOLL_CTL_MOD, 0)
			return
		}
	}
	switch {
	case r.fd == 0:
	case r.deaf && events&(syscall.EPOLLHUP|syscall.EPOLLERR) != 0:
		c.gone(r, errors.New("cut off"))
	case !r.deaf && events&(syscall.EPOLLIN|syscall.EPOLLHUP|syscall.EPOLLERR) != 0:
		c.read(r)
	}
}

func (c *crowd) send(r *seat) {
	n, err := syscall.Write(r.fd, r.out)
	if err != nil && err != syscall.EAGAIN {
		c.gone(r, err)
		return
	}
	whole := r.out
	r.out = r.out[max(n, 0):]
	if len(r.out) == 0 {
		r.out = whole[:0]
		c.watch(r, syscall.EPOLL_CTL_MOD, syscall.EPOLLIN)
	}
}

func (c *crowd) read(r *seat) {
	n, err := syscall.Read(r.fd, c.buffer)
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR:
		return
	case err != nil:
		c.gone(r, err)
		return
	case n == 0:
		c.gone(r, errEOF)
		return
	}
	r.in = append(r.in, c.buffer[:n]...)
	took, reply, err := r.hear(r.in)
	r.in = append(r.in[:0], r.in[took:]...)
	if r.stands {
		c.steady(r)
	}
	if len(reply) > 0 {
		r.out = append(r.out, reply...)
		if r.hushed && err == nil {
			c.steady(r) // others may come
			return
		}
		if c.send(r); r.fd != 0 && len(r.out) > 0 {
			c.watch(r, syscall.EPOLL_CTL_MOD, syscall.EPOLLIN|syscall.EPOLLOUT)
		}
	}
	if err != nil && r.fd != 0 {
		c.gone(r, err)
	}
}

// gone notes how a connection has ended.
func (c *crowd) gone(r *seat, err error) {
	r.ended = err.Error()
	c.leave(r)
}

// leave closes a reader's connection. What it has had stays.
func (c *crowd) leave(r *seat) {
	c.steady(r)
	if r.fd != 0 {
		syscall.Close(r.fd)
	}
	r.fd, r.stands = 0, false
}

// reset breaks a reader's connection.
func (c *crowd) reset(r *seat) {
	if r.fd != 0 {
		syscall.SetsockoptLinger(r.fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
	}
	c.leave(r)
}

// each calls f for the readers, while nothing happens to them.
func (c *crowd) each(f func(*seat)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.readers {
		f(r)
	}
}

// await waits until ok holds for all readers.
func (c *crowd) await(what string, ok func(*seat) bool) {
	c.t.Helper()
	c.awaitFor(patience, what, ok)
}

func (c *crowd) awaitFor(limit time.Duration, what string, ok func(*seat) bool) {
	c.t.Helper()
	missing := ""
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); ; <-tick.C {
		n := 0
		c.each(func(r *seat) {
			if !ok(r) {
				n++
				missing = fmt.Sprintf("%s %s on %d: next %d, stands %v, away %v, %s", r.way, r.id, r.channel, r.next, r.stands, r.fd == 0, r.ended)
			}
		})
		if n == 0 {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s: after %v not of %d, the last of them %s", what, limit, n, missing)
		}
	}
}

// awaitSaid waits until everybody has all that p has said, deaf ones aside, and
// checks that nothing was wrong.
func (c *crowd) awaitSaid(p *speaker) {
	c.t.Helper()
	c.await("all have been told everything", func(r *seat) bool { return r.deaf || r.next == p.said[r.channel] })
	c.check()
}

// check fails the test if a reader has found a fault.
func (c *crowd) check() {
	c.t.Helper()
	var all []string
	c.each(func(r *seat) { all = append(all, r.faults...) })
	if len(all) > 0 {
		c.t.Fatalf("%d faults:\n%s", len(all), strings.Join(all[:min(len(all), 20)], "\n"))
	}
}

// speaker is one who speaks on all channels of the crowd.
func (c *crowd) speaker(size int) *speaker {
	channels := 0
	c.each(func(r *seat) { channels = max(channels, r.channel+1) })
	return &speaker{s: c.s, size: size, said: make([]uint32, channels)}
}

// hush has what these readers answer wait, and hushed ones say it after all.
func (c *crowd) hush(on bool, readers []*seat) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range readers {
		r.hushed = on
		if !on && r.fd != 0 && len(r.out) > 0 {
			c.send(r)
		}
	}
}

// some are readers drawn at random.
func (c *crowd) some(n int) (all []*seat) {
	for _, i := range rand.Perm(len(c.readers))[:n] {
		all = append(all, c.readers[i])
	}
	return all
}
