package websocket

import (
	"context"
	"time"

	"github.com/shaveet/shaveet/server/transport"
	"github.com/shaveet/shaveet/server/wsframe"
)

// Received is part of [park.Peer].
func (c *conn) Received(p []byte) {
	if c.deaf || c.peerClosed {
		if c.noise += len(p); c.noise > maxNoise {
			c.Wake()
		}
	}
	for len(p) > 0 && !c.deaf && !c.peerClosed {
		n, f, err := c.reader.Feed(p)
		p = p[n:]
		switch {
		case err != nil:
			c.deaf = true
			c.broken(err)
		case f.Op != wsframe.None:
			c.heard = true
			if c.quotaLeft() {
				c.take(f)
			} else {
				c.deaf = true
				c.end(wsframe.CodePolicy, "too many frames", nil)
			}
		}
	}
}

// broken ends the connection for what the peer has done wrong.
func (c *conn) broken(err error) {
	code, text := wsframe.CodeOf(err), err.Error()
	if c.state != waiting && code == wsframe.CodePolicy { // it begins a message
		text = "nothing is to be said after the hello"
	}
	c.end(code, text, nil)
}

// quotaLeft reports whether the peer may have sent one more frame.
func (c *conn) quotaLeft() bool {
	h := c.handler
	now := time.Since(h.began)
	c.quota = max(c.quota, now-time.Duration(h.maxFrames)*h.frameTime) + h.frameTime
	return c.quota <= now
}

// take takes what the peer has sent.
func (c *conn) take(f wsframe.Frame) {
	switch f.Op {
	case wsframe.Close:
		c.peerClosed = true
		c.end(f.Code, "", nil)
		c.Wake() // also if it is the answer to ours
	case wsframe.Ping:
		if c.state != closing {
			c.last, c.toPong = append(c.last[:0], f.Data...), true
			c.Wake()
		}
	case wsframe.Binary:
		c.end(wsframe.CodeUnsupported, "only text is taken", nil)
	case wsframe.Text:
		if c.state == waiting {
			c.takeHello(f.Data)
		}
	}
}

// takeHello reads the hello and has somebody attach: it may have to wait for
// the log.
func (c *conn) takeHello(text []byte) {
	hello, err := transport.ParseHello(text, c.handler.host.Limits())
	if err != nil {
		c.refuse(context.Background(), err)
		return
	}
	c.greet(hello)
	c.DueIn(c.beat)
	ctx, cancel := context.WithCancel(context.Background())
	c.arrival.giveUp = cancel
	go func() {
		defer cancel()
		c.attach(ctx)
	}()
}
