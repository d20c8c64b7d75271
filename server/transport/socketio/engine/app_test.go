package engine_test

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/transport/socketio/engine"
	"github.com/shaveet/shaveet/server/wsframe"
)

// What was made before goes out as it is, in the transport's form.
func TestRaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		raw := map[engine.Form][]byte{
			engine.Frames:  wsframe.AppendBinary(wsframe.AppendText(nil, []byte("4a")), []byte("\x01")),
			engine.Packets: []byte("4a\x1ebAQ=="),
		}
		p.shape = func(a *app) { a.raw = raw }
		query := p.begin("")
		p.last().say("b")
		p.is(p.get(query), "200 4a\x1ebAQ==\x1e4b")
		c := p.dial("EIO=4&transport=websocket")
		c.hears(`0{"sid":"…`, "4a", "01")
		p.last().saw("ready", "next", "sent", "ready")
	})
}

// The time an app has asked for comes once, and can be taken back.
func TestDueIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		p.shape = func(a *app) { a.session.DueIn(time.Second) }
		query := p.begin("")
		a := p.last()
		time.Sleep(time.Second - 1)
		a.saw()
		time.Sleep(time.Nanosecond)
		a.saw("due")
		time.Sleep(2 * time.Second)
		a.on = func(event string) {
			switch event {
			case "received again":
				a.session.DueIn(time.Second)
			case "received not":
				a.session.DueIn(0)
			}
		}
		p.post(query, "4again\x1e4not")
		time.Sleep(2 * time.Second)
		p.post(query, "4again")
		a.saw("received again", "received not", "received again")
		time.Sleep(time.Second)
		a.saw("due")
		p.post(query, "4again\x1e1")
		time.Sleep(10 * time.Second)
		a.saw("received again", "closed: client close")
	})
}

// An app can end its session from each of its methods; what it puts in the same
// call still goes out.
func TestFail(t *testing.T) {
	for _, test := range []struct {
		event         string
		polls, socket []string
		last          string
	}{
		{"received x", []string{"200 6\x1e1"}, []string{"close 1000"}, "closed: forced close"},
		{"next", []string{"200 4x\x1e1"}, []string{"4x", "close 1000"}, "closed: forced close"},
		{"sent", []string{"200 4x", "200 6\x1e1"}, []string{"4x", "close 1000"}, "closed: forced close"},
		{"due", []string{"200 4x", "200 1"}, []string{"4x", "close 1000"}, "closed: forced close"},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPlace(t, engine.Options{})
			p.shape = func(a *app) {
				a.session.DueIn(time.Second)
				a.on = func(event string) {
					if event == test.event {
						a.session.Fail(engine.Forced)
					}
				}
			}
			query := p.begin("")
			a := p.last()
			p.is(p.post(query, "4x"), "200 ok")
			for _, want := range test.polls {
				if got := p.get(query); got != want {
					t.Errorf("%s: a poll is answered %q, want %q", test.event, got, want)
				}
			}
			synctest.Wait()
			if got := a.events[len(a.events)-1]; got != test.last {
				t.Errorf("%s: the app saw %q", test.event, a.events)
			}
			c := p.socket("")
			c.what = test.event
			c.send(text("4x"))
			time.Sleep(time.Second)
			c.hears(test.socket...)
			if a = p.last(); a.events[len(a.events)-1] != test.last {
				t.Errorf("%s: by WebSocket the app saw %q", test.event, a.events)
			}
		})
	}
}

// What has been put when the session is closed goes out, and then the app is told.
func TestCloseWhileSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		c := p.pipes.dial()
		go c.Write([]byte(shake("EIO=4&transport=websocket")))
		synctest.Wait()
		a := p.last()
		a.say("x") // which waits for the first packet
		a.session.Close(engine.Forced)
		a.saw("ready", "closed: forced close") // it has put nothing yet
		b := make([]byte, 4096)
		n, _ := c.Read(b)
		if !strings.Contains(string(b[:n]), `0{"sid"`) {
			t.Errorf("the first packet is %q", b[:n])
		}
		n, _ = c.Read(b)
		if string(b[:n]) != "\x88\x02\x03\xe8" {
			t.Errorf("the end is %q", b[:n])
		}

		c = p.pipes.dial()
		query := p.begin("")
		a = p.last()
		go c.Write([]byte("GET /?" + query + " HTTP/1.1\r\nHost: x\r\n\r\n"))
		synctest.Wait()
		a.say("x")
		synctest.Wait()
		a.session.Close(engine.Forced)
		a.saw("ready", "next")
		n, _ = c.Read(b)
		if !strings.HasSuffix(string(b[:n]), "\r\n\r\n4x") {
			t.Errorf("the poll is answered %q", b[:n])
		}
		a.saw("sent", "closed: forced close")
		p.is(p.get(query), "200 6\x1e1")
	})
}

// A panic of an app's is the end of its own session only, and that is why it has
// ended; if it is told of the end, that goes on for the reason it had.
func TestPanics(t *testing.T) {
	for _, test := range []struct{ event, polling, socket string }{
		{"received x", "panic", "panic"}, {"next", "panic", "panic"}, {"sent", "panic", "panic"},
		{"ready", "panic", "panic"}, {"due", "panic", "panic"},
		{"closed: forced close", "forced close", "forced close"},
	} {
		for _, webSocket := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t, engine.Options{Logger: slog.New(slog.DiscardHandler)})
				armed := false
				p.shape = func(a *app) {
					a.session.DueIn(time.Second)
					a.on = func(e string) {
						if armed && e == test.event {
							panic("on purpose")
						}
					}
				}
				what, want := test.event+" by polling", test.polling
				var query string
				if webSocket {
					what, want = test.event+" by WebSocket", test.socket
					c := p.socket("")
					armed = true
					c.send(text("4x"))
				} else {
					query = p.begin("")
					armed = true
					p.post(query, "4x")
					p.get(query)
				}
				a := p.last()
				time.Sleep(time.Second + 1)
				a.session.Close(engine.Forced)
				synctest.Wait()
				if got := a.events[len(a.events)-1]; got != "closed: "+want {
					t.Errorf("%s: the app saw %q", what, a.events)
				}
				if !webSocket {
					p.get(query) // which is told so, or not
					p.is(p.get(query), unknown)
				}
				s := p.server.Stats()
				for _, why := range engine.Reasons() {
					if n := s.Closed(why); n > 0 != (why.String() == want) || n > 1 {
						t.Errorf("%s: %d sessions have ended because of %v", what, n, why)
					}
				}
				p.shape = nil
				query = p.begin("")
				p.post(query, "4still there")
				p.is(p.get(query), "200 4still there")
			})
		}
	}
}
