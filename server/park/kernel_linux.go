package park

import (
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/shaveet/shaveet/server/park/internal/kernel"
)

// linux is the kernel of the machine.
type linux struct{}

func ownKernel() kernel.Kernel { return linux{} }

func (linux) Duplicate(conn net.Conn) (fd int, ok bool) { return duplicate(conn) }

func (linux) Conn(fd int, peer netip.AddrPort, gone func()) net.Conn {
	return newFileConn(fd, packAddrPort(peer), gone)
}

func (linux) Read(fd int, p []byte) (n int, err error) { return syscall.Read(fd, p) }

func (linux) Peek(fd int, p []byte) (n int, err error) {
	n, _, err = syscall.Recvfrom(fd, p, syscall.MSG_PEEK)
	return n, err
}

func (linux) Write(fd int, p []byte) (n int, err error) { return syscall.Write(fd, p) }

func (linux) Gone(fd int) bool { return fdGone(fd) }

func (linux) Shutdown(fd int) error { return syscall.Shutdown(fd, syscall.SHUT_WR) }

func (linux) Abort(fd int) {
	syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
}

func (linux) Close(fd int) { syscall.Close(fd) }

// An epoll is edge-triggered, so that each thing is told once; and who waits for
// it does so by the runtime's own, so that no thread does.
type epoll struct {
	file   *os.File
	raw    syscall.RawConn
	events [maxTold]syscall.EpollEvent // of who waits
}

func (linux) NewPoll() (kernel.Poll, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // else os waits for it with a thread
		syscall.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	p := &epoll{file: os.NewFile(uintptr(fd), "epoll")}
	p.raw, err = p.file.SyscallConn()
	if err == nil {
		err = p.file.SetReadDeadline(time.Time{})
	}
	if err != nil {
		p.file.Close()
		return nil, err
	}
	return p, nil
}

// What is asked for: at first not for room, which there is.
const (
	interest   = syscall.EPOLLIN | syscall.EPOLLRDHUP | 1<<31 // EPOLLET, whose constant is negative
	roomToo    = interest | syscall.EPOLLOUT
	endingBits = syscall.EPOLLRDHUP | syscall.EPOLLHUP | syscall.EPOLLERR
)

func (p *epoll) Add(fd int) error      { return p.control(syscall.EPOLL_CTL_ADD, fd, interest) }
func (p *epoll) WantRoom(fd int) error { return p.control(syscall.EPOLL_CTL_MOD, fd, roomToo) }
func (p *epoll) Remove(fd int) error   { return p.control(syscall.EPOLL_CTL_DEL, fd, 0) }

func (p *epoll) control(op, fd int, events uint32) (err error) {
	event := syscall.EpollEvent{Events: events, Fd: int32(fd)}
	if closed := p.raw.Control(func(epoll uintptr) { err = syscall.EpollCtl(int(epoll), op, fd, &event) }); closed != nil {
		return closed
	}
	return os.NewSyscallError("epoll_ctl", err)
}

func (p *epoll) Wait(told []kernel.Event) (n int) {
	p.raw.Read(func(epoll uintptr) bool {
		for {
			var err error
			if n, err = syscall.EpollWait(int(epoll), p.events[:min(len(told), maxTold)], 0); err != syscall.EINTR {
				return n > 0
			}
		}
	})
	n = max(n, 0)
	for i, e := range p.events[:n] {
		told[i] = kernel.Event{FD: e.Fd, What: what(e.Events)}
	}
	return n
}

func what(events uint32) (w kernel.What) {
	if events&syscall.EPOLLIN != 0 {
		w |= kernel.Came
	}
	if events&syscall.EPOLLOUT != 0 {
		w |= kernel.Room
	}
	if events&endingBits != 0 {
		w |= kernel.Ending
	}
	return w
}

func (p *epoll) Interrupt(on bool) {
	if on {
		p.file.SetReadDeadline(time.Unix(1, 0))
	} else {
		p.file.SetReadDeadline(time.Time{})
	}
}
