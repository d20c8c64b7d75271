package websocket

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/transport"
	"github.com/shaveet/shaveet/server/wsframe"
)

// The codes of close frames that are ours.
const (
	codeInvalid     = 4400 // the hello makes no sense
	codeGone        = 4404 // there is nobody left to read for
	codeTimeout     = 4408 // there was no hello
	codeSuperseded  = 4409
	codeLimit       = 4429
	codeUnavailable = 4503
)

// closeWait is how long a reader may take to answer a close frame.
const closeWait = 2 * time.Second

// maxNoise is how many bytes a reader may go on to send that nobody reads, until
// it sees that its connection is being closed.
const maxNoise = 16 << 10

// A state is how far a connection has come.
type state uint8

const (
	waiting   state = iota // for the hello
	attaching              // to the hub, as the hello says
	reading
	closing // a close frame is sent, or will be; nothing else is
)

// What has become of attaching.
const (
	notAttached uint32 = iota
	isAttaching
	attached
	refused   // the hub has said no
	abandoned // the connection has ended in the meantime
)

// A conn is one reader's WebSocket. It is a [park.Peer], whose methods are
// called one at a time.
type conn struct {
	transport.Feed
	handler *Handler
	reader  wsframe.Reader

	state      state
	deflate    bool          // permessage-deflate has been agreed on
	draining   bool          // it is time to go
	deaf       bool          // what the peer sends cannot be read any more
	peerClosed bool          // the peer has sent a close frame
	heard      bool          // the peer has sent something since the last ping
	pinged     bool          // a ping has been sent
	toPong     bool          // a ping has come, which is to be answered
	batch      bool          // what is being written is of the feed
	wroteBeat  bool          // and there is a ping in it
	code       uint16        // what the connection is closed with when the feed has ended
	last       []byte        // what is to be said at the end; before that, what the ping said
	noise      int           // bytes that came when it was deaf
	quota      time.Duration // when the frames that have come would be due, since the handler began
	pingSent   time.Duration // when the last ping was sent, since the handler began

	beat     time.Duration
	attempt  atomic.Uint32 // one of notAttached to abandoned
	released bool          // the session has been closed
	arrival  *arrival      // until the session has begun
}

// An arrival is what is needed only until the session has begun.
type arrival struct {
	hello  transport.Hello
	err    error              // why the hub has said no
	giveUp context.CancelFunc // nil if nobody else attaches
}

// noMessages are the limits of a reader that has said its hello.
var noMessages wsframe.Limits

// greet takes the hello. Nothing else is to be said.
func (c *conn) greet(hello transport.Hello) {
	c.arrival = &arrival{hello: hello}
	c.beat, c.state, c.heard = c.handler.host.Beat(hello), attaching, true
	c.reader.SetLimits(&noMessages)
	c.attempt.Store(isAttaching)
}

// attach begins the session. It may take its time.
func (c *conn) attach(ctx context.Context) {
	a := c.arrival
	a.err = c.Attach(ctx, c.handler.host, a.hello, "websocket", c.encode)
	next := attached
	if a.err != nil {
		next = refused
	}
	if c.attempt.CompareAndSwap(isAttaching, next) {
		c.Wake()
	} else if next == attached {
		c.Feed.Closed(nil)
	}
}

// Next is part of [park.Tenant].
func (c *conn) Next(dst []byte, why park.Event) (out []byte, end bool) {
	c.draining = c.draining || why&park.Drain != 0
	if c.state == attaching {
		c.settle()
	}
	if c.state == reading {
		return c.read(dst, why)
	}
	if c.state == waiting {
		c.await(why)
	}
	if c.state != closing {
		return c.answerPing(dst), false
	}
	if c.last == nil {
		return dst, c.peerClosed || c.noise > maxNoise || why&park.Due != 0
	}
	return c.part(dst)
}

// part says what is to be said at the end, and reports whether there is no
// answer to wait for.
func (c *conn) part(dst []byte) (out []byte, end bool) {
	dst = append(dst, c.last...)
	c.last = nil
	c.DueIn(closeWait)
	return dst, c.peerClosed || c.noise > maxNoise
}

