package engine_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/shaveet/shaveet/server/transport/socketio/engine"
)

// old are options for clients of protocol 3, with the times of the test suites.
var old = engine.Options{AllowEIO3: true, JSONP: true, PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond}

// begin3 begins a polling session of protocol 3.
func (p *place) begin3(extra string) (query string) {
	p.t.Helper()
	answer := p.get("EIO=3&transport=polling" + extra)
	_, rest, ok := strings.Cut(answer, `:0{"sid":"`)
	if !ok || len(rest) < 20 {
		p.t.Fatalf("the handshake is answered %s", answer)
	}
	if got := p.last().session.Protocol(); got != 3 {
		p.t.Errorf("it speaks %d", got)
	}
	return "EIO=3&transport=polling&sid=" + rest[:20]
}

func TestPolling3(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, old)
		query := p.begin3("")
		a := p.last()
		p.is(p.post(query, "6:4hello3:4€x"), "200 ok")
		p.is(p.get(query), "200 6:4hello3:4€x")
		p.is(p.post(query, "2:4a10:b4AQIDBA=="), "200 ok")
		p.is(p.get(query), "200 \x00\x02\xff4a\x01\x05\xff\x04\x01\x02\x03\x04")
		p.is(p.do("POST", query, "\x00\x02\xff4a\x01\x05\xff\x04\x01\x02\x03\x04", "Content-Type", "application/octet-stream"), "200 ok")
		p.is(p.get(query), "200 \x00\x02\xff4a\x01\x05\xff\x04\x01\x02\x03\x04")
		a.saw("received hello", "received €x", "ready", "next", "sent", "received a", "received 01 02 03 04", "ready", "next", "sent",
			"received a", "received 01 02 03 04", "ready", "next", "sent")
		// The head of a poll that is held says text already.
		poll := p.held(query)
		a.sayBinary("\x01")
		p.answered(poll, "200 1:6")
		a.say("b")
		p.is(p.get(query), "200 \x01\x02\xff\x04\x01")
		p.is(p.get(query), "200 2:4b")
		a.saw("ready", "next", "sent", "ready", "next", "sent") // of the first, nothing was sent
	})
}

func TestBase64Polling3(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, old)
		query := p.begin3("&b64=1")
		p.is(p.post(query, "2:4a10:b4AQIDBA=="), "200 ok")
		p.is(p.get(query), "200 2:4a10:b4AQIDBA==")
		poll := p.held(query)
		p.last().sayBinary("\x01")
		p.answered(poll, "200 6:b4AQ==")
	})
}

func TestPings3(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, old)
		query := p.begin3("")
		for range 3 {
			poll := p.held(query)
			time.Sleep(497 * time.Millisecond)
			p.is(p.post(query, "1:2"), "200 ok")
			p.answered(poll, "200 1:3")
		}
		time.Sleep(500 * time.Millisecond)
		p.is(p.get(query), unknown)
		query = p.begin3("")
		p.is(p.post(query, "1:3"), bad)
		p.is(p.get(query), unknown)
	})
}

func TestWebSocket3(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, old)
		c := p.dial("EIO=3&transport=websocket")
		c.hears(`0{"sid":"…`)
		c.send(text("4a"), frame(ws.OpBinary, "\x04\x01\x02"), text("b4AQ=="))
		c.hears("4a", "04 01 02", "04 01")
		c.send(text("2"))
		c.hears("3")
		time.Sleep(499 * time.Millisecond)
		c.hears()
		time.Sleep(time.Millisecond)
		c.hears("close 1008")
		c = p.dial("EIO=3&transport=websocket&b64=1")
		c.hears(`0{"sid":"…`)
		c.send(frame(ws.OpBinary, "\x04\x01\x02"))
		c.hears("b4AQI=")
	})
}

