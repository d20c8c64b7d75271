package backend

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

func TestRequestsAreAnsweredInTheirOrder(t *testing.T) {
	p := newPlace(t, Options{})
	c := p.dial()
	c.say(asks("publish", []any{"a"}, 1), tells("publish", "quiet"), asks("publish", nil, "x"), `[1,2,3]`, "", "nonsense\n", asks("panic", 0, 5), asks("publish", 1, 2))
	c.want(echoed([]any{"a"}, 1), echoed(nil, "x"), "[3]", `"nonsense"`, `"nonsense"`,
		`{"jsonrpc":"2.0","error":{"code":-32603,"message":"Internal error","data":{"type":"internal_error"}},"id":null}`, echoed(1, 2))
	if !strings.Contains(p.logged(), "as it was told") {
		t.Error("the log does not tell of the panic")
	}
	p.must(c.ws.Close(websocket.StatusNormalClosure, "bye"))
}

func TestThousandsInFlightKeepTheirOrder(t *testing.T) {
	const many = 10_000
	p := newPlace(t, Options{})
	c := p.dial()
	go func() {
		for i := range many {
			// Some are as long as several reads, some do not answer, some come in parts.
			text := asks("publish", i, i)
			switch {
			case i%1000 == 7:
				text = asks("publish", strings.Repeat("long", 20_000), i)
			case i%3 == 1:
				text = tells("publish", i)
			case i%500 == 3:
				w, err := c.ws.Writer(context.Background(), websocket.MessageText)
				if err != nil {
					return
				}
				for len(text) > 0 {
					n := min(len(text), 7)
					w.Write([]byte(text[:n]))
					text = text[n:]
				}
				w.Close()
				continue
			}
			if c.ws.Write(context.Background(), websocket.MessageText, []byte(text)) != nil {
				return
			}
		}
	}()
	for i := range many {
		switch {
		case i%1000 == 7:
			c.want(echoed(strings.Repeat("long", 20_000), i))
		case i%3 != 1:
			c.want(echoed(i, i))
		}
	}
	c.ws.Close(websocket.StatusNormalClosure, "")
	for i, body := range p.heard() {
		if !strings.Contains(body, fmt.Sprintf(`"id":%d}`, i)) && !strings.Contains(body, fmt.Sprintf(`"params":%d}`, i)) {
			t.Fatalf("the %dth to be heard was %.100s", i, body)
		}
	}
	if n := len(p.heard()); n != many {
		t.Errorf("%d were heard, want %d", n, many)
	}
}

func TestWhatTakesItsTimeHoldsUpNobody(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPlace(t, Options{Waits: []string{"ask"}, MaxWaiting: 2})
		c := p.dial()
		release := p.hold("slow")
		c.say(asks("publish", "before", 1), asks("ask", "slow", 2), `[{"method":"ask","params":"slow"}]`, asks("publish", "after", 3))
		c.want(echoed("before", 1), echoed("after", 3))
		synctest.Wait()
		if heard := p.heard(); !strings.Contains(heard[0], "before") {
			t.Errorf("what takes its time was begun before what had come earlier: %q", heard)
		}
		full := `{"jsonrpc":"2.0","error":{"code":-32003,"message":"limit reached: 2 calls that may take their time are under way on this connection; this one was not made","data":{"type":"limit_reached"}},"id":%s}`
		c.say(asks("ask", "more", 4), tells("ask", "quiet"), `[{"method":"ask","id":9}]`, `{"method":"ask","id":nonsense}`)
		c.want(fmt.Sprintf(full, "4"), fmt.Sprintf(full, "null"), fmt.Sprintf(full, "null"))
		time.Sleep(time.Second)
		began := time.Now()
		release()
		if got := []string{c.next(), c.next()}; !slices.Contains(got, echoed("slow", 2)) || !slices.Contains(got, "[1]") {
			t.Errorf("in the end it says %q", got)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("their answers have waited for %v", took)
		}
		c.say(asks("ask", "again", 5))
		c.want(echoed("again", 5))
	})
}

