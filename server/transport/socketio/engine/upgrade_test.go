package engine_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/shaveet/shaveet/server/transport/socketio/engine"
)

func TestUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		query := p.begin("")
		a := p.last()
		poll := p.held(query)
		c := p.probe(query)
		c.send(text("2probe"))
		c.hears("3probe")
		if got := a.session.Transport(); got != "polling" {
			t.Errorf("it goes by %s", got)
		}
		// The poll is let go after a moment, and so is the next one.
		time.Sleep(100*time.Millisecond - 1)
		select {
		case got := <-poll:
			t.Fatalf("a poll is answered %s too early", got)
		default:
		}
		time.Sleep(time.Nanosecond)
		p.answered(poll, "200 6")
		began := time.Now()
		p.is(p.get(query), "200 6")
		if took := time.Since(began); took != 100*time.Millisecond {
			t.Errorf("the next poll took %v", took)
		}
		// Until the client is over, polls are what counts.
		a.say("by polling")
		p.is(p.get(query), "200 4by polling")
		c.hears()
		p.is(p.post(query, "4x"), "200 ok")
		c.send(text("5"))
		c.hears("4x")
		p.is(p.get(query), bad)
		p.is(p.post(query, "4y"), bad)
		c.send(text("4z"))
		c.hears("4z")
		again := p.probe(query)
		again.hears("close 1008")
		c.send(text("4still there"))
		c.hears("4still there")
		if s := p.server.Stats(); s.UpgradesBegun != 2 || s.UpgradesDone != 1 || s.UpgradesFailed != 1 || s.WebSocket != 1 || s.Polling != 0 {
			t.Errorf("the numbers are %+v", s)
		}
	})
}

// A poll that is still held when the client is over is let go, and one that is
// only just coming is refused.
func TestPollsAtTheEndOfAnUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		query := p.begin("")
		parked := p.held(query)
		c := p.probe(query)
		c.send(text("2probe"), text("5"))
		p.answered(parked, "200 6")
		c.hears("3probe")

		query = p.begin("")
		c = p.probe(query)
		coming := p.held(query) // before the probe is read
		time.Sleep(50 * time.Millisecond)
		c.send(text("2probe"), text("5"))
		p.answered(coming, bad)
		c.hears("3probe")

		query = p.begin("")
		c = p.probe(query)
		c.send(text("2probe"))
		coming = p.held(query)
		c.send(text("5"))
		p.answered(coming, bad)
		p.last().say("x")
		c.hears("3probe", "4x")
	})
}

// Polls that wait for the upgrade are parked as soon as that has failed.
func TestPollsAfterAnUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		query := p.begin("")
		c := p.probe(query)
		c.send(text("2probe"))
		poll := p.held(query)
		c.conn.Close()
		synctest.Wait()
		p.last().say("x")
		p.answered(poll, "200 4x")
		p.last().saw("ready", "next", "sent")

		// One that has succeeded can take something, though no poll has come.
		p.goOver(query)
		p.last().saw("ready")
	})
}

// While a socket stands that says nothing, polls go on as before.
func TestSilentUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{UpgradeTimeout: time.Second})
		query := p.begin("")
		c := p.probe(query)
		poll := p.held(query)
		time.Sleep(500 * time.Millisecond)
		p.last().say("x")
		p.answered(poll, "200 4x")
		poll = p.held(query)
		time.Sleep(500*time.Millisecond - 1)
		c.hears()
		time.Sleep(time.Nanosecond)
		c.hears("close 1008")
		p.last().say("y")
		p.answered(poll, "200 4y")
		p.goOver(query)
	})
}

// What goes wrong with the socket harms only that.
func TestFailedUpgrades(t *testing.T) {
	for _, test := range []struct {
		name string
		sent []string
		want []string
	}{
		{"no probe", []string{text("4x")}, []string{"close 1002"}},
		{"another ping", []string{text("2prob")}, []string{"close 1002"}},
		{"not probed", []string{text("5")}, []string{"close 1002"}},
		{"something else then", []string{text("2probe"), text("4x")}, []string{"3probe", "close 1002"}},
		{"binary", []string{frame(ws.OpBinary, "x")}, []string{"close 1002"}},
		{"no packet", []string{text("x")}, []string{"close 1002"}},
		{"bad frames", []string{"\x81\x02{}"}, []string{"close 1002"}},
		{"a close frame", []string{frame(ws.OpClose, "\x03\xe9")}, []string{"close 1001", "end"}},
		{"the end", []string{text("2probe"), text("1")}, []string{"3probe", "close 1002"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPlace(t, engine.Options{})
			query := p.begin("")
			c := p.probe(query)
			for _, s := range test.sent {
				c.send(s)
			}
			c.what = test.name
			c.hears(test.want...)
			p.post(query, "4still there")
			p.is(p.get(query), "200 4still there")
			p.goOver(query) // it can try again
			if s := p.server.Stats(); s.UpgradesFailed != 1 || s.UpgradesDone != 1 {
				t.Errorf("%s: the numbers are %+v", test.name, s)
			}
		})
	}
}

