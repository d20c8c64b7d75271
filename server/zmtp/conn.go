package zmtp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Options say who we are and what a peer may do. Zero fields mean the defaults.
type Options struct {
	Type SocketType // what we are; there is no default

	HandshakeTimeout time.Duration // for all of the handshake; default 5 s
	StallTimeout     time.Duration // without a byte, in the midst of a message; default 30 s
	WriteTimeout     time.Duration // for what is written at once; default 10 s
	MaxMessageBytes  int           // of all frames of a message; default 1 MiB
	MaxFrames        int           // of a message; default 16
}

func (o *Options) setDefaults() {
	set(&o.HandshakeTimeout, 5*time.Second)
	set(&o.StallTimeout, 30*time.Second)
	set(&o.WriteTimeout, 10*time.Second)
	set(&o.MaxMessageBytes, 1<<20)
	set(&o.MaxFrames, 16)
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// A Conn is a connection whose handshake is done. One goroutine may receive
// while others send; Close may be called by any.
type Conn struct {
	conn net.Conn
	opts Options
	in   *bufio.Reader
	peer SocketType
	v31  bool // the peer knows the commands of 3.1

	hurried bool // a deadline is set for the peer's next bytes

	mu     sync.Mutex // held for each write, so that no frame stands in another; guards what follows
	broken error      // of a write that may have stopped in the midst of a frame
}

// errProtocol is the root of all that a peer does against the protocol.
var errProtocol = errors.New("zmtp")

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errProtocol, fmt.Errorf(format, args...))
}

// Broken reports whether err says that the peer has broken the protocol, or
// speaks another one.
func Broken(err error) bool { return errors.Is(err, errProtocol) }

// A LimitError says that a message was passed over because it is over a limit.
// The connection goes on with the next one.
type LimitError struct {
	Limit  string // which: "bytes" or "frames"
	Max    int
	Before [][]byte // the frames before the limit
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("zmtp: a message has more than %d %s", e.Max, e.Limit)
}

// NewConn makes a connection of c by shaking hands with the peer, which is the
// same for whoever has dialled and whoever has accepted. After an error c is
// closed.
func NewConn(c net.Conn, opts Options) (*Conn, error) {
	opts.setDefaults()
	z := &Conn{conn: c, opts: opts, in: bufio.NewReaderSize(c, 16<<10)}
	c.SetDeadline(time.Now().Add(opts.HandshakeTimeout))
	if err := z.shakeHands(); err != nil {
		c.Close()
		return nil, err
	}
	c.SetDeadline(time.Time{})
	return z, nil
}

// Peer is what the peer is.
func (c *Conn) Peer() SocketType { return c.peer }