// A session goes over with what was to be told in another form.
func TestUpgrade3(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, old)
		query := p.begin3("")
		poll := p.held(query)
		p.last().sayBinary("\x01")
		p.answered(poll, "200 1:6")
		c := p.probe(query)
		c.send(text("2probe"))
		c.hears("3probe")
		poll = p.held(query)
		time.Sleep(100 * time.Millisecond)
		p.answered(poll, "200 \x01\x02\xff\x04\x01")
		poll = p.held(query)
		time.Sleep(100 * time.Millisecond)
		p.answered(poll, "200 1:6")
		c.send(text("5"), text("4x"))
		c.hears("4x")

		query = p.begin3("")
		poll = p.held(query)
		p.last().sayBinary("\x01")
		p.answered(poll, "200 1:6")
		c = p.goOver(query)
		c.hears("04 01")
		p.last().saw("ready", "next", "sent", "ready")
	})
}

// The end of a session of protocol 3 takes with it what waits for a poll.
func TestEnd3(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, old)
		query := p.begin3("")
		poll := p.held(query)
		p.is(p.get(query), bad)
		p.answered(poll, "200 1:1")
		query = p.begin3("")
		poll = p.held(query)
		p.last().sayBinary("\x01")
		p.answered(poll, "200 1:6")
		p.last().session.Close(engine.Forced)
		p.last().saw("ready", "next", "closed: forced close")
		p.is(p.get(query), "200 1:61:1")
	})
}

// Pages without CORS ask by scripts, and say things by forms.
func TestScripts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, old)
		r, err := p.client.Get("http://x/?EIO=4&transport=polling&j=7")
		if err != nil {
			t.Fatal(err)
		}
		if kind := r.Header.Get("Content-Type"); kind != "text/javascript; charset=UTF-8" || r.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("it is %v", r.Header)
		}
		r.Body.Close()
		answer := p.get("EIO=4&transport=polling&j=3")
		rest, ok := strings.CutPrefix(answer, `200 ___eio[3]("0{\"sid\":\"`)
		if !ok {
			t.Fatalf("the handshake is answered %s", answer)
		}
		query := "EIO=4&transport=polling&sid=" + rest[:20]
		p.is(p.do("POST", query+"&j=3", `d=4%22a%22%5Cn%1e4b`, "Content-Type", "application/x-www-form-urlencoded"), "200 ok")
		p.is(p.get(query+"&j=4"), `200 ___eio[4]("4\"a\"\n\u001e4b");`)
		poll := p.held(query + "&j=5")
		p.last().sayBinary("\x01")
		p.answered(poll, `200 ___eio[5]("bAQ==");`)
		for _, j := range []string{"", "x", "-1", "+1", "1)", "99999999999999999999"} {
			p.is(p.get(query+"&j="+strings.ReplaceAll(j, "+", "%2b")), bad)
		}
		p.is(p.post(query+"&j=3", "4x"), bad) // not a form
		p.is(p.get(query), unknown)

		answer = p.get("EIO=3&transport=polling&j=0")
		rest, ok = strings.CutPrefix(answer, `200 ___eio[0]("114:0{\"sid\":\"`)
		if !ok {
			t.Fatalf("the handshake is answered %s", answer)
		}
		query = "EIO=3&transport=polling&sid=" + rest[:20] + "&j=0"
		p.is(p.post(query, "d=10%3Ab4AQIDBA%3D%3D"), "200 ok")
		p.is(p.get(query), `200 ___eio[0]("10:b4AQIDBA==");`)
		p.post(query, "d=1%3A1")
		p.is(p.get(query), `200 ___eio[0]("1:6");`)
	})
}

// Whether scripts are answered is settled when a session begins.
func TestScriptsAtAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{JSONP: true})
		answer := p.get("EIO=4&transport=polling&j=0")
		_, rest, ok := strings.Cut(answer, `sid\":\"`)
		if !ok {
			t.Fatalf("the handshake is answered %s", answer)
		}
		with := "EIO=4&transport=polling&sid=" + rest[:20]
		o := p.opts
		o.JSONP = false
		p.server.Configure(o)
		p.is(p.post(with+"&j=1", "d=4x"), "200 ok")
		p.is(p.get(with+"&j=1"), `200 ___eio[1]("4x");`)
		p.is(p.get("EIO=4&transport=polling&j=0"), bad)
		without := p.begin("")
		o.JSONP = true
		p.server.Configure(o)
		p.is(p.get(without+"&j=0"), bad)
		p.is(p.post(without+"&j=0", "d=4x"), bad)
		p.post(without, "4y")
		p.is(p.get(without), "200 4y")
	})
}
