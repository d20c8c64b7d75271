package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// A yard is a yardstick's server: the least that a server can do that has
// connections, channels and messages. Readers are plain descriptors in one
// epoll loop; what is published comes by net/http.
type yard struct {
	poll   bool // long polls; else streams
	ep     int
	wake   [2]int // a pipe that wakes the loop
	listen int
	buffer []byte
	out    []byte

	mu       sync.Mutex // guards what follows
	readers  []*yardReader
	channels map[int]*yardChannel
	said     []yardEntry // for the loop, of long polls
	top      uint64
}

// A yardReader is one connection. Of a stream no more is known than where it is.
type yardReader struct {
	fd       int
	form     byte // the first letter of its path: w, s(se) is e, stream is l, longpoll p
	channels []int
	waits    bool // a poll is held
	gone     bool
}

type yardChannel struct {
	readers []*yardReader
	log     []yardEntry // the newest, of long polls
}

type yardEntry struct {
	channel int
	seq     uint64
	data    []byte
}

// yardLog is how many messages a channel of long polls keeps.
const yardLog = 256

// HasYardsticks tells that there are yardsticks on this system.
const HasYardsticks = true

// ServeYardstick is a yardstick until ctx ends.
func ServeYardstick(ctx context.Context, kind string, stderr io.Writer) error {
	if kind != yardWrite && kind != yardPoll {
		return fmt.Errorf("there is no yardstick %q", kind)
	}
	if err := raiseLimit(1000); err != nil {
		return err
	}
	y := &yard{poll: kind == yardPoll, channels: make(map[int]*yardChannel), buffer: make([]byte, 64<<10)}
	at, err := y.open()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: http.HandlerFunc(y.publish)}
	fmt.Fprintf(stderr, yardstickReady, l.Addr(), at)
	failed := make(chan error, 2)
	go func() { failed <- y.loop(ctx) }()
	go func() { failed <- srv.Serve(l) }()
	stop := context.AfterFunc(ctx, func() { srv.Close(); y.nudge() })
	defer stop()
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-failed
}

// open makes the sockets, and returns where readers come.
func (y *yard) open() (at string, err error) {
	if y.ep, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return "", os.NewSyscallError("epoll_create", err)
	}
	if err = syscall.Pipe2(y.wake[:], syscall.O_NONBLOCK|syscall.O_CLOEXEC); err != nil {
		return "", os.NewSyscallError("pipe", err)
	}
	if y.listen, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0); err != nil {
		return "", os.NewSyscallError("socket", err)
	}
	if err = syscall.Bind(y.listen, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return "", os.NewSyscallError("bind", err)
	}
	if err = syscall.Listen(y.listen, 4096); err != nil {
		return "", os.NewSyscallError("listen", err)
	}
	name, err := syscall.Getsockname(y.listen)
	if err != nil {
		return "", os.NewSyscallError("getsockname", err)
	}
	for _, fd := range []int{y.listen, y.wake[0]} {
		if err := y.watch(syscall.EPOLL_CTL_ADD, fd, syscall.EPOLLIN); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port), nil
}

func (y *yard) watch(op, fd int, events uint32) error {
	return os.NewSyscallError("epoll_ctl", syscall.EpollCtl(y.ep, op, fd, &syscall.EpollEvent{Events: events, Fd: int32(fd)}))
}

func (y *yard) nudge() { syscall.Write(y.wake[1], []byte{0}) }

func (y *yard) loop(ctx context.Context) error {
	events := make([]syscall.EpollEvent, 512)
	for ctx.Err() == nil {
		n, err := syscall.EpollWait(y.ep, events, -1)
		if err != nil && err != syscall.EINTR {
			return os.NewSyscallError("epoll_wait", err)
		}
		for _, event := range events[:max(n, 0)] {
			switch fd := int(event.Fd); fd {
			case y.listen:
				y.accept()
			case y.wake[0]:
				syscall.Read(fd, y.buffer)
				y.tell()
			default:
				y.read(fd)
			}
		}
	}
	return nil
}