// How a peer that breaks a rule, or a limit, hears of it: behind the answers to
// what it said before.
func TestBrokenRules(t *testing.T) {
	body := strings.Repeat(" ", 1000)
	for name, tt := range map[string]struct{ sent, want string }{
		"binary":             {frame(0x82, "{}"), "close 1003 messages must be text"},
		"too long":           {text(body + "!"), "close 1009 the frame is too large"},
		"too long in parts":  {frame(0x01, body) + frame(0x80, "!"), "close 1009 the message is too large"},
		"announced":          {"\x81\xff\x00\x00\x00\x00\x7f\xff\xff\xff1234", "close 1009 the frame is too large"},
		"not UTF-8":          {text("\"\xff\""), "close 1007 the text is not valid UTF-8"},
		"unmasked":           {"\x81\x02{}", "close 1002 the frame is not masked"},
		"compressed":         {frame(0xc1, "{}"), "close 1002 reserved bits are set"},
		"continues nothing":  {frame(0x80, "{}"), "close 1002 a continuation of no message"},
		"garbage":            {"GET / HTTP/1.1\r\n\r\n", "close 1002 the opcode is reserved"},
		"closed":             {frame(0x88, "\x03\xe8bye"), "close 1000 "},
		"closed without why": {frame(0x88, ""), "frame 88 "},
		"closed badly":       {frame(0x88, "\x03"), "close 1002 the close frame is invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				p := newPlace(t, Options{MaxBody: 1000, MaxAnswer: func() int { return 900 }})
				c := p.raw(text(body), text(asks("publish", 1, 2)), tt.sent, text(asks("publish", "never", 3)))
				c.want(`"nonsense"`, echoed(1, 2), tt.want, "lost")
				if slices.ContainsFunc(p.heard(), func(s string) bool { return strings.Contains(s, "never") }) {
					t.Error("what came behind was heard")
				}
			})
		})
	}
}

func TestLongestReplyAndRequest(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPlace(t, Options{MaxBody: 100, MaxAnswer: func() int { return 5000 }})
		c := p.raw(text(strings.Repeat(" ", 5000)), text(strings.Repeat(" ", 5001)))
		c.want(`"nonsense"`, "close 1009 the frame is too large") // by who handles it, and by us
	})
}

// A peer that does not read what it is answered is not read either, and is given
// up if it goes on.
func TestWhoDoesNotReadIsNotHeard(t *testing.T) {
	for name, said := range map[string]string{
		"requests":        text(asks("publish", 1, 1)),
		"pings":           frame(0x89, strings.Repeat("x", 125)),
		"pings and parts": frame(0x01, "{") + frame(0x89, "x") + frame(0x80, "}"),
		"serve":           text(asks("serve", nil, 1)),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				p := newPlace(t, Options{MaxUnread: 4 << 10, WriteTimeout: 3 * time.Second})
				c := p.raw()
				began := time.Now()
				sent := 0
				for ; sent < 10_000; sent++ {
					c.conn.SetWriteDeadline(time.Now().Add(time.Minute))
					if _, err := c.conn.Write([]byte(said)); err != nil {
						break
					}
				}
				if took := time.Since(began); took != 3*time.Second && took != 3*time.Second+longest {
					t.Errorf("it was given up after %v, when it had said %d", took, sent)
				}
				synctest.Wait()
				if n := len(p.heard()); name == "requests" && n < 50 || n > 3000 {
					t.Errorf("%d were heard of %d", n, sent)
				}
				c.want("lost")
				if s := p.server.Stats(); s.TooSlow != 1 || s.Conns != 0 {
					t.Errorf("the stats are %+v", s)
				}
			})
		})
	}
}

// One that reads slowly gets everything.
func TestWhoReadsSlowly(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPlace(t, Options{MaxUnread: 1 << 10, WriteTimeout: 3 * time.Second})
		c := p.raw()
		const many = 2000
		go func() {
			for i := range many {
				c.conn.Write([]byte(text(asks("publish", i, i))))
			}
		}()
		for i := range many {
			if i%100 == 0 {
				time.Sleep(2 * time.Second)
			}
			c.want(echoed(i, i))
		}
	})
}

