package websocket_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/websocket"
)

const (
	notText   = "close 1003 only text is taken"
	afterward = "close 1008 nothing is to be said after the hello"
	tooMany   = "close 1008 too many frames"
)

// gone hangs up, and wants nothing to be left of the connection.
func (p *place) gone(c *peer) {
	p.t.Helper()
	c.conn.Close()
	synctest.Wait()
	if n, s := p.lot.Held(), p.hub.Stats().Sessions; n != 0 || s != 0 {
		p.t.Errorf("%s: %d connections and %d sessions are left", p.what, n, s)
	}
}

func TestNoHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, websocket.Options{}, hub.Limits{})
		for _, test := range []struct {
			name, from, to string
			status         int
			header         string
			want           string
		}{
			{"POST", "GET", "POST", 405, "Allow: GET", `{"error":{"code":405,"type":"method_not_allowed","message":"a WebSocket begins with a GET request"}}`},
			{"no upgrade", "Upgrade: websocket\r\n", "", 426, "Sec-Websocket-Version: 13", `{"error":{"code":426,"type":"upgrade_required","message":"this is for WebSockets"}}`},
			{"another version", "Version: 13", "Version: 8", 426, "Upgrade: websocket", `{"error":{"code":426,"type":"upgrade_required","message":"Sec-WebSocket-Version must be 13"}}`},
			{"a short key", "Key: dGhl", "Key: dG", 400, "", `{"error":{"code":400,"type":"invalid_request","message":"Sec-WebSocket-Key must be 16 bytes in Base64, once"}}`},
			{"a body", "Host: x", "Host: x\r\nContent-Length: 3", 400, "Connection: close", `{"error":{"code":400,"type":"invalid_request","message":"the request must not have a body"}}`},
		} {
			conn := p.connect()
			go conn.Write([]byte(strings.Replace(request(p.query("a")), test.from, test.to, 1)))
			answer := make([]byte, 4096)
			n, err := conn.Read(answer)
			head, body, _ := strings.Cut(string(answer[:n]), "\r\n\r\n")
			if err != nil || !strings.HasPrefix(head, fmt.Sprintf("HTTP/1.1 %d ", test.status)) || !strings.Contains(head, test.header) || body != test.want {
				t.Errorf("%s: %v\n%s\n\n%s", test.name, err, head, body)
			}
			conn.Close()
		}
	})
}

// Where connections cannot be taken over there are no WebSockets, and nothing
// is left behind.
func TestNoHijacking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, websocket.Options{}, hub.Limits{})
		p.client("a", "ch")
		inner := p.handler
		p.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			inner.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
		})
		conn := p.connect()
		go conn.Write([]byte(request(p.query("a"))))
		answer := make([]byte, 4096)
		n, _ := conn.Read(answer)
		if got := string(answer[:n]); !strings.HasPrefix(got, "HTTP/1.1 500 ") || strings.Contains(got, "Upgrade") {
			t.Errorf("got %s", got)
		}
		conn.Close()
		if s := p.hub.Stats().Sessions; s != 0 {
			t.Errorf("%d sessions are left", s)
		}
	})
}