// RemoteAddr is where the peer is.
func (c *Conn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

// Close ends the connection. What is in Receive or Send returns with an error.
func (c *Conn) Close() error { return c.conn.Close() }

// Receive returns the frames of the next message, which are the caller's. Pings
// are answered, and other commands passed over. After a [*LimitError] it may be
// called again; after any other error the connection is of no use.
func (c *Conn) Receive() (frames [][]byte, err error) {
	for {
		frames, command, err := c.receive()
		if err != nil || command == nil {
			return frames, err
		}
		if err := c.obey(command); err != nil {
			return nil, err
		}
	}
}

// ReceiveSubscription returns the next change of what a subscriber subscribes
// to: all topics that begin with prefix. The error is as of Receive.
func (c *Conn) ReceiveSubscription() (prefix []byte, on bool, err error) {
	for {
		frames, command, err := c.receive()
		if err != nil {
			return nil, false, err
		}
		if command == nil { // as ZMTP 3.0 has it
			first := frames[0]
			if len(frames) > 1 || len(first) == 0 || first[0] > 1 {
				continue // what a subscriber says beyond that is for nobody
			}
			if len(first) > maxCommand { // it is to be kept, so it may not be longer this way
				return nil, false, wrong("a subscription has %d bytes, and %d are allowed", len(first), maxCommand)
			}
			return first[1:], first[0] == 1, nil
		}
		name, body, err := splitCommand(command)
		switch {
		case err != nil:
			return nil, false, err
		case name == "SUBSCRIBE" || name == "CANCEL":
			return body, name == "SUBSCRIBE", nil
		}
		if err := c.obey(command); err != nil {
			return nil, false, err
		}
	}
}

// Subscribe has the peer, a publisher, send us what has this prefix.
func (c *Conn) Subscribe(prefix []byte) error {
	if c.v31 {
		return c.Write(appendCommand(nil, "SUBSCRIBE", prefix))
	}
	return c.Send(append([]byte{1}, prefix...))
}

// Send sends a message.
func (c *Conn) Send(frames ...[]byte) error { return c.Write(AppendMessage(nil, frames...)) }

// Write sends messages that [AppendMessage] has made. After an error nothing
// more is sent: the peer would take it for the rest of what was cut off.
func (c *Conn) Write(p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken == nil {
		c.conn.SetWriteDeadline(time.Now().Add(c.opts.WriteTimeout))
		_, c.broken = c.conn.Write(p)
	}
	return c.broken
}

// obey does what a command asks for. Unknown ones ask for nothing.
func (c *Conn) obey(command []byte) error {
	name, body, err := splitCommand(command)
	switch {
	case err != nil:
		return err
	case name == "ERROR":
		return refusal(body)
	case name == "PING":
		if len(body) < 2 || len(body) > 2+maxPing {
			return wrong("a PING has %d bytes", len(body))
		}
		// Behind a time that is of no use to us.
		err := c.Write(appendCommand(nil, "PONG", body[2:]))
		if errors.Is(err, os.ErrDeadlineExceeded) { // it does not read
			return err
		}
		// What else is in the way says nothing of what is on its way to us.
	}
	return nil
}

// maxPing is how much context a PING may have.
const maxPing = 16

// receive returns the next message, or the next command.
func (c *Conn) receive() (frames [][]byte, command []byte, err error) {
	h, err := c.header(false)
	if err != nil {
		return nil, nil, err
	}
	if h.flags&flagCommand != 0 {
		command, err := c.command(h)
		return nil, command, err
	}
	left := c.opts.MaxMessageBytes
	for {
		switch {
		case len(frames) == c.opts.MaxFrames:
			return nil, nil, c.passOver(h, &LimitError{"frames", c.opts.MaxFrames, frames})
		case h.size > uint64(left):
			return nil, nil, c.passOver(h, &LimitError{"bytes", c.opts.MaxMessageBytes, frames})
		}
		left -= int(h.size)
		body, err := c.body(int(h.size))
		if err != nil {
			return nil, nil, err
		}
		if frames = append(frames, body); h.flags&flagMore == 0 {
			return frames, nil, nil
		}
		if h, err = c.nextFrame(); err != nil {
			return nil, nil, err
		}
	}
}

// nextFrame reads the header of the next frame of a message that has begun.
// libzmq sends its pings between frames as well, if its timer will have it so.
func (c *Conn) nextFrame() (header, error) {
	for {
		h, err := c.header(true)
		if err != nil || h.flags&flagCommand == 0 {
			return h, unexpected(err)
		}
		command, err := c.command(h)
		if err != nil {
			return h, err
		}
		if err := c.obey(command); err != nil {
			return h, err
		}
	}
}

// header reads what is before a frame. Within a message a peer may not stall;
// between two it may be silent as long as it likes.
func (c *Conn) header(within bool) (h header, err error) {
	if within {
		c.hurry(1)
	} else if c.hurried && c.in.Buffered() == 0 {
		c.conn.SetReadDeadline(time.Time{})
		c.hurried = false
	}
	flags, err := c.in.ReadByte()
	if err != nil {
		return h, err
	}
	c.hurry(digits(flags))
	return readHeader(flags, c.in)
}

// hurry gives the peer so much time for the next n bytes. What has come already
// needs none.
func (c *Conn) hurry(n int) {
	if c.in.Buffered() < n {
		c.conn.SetReadDeadline(time.Now().Add(c.opts.StallTimeout))
		c.hurried = true
	}
}

// command reads the command behind h.
func (c *Conn) command(h header) ([]byte, error) {
	if h.size > maxCommand {
		return nil, wrong("a command has %d bytes, and %d are allowed", h.size, maxCommand)
	}
	return c.body(int(h.size))
}

// step is how much room is made for bytes that have not come yet.
const step = 64 << 10

// body reads n bytes. Room is made as they come.
func (c *Conn) body(n int) ([]byte, error) {
	p := make([]byte, 0, min(n, step))
	for len(p) < n {
		if len(p) == cap(p) {
			p = append(make([]byte, 0, min(2*len(p), n)), p...)
		}
		c.hurry(1)
		k, err := c.in.Read(p[len(p):min(n, cap(p))])
		p = p[:len(p)+k]
		if err != nil {
			return nil, unexpected(err)
		}
	}
	return p, nil
}

// passOver reads the rest of a message, of which h is the next frame, and
// returns why.
func (c *Conn) passOver(h header, why error) error {
	for {
		for left := h.size; left > 0; {
			c.hurry(1)
			n, err := c.in.Discard(int(min(left, uint64(max(c.in.Buffered(), 1)))))
			left -= uint64(n)
			if err != nil {
				return unexpected(err)
			}
		}
		if h.flags&flagMore == 0 {
			return why
		}
		var err error
		if h, err = c.nextFrame(); err != nil {
			return err
		}
	}
}

// unexpected makes an end in the midst of something one that was not expected.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