func TestHeartbeat(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var beat atomic.Int64
		beat.Store(int64(10 * time.Second))
		p := newPlace(t, Options{Heartbeat: func() time.Duration { return time.Duration(beat.Load()) }})
		c := p.raw()
		began := time.Now()
		at := func(want time.Duration) {
			t.Helper()
			if took := time.Since(began).Round(10 * time.Millisecond); took != want {
				t.Fatalf("it is %v, want %v", took, want)
			}
		}
		c.want("ping ")
		at(10 * time.Second)
		time.Sleep(9 * time.Second)
		c.conn.Write([]byte(frame(0x8a, ""))) // a pong
		c.want("ping ")
		at(29 * time.Second)
		time.Sleep(9 * time.Second)
		c.conn.Write([]byte(text(asks("publish", 1, 1)))) // is as good
		c.want(echoed(1, 1))
		synctest.Wait()
		beat.Store(int64(5 * time.Second))
		c.want("ping ")
		at(48 * time.Second) // the wait had begun
		c.conn.Write([]byte(frame(0x8a, "")))
		c.want("ping ")
		at(53 * time.Second)
		c.conn.Write([]byte(frame(0x01, `{"half":`)[:5])) // half a frame, and nothing more
		c.want("ping ", "close 1008 there was no answer to a ping")
		at(63 * time.Second)
		if s := p.server.Stats(); s.Dead != 1 {
			t.Errorf("the stats are %+v", s)
		}
	})
}

func TestPingsAreAnswered(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPlace(t, Options{})
		c := p.raw()
		c.conn.Write([]byte(frame(0x89, "one")))
		c.want("pong one")
		c.conn.Write([]byte(frame(0x01, `{"id":7,`) + frame(0x89, "two") + frame(0x89, "three") + frame(0x80, `"params":1}`)))
		if got := []string{c.next(), c.next()}; !slices.Contains(got, "pong three") || !slices.Contains(got, echoed(1, 7)) {
			t.Errorf("it says %q", got) // the last is enough
		}
		c.conn.Write([]byte(frame(0x89, "")))
		c.want("pong ")
	})
}

func TestHandshakes(t *testing.T) { inBubble(t, testHandshakes) }

func testHandshakes(t *testing.T) {
	p := newPlace(t, Options{MaxConns: 2})
	get := func(method string, header ...string) string {
		t.Helper()
		r, err := http.NewRequest(method, "http://backend/rpc", nil)
		p.must(err)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		client := &http.Client{Transport: &http.Transport{DialContext: p.door.dial, DisableKeepAlives: true}}
		resp, err := client.Do(r)
		p.must(err)
		defer resp.Body.Close()
		b := make([]byte, 1000)
		n, _ := resp.Body.Read(b)
		return fmt.Sprint(resp.StatusCode, " ", strings.TrimSpace(string(b[:n])))
	}
	upgrade := []string{"Upgrade", "h2c, WebSocket", "Connection", "Upgrade", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}
	for _, tt := range []struct{ got, want string }{
		{get("POST"), "200 POST elsewhere"},
		{get("GET"), "200 GET elsewhere"},
		{get("POST", upgrade...), "200 POST elsewhere"},
		{get("GET", "Upgrade", "h2c"), "200 GET elsewhere"},
		{get("GET", upgrade[:4]...), "426 Sec-WebSocket-Version must be 13"},
	} {
		if tt.got != tt.want {
			t.Errorf("the answer is %s, want %s", tt.got, tt.want)
		}
	}
	for offer, want := range map[string]string{"": "", "other": "", "other, jsonrpc": "jsonrpc", "jsonrpc-2.0, jsonrpc": "jsonrpc-2.0"} {
		opts := &websocket.DialOptions{CompressionMode: websocket.CompressionContextTakeover}
		if offer != "" {
			opts.Subprotocols = strings.Split(offer, ", ")
		}
		ws, resp, err := p.tryDial(opts)
		p.must(err)
		if ws.Subprotocol() != want || resp.Header.Get("Sec-WebSocket-Extensions") != "" {
			t.Errorf("of %q, %q was selected, and the extensions %q", offer, ws.Subprotocol(), resp.Header.Get("Sec-WebSocket-Extensions"))
		}
		p.must(ws.Close(websocket.StatusNormalClosure, ""))
	}
	synctest.Wait()
	a, b := p.dial(), p.dial()
	if got := get("GET", upgrade...); got != "503 there are too many connections, or the server is about to end" {
		t.Errorf("the answer to one too many is %s", got)
	}
	p.must(a.ws.Close(websocket.StatusNormalClosure, ""))
	synctest.Wait()
	c := p.dial()
	c.say(asks("publish", 1, 1))
	c.want(echoed(1, 1))
	p.must(b.ws.Close(websocket.StatusNormalClosure, ""))
	if s := p.server.Stats(); s.Refused != 1 {
		t.Errorf("the stats are %+v", s)
	}
}