// What a reader sends once it reads.
func TestWhileReading(t *testing.T) {
	for _, test := range []struct {
		name string
		sent []string
		want []string
	}{
		{"a pong nobody asked for", []string{frame(ws.OpPong, "x")}, nil},
		{"a ping", []string{frame(ws.OpPing, "are you there")}, []string{"pong are you there"}},
		{"an empty ping", []string{frame(ws.OpPing, "")}, []string{"pong"}},
		{"half a frame", []string{frame(ws.OpPing, "x")[:5]}, nil},
		{"a text", []string{text("x")}, []string{afterward}},
		{"an empty text", []string{text("")}, []string{afterward}},
		{"a binary", []string{frame(ws.OpBinary, "x")}, []string{afterward}},
		{"a fragment", []string{cutFrame(ws.OpText, false, "")}, []string{afterward}},
		{"2^63-1 bytes", []string{"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04"}, []string{afterward}},
		{"a continuation", []string{frame(ws.OpContinuation, "x")}, []string{"close 1002 a continuation of no message"}},
		{"a reserved bit", []string{"\xc1\x80\x01\x02\x03\x04"}, []string{"close 1002 reserved bits are set"}},
		{"a reserved opcode", []string{frame(ws.OpCode(3), "")}, []string{"close 1002 the opcode is reserved"}},
		{"not masked", []string{"\x89\x00"}, []string{"close 1002 the frame is not masked"}},
		{"a long ping", []string{"\x89\xfe"}, []string{"close 1002 a control frame has more than 125 bytes"}},
		{"garbage", []string{"GET / HTTP/1.1\r\n\r\n"}, []string{"close 1002 the opcode is reserved"}},
		{"a close", []string{closing(1000, "done")}, []string{"close 1000", "end"}},
		{"a close of an application", []string{closing(4321, "")}, []string{"close 4321", "end"}},
		{"a close and more", []string{closing(1001, ""), text("x"), frame(ws.OpPing, "")}, []string{"close 1001", "end"}},
		{"a close without a code", []string{frame(ws.OpClose, "")}, []string{"close", "end"}},
		{"a close of one byte", []string{frame(ws.OpClose, "x")}, []string{"close 1002 the close frame is invalid"}},
		{"a close with a code of nobody", []string{closing(2999, "")}, []string{"close 1002 the close frame is invalid"}},
		{"a close that is no text", []string{closing(1000, "\xff")}, []string{"close 1007 the text is not valid UTF-8"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t, websocket.Options{}, hub.Limits{})
				p.client("a", "ch")
				for _, cut := range []bool{false, true} {
					c := p.dial(request(p.query("a")))
					c.hears(p.empty())
					if cut {
						sendBytes(c, strings.Join(test.sent, ""))
					} else {
						c.send(test.sent...)
					}
					c.hears(test.want...)
					p.gone(c)
				}
			})
		})
	}
}

// sendBytes sends s byte by byte.
func sendBytes(c *peer, s string) {
	go func() {
		for i := range len(s) {
			if _, err := c.conn.Write([]byte{s[i]}); err != nil {
				return
			}
		}
	}()
}

// Of pings that come while there is no room for answers, the last one is
// answered.
func TestOnlyTheLatestPingIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, websocket.Options{}, hub.Limits{})
		p.client("a", "ch")
		conn := p.connect()
		go conn.Write([]byte(request(p.query("a"))))
		synctest.Wait() // the answer waits to be read
		for i := range 50 {
			conn.Write([]byte(frame(ws.OpPing, fmt.Sprint(i))))
		}
		synctest.Wait() // the last one has been looked at
		c := &peer{place: p, conn: conn}
		in := afterHead(conn)
		go c.listen(in)
		c.hears(p.empty(), "pong 49")
		p.gone(c)
	})
}

// Who sends more than it may is not read any further.
func TestFloods(t *testing.T) {
	for name, flood := range map[string]string{"pings": frame(ws.OpPing, "x"), "pongs": frame(ws.OpPong, "x")} {
		for _, ready := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", hello said: ", ready), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := newPlace(t, websocket.Options{MaxFrames: 10}, hub.Limits{})
					p.client("a", "ch")
					query := ""
					if ready {
						query = p.query("a")
					}
					c := p.dial(request(query))
					c.heard()
					for range 3 {
						c.send(strings.Repeat(flood, 10))
						if got := c.heard(); len(got) > 0 && !strings.HasPrefix(got[0], "pong") {
							t.Fatalf("as many as it may: %q", got)
						}
						time.Sleep(time.Second)
					}
					c.send(strings.Repeat(flood, 11))
					if got := c.heard(); len(got) == 0 || got[len(got)-1] != tooMany {
						t.Errorf("one more: %q", got)
					}
					c.send(strings.Repeat(flood, 1000))
					c.hears()
					p.gone(c)
				})
			})
		}
	}
}

