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

	"github.com/shaveet/shaveet/server/transport/socketio/engine"
)

func TestPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		query := p.begin("")
		a := p.last()
		p.is(p.post(query, "4hello"), "200 ok")
		p.is(p.get(query), "200 4hello")
		a.saw("received hello", "ready", "next", "sent")

		p.is(p.post(query, "4a\x1ebAQIDBA==\x1e4b"), "200 ok")
		p.is(p.get(query), "200 4a\x1ebAQIDBA==\x1e4b")
		a.saw("received a", "received 01 02 03 04", "received b", "ready", "next", "sent")

		poll := p.held(query)
		a.saw("ready")
		a.say("c", "d")
		p.answered(poll, "200 4c\x1e4d")
		p.is(p.post(query, "0\x1e5\x1e6\x1e4still there"), "200 ok") // which mean nothing here
		p.is(p.get(query), "200 4still there")
		if s := p.server.Stats(); s.PacketsIn != 8 || s.PacketsOut != 7 {
			t.Errorf("the numbers are %+v", s)
		}
	})
}

// What is wrong with what a client says ends its session, or only the request.
func TestPosts(t *testing.T) {
	for _, test := range []struct{ name, body, kind, want, then, why string }{
		{"no packet", "x", "", bad, unknown, "parse error"},
		{"an empty body", "", "", bad, unknown, "parse error"},
		{"an empty packet", "4a\x1e", "", bad, unknown, "parse error"},
		{"an unknown type", "7", "", bad, unknown, "parse error"},
		{"bad base64", "bAQ", "", bad, unknown, "parse error"},
		{"bad text", "4\xff", "", bad, unknown, "parse error"},
		{"a ping", "2", "", bad, unknown, "parse error"},
		{"bytes", "4a", "application/octet-stream; x=y", bad, unknown, "parse error"},
		{"too many at once", strings.Repeat("6\x1e", 10) + "6", "", bad, unknown, "too much"},
		{"too large", "4" + strings.Repeat("x", 100), "", `413 {"code":3,"message":"Payload too large"}`, "200 4fine", ""},
		{"just not too large", "4" + strings.Repeat("x", 99), "", "200 ok", "200 4" + strings.Repeat("x", 99) + "\x1e4fine", ""},
		{"the end", "1", "", "200 ok", "200 6", "client close"},
		{"more behind the end", "1\x1e4x\x1e9", "", "200 ok", "200 6", "client close"},
		{"pongs to nothing", "3\x1e3probe", "", "200 ok", "200 4fine", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPlace(t, engine.Options{MaxPayload: 100, MaxPackets: 10})
			query := p.begin("")
			a := p.last()
			if got := p.do("POST", query, test.body, "Content-Type", test.kind); got != test.want {
				t.Errorf("%s: got %s, want %s", test.name, got, test.want)
			}
			if test.why == "" {
				p.post(query, "4fine")
			}
			if got := p.get(query); got != test.then {
				t.Errorf("%s: then got %s, want %s", test.name, got, test.then)
			}
			if test.why != "" && a.events[len(a.events)-1] != "closed: "+test.why {
				t.Errorf("%s: the app saw %q", test.name, a.events)
			}
		})
	}
}

// A body whose length is not announced is measured as it comes.
func TestLongBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{MaxPayload: 100})
		query := p.begin("")
		r, _ := http.NewRequest("POST", "http://x/?"+query, io.MultiReader(strings.NewReader("4"), strings.NewReader(strings.Repeat("x", 100))))
		answer, err := p.client.Do(r)
		if err != nil || answer.StatusCode != 413 {
			t.Fatalf("the answer is %v, %v", answer, err)
		}
		answer.Body.Close()
		p.post(query, "4still there")
		p.is(p.get(query), "200 4still there")
	})
}

// A body that is announced as too large is refused before it comes.
func TestLongBodyAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{MaxPayload: 100})
		query := p.begin("")
		c := p.pipes.dial()
		go io.WriteString(c, "POST /?"+query+" HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n4")
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || answer.StatusCode != 413 || !answer.Close {
			t.Errorf("the answer is %v, %v", answer, err)
		}
		p.post(query, "4still there")
		p.is(p.get(query), "200 4still there")
	})
}

func TestTwoPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		query := p.begin("")
		first := p.held(query)
		p.is(p.get(query), bad)
		p.answered(first, "200 1")
		p.is(p.get(query), unknown)
		p.last().saw("ready", "closed: overlapping requests")
	})
}

// A poll that a proxy makes again, since the answer was lost on its way, ends the
// session: its client would miss what was in the answer.
func TestPollMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		query := p.begin("&t=0")
		p.post(query, "4a")
		p.is(p.get(query+"&t=1"), "200 4a")
		p.post(query, "4b")
		p.is(p.get(query+"&t=2"), "200 4b")
		p.post(query, "4c")
		p.is(p.get(query+"&t=2"), bad)
		p.is(p.get(query+"&t=3"), unknown)
		p.last().saw("received a", "ready", "next", "sent", "received b", "ready", "next", "sent", "received c", "closed: overlapping requests")
	})
	synctest.Test(t, func(t *testing.T) { // some clients always say the same, or nothing
		p := newPlace(t, engine.Options{})
		for _, same := range []string{"&t=0", ""} {
			query := p.begin(same)
			for range 3 {
				p.post(query, "4a")
				p.is(p.get(query+same), "200 4a")
			}
		}
	})
}

func TestTwoPosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		query := p.begin("")
		in, out := io.Pipe()
		first := make(chan int, 1)
		go func() {
			r, _ := http.NewRequest("POST", "http://x/?"+query, in)
			answer, err := p.client.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			answer.Body.Close()
			first <- answer.StatusCode
		}()
		out.Write([]byte("4hel"))
		synctest.Wait()
		p.is(p.post(query, "4other"), bad)
		out.Write([]byte("lo"))
		out.Close()
		if status := <-first; status != 400 {
			t.Errorf("the first is answered %d", status)
		}
		p.last().saw("closed: overlapping requests")
	})
}

// Whoever drops a poll has gone.
func TestDroppedPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		query := p.begin("")
		ctx, cancel := context.WithCancel(t.Context())
		go p.doContext(ctx, "GET", query, "")
		synctest.Wait()
		cancel()
		p.last().saw("ready", "closed: transport close")
		p.is(p.get(query), unknown)
	})
}

// Whoever drops what it is about to say has gone, too.
func TestDroppedPost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		query := p.begin("")
		c := p.pipes.dial()
		io.WriteString(c, "POST /?"+query+" HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n4hel")
		c.Close()
		p.last().saw("closed: transport close")
		p.is(p.get(query), unknown)
	})
}

// A client that ends its session may have a poll on its way, which must not look
// as if something were wrong. That is so for one, and for a moment.
func TestClientCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		query := p.begin("")
		poll := p.held(query)
		p.is(p.post(query, "1"), "200 ok")
		p.answered(poll, "200 6")
		p.is(p.get(query), unknown)
		p.last().saw("ready", "closed: client close")

		query = p.begin("")
		p.post(query, "1")
		p.is(p.post(query, "4x"), unknown)
		time.Sleep(199 * time.Millisecond)
		p.is(p.get(query), "200 6")
		p.is(p.get(query), unknown)

		query = p.begin("")
		p.post(query, "1")
		time.Sleep(200 * time.Millisecond)
		p.is(p.get(query), unknown)
	})
}

// When the server ends a session, what was put goes before, and a client without
// a poll hears of it by its next one.
func TestServerCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		query := p.begin("")
		poll := p.held(query)
		p.last().session.Close(engine.Forced)
		p.answered(poll, "200 1")
		p.last().saw("ready", "closed: forced close")
		p.is(p.get(query), unknown)

		query = p.begin("")
		p.last().session.Close(engine.Behind)
		p.last().saw("closed: behind")
		p.is(p.post(query, "4x"), unknown)
		time.Sleep(30*time.Second - 1)
		p.is(p.get(query), "200 6\x1e1")
		p.is(p.get(query), unknown)

		query = p.begin("")
		p.last().session.Close(engine.Forced)
		p.last().session.Close(engine.Behind)
		time.Sleep(30*time.Second + 1)
		p.is(p.get(query), unknown)
		if s := p.server.Stats(); s.Closed(engine.Forced) != 2 || s.Closed(engine.Behind) != 1 || s.Polling != 0 {
			t.Errorf("the numbers are %+v", s)
		}
	})
}