func TestTwoUpgrades(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		query := p.begin("")
		first := p.probe(query)
		second := p.probe(query)
		second.hears("close 1008")
		second.send(text("2probe"), text("5"))
		second.hears()
		first.send(text("2probe"), text("5"), text("4x"))
		first.hears("3probe", "4x")
	})
}

// A session that ends takes with it whoever was going over.
func TestEndWhileGoingOver(t *testing.T) {
	for _, test := range []struct {
		name, poll string
		end        func(p *place, query string)
	}{
		{"by the client", "200 6", func(p *place, query string) { p.post(query, "1") }},
		{"by the server", "200 1", func(p *place, _ string) { p.last().session.Close(engine.Forced) }},
		{"by another poll", "200 1", func(p *place, query string) { p.is(p.get(query), bad) }},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPlace(t, engine.Options{})
			query := p.begin("")
			c := p.probe(query)
			c.send(text("2probe"))
			poll := p.held(query)
			test.end(p, query)
			p.answered(poll, test.poll)
			synctest.Wait()
			if len(c.lines) != 2 || !strings.HasPrefix(c.lines[1], "close 1") {
				t.Errorf("%s: the socket heard %q", test.name, c.lines)
			}
			p.is(p.get(query), unknown)
		})
	}
}

// Whoever drops a poll has gone, also while that waits for the upgrade.
func TestDropWhileGoingOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		query := p.begin("")
		c := p.probe(query)
		c.send(text("2probe"))
		c.hears("3probe")
		ctx, cancel := context.WithCancel(t.Context())
		go p.doContext(ctx, "GET", query, "")
		synctest.Wait()
		cancel()
		p.last().saw("ready", "closed: transport close")
		c.hears("close 1000")
	})
}

// What a poll was given goes before all that goes by the WebSocket, and if it is
// lost, the session is.
func TestUnderWayAtAnUpgrade(t *testing.T) {
	for _, lost := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := newPlace(t, engine.Options{})
			query := p.begin("")
			a := p.last()
			slow := p.pipes.dial() // which takes nothing before it is read
			go slow.Write([]byte("GET /?" + query + " HTTP/1.1\r\nHost: x\r\n\r\n"))
			synctest.Wait()
			a.say("first")
			a.saw("ready", "next")
			c := p.probe(query)
			c.send(text("2probe"), text("5"))
			c.hears("3probe")
			a.say("second")
			c.hears()
			if lost {
				slow.Close()
				a.saw("closed: transport close")
				c.hears("close 1000")
				return
			}
			b := make([]byte, 4096)
			n, _ := slow.Read(b)
			if got := string(b[:n]); !strings.HasSuffix(got, "\r\n\r\n4first") {
				t.Errorf("the poll got %q", got)
			}
			c.hears("4second")
			a.saw("sent", "ready", "next", "sent", "ready")
		})
	}
}

// Once the client has gone over, a poll that is lost with nothing in it is no
// loss.
func TestDropAfterAnUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		query := p.begin("")
		slow := p.pipes.dial() // which takes nothing
		go slow.Write([]byte("GET /?" + query + " HTTP/1.1\r\nHost: x\r\n\r\n"))
		synctest.Wait()
		c := p.goOver(query)
		slow.Close()
		c.send(text("4still there"))
		c.hears("4still there")
	})
}

// A client that goes over without waiting, and polls at once, has to have heard
// that its WebSocket works before it hears that it must not poll. It is not waited
// for longer than a moment.
func TestRefusalAfterProbe(t *testing.T) {
	for _, method := range []string{"GET", "POST", "held"} {
		for _, reads := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t, engine.Options{})
				query := p.begin("")
				conn := p.pipes.dial()
				go io.WriteString(conn, shake(strings.Replace(query, "polling", "websocket", 1)))
				in := bufio.NewReader(conn)
				if _, err := http.ReadResponse(in, nil); err != nil {
					t.Fatal(err)
				}
				var refusal <-chan string
				if method == "held" { // since before
					refusal = p.held(query)
				}
				go io.WriteString(conn, text("2probe")+text("5"))
				synctest.Wait()
				if method != "held" {
					answer := make(chan string, 1)
					go func() { answer <- p.do(method, query, strings.Repeat("4x", len(method)/4)) }()
					refusal = answer
				}
				time.Sleep(100*time.Millisecond - 1)
				select {
				case got := <-refusal:
					t.Errorf("%s is answered %s before the client could hear of its WebSocket", method, got)
				default:
				}
				if reads {
					if f, err := readFrame(in); err != nil || string(f.Payload) != "3probe" {
						t.Errorf("the socket heard %+v, %v", f, err)
					}
				} else {
					time.Sleep(time.Nanosecond)
				}
				p.answered(refusal, bad)
			})
		}
	}
}