// Who says no hello has to go, whatever else it does.
func TestNoHello(t *testing.T) {
	for name, sent := range map[string]string{
		"nothing": "", "half a head": "\x81", "half a hello": text(`{"clients":[]}`)[:9], "pings": frame(ws.OpPing, "") + frame(ws.OpPong, ""),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t, websocket.Options{}, hub.Limits{})
				c := p.dial(request(""))
				c.send(sent)
				time.Sleep(10*time.Second - 1)
				c.heard()
				time.Sleep(time.Nanosecond)
				c.hears(`text {"error":{"code":408,"type":"timeout","message":"there was no hello in time"}}`, "close 4408 timeout")
				time.Sleep(2 * time.Second)
				c.hears("end")
				p.gone(c)
			})
		})
	}
}

// A connection says that it stands, and wants an answer.
func TestHeartbeat(t *testing.T) {
	for _, test := range []struct {
		wait string
		beat time.Duration
	}{{"", 20 * time.Second}, {"&wait=5000", 5 * time.Second}, {"&wait=1", time.Second}, {"&wait=60000", 20 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			p := newPlace(t, websocket.Options{}, hub.Limits{})
			p.client("a", "ch")
			c := p.dial(request(p.query("a") + test.wait))
			c.hears(p.empty())
			for range 5 {
				time.Sleep(test.beat - 1)
				c.hears()
				p.say("elsewhere", "not for a")
				time.Sleep(time.Nanosecond)
				c.hears("ping", p.empty())
				c.send(frame(ws.OpPong, ""))
			}
			time.Sleep(test.beat)
			c.hears("ping", p.empty())
			c.send(frame(ws.OpPing, "any frame will do"))
			c.hears("pong any frame will do")
			time.Sleep(test.beat)
			c.hears("ping", p.empty())
			time.Sleep(test.beat)
			c.hears("close 1008 there was no answer to a ping", "end")
			p.gone(c)
		})
	}
}

// Who takes its time to read has all of it to answer.
func TestSlowReaderMayAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, websocket.Options{}, hub.Limits{})
		p.client("a", "ch")
		conn := p.connect()
		go io.WriteString(conn, request(p.query("a")+"&wait=1000"))
		in := afterHead(conn)
		hears := func(want string) {
			t.Helper()
			f, err := readFrame(in)
			p.must(err)
			if got := p.short(describe(f)); got != want {
				t.Errorf("heard %s, want %s", got, want)
			}
		}
		hears(p.empty())
		for range 3 {
			time.Sleep(8 * time.Second) // the ping waits to be read for most of it
			hears("ping")
			hears(p.empty())
			time.Sleep(999 * time.Millisecond)
			io.WriteString(conn, frame(ws.OpPong, ""))
		}
		hears("ping")
		hears(p.empty())
		time.Sleep(time.Second)
		hears("close 1008 there was no answer to a ping")
		conn.Close()
	})
}

// By the first message the beat is agreed on as by the request.
func TestHeartbeatOfAHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, websocket.Options{}, hub.Limits{})
		p.client("a", "ch")
		c := p.dial(request(""))
		time.Sleep(9 * time.Second)
		c.send(text(strings.Replace(p.hello("a"), "{", `{"wait":3000,`, 1)))
		c.hears(p.empty())
		time.Sleep(3*time.Second - 1)
		c.hears()
		time.Sleep(time.Nanosecond)
		c.hears("ping", p.empty())
		p.gone(c)
	})
}

// What ends a session is told, and then the connection is closed by both.
func TestEnds(t *testing.T) {
	for _, test := range []struct {
		name string
		ends func(p *place)
		want []string
	}{
		{"killed", func(p *place) { p.must(p.hub.KillClient(p.t.Context(), "a")) },
			[]string{`text {"cursor":"E.4","signals":[{"type":"gone","client":"a"}],"messages":[]}`, "close 4404 gone"}},
		{"superseded", func(p *place) { p.dial(request(p.query("a") + "&session=tab")) },
			[]string{`text {"cursor":"E.4","signals":[{"type":"superseded"}],"messages":[]}`, "close 4409 superseded"}},
		{"disconnected", func(p *place) { p.disconnect("a") },
			[]string{`text {"cursor":"E.4","signals":[{"type":"drain","retry_ms":6000}],"messages":[]}`, "close 1012 drain"}},
		{"drained", func(p *place) { p.drain() },
			[]string{`text {"cursor":"E.4","signals":[{"type":"drain","retry_ms":6000}],"messages":[]}`, "close 1012 drain"}},
		{"drained with news", func(p *place) { p.drain(); p.disconnect("a") },
			[]string{`text {"cursor":"E.4","signals":[{"type":"drain","retry_ms":6000}],"messages":[]}`, "close 1012 drain"}},
	} {
		for _, answers := range []bool{true, false} {
			t.Run(fmt.Sprint(test.name, ", answered: ", answers), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := newPlace(t, websocket.Options{}, hub.Limits{})
					p.client("a", "ch")
					c := p.dial(request(p.query("a") + "&session=tab"))
					c.heard()
					test.ends(p)
					c.hears(test.want...)
					if answers {
						c.send(closing(1000, ""))
						c.hears("end")
						return
					}
					c.send(frame(ws.OpPing, "too late"))
					time.Sleep(2*time.Second - 1)
					c.hears()
					time.Sleep(time.Nanosecond)
					c.hears("end")
				})
			})
		}
	}
}

