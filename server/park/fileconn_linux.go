package park

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
)

// A fileConn is a connection by its descriptor, for a server that has it back.
type fileConn struct {
	*os.File
	peer peerAddr
	once sync.Once
	gone func() // called when it is closed; nil: nothing is
}

func newFileConn(fd int, peer peerAddr, gone func()) *fileConn {
	return &fileConn{File: os.NewFile(uintptr(fd), "connection"), peer: peer, gone: gone}
}

// Read is part of [net.Conn].
func (c *fileConn) Read(p []byte) (n int, err error) {
	n, err = c.File.Read(p)
	return n, c.failed("read", err)
}

// Write is part of [net.Conn].
func (c *fileConn) Write(p []byte) (n int, err error) {
	n, err = c.File.Write(p)
	return n, c.failed("write", err)
}

// failed makes an error of a connection out of one of a file: net/http looks for
// a [net.Error].
func (c *fileConn) failed(op string, err error) error {
	var of *os.PathError
	if !errors.As(err, &of) {
		return err
	}
	addr := c.peer.addr()
	return &net.OpError{Op: op, Net: addr.Network(), Addr: addr, Err: of.Err}
}

// Close is part of [net.Conn].
func (c *fileConn) Close() error {
	_, gone := c.Detach()
	if gone != nil {
		defer gone()
	}
	return c.File.Close()
}

// Detach is part of [Detachable].
func (c *fileConn) Detach() (inner net.Conn, gone func()) {
	c.once.Do(func() { gone = c.gone })
	return c, gone
}

func (c *fileConn) RemoteAddr() net.Addr { return c.peer.addr() }

func (c *fileConn) LocalAddr() (addr net.Addr) {
	addr = &net.TCPAddr{}
	c.control(func(fd int) {
		at, err := syscall.Getsockname(fd)
		if err != nil {
			return
		}
		switch at := at.(type) {
		case *syscall.SockaddrInet4:
			addr = &net.TCPAddr{IP: at.Addr[:], Port: at.Port}
		case *syscall.SockaddrInet6:
			addr = &net.TCPAddr{IP: at.Addr[:], Port: at.Port}
		case *syscall.SockaddrUnix:
			addr = &net.UnixAddr{Name: at.Name, Net: "unix"}
		}
	})
	return addr
}

// CloseWrite says the end of what is written.
func (c *fileConn) CloseWrite() (err error) {
	if gone := c.control(func(fd int) { err = syscall.Shutdown(fd, syscall.SHUT_WR) }); gone != nil {
		return gone
	}
	return err
}

// SetLinger is that of a [net.TCPConn].
func (c *fileConn) SetLinger(sec int) error {
	return c.control(func(fd int) {
		syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1, Linger: int32(sec)})
	})
}

func (c *fileConn) control(f func(fd int)) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) { f(int(fd)) })
}

// duplicate returns another descriptor of a connection that is nothing but its
// descriptor.
func duplicate(conn net.Conn) (fd int, ok bool) {
	if outer, is := conn.(interface{ NetConn() net.Conn }); is {
		if _, is := conn.(Detachable); !is {
			return 0, false
		}
		conn = outer.NetConn()
	}
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn, *fileConn:
	default:
		return 0, false
	}
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return 0, false
	}
	var failed error
	err = raw.Control(func(old uintptr) { fd, failed = anotherOf(old) })
	return fd, err == nil && failed == nil
}

// anotherOf returns another descriptor of what fd is one of.
func anotherOf(fd uintptr) (another int, err error) {
	r, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		return -1, os.NewSyscallError("fcntl", errno)
	}
	return int(r), nil
}

// A peerAddr is a peer's address in little room: none for one that is not of the
// Internet's protocols.
type peerAddr struct {
	ip   [16]byte
	port uint16
	is   bool
}

// packSockaddr is packAddr for what accept says.
func packSockaddr(a syscall.Sockaddr) (p peerAddr) {
	switch a := a.(type) {
	case *syscall.SockaddrInet4:
		return peerAddr{netip.AddrFrom4(a.Addr).As16(), uint16(a.Port), true}
	case *syscall.SockaddrInet6:
		return peerAddr{a.Addr, uint16(a.Port), true}
	}
	return p
}

func packAddr(a net.Addr) (p peerAddr) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return p
	}
	return packAddrPort(tcp.AddrPort())
}

func packAddrPort(a netip.AddrPort) peerAddr {
	return peerAddr{a.Addr().As16(), a.Port(), a.IsValid()}
}

// addrPort is not valid for what is not of the Internet's protocols.
func (p peerAddr) addrPort() (a netip.AddrPort) {
	if p.is {
		a = netip.AddrPortFrom(netip.AddrFrom16(p.ip).Unmap(), p.port)
	}
	return a
}

func (p *peerAddr) String() string { return p.addr().String() }

func (p peerAddr) addr() net.Addr {
	if !p.is {
		return &net.UnixAddr{Name: "@", Net: "unix"}
	}
	return net.TCPAddrFromAddrPort(p.addrPort())
}
