package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/shaveet/shaveet/server/transport/socketio/engine"
)

func TestPingsByPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, short)
		query := p.begin("")
		for range 3 {
			began := time.Now()
			p.is(p.get(query), "200 2")
			if took := time.Since(began); took != 300*time.Millisecond {
				t.Errorf("the ping came after %v", took)
			}
			p.is(p.post(query, "3"), "200 ok")
		}
	})
}

func TestPingsByWebSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, short)
		c := p.socket("")
		for range 3 {
			time.Sleep(300*time.Millisecond - 1)
			c.hears()
			time.Sleep(time.Nanosecond)
			c.hears("2")
			time.Sleep(199 * time.Millisecond) // as late as it may
			c.send(text("3"))
		}
	})
}

// Whoever answers no ping is given up when its time is over, whether the ping has
// gone out or not, and also where nobody has noticed yet.
func TestNoPong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, short)
		query := p.begin("")
		time.Sleep(497 * time.Millisecond)
		p.post(query, "4x")
		p.is(p.get(query), "200 2\x1e4x")
		time.Sleep(time.Millisecond)
		p.is(p.get(query), unknown)
		p.last().saw("received x", "ready", "next", "sent", "closed: ping timeout")

		query = p.begin("")
		p.is(p.get(query), "200 2")
		poll := p.held(query)
		time.Sleep(200 * time.Millisecond)
		p.answered(poll, "200 1")

		p.begin("") // nobody ever comes again
		c := p.socket("")
		time.Sleep(499 * time.Millisecond)
		c.hears("2")
		time.Sleep(time.Millisecond)
		c.hears("close 1008")
		p.last().saw("ready", "closed: ping timeout")
		if s := p.server.Stats(); s.Polling != 0 || s.WebSocket != 0 || s.Closed(engine.PingTimeout) != 4 {
			t.Errorf("the numbers are %+v", s)
		}
	})
}

// Only the answer to a ping counts: neither other packets nor pings of the
// WebSocket's own, nor answers to nothing.
func TestOtherTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, short)
		c := p.socket("")
		time.Sleep(200 * time.Millisecond)
		c.send(text("3"), text("4x"))
		c.send(frame(ws.OpPing, "y"))
		c.hears("4x", "pong y")
		time.Sleep(100 * time.Millisecond)
		c.hears("2")
		time.Sleep(199 * time.Millisecond)
		c.send(text("4x"), frame(ws.OpPong, ""))
		c.hears("4x")
		time.Sleep(time.Millisecond)
		c.hears("close 1008")
	})
}

// Who never asks for a ping, and answers all the same, is given up.
func TestBlindPongs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, short)
		query := p.begin("")
		for range 5 {
			time.Sleep(99 * time.Millisecond)
			p.is(p.post(query, "3"), "200 ok")
		}
		time.Sleep(5 * time.Millisecond)
		p.is(p.post(query, "3"), unknown)
		p.last().saw("closed: ping timeout")
	})
}

// A ping of the client's goes in the wrong direction.
func TestClientPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		c := p.socket("")
		c.send(text("2"))
		c.hears("close 1002")
		c = p.socket("")
		c.send(text("2probe"))
		c.hears("close 1002")
		p.last().saw("ready", "closed: parse error")
	})
}

// The time for a pong goes on while the client goes over to a WebSocket.
func TestPongAcrossUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, short)
		query := p.begin("")
		p.is(p.get(query), "200 2")
		c := p.goOver(query)
		time.Sleep(199 * time.Millisecond)
		c.send(text("3"))
		time.Sleep(300*time.Millisecond - 1)
		c.hears()
		time.Sleep(time.Nanosecond)
		c.hears("2")

		query = p.begin("")
		p.is(p.get(query), "200 2")
		c = p.goOver(query)
		time.Sleep(200 * time.Millisecond)
		c.hears("close 1008")

		query = p.begin("") // the ping has not gone out yet
		time.Sleep(400 * time.Millisecond)
		c = p.goOver(query)
		c.hears("2")
		c.send(text("3"))
		time.Sleep(200 * time.Millisecond)
		c.hears()
	})
}