func (p *place) disconnect(id string) {
	p.t.Helper()
	_, err := p.hub.Disconnect(p.t.Context(), id, "tab")
	p.must(err)
}

// Who has not said its hello is let go as well.
func TestDrainBeforeTheHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, websocket.Options{}, hub.Limits{})
		c := p.dial(request(""))
		c.hears()
		p.drain()
		c.hears(`text {"signals":[{"type":"drain","retry_ms":6000}],"messages":[]}`, "close 1012 drain")
		p.gone(c)
		late := p.dial(request(""), text(`{"clients":[]}`))
		if got := late.heard(); len(got) == 0 || !strings.HasPrefix(got[len(got)-1], "close ") {
			t.Errorf("who comes later hears %q", got)
		}
		p.gone(late)
	})
}

// What waits behind the word that a client is gone comes at once, too.
func TestNewsBehindGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, websocket.Options{}, hub.Limits{})
		p.client("a", "hers")
		p.client("b", "his")
		conn := p.connect()
		go io.WriteString(conn, request(p.query("a")+"&client_id="+url.QueryEscape("b"+hub.Delimiter+p.keys["b"])))
		in := bufio.NewReader(conn)
		_, err := http.ReadResponse(in, nil)
		p.must(err)
		_, err = readFrame(in)
		p.must(err)
		p.say("his", "first") // whose writing waits for us
		synctest.Wait()
		p.say("his", "second")
		p.must(p.hub.KillClient(t.Context(), "a"))
		began := time.Now()
		for _, want := range []string{`"first"`, `"gone"`, `"second"`} {
			f, err := readFrame(in)
			p.must(err)
			if !strings.Contains(string(f.Payload), want) || time.Since(began) > 0 {
				t.Errorf("after %v comes %s, want %s at once", time.Since(began), describe(f), want)
			}
		}
	})
}

// A connection that is over ends soon, whatever its peer goes on to send.
func TestNoiseDoesNotHoldWhatIsOver(t *testing.T) {
	for name, first := range map[string]string{
		"no frame":        "\x83\x80\x01\x02\x03\x04",
		"a bad hello":     text("{"),
		"too many frames": strings.Repeat(frame(ws.OpPong, ""), 1000),
	} {
		for _, noise := range []string{"x", frame(ws.OpPong, "noise")} {
			t.Run(fmt.Sprint(name, ", then ", len(noise)), func(t *testing.T) {
				t.Parallel()
				p := newPlace(t, websocket.Options{}, hub.Limits{})
				srv := httptest.NewServer(p.handler)
				defer srv.Close()
				c, err := net.Dial("tcp", srv.Listener.Addr().String())
				p.must(err)
				defer c.Close()
				io.WriteString(c, request(""))
				go io.Copy(io.Discard, c)
				if _, err := io.WriteString(c, first); err != nil {
					return
				}
				const enough = 256 << 20 // far more than kernels hold
				noise := []byte(strings.Repeat(noise, 64<<10))
				for sent := 0; sent < enough; sent += len(noise) {
					if _, err := c.Write(noise); err != nil {
						return
					}
				}
				t.Error("the server reads on and on")
			})
		}
	}
}
