package bench

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// A loop runs a crowd over plain sockets: one goroutine, one buffer, and for
// each reader what its dialect holds. It is as cheap as it can be, so that it
// is the server that is measured.
type loop struct {
	*crowd
	ep     int
	to     syscall.Sockaddr
	family int
	local  bool // the server is on 127.0.0.0/8, and so may we be, anywhere
	conns  []conn
	free   []int32
	left   []int // readers that have not come yet
	begun  int   // connections under way to being ready
	opened int
	pace   pace
	buffer []byte
}

// A conn is one reader's connection.
type conn struct {
	fd      int
	reader  int
	dialect dialect
	kept    []byte // has come, and is not whole
	unsent  []byte
	state   connState
	turn    int32 // tells connections of one place apart
}

type connState uint8

const (
	connFree connState = iota
	connConnecting
	connTalking // and not ready
	connReady
)

// run connects the readers, and reads until ctx ends.
func (c *crowd) run(ctx context.Context) error {
	if c.tls != nil {
		return c.runEach(ctx)
	}
	c.init()
	l := &loop{crowd: c, left: c.readers, buffer: make([]byte, 256<<10), pace: pace{rate: c.rate, began: time.Now()}}
	if err := l.resolve(); err != nil {
		return err
	}
	var err error
	if l.ep, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create", err)
	}
	defer l.close()
	events := make([]syscall.EpollEvent, 512)
	for ctx.Err() == nil {
		if err := l.connect(); err != nil {
			return err
		}
		wait := 20 // ms; that long it takes to notice that ctx has ended
		if len(l.left) > 0 && l.begun < l.atOnce {
			wait = 1
		}
		n, err := syscall.EpollWait(l.ep, events, wait)
		if err != nil && err != syscall.EINTR {
			return os.NewSyscallError("epoll_wait", err)
		}
		for _, event := range events[:max(n, 0)] {
			l.happened(event)
		}
	}
	return nil
}

func (l *loop) resolve() error {
	at, err := net.ResolveTCPAddr("tcp", l.address)
	if err != nil {
		return err
	}
	l.local = at.IP.IsLoopback() && at.IP.To4() != nil
	if ip := at.IP.To4(); ip != nil || at.IP == nil {
		to := &syscall.SockaddrInet4{Port: at.Port, Addr: [4]byte{127, 0, 0, 1}}
		if ip != nil {
			copy(to.Addr[:], ip)
		}
		l.to, l.family = to, syscall.AF_INET
		return nil
	}
	to := &syscall.SockaddrInet6{Port: at.Port}
	copy(to.Addr[:], at.IP)
	l.to, l.family = to, syscall.AF_INET6
	return nil
}

func (l *loop) close() {
	for i := range l.conns {
		if l.conns[i].state != connFree {
			syscall.Close(l.conns[i].fd)
		}
	}
	syscall.Close(l.ep)
}

// connect begins as many connections as may begin now.
func (l *loop) connect() error {
	for l.begun < l.atOnce && len(l.left) > 0 && l.pace.may() {
		reader := l.left[0]
		l.left = l.left[1:]
		if l.churn {
			l.left = append(l.left, reader) // it comes again
		}
		l.pace.n++
		if err := l.open(reader); err != nil {
			return err
		}
	}
	return nil
}

const ipBindAddressNoPort = 24 // IP_BIND_ADDRESS_NO_PORT

func (l *loop) open(reader int) error {
	fd, err := syscall.Socket(l.family, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("a socket for reader %d: %w", reader, err)
	}
	syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	if l.opened++; l.local && (len(l.readers) > 20000 || l.churn) {
		// One address has some 28,000 ports, and each rests after its use.
		from := &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 1, byte(1 + l.opened%200)}}
		syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, ipBindAddressNoPort, 1)
		syscall.Bind(fd, from)
	}
	err = syscall.Connect(fd, l.to)
	if err != nil && err != syscall.EINPROGRESS {
		syscall.Close(fd)
		return fmt.Errorf("connecting to %s: %w", l.address, err)
	}
	at := int32(len(l.conns))
	if n := len(l.free); n > 0 {
		at, l.free = l.free[n-1], l.free[:n-1]
	} else {
		l.conns = append(l.conns, conn{})
	}
	c := &l.conns[at]
	*c = conn{fd: fd, reader: reader, dialect: l.dialect(reader), state: connConnecting, turn: c.turn + 1, kept: c.kept[:0]}
	l.begun++
	event := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLOUT, Fd: at, Pad: c.turn}
	return os.NewSyscallError("epoll_ctl", syscall.EpollCtl(l.ep, syscall.EPOLL_CTL_ADD, fd, &event))
}

