package engine_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/shaveet/shaveet/server/transport/socketio/engine"
)

func TestWebSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		c := p.socket("")
		a := p.last()
		c.send(text("4hello"), frame(ws.OpBinary, "\x01\x02"), text("bAwQ="))
		c.hears("4hello", "01 02", "03 04")
		if got := a.session.Transport(); got != "websocket" {
			t.Errorf("it goes by %s", got)
		}
		a.say("a", "b")
		a.sayBinary("")
		c.hears("4a", "4b", "")
		c.send(text("6"), text("5"), text("0"), text("4still there")) // the others mean nothing here
		c.hears("4still there")
	})
}

// Who cannot take binary gets base64.
func TestBase64(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		c := p.socket("&b64=1")
		c.send(frame(ws.OpBinary, "\x01\x02"))
		c.hears("bAQI=")
		c = p.goOver(p.begin("") + "&b64=1")
		c.send(frame(ws.OpBinary, "\x01\x02"), text("4x"))
		c.hears("bAQI=", "4x")
	})
}

func TestWebSocketEnds(t *testing.T) {
	for _, test := range []struct {
		name  string
		sent  []string
		hears []string
		why   string
	}{
		{"the end", []string{text("1"), text("4x")}, []string{"close 1000"}, "client close"},
		{"a close frame", []string{frame(ws.OpClose, "\x03\xe9bye"), text("4x")}, []string{"close 1001", "end"}, "transport close"},
		{"one without a code", []string{frame(ws.OpClose, "")}, []string{"close 0", "end"}, "transport close"},
		{"no packet", []string{text("x")}, []string{"close 1002"}, "parse error"},
		{"an empty message", []string{text("")}, []string{"close 1002"}, "parse error"},
		{"bad text", []string{text("4\xff")}, []string{"close 1007"}, "parse error"},
		{"bad frames", []string{"\x81\x02{}"}, []string{"close 1002"}, "parse error"},
		{"too large", []string{text("4" + strings.Repeat("x", 100))}, []string{"close 1009"}, "too much"},
		{"the largest", []string{text("4" + strings.Repeat("x", 99)), text("1")}, []string{"4" + strings.Repeat("x", 99), "close 1000"}, "client close"},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPlace(t, engine.Options{MaxPayload: 100})
			p.shape = func(a *app) { a.echo = false }
			c := p.socket("")
			a := p.last()
			if test.name == "the largest" {
				a.echo = true
			}
			c.send(test.sent[0])
			c.send(test.sent[1:]...)
			c.hears(test.hears...)
			if got := a.events[len(a.events)-1]; got != "closed: "+test.why {
				t.Errorf("%s: the app saw %q", test.name, a.events)
			}
			if s := p.server.Stats(); s.WebSocket != 0 {
				t.Errorf("%s: the numbers are %+v", test.name, s)
			}
			time.Sleep(3 * time.Second)
			c.mu.Lock()
			defer c.mu.Unlock()
			if n := p.lot.Held(); n != 0 {
				t.Errorf("%s: %d connections are held", test.name, n)
			}
		})
	}
}

// A client that is told of the end, and answers, is let go at once; one that goes
// on to send is cut off.
func TestAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		c := p.socket("")
		p.last().session.Close(engine.Forced)
		c.hears("close 1000")
		c.send(frame(ws.OpClose, "\x03\xe8"))
		c.hears("end")
		p.last().saw("ready", "closed: forced close")

		c = p.socket("")
		p.last().session.Close(engine.Forced)
		c.hears("close 1000")
		c.send(strings.Repeat(text("4"+strings.Repeat("x", 100)), 200))
		c.hears("end")
	})
}

// A connection that breaks ends the session at once.
func TestBrokenSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		c := p.socket("")
		c.conn.Close()
		p.last().saw("ready", "closed: transport close")
	})
}
