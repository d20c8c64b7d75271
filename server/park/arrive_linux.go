package park

import (
	"errors"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// arrivals is a door whose connections wait in the lot for their first request,
// as others do for their next. So what is served here never costs a [net.Conn],
// net/http's goroutines or its buffers; anything else goes to the server, with the
// first bytes of it.
type arrivals struct {
	net.Listener // for its address
	inner        *net.TCPListener
	gate         Gate // nil: all may come in
	lot          *Lot
	back         *returns
	wait         time.Duration // for a request
	file         *os.File      // another descriptor of inner, so that the runtime's epoll can be waited for
	raw          syscall.RawConn
}

// arrivals returns ln such that the lot takes in who comes, if it can.
func (l *Lot) arrivals(srv *http.Server, ln net.Listener, back *returns) net.Listener {
	gate, _ := ln.(Gate)
	inner := ln
	if gate != nil {
		inner = gate.Inside()
	}
	tcp, ok := inner.(*net.TCPListener)
	if !ok || !l.arrives || l.poller() == nil {
		return ln
	}
	a := &arrivals{Listener: ln, inner: tcp, gate: gate, lot: l, back: back, wait: srv.ReadHeaderTimeout}
	if a.wait == 0 {
		a.wait = srv.ReadTimeout
	}
	if err := a.open(); err != nil {
		return ln
	}
	return a
}

func (a *arrivals) open() error {
	raw, err := a.inner.SyscallConn()
	if err != nil {
		return err
	}
	fd := -1
	closed := raw.Control(func(old uintptr) {
		if fd, err = anotherOf(old); err == nil {
			a.lot.tuneArrival(fd)
		}
	})
	if err = errors.Join(closed, err); err != nil {
		return err
	}
	a.file = os.NewFile(uintptr(fd), "listener")
	if a.raw, err = a.file.SyscallConn(); err == nil {
		err = a.file.SetReadDeadline(time.Time{}) // fails if it would have to be waited for by a thread
	}
	if err != nil {
		a.file.Close()
	}
	return err
}

// Accept is part of [net.Listener]. It returns an error only: all who come are in
// the lot.
func (a *arrivals) Accept() (net.Conn, error) {
	for {
		if a.gate != nil {
			if err := a.gate.Enter(); err != nil {
				return nil, err
			}
		}
		fd, peer, err := a.accept()
		if err != nil {
			if a.gate != nil {
				a.gate.Leave()
			}
			return nil, err
		}
		a.lot.tuneArrival(fd)
		var gone func()
		if a.gate != nil {
			gone = a.gate.Entered()
		}
		a.lot.arrive(parked{on: true, fd: int32(fd), peer: peer, gone: gone, stage: arrived}, a.back, a.wait)
	}
}

// accept waits for somebody. Its errors are those of a [net.TCPListener].
func (a *arrivals) accept() (fd int, peer peerAddr, err error) {
	closed := a.raw.Read(func(ln uintptr) bool {
		for {
			var from syscall.Sockaddr
			fd, from, err = syscall.Accept4(int(ln), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
			switch err {
			case syscall.EINTR, syscall.ECONNABORTED: // who has gone already is nobody
				continue
			case syscall.EAGAIN:
				return false
			}
			peer = packSockaddr(from)
			return true
		}
	})
	if closed != nil {
		return -1, peer, net.ErrClosed
	}
	if err != nil {
		return -1, peer, &net.OpError{Op: "accept", Net: "tcp", Addr: a.Addr(), Err: os.NewSyscallError("accept4", err)}
	}
	return fd, peer, nil
}

// Close is part of [net.Listener].
func (a *arrivals) Close() error {
	a.file.Close()
	return a.Listener.Close()
}

// arrive has a connection wait for its first request.
func (l *Lot) arrive(p parked, back *returns, wait time.Duration) {
	c := &Conn{lot: l, kind: answer, parked: p, began: l.clock.Now()}
	c.held.back = back
	c.parts.Store(1)
	c.state.Store(begun | running)
	l.add(c)
	if wait > 0 {
		l.clock.Set((*sleeper)(c), wait)
	}
	if err := l.poll.add(c); err != nil { // there are as many as may be watched
		c.goBack(nil)
		return
	}
	c.yield()
}