// What was read is done, also when the peer has not waited for its answers.
func TestWhatHasBeenReadIsDone(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPlace(t, Options{})
		release := p.hold("first")
		all := text(tells("publish", "first"))
		for i := range 1000 {
			all += text(tells("publish", i))
		}
		c := p.raw(all)
		synctest.Wait()
		c.conn.Close()
		synctest.Wait()
		release()
		synctest.Wait()
		if n := len(p.heard()); n != 1001 {
			t.Errorf("%d were heard, want 1001", n)
		}
	})
}

// Answers that are there are written together, and none waits long for others.
func TestAnswersAreWrittenTogether(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPlace(t, Options{})
		releaseFirst, releaseLast := p.hold("first"), p.hold("last")
		all, want := text(asks("publish", "first", 0)), "\x81\x19"+echoed("first", 0)
		for i := range 100 {
			all += text(asks("publish", i%10, i%10))
			want += "\x81\x13" + echoed(i%10, i%10)
		}
		c := p.raw(all, text(asks("publish", "last", 8)))
		synctest.Wait()
		releaseFirst()
		synctest.Wait()
		began := time.Now()
		b := make([]byte, 64<<10)
		n, _ := c.conn.Read(b)
		if string(b[:n]) != want {
			t.Errorf("the first write is %.100q… of %d bytes, want %d", b[:n], n, len(want))
		}
		if took := time.Since(began); took > longest {
			t.Errorf("they have waited for %v", took)
		}
		releaseLast()
		c.want(echoed("last", 8))
	})
}

// One that nothing comes behind does not wait at all.
func TestOneAnswerIsWrittenAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPlace(t, Options{Waits: []string{"ask"}})
		c := p.raw()
		began := time.Now()
		for i, method := range []string{"publish", "ask", "publish"} {
			c.conn.Write([]byte(text(asks(method, i, i))))
			c.want(echoed(i, i))
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

// Those that are much are not held back.
func TestManyAnswersAreWrittenAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPlace(t, Options{})
		p.hold("last")
		much := strings.Repeat("x", fill)
		c := p.raw(text(asks("publish", much, 1)), text(asks("publish", "last", 2))) // whose end one read brings
		began := time.Now()
		c.want(echoed(much, 1))
		if took := time.Since(began); took != 0 {
			t.Errorf("they have waited for %v", took)
		}
		p.server.cutAll()
	})
}

// The same with the real methods, on a real connection.
func TestMessagesArePublishedInTheirOrder(t *testing.T) {
	const many = 10_000
	_, addr := listen(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+addr+"/rpc", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	ws.SetReadLimit(16 << 20)
	go func() {
		for i := range many {
			if ws.Write(ctx, websocket.MessageText, []byte(newMessage(i))) != nil {
				return
			}
		}
		ws.Write(ctx, websocket.MessageText, []byte(asks("history", map[string]any{"channel": "room", "limit": 50, "reverse": true}, "end")))
	}()
	for i := range many {
		_, b, err := ws.Read(ctx)
		if err != nil || string(b) != fmt.Sprintf(`{"jsonrpc":"2.0","result":1,"id":%d}`, i) {
			t.Fatalf("the %dth answer is %s, %v", i, b, err)
		}
	}
	_, b, err := ws.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		at := strings.Index(string(b), fmt.Sprintf(`"n":%d}`, many-1-i))
		if at < 0 {
			t.Fatalf("the %dth from the end is not where it should be: %.1000s", i, b)
		}
		b = b[at:]
	}
	ws.Close(websocket.StatusNormalClosure, "")
}