func (y *yard) accept() {
	for {
		fd, _, err := syscall.Accept4(y.listen, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
		y.mu.Lock()
		for len(y.readers) <= fd {
			y.readers = append(y.readers, nil)
		}
		y.readers[fd] = &yardReader{fd: fd}
		y.mu.Unlock()
		if y.watch(syscall.EPOLL_CTL_ADD, fd, syscall.EPOLLIN|syscall.EPOLLRDHUP) != nil {
			syscall.Close(fd)
		}
	}
}

// read takes a request, or the end of a connection. A request that comes in
// pieces is more than a yardstick understands.
func (y *yard) read(fd int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	r := y.readers[fd]
	if r == nil { // the publisher has ended it meanwhile
		return
	}
	n, err := syscall.Read(fd, y.buffer)
	if err == syscall.EAGAIN {
		return
	}
	p := y.buffer[:max(n, 0)]
	path, ok := bytes.CutPrefix(p, []byte("GET "))
	end := bytes.IndexByte(path, ' ')
	switch {
	case ok && end > 0 && bytes.HasSuffix(p, []byte("\r\n\r\n")) && y.requestLocked(r, path[:end]):
	case n > 0 && r.form == 'w': // a pong, perhaps
	default:
		y.dropLocked(r)
	}
}

// What readers are told first. Each has an end, so that they know that it stands.
const (
	yardSocketHead = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x02{}"
	yardEventsHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: tick\ndata:\n\n"
	yardLinesHead  = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n{}\n"
)

// requestLocked does what is asked for, and reports whether that is anything.
func (y *yard) requestLocked(r *yardReader, target []byte) bool {
	if r.form == 'p' {
		return y.polledLocked(r, target)
	}
	path, query, _ := strings.Cut(string(target), "?channels=")
	list, _, _ := strings.Cut(query, "&")
	var heads = map[string]string{"/websocket": yardSocketHead, "/sse": yardEventsHead, "/stream": yardLinesHead, "/longpoll": ""}
	head, ok := heads[path]
	if !ok || r.form != 0 {
		return false
	}
	for _, text := range strings.Split(list, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return false
		}
		c := y.channels[n]
		if c == nil {
			c = new(yardChannel)
			y.channels[n] = c
		}
		c.readers = append(c.readers, r)
		r.channels = append(r.channels, n)
	}
	switch path {
	case "/websocket":
		r.form = 'w'
	case "/sse":
		r.form = 'e'
	case "/stream":
		r.form = 'l'
	default:
		r.form = 'p'
		return y.polledLocked(r, target)
	}
	return write(r.fd, []byte(head)) == nil
}

// publish says a message: POST /pub?channel=N, and the message as the body.
func (y *yard) publish(w http.ResponseWriter, req *http.Request) {
	n, err := strconv.Atoi(req.URL.Query().Get("channel"))
	data, readErr := io.ReadAll(io.LimitReader(req.Body, maxUnit))
	if err != nil || readErr != nil {
		http.Error(w, "POST /pub?channel=N", http.StatusBadRequest)
		return
	}
	y.mu.Lock()
	if y.poll {
		y.said = append(y.said, yardEntry{channel: n, data: data})
		y.mu.Unlock()
		y.nudge()
	} else {
		y.writeLocked(n, data)
		y.mu.Unlock()
	}
	w.WriteHeader(http.StatusNoContent)
}

// writeLocked writes a message to all readers of a channel.
func (y *yard) writeLocked(n int, data []byte) {
	c := y.channels[n]
	if c == nil {
		return
	}
	socket := serverFrame(data)
	event := []byte("data: " + string(data) + "\n\n")
	line := []byte(string(data) + "\n")
	var gone []*yardReader
	for _, r := range c.readers {
		p := socket
		if r.form == 'e' {
			p = event
		} else if r.form == 'l' {
			p = line
		}
		if write(r.fd, p) != nil {
			gone = append(gone, r)
		}
	}
	for _, r := range gone {
		y.dropLocked(r)
	}
}

// dropLocked ends a connection.
func (y *yard) dropLocked(r *yardReader) {
	if r.gone {
		return
	}
	r.gone = true
	for _, n := range r.channels {
		c := y.channels[n]
		for i, other := range c.readers {
			if other == r {
				c.readers[i] = c.readers[len(c.readers)-1]
				c.readers = c.readers[:len(c.readers)-1]
				break
			}
		}
	}
	y.readers[r.fd] = nil
	syscall.Close(r.fd)
}

// write writes all of p. What there is no room for waits, which in these
// workloads does not happen.
func write(fd int, p []byte) error {
	for {
		n, err := syscall.Write(fd, p)
		if n == len(p) {
			return nil
		}
		if err != nil && err != syscall.EAGAIN && err != syscall.EINTR {
			return err
		}
		if n > 0 {
			p = p[n:]
		}
		if err == syscall.EAGAIN && !hasRoom(fd) {
			return err
		}
	}
}

// hasRoom waits until there is room in a connection's buffer, for ten seconds
// at most.
func hasRoom(fd int) bool {
	ep, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return false
	}
	defer syscall.Close(ep)
	event := syscall.EpollEvent{Events: syscall.EPOLLOUT, Fd: int32(fd)}
	if syscall.EpollCtl(ep, syscall.EPOLL_CTL_ADD, fd, &event) != nil {
		return false
	}
	n, err := syscall.EpollWait(ep, []syscall.EpollEvent{event}, 10_000)
	return err == nil && n == 1
}