// happened does what an event asks for.
func (l *loop) happened(event syscall.EpollEvent) {
	c := &l.conns[event.Fd]
	if c.state == connFree || c.turn != event.Pad {
		return
	}
	var err error
	if event.Events&(syscall.EPOLLOUT|syscall.EPOLLERR) != 0 && (c.state == connConnecting || len(c.unsent) > 0) {
		err = l.writable(c, event)
	}
	if err == nil && event.Events&(syscall.EPOLLIN|syscall.EPOLLHUP|syscall.EPOLLERR) != 0 && c.state != connConnecting {
		err = l.readable(c, event)
	}
	switch {
	case err != nil:
		l.failed(err)
		l.drop(event.Fd)
	case c.state == connReady && l.churn:
		l.cycles.Add(1)
		l.drop(event.Fd)
	}
}

func (l *loop) drop(at int32) {
	c := &l.conns[at]
	syscall.Close(c.fd)
	if c.state == connReady {
		l.ready.Add(-1)
	} else {
		l.begun--
	}
	c.state, c.dialect = connFree, nil
	l.free = append(l.free, at)
}

// writable goes on with a connection that stands now, or has room again.
func (l *loop) writable(c *conn, event syscall.EpollEvent) error {
	if c.state == connConnecting {
		code, err := syscall.GetsockoptInt(c.fd, syscall.SOL_SOCKET, syscall.SO_ERROR)
		if err == nil && code != 0 {
			err = syscall.Errno(code)
		}
		if err != nil {
			return fmt.Errorf("connecting to %s: %w", l.address, err)
		}
		c.state = connTalking
		c.unsent = c.dialect.begin(c.unsent)
	}
	p := c.unsent
	c.unsent = c.unsent[:0]
	if err := l.send(c, p); err != nil {
		return err
	}
	if len(c.unsent) == 0 {
		c.unsent = nil
		if _, mute := c.dialect.(mute); mute && c.state == connTalking {
			l.stands(c)
		}
		return l.watch(c, event, syscall.EPOLLIN)
	}
	return nil
}

// stands notes that a reader hears what is said.
func (l *loop) stands(c *conn) {
	c.state = connReady
	l.begun--
	l.ready.Add(1)
}

func (l *loop) watch(c *conn, event syscall.EpollEvent, events uint32) error {
	event.Events = events
	return os.NewSyscallError("epoll_ctl", syscall.EpollCtl(l.ep, syscall.EPOLL_CTL_MOD, c.fd, &event))
}

// send writes p, and keeps what there is no room for.
func (l *loop) send(c *conn, p []byte) error {
	if len(c.unsent) == 0 {
		n, err := syscall.Write(c.fd, p)
		if err != nil && err != syscall.EAGAIN {
			return os.NewSyscallError("write", err)
		}
		p = p[max(n, 0):]
	}
	if len(p) > 0 {
		c.unsent = append(c.unsent, p...)
	}
	return nil
}

func (l *loop) readable(c *conn, event syscall.EpollEvent) error {
	n, err := syscall.Read(c.fd, l.buffer)
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR:
		return nil
	case err != nil:
		return os.NewSyscallError("read", err)
	case n == 0:
		return fmt.Errorf("%w (%w)", errEnded, io.ErrUnexpectedEOF)
	}
	p := l.buffer[:n]
	if len(c.kept) > 0 {
		c.kept = append(c.kept, p...)
		p = c.kept
	}
	took, err := l.take(c.reader, c.dialect, p)
	if err != nil {
		return err
	}
	if rest := p[took:]; len(rest) > maxUnit+maxHead {
		return errTooLong
	} else {
		c.kept = append(c.kept[:0], rest...)
	}
	if l.ear.ready && c.state == connTalking {
		l.stands(c)
	}
	if len(l.ear.reply) == 0 {
		return nil
	}
	if err := l.send(c, l.ear.reply); err != nil {
		return err
	}
	if len(c.unsent) > 0 {
		return l.watch(c, event, syscall.EPOLLIN|syscall.EPOLLOUT)
	}
	return nil
}
