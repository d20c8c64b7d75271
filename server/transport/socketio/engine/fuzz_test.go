package engine_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/shaveet/shaveet/server/transport/socketio/engine"
)

// FuzzSession has a client do anything in any order: nothing panics, its app is
// called as it should be, and nothing of it is left in the end.
func FuzzSession(f *testing.F) {
	for _, seed := range []string{
		"p\x034abg", "gp\x011", "ggg", "u\x062probeu\x015gw\x034ab", "gu\x062probe tttgu\x015 g", "op\x014 oxg", "Wf\x034abw\x011", "u\x062probeggsu\x015ssg",
		"p\x022xs g", "cg", "gct", "Wcw\x024a", "gTTg", "gtp\x013TTT", "Cgp\x024xsu\x062probe u\x015", "gaDgW", "W\x81r\x06\x81\x82abcd", "gu\x062probedu\x062probe", "3gsbg", "3sbgbgu\x062probebu\x015b",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		synctest.Test(t, func(t *testing.T) {
			o := engine.Options{AllowEIO3: true, JSONP: true, MaxPayload: 100, MaxPackets: 50, UpgradeTimeout: time.Second, Logger: slog.New(slog.DiscardHandler)}
			c := &actor{place: newPlace(t, o)}
			c.ctx, c.cancel = context.WithCancel(t.Context())
			c.query = c.begin("")
			if len(script) > 0 && script[0] == '3' {
				c.query = c.begin3("")
			}
			for len(script) > 0 {
				script = c.act(script)
			}
			c.cancel()
			time.Sleep(2 * time.Minute)
			if s := c.server.Stats(); s.Polling != 0 || s.WebSocket != 0 {
				t.Errorf("what is left is %+v", s)
			}
			if n := c.lot.Held(); n > 10 {
				t.Errorf("%d connections are held", n)
			}
		})
	})
}

// An actor does what a script says.
type actor struct {
	*place
	ctx    context.Context
	cancel context.CancelFunc
	query  string
	socket net.Conn // nil: there is none
}

// act does one thing and returns the rest of the script.
func (c *actor) act(script []byte) []byte {
	op, rest := script[0], script[1:]
	arg := ""
	if strings.IndexByte("pufr", op) >= 0 && len(rest) > 0 {
		n := min(int(rest[0]), len(rest)-1)
		arg, rest = string(rest[1:1+n]), rest[1+n:]
	}
	a := c.last()
	switch op {
	case 'g', 'j':
		go c.doContext(c.ctx, "GET", c.query+strings.Repeat("&j=1", int(op-'g')/3), "")
	case 'p':
		go c.doContext(c.ctx, "POST", c.query, arg)
	case 'o':
		go c.doContext(c.ctx, "POST", c.query, "4x", "Content-Type", "application/octet-stream")
	case 'u': // over the WebSocket that it may go over to
		c.write("transport=websocket&"+c.query[strings.Index(c.query, "sid="):], text(arg))
	case 'W':
		c.write("EIO=4&transport=websocket", "")
	case 'w', 'f':
		c.write("", frame(ws.OpBinary, arg))
	case 'r':
		c.write("", arg)
	case 's':
		a.say("x")
	case 'b':
		a.sayBinary("x")
	case 'a':
		a.session.Close(engine.Forced)
	case 'c': // all requests are dropped
		c.cancel()
		c.ctx, c.cancel = context.WithCancel(c.t.Context())
	case 'd':
		if c.socket != nil {
			c.socket.Close()
			c.socket = nil
		}
	case 't':
		time.Sleep(50 * time.Millisecond)
	case 'T':
		time.Sleep(20 * time.Second)
	case 'D':
		c.drain()
	}
	if op != 'g' { // what follows a poll may overtake it
		synctest.Wait()
	}
	return rest
}

// write sends bytes by the WebSocket, which is opened if there is none and a
// query is given.
func (c *actor) write(query, bytes string) {
	if c.socket == nil {
		if query == "" {
			return
		}
		c.socket = c.pipes.dial()
		go io.Copy(io.Discard, c.socket)
		bytes = shake(query) + bytes
	}
	go io.WriteString(c.socket, bytes)
}
