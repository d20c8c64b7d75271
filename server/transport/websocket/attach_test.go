package websocket_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/websocket"
)

// letGo has the clients be let go, so that whoever reads for them needs the log.
func (p *place) letGo() {
	p.t.Helper()
	time.Sleep(2 * time.Minute)
	n, _, err := p.hub.Expire(p.t.Context(), hub.Idle{After: time.Second}, 1000)
	if p.must(err); n != len(p.keys) {
		p.t.Fatalf("%d are let go", n)
	}
}

func TestTheLogIsNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, websocket.Options{}, hub.Limits{})
		p.client("a", "ch")
		p.letGo()
		p.stop()
		c := p.dial(request(""), text(p.hello("a")))
		c.hears(`text {"error":{"code":503,"type":"unavailable","message":"not available now, try again","retry_ms":6000}}`, "close 4503 unavailable")
		p.gone(c)
	})
}

// While the log takes its time, a connection is as alive as any other, and
// leaves nothing behind if it ends.
func TestTheLogTakesItsTime(t *testing.T) {
	for name, meanwhile := range map[string]func(c *peer, gate chan struct{}){
		"and then answers": func(c *peer, gate chan struct{}) {
			c.send(frame(ws.OpPing, "x"))
			c.hears("pong x")
			time.Sleep(time.Minute)
			c.hears()
			close(gate)
			c.hears(`text {"cursor":…`)
			time.Sleep(20 * time.Second)
			c.hears("ping", `text {"cursor":…`)
		},
		"and the peer hangs up": func(c *peer, gate chan struct{}) {
			c.conn.Close()
			c.hears("end")
		},
		"and the peer hangs up in that very moment": func(c *peer, gate chan struct{}) {
			c.conn.Close()
			close(gate)
			c.heard()
		},
		"and the peer closes": func(c *peer, gate chan struct{}) {
			c.send(closing(1001, ""))
			c.hears("close 1001", "end")
			close(gate)
		},
		"and the peer breaks a rule": func(c *peer, gate chan struct{}) {
			c.send(text("x"))
			c.hears(afterward)
			close(gate)
		},
		"and everybody has to go": func(c *peer, gate chan struct{}) {
			c.drain()
			c.hears()
			close(gate)
			c.hears(`text {"cursor":…`, "close 1012 drain")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t, websocket.Options{}, hub.Limits{})
				p.client("a", "ch")
				p.letGo()
				gate := make(chan struct{})
				p.log.gate.Store(&gate)
				c := p.dial(request(""), text(p.hello("a")))
				c.hears()
				meanwhile(c, gate)
				p.gone(c)
			})
		})
	}
}

func TestLimitReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, websocket.Options{}, hub.Limits{SessionsPerClient: 1})
		p.client("a", "ch")
		first := p.dial(request(p.query("a")))
		first.hears(p.empty())
		c := p.dial(request(""), text(p.hello("a")))
		c.hears(`text {"error":{"code":429,"type":"limit_reached","message":…`, "close 4429 limit_reached")
	})
}