// await ends a connection that has not said its hello, if it is time.
func (c *conn) await(why park.Event) {
	switch {
	case c.draining:
		b := hub.Batch{Signals: []hub.Signal{{Type: hub.SignalDrain}}}
		c.end(wsframe.CodeRestart, "drain", transport.AppendBatch(nil, &b, c.handler.host.RetryTime()))
	case why&park.Due != 0:
		refusal := transport.Refusal{Status: http.StatusRequestTimeout, Type: "timeout", Message: "there was no hello in time"}
		c.end(codeTimeout, refusal.Type, refusal.Body())
	}
}

// settle looks what has become of attaching.
func (c *conn) settle() {
	switch c.attempt.Load() {
	case attached:
		c.state, c.arrival = reading, nil
	case refused:
		c.refuse(context.Background(), c.arrival.err)
	}
}

// read says what the session has, and what keeps the connection alive.
func (c *conn) read(dst []byte, why park.Event) (out []byte, end bool) {
	if c.Ended() {
		c.end(c.code, reasons[c.code], nil)
		return c.part(dst)
	}
	if c.draining {
		why |= park.Drain
	}
	if why&park.Due != 0 {
		switch {
		case !c.pinged || c.heard:
			c.pinged, c.heard, c.wroteBeat = true, false, true
			dst = wsframe.AppendPing(dst, nil)
		case time.Since(c.handler.began)-c.pingSent < c.beat:
			why &^= park.Due // it was due while the ping was not through
		default:
			c.end(wsframe.CodePolicy, "there was no answer to a ping", nil)
			return append(dst, c.last...), true
		}
	}
	dst = c.answerPing(dst)
	before := len(dst)
	dst, end = c.Feed.Next(dst, why)
	c.batch = len(dst) > before
	if end {
		c.end(c.code, reasons[c.code], nil)
		return c.part(dst)
	}
	return dst, false
}

// answerPing answers the last ping that has come.
func (c *conn) answerPing(dst []byte) []byte {
	if c.toPong {
		dst = wsframe.AppendPong(dst, c.last)
		c.last, c.toPong = nil, false
	}
	return dst
}

// Sent is part of [park.Tenant].
func (c *conn) Sent() {
	if c.batch {
		c.batch = false
		c.Feed.Sent()
	}
	if c.wroteBeat {
		c.wroteBeat = false
		if c.state == reading { // from now on the peer may take its time to answer
			c.pingSent = time.Since(c.handler.began)
			c.DueIn(c.beat)
		}
	}
	c.release()
}

// Closed is part of [park.Tenant].
func (c *conn) Closed(error) {
	if c.arrival != nil && c.arrival.giveUp != nil {
		c.arrival.giveUp()
	}
	c.batch, c.state = false, closing
	c.release()
}

// release closes the session once nothing of it is under way and nothing more
// will be.
func (c *conn) release() {
	if c.state != closing || c.batch || c.released || c.attempt.CompareAndSwap(isAttaching, abandoned) {
		return
	}
	if c.attempt.Load() == attached {
		c.released = true
		c.Feed.Closed(nil)
	}
}

// refuse ends the connection because of err: it is told what no answer to its
// request could tell a page.
func (c *conn) refuse(ctx context.Context, err error) {
	h := c.handler.host
	if errors.Is(err, hub.ErrBadCredentials) {
		gone := h.Gone(c.arrival.hello.Clients)
		c.end(codeGone, reasons[codeGone], transport.AppendBatch(nil, &gone, 0))
		return
	}
	refusal := h.RefusalOf(ctx, err)
	c.end(codeOf(refusal.Status), refusal.Type, refusal.Body())
}

// end has the connection be closed, unless that is under way: with a last
// message, if there is one, and a close frame.
func (c *conn) end(code uint16, reason string, message []byte) {
	if c.state == closing {
		return
	}
	c.state = closing
	c.last, c.toPong = nil, false
	if message != nil {
		c.last = wsframe.AppendText(c.last, message)
	}
	c.last = wsframe.AppendClose(c.last, code, reason)
	c.release()
	c.Wake()
}

// codeOf is the code for what would be this status of HTTP.
func codeOf(status int) uint16 {
	switch status {
	case http.StatusBadRequest:
		return codeInvalid
	case http.StatusTooManyRequests:
		return codeLimit
	case http.StatusServiceUnavailable:
		return codeUnavailable
	}
	return wsframe.CodeInternal
}

// reasons are what close frames say that end a session.
var reasons = map[uint16]string{
	codeGone: "gone", codeSuperseded: "superseded", wsframe.CodeRestart: "drain",
}
