package park

import (
	"os"
	"sync"
	"syscall"
	"time"
)

// A poller notices when something comes by connections, or when there is room
// for more, with one goroutine for all of them. It is an epoll, which is edge-triggered
// so that it is told of each connection once; and that goroutine waits
// for it by the runtime's own, so that no thread does.
type poller struct {
	file *os.File // the epoll
	raw  syscall.RawConn

	mu      sync.Mutex // guards all below
	conns   []*Conn    // by descriptor
	n       int        // how many there are
	running bool       // the goroutine is there, as long as there are any
}

func newPoller() (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // else os waits for it with a thread
		syscall.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	p := &poller{file: os.NewFile(uintptr(fd), "epoll")}
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

// add has c be told what happens to its descriptor from now on, and what has
// happened already.
func (p *poller) add(c *Conn) error {
	fd := int(c.parked.fd)
	p.mu.Lock()
	if fd >= len(p.conns) {
		p.conns = append(p.conns, make([]*Conn, max(fd+1-len(p.conns), len(p.conns)/4))...)
	}
	p.conns[fd] = c
	if p.n++; p.n == 1 {
		p.file.SetReadDeadline(time.Time{})
	}
	if !p.running {
		p.running = true
		go p.run()
	}
	p.mu.Unlock()
	if err := p.control(syscall.EPOLL_CTL_ADD, fd, interest); err != nil {
		p.forget(c)
		return err
	}
	return nil
}

// replace has c be told in the place of old, which has the same descriptor, and
// of what old has been told already.
func (p *poller) replace(old, c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c.parked.fd] = c
	c.state.Or(old.state.Load() & (readable | ending))
}

// wantRoom has c be told, too, whenever there is room after there was none.
func (p *poller) wantRoom(c *Conn) error {
	return p.control(syscall.EPOLL_CTL_MOD, int(c.parked.fd), roomToo)
}

// remove has nobody be told any more of c's descriptor, which goes on to live
// elsewhere.
func (p *poller) remove(c *Conn) {
	p.control(syscall.EPOLL_CTL_DEL, int(c.parked.fd), 0)
	p.forget(c)
}

func (p *poller) control(op, fd int, events uint32) (err error) {
	event := syscall.EpollEvent{Events: events, Fd: int32(fd)}
	if closed := p.raw.Control(func(epoll uintptr) { err = syscall.EpollCtl(int(epoll), op, fd, &event) }); closed != nil {
		return closed
	}
	return os.NewSyscallError("epoll_ctl", err)
}

// forget is for a descriptor that is about to be closed.
func (p *poller) forget(c *Conn) {
	fd := int(c.parked.fd)
	p.mu.Lock()
	defer p.mu.Unlock()
	if fd >= len(p.conns) || p.conns[fd] != c {
		return
	}
	p.conns[fd] = nil
	if p.n--; p.n == 0 {
		p.file.SetReadDeadline(time.Unix(1, 0)) // the goroutine is to end
	}
}

func (p *poller) held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

// maxTold is how many connections are told of at once.
const maxTold = 256

// run tells connections what has happened, until there are none.
func (p *poller) run() {
	var events [maxTold]syscall.EpollEvent
	for {
		n := p.wait(events[:])
		p.mu.Lock()
		if n == 0 && p.n == 0 {
			p.running = false
			p.mu.Unlock()
			return
		}
		for i := range n { // with the lock held: replace must not miss any
			if c := p.conns[events[i].Fd]; c != nil {
				c.kick(happened(events[i].Events))
			}
		}
		p.mu.Unlock()
	}
}

// wait returns how many events there are. None are when it is time to look
// whether there is anybody left.
func (p *poller) wait(events []syscall.EpollEvent) (n int) {
	p.raw.Read(func(epoll uintptr) bool {
		for {
			var err error
			if n, err = syscall.EpollWait(int(epoll), events, 0); err != syscall.EINTR {
				return n > 0
			}
		}
	})
	return max(n, 0)
}

// happened says what an event means. It may be meant for an older connection of
// the same descriptor, so it is only a reason for looking.
func happened(event uint32) (state uint32) {
	if event&syscall.EPOLLIN != 0 {
		state |= readable
	}
	if event&syscall.EPOLLOUT != 0 {
		state |= writable
	}
	if event&endingBits != 0 {
		state |= readable | ending
	}
	return state
}
