package engine

import (
	"time"

	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/transport/socketio/engineio"
	"github.com/shaveet/shaveet/server/wsframe"
)

// closeWait is how long a client may take to answer a close frame.
const closeWait = 2 * time.Second

// maxNoise is how many bytes a client may go on to send that nobody reads, until
// it sees that its connection is being closed.
const maxNoise = 16 << 10

// A socket is one WebSocket: of a session, or of one that may go over to it. It
// is a [park.Peer].
type socket struct {
	park.Conn
	session *Session
	reader  wsframe.Reader

	// Guarded by the session's lock.

	owed       *owed  // nil: nothing is
	noise      int32  // bytes that have come since it is closing
	code       uint16 // what it is closed with
	base64     bool   // the client takes no binary
	toPong     bool   // a ping has come, which is to be answered
	toProbe    bool   // so has one of the client that wants to go over
	closing    bool   // a close frame is to be sent, or has been; nothing else is
	closed     bool   // it has been sent
	peerClosed bool   // the client has sent one
	deaf       bool   // what comes cannot be read any more
}

// owed is what few sockets have to answer.
type owed struct {
	ping   []byte        // what the last one has said
	probed chan struct{} // closed when the answer to the probe has been sent; nil: it has, or there is none
}

// owes returns it, to be changed.
func (c *socket) owes() *owed {
	if c.owed == nil {
		c.owed = new(owed)
	}
	return c.owed
}

// shut has the socket be closed. The session's lock is held.
func (c *socket) shut(code uint16) {
	if !c.closing {
		c.closing, c.code = true, code
	}
	c.Wake()
}

// Next is part of [park.Tenant].
func (c *socket) Next(dst []byte, why park.Event) (out []byte, end bool) {
	fine := false
	c.session.mu.Lock()
	defer c.session.unlock(&fine)
	out, end = c.next(dst, why)
	fine = true
	return out, end
}

func (c *socket) next(dst []byte, why park.Event) (out []byte, end bool) {
	s := c.session
	if why&park.Drain != 0 {
		c.drain()
	}
	if c.toPong && !c.closing {
		dst = wsframe.AppendPong(dst, c.owed.ping)
		c.toPong, c.owed.ping = false, nil
	}
	if s.socket == c || c.toProbe {
		w := newWriter(c.wire(), dst)
		if c.toProbe {
			c.toProbe = false
			w.packet(engineio.Packet{Type: engineio.Pong, Data: probe})
		}
		if s.socket == c {
			s.fill(w, &c.Conn, nil)
		}
		dst = w.release()
	}
	if !c.closing {
		return dst, false
	}
	return c.part(dst, why)
}

// part says that the connection ends, and whether there is no answer to wait
// for.
func (c *socket) part(dst []byte, why park.Event) (out []byte, end bool) {
	if !c.closed {
		c.closed = true
		c.DueIn(closeWait)
		dst = wsframe.AppendClose(dst, c.code, "")
		why &^= park.Due
	}
	return dst, c.peerClosed || c.noise > maxNoise || why&park.Due != 0
}

// drain ends what goes by the socket: it is time to go.
func (c *socket) drain() {
	if c.session.socket == c {
		c.session.finish(Drain)
	} else {
		c.give(wsframe.CodeRestart)
	}
}

// give closes the socket, by which nobody goes over any more.
func (c *socket) give(code uint16) {
	if u := c.session.upgrade; u != nil && u.socket == c {
		c.session.abandon(code)
	} else {
		c.shut(code)
	}
}

func (c *socket) wire() wire {
	switch {
	case c.session.three && c.base64:
		return textFrames3
	case c.session.three:
		return frames3
	case c.base64:
		return textFrames
	}
	return frames
}

// Sent is part of [park.Tenant].
func (c *socket) Sent() {
	fine := false
	c.session.mu.Lock()
	defer c.session.unlock(&fine)
	if !c.toProbe {
		c.answered()
	}
	c.session.sent(&c.Conn)
	fine = true
}

// answered lets go of who waits for the answer to the probe.
func (c *socket) answered() {
	if c.owed == nil {
		return
	}
	if c.owed.probed != nil {
		close(c.owed.probed)
	}
	c.owed.probed = nil
	if !c.toPong {
		c.owed = nil
	}
}

// Closed is part of [park.Tenant].
func (c *socket) Closed(err error) {
	s := c.session
	s.mu.Lock()
	defer s.mu.Unlock()
	c.closing = true
	c.answered()
	if s.socket == c {
		s.socket = nil
		s.finish(reasonOf(err))
	}
	s.lost(&c.Conn, reasonOf(err))
	c.give(wsframe.CodeNormal)
}

// Received is part of [park.Peer].
func (c *socket) Received(p []byte) {
	s := c.session
	fine := false
	s.mu.Lock()
	defer s.unlock(&fine)
	if c.closing {
		if c.noise += int32(len(p)); c.noise > maxNoise {
			c.Wake()
		}
	}
	for len(p) > 0 && !c.deaf && !c.peerClosed {
		n, f, err := c.reader.Feed(p)
		p = p[n:]
		if err != nil {
			c.broken(err)
		} else if f.Op != wsframe.None {
			c.take(f)
		}
	}
	fine = true
}

// broken ends what goes by the socket for what the client has done wrong.
func (c *socket) broken(err error) {
	c.deaf = true
	code, why := wsframe.CodeOf(err), ParseError
	if code == wsframe.CodeTooLarge || code == wsframe.CodePolicy {
		why = TooMuch
	}
	c.end(code, why)
}

// end ends what goes by the socket: the session, or the way to it.
func (c *socket) end(code uint16, why Reason) {
	if c.session.socket == c {
		c.shut(code)
		c.session.finish(why)
	} else {
		c.give(code)
	}
}

// take takes a message or control frame.
func (c *socket) take(f wsframe.Frame) {
	s := c.session
	switch {
	case f.Op == wsframe.Close:
		c.peerClosed = true
		c.end(f.Code, Gone)
		c.Wake() // also if it is the answer to ours
	case c.closing || !s.quotaLeft():
	case f.Op == wsframe.Ping:
		c.toPong = true
		o := c.owes()
		o.ping = append(o.ping[:0], f.Data...)
		c.Wake()
	case f.Op == wsframe.Text || f.Op == wsframe.Binary:
		p, err := c.decode(f)
		switch {
		case err != nil:
			c.end(wsframe.CodeProtocol, ParseError)
		case s.socket == c:
			s.take(p)
		default:
			c.goOver(p)
		}
	}
}

func (c *socket) decode(f wsframe.Frame) (engineio.Packet, error) {
	switch {
	case f.Op == wsframe.Text && c.session.three:
		return engineio.DecodeText3(f.Data)
	case f.Op == wsframe.Text:
		return engineio.DecodeText(f.Data)
	case c.session.three:
		return engineio.DecodeBinary3(f.Data)
	}
	return engineio.DecodeBinary(f.Data), nil
}