// When the time is over in which a client may hear of the end, it is, even if the
// clock is late.
func TestLateClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		gate := make(chan struct{})
		p.begin("")
		slow := p.last()
		slow.on = func(event string) {
			if event == "due" {
				<-gate
			}
		}
		slow.session.DueIn(time.Second)
		excused := p.begin("")
		p.post(excused, "1")
		var told [2]string
		for i := range told {
			told[i] = p.begin("")
			p.last().session.Close(engine.Forced)
		}
		time.Sleep(2 * time.Second)
		p.is(p.get(excused), unknown)
		time.Sleep(28*time.Second - 1)
		p.is(p.get(told[0]), "200 6\x1e1")
		time.Sleep(time.Nanosecond)
		p.is(p.get(told[1]), unknown)
		close(gate)
	})
}

// A client that sends as fast as it can is not let go on for long.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{MaxPackets: 10})
		p.shape = func(a *app) { a.echo = false }
		query := p.begin("")
		for range 20 { // as many as it may
			p.is(p.post(query, "4x"), "200 ok")
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Second)
		for range 10 {
			p.is(p.post(query, "4x"), "200 ok")
		}
		p.is(p.post(query, "4x"), bad)
		p.is(p.get(query), unknown)
		if n := p.server.Stats().Closed(engine.TooMuch); n != 1 {
			t.Errorf("%d have sent too much", n)
		}
		c := p.socket("")
		c.send(strings.Repeat(text("4x"), 10))
		c.hears()
		c.send(text("4x"))
		c.hears("close 1008")
	})
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		late := p.begin("")
		poll := p.held(p.begin(""))
		c := p.socket("")
		going := p.probe(p.begin(""))
		p.drain()
		p.answered(poll, "200 1")
		c.hears("close 1012")
		going.hears("close 1012")
		p.is(p.get(late), "200 1")
		p.is(p.get("EIO=4&transport=polling"), `503 {"code":4,"message":"The server is about to end"}`)
		if n := p.server.Stats().Closed(engine.Drain); n != 3 {
			t.Errorf("%d sessions are drained", n)
		}
	})
}

// A server that is closed has no sessions, and gets no more.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		poll := p.held(p.begin(""))
		late := p.begin("")
		c := p.socket("")
		p.server.Close()
		p.answered(poll, "200 1")
		c.hears("close 1012")
		p.is(p.get(late), unknown)
		p.is(p.get("EIO=4&transport=polling"), full)
	})
}

// Where net/http keeps the connections, as with HTTP/2, polling is the same, and
// there is no WebSocket.
func TestKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		p.kept = true
		query := p.begin("")
		poll := p.held(query)
		p.last().say("x")
		p.answered(poll, "200 4x")
		p.last().saw("ready", "next", "sent")
		poll = p.held(query)
		p.is(p.get(query), bad)
		p.answered(poll, "200 1")
		query = p.begin("")
		ctx, cancel := context.WithCancel(t.Context())
		go p.doContext(ctx, "GET", query, "")
		synctest.Wait()
		cancel()
		p.last().saw("ready", "closed: transport close")

		query = p.begin("")
		for _, q := range []string{"EIO=4&transport=websocket", strings.Replace(query, "polling", "websocket", 1)} {
			c := p.pipes.dial()
			go io.WriteString(c, shake(q))
			answer, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || answer.StatusCode != 400 {
				t.Errorf("a WebSocket is answered %v, %v", answer, err)
			}
		}
		p.last().saw("ready", "closed: not begun")
		if n := p.server.Stats().Closed(engine.NotBegun); n != 1 {
			t.Errorf("%d have not begun", n)
		}
		p.post(query, "4x")
		p.is(p.get(query), "200 4x")
	})
}
