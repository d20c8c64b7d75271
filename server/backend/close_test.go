package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/shaveet/shaveet/server/handler"
)

const restart = "close 1012 the server lets go of its connections"

// closing closes the server, which may take so long.
func (p *place) closing(most time.Duration) <-chan error {
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), most)
		defer cancel()
		done <- p.server.Close(ctx)
	}()
	return done
}

func TestCloseWithNothingUnderWay(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPlace(t, Options{})
		p.must(p.server.Close(context.Background()))
		p = newPlace(t, Options{})
		a, b := p.dial(), p.serving()
		began := time.Now()
		done := p.closing(time.Minute)
		a.want(restart)
		b.want(restart)
		p.must(<-done)
		if took := time.Since(began); took > lingerTime {
			t.Errorf("it took %v", took)
		}
		if _, resp, err := p.tryDial(nil); err == nil || resp.StatusCode != 503 {
			t.Errorf("one more has come: %v", err)
		}
		p.wantOutcome(p.call("event", "x"), "not sent: no connection of the backend serves")
	})
}

// What has been read is answered, and what is not answered was not done.
func TestCloseFinishesWhatHasBeenRead(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPlace(t, Options{Waits: []string{"ask"}})
		c := p.dial()
		releaseSlow, releaseFirst := p.hold("slow"), p.hold("first")
		c.say(asks("ask", "slow", 1), asks("publish", "first", 2), asks("publish", "second", 3))
		synctest.Wait()
		done := p.closing(time.Minute)
		synctest.Wait()
		go c.ws.Write(context.Background(), websocket.MessageText, []byte(asks("publish", "third", 4)))
		time.Sleep(time.Second)
		releaseFirst()
		c.want(echoed("first", 2), echoed("second", 3))
		time.Sleep(time.Second)
		releaseSlow()
		c.want(echoed("slow", 1), restart)
		p.must(<-done)
		if n := len(p.heard()); n != 3 {
			t.Errorf("heard were %q", p.heard())
		}
	})
}

// Calls that are under way are waited for, and so may be what it takes to reply.
func TestCloseWaitsForReplies(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPlace(t, Options{})
		c := p.serving()
		one := p.call("event", "x")
		c.want(called("event", "x", 1))
		two := p.call("event", "y")
		c.want(called("event", "y", 2))
		done := p.closing(time.Minute)
		synctest.Wait()
		p.wantOutcome(p.call("event", "z"), "not sent: no connection of the backend serves")
		c.say(asks("publish", "what it takes", 1))
		c.want(echoed("what it takes", 1))
		c.say(asks("serve", nil, 2))
		c.want(`{"jsonrpc":"2.0","error":{"code":-32005,"message":"the server is about to end","data":{"type":"unavailable"}},"id":2}`)
		for c := range p.server.conns {
			p.server.beginServing(c)                                                                     // as if the end had come just behind the answer
			_, err := c.call(context.Background(), &handler.Call{Method: "event", Params: []byte("{}")}) // or behind the choice
			if got := (outcome{nil, err}).String(); got != "not sent: the backend's connection is about to end" {
				t.Errorf("one more call ended with %s", got)
			}
		}
		if n := p.server.Stats().Serving; n != 0 {
			t.Error("a connection that is about to end serves")
		}
		c.say(`{"jsonrpc":"2.0","result":2,"id":"s-2"}`, asks("publish", "more", 3))
		p.wantOutcome(two, "2")
		c.want(echoed("more", 3))
		c.say(`{"jsonrpc":"2.0","result":1,"id":"s-1"}`)
		p.wantOutcome(one, "1")
		c.want(restart)
		p.must(<-done)
	})
}

func TestCloseWaitsForCallsUntilTheirTimeIsOver(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPlace(t, Options{})
		c := p.serving()
		one := p.call("event", "x")
		c.next()
		began := time.Now()
		done := p.closing(time.Minute)
		c.want(restart)
		if took := time.Since(began); took != callTime {
			t.Errorf("it was closed after %v", took)
		}
		p.wantOutcome(one, "error: context deadline exceeded")
		p.must(<-done)
	})
}

func TestCloseCutsOff(t *testing.T) {
	for name, begin := range map[string]func(p *place) *peer{
		"a request": func(p *place) *peer {
			p.hold("stuck")
			c := p.dial()
			c.say(asks("publish", "stuck", 1), asks("publish", "next", 2))
			return c
		},
		"one that takes its time": func(p *place) *peer {
			p.hold("stuck")
			c := p.dial()
			c.say(asks("ask", "stuck", 1))
			return c
		},
		"a call": func(p *place) *peer {
			c := p.serving()
			p.call("event", "x")
			c.next()
			return c
		},
		"who does not read": func(p *place) *peer {
			c := p.dial()
			c.say(asks("large", "1", 1))
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				p := newPlace(t, Options{Waits: []string{"ask"}})
				c := begin(p)
				synctest.Wait()
				began := time.Now()
				if err := <-p.closing(2 * time.Second); !errors.Is(err, errCut) {
					t.Errorf("the error is %v", err)
				}
				if took := time.Since(began); took != 2*time.Second {
					t.Errorf("it took %v", took)
				}
				c.want("lost")
				if n := len(p.heard()); n > 1 {
					t.Errorf("heard were %q", p.heard())
				}
			})
		})
	}
}

func TestCloseTwiceAndAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPlace(t, Options{})
		c := p.serving()
		one := p.call("event", "x")
		c.next()
		a, b := p.closing(time.Minute), p.closing(time.Second)
		if err := <-b; !errors.Is(err, errCut) {
			t.Errorf("the error is %v", err)
		}
		p.must(<-a) // by then there was nobody left
		p.wantOutcome(one, "lost: the backend's connection has ended")
	})
}

// Who has to come again may do so at once.
func TestLetGo(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPlace(t, Options{})
		a, b := p.serving(), p.dial()
		p.server.LetGo()
		a.want(restart)
		b.want(restart)
		a = p.serving()
		done := p.call("event", "x")
		a.want(called("event", "x", 1))
		a.say(`{"jsonrpc":"2.0","result":1,"id":"s-1"}`)
		p.wantOutcome(done, "1")
	})
}

// A peer that goes on to talk does not keep its connection from ending.
func TestCloseDuringAFlood(t *testing.T) {
	p := newPlace(t, Options{})
	c := p.raw()
	go func() {
		for i := 0; ; i++ {
			if _, err := c.conn.Write([]byte(text(asks("publish", i, i)))); err != nil {
				return
			}
		}
	}()
	for i := range 100 {
		c.want(echoed(i, i))
	}
	done := p.closing(patience)
	var last string
	for answered := 100; ; answered++ {
		got := c.next()
		if got == restart {
			if n := len(p.heard()); n != answered {
				t.Errorf("%d were done, and %d were answered", n, answered)
			}
			break
		}
		if want := echoed(answered, answered); got != want {
			t.Fatalf("it says %s, want %s, after %s", got, want, last)
		}
		last = got
	}
	p.must(<-done)
}

func TestFloodsAreBounded(t *testing.T) {
	for name, piece := range map[string]string{
		"pings":            strings.Repeat(frame(0x89, strings.Repeat("x", 125)), 100),
		"pongs":            strings.Repeat(frame(0x8a, ""), 1000),
		"empty messages":   strings.Repeat(text(""), 1000),
		"replies":          strings.Repeat(text(`{"result":1,"id":"s-1"}`), 100),
		"serving":          strings.Repeat(text(`{"method":"serve","id":1}`), 100),
		"stop":             strings.Repeat(text(`{"method":"serve","id":1}`)+text(`{"method":"serve","id":1,"params":{"stop":true}}`), 100),
		"large":            strings.Repeat(text(`{"method":"large","id":1}`), 10),
		"what takes time":  strings.Repeat(text(`{"method":"ask","params":"stuck","id":1}`), 100),
		"a deep message":   text(strings.Repeat("[", 100<<10)),
		"a deep reply":     text(`{"result":` + strings.Repeat("[", 100<<10) + strings.Repeat("]", 100<<10-1) + `,"id":"s-1"}`),
		"parts of nothing": frame(0x01, "") + strings.Repeat(frame(0x00, ""), 1000) + frame(0x80, ""),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				p := newPlace(t, Options{Waits: []string{"ask"}, WriteTimeout: time.Second, MaxUnread: 64 << 10})
				release := p.hold("stuck")
				c := p.raw(text(asks("serve", nil, 0)))
				c.want(served)
				end := time.Now().Add(10 * time.Second)
				for range 100 { // nobody reads
					c.conn.SetWriteDeadline(end)
					if _, err := c.conn.Write([]byte(piece)); err != nil {
						break
					}
				}
				synctest.Wait()
				p.server.mu.Lock()
				for c := range p.server.conns {
					c.out.mu.Lock()
					n := len(c.out.next)
					c.out.mu.Unlock()
					if n > 64<<10+2<<20 {
						t.Errorf("%d bytes wait for a peer that does not read", n)
					}
					if n := c.waitings.Load(); n > 100 {
						t.Errorf("%d wait", n)
					}
				}
				p.server.mu.Unlock()
				release()
			})
		})
	}
}

// Connections come and go, and serve, while calls are made.
func TestComingAndGoing(t *testing.T) {
	p := newPlace(t, Options{})
	stop := make(chan struct{})
	ended := make(chan struct{}, 4)
	for n := range cap(ended) {
		go func() {
			defer func() { ended <- struct{}{} }()
			for i := n; ; i++ {
				select {
				case <-stop:
					return
				default:
					p.comeAndGo(i)
				}
			}
		}()
	}
	for answered := 0; answered < 300; {
		switch got := (<-p.call("event", fmt.Sprint(answered%10))).String(); {
		case got == "true":
			answered++
		case !strings.HasPrefix(got, "not sent: ") && !strings.HasPrefix(got, "lost: "):
			t.Fatalf("a call ended with %s", got)
		}
	}
	close(stop)
	for n := cap(ended); n > 0; { // who waits for a call is called
		select {
		case <-ended:
			n--
		case <-p.call("event", "x"):
		}
	}
}

// comeAndGo serves for a few calls, and ends in one of several ways.
func (p *place) comeAndGo(way int) {
	ws, _, err := p.tryDial(nil)
	if err != nil {
		p.t.Error(err)
		return
	}
	c := &peer{p, ws}
	ws.Write(context.Background(), websocket.MessageText, []byte(asks("serve", nil, 0)))
	for range 20 {
		m := c.next()
		at := strings.Index(m, `"id":`)
		if at < 0 {
			break // others have had all be let go
		}
		if m != served {
			ws.Write(context.Background(), websocket.MessageText, []byte(`{"jsonrpc":"2.0","result":true,`+m[at:]))
		}
	}
	switch way % 4 {
	case 0:
		ws.CloseNow()
	case 1:
		p.server.LetGo()
		ws.Close(websocket.StatusNormalClosure, "")
	default:
		ws.Close(websocket.StatusNormalClosure, "")
	}
}

// A peer that says all it has to say before it listens hears the end all the
// same, unless that is very much.
func TestWhoTalksBeforeItListens(t *testing.T) {
	for name, end := range map[string]func(p *place, c *rawPeer) string{
		"a broken rule": func(p *place, c *rawPeer) string {
			c.conn.Write([]byte(frame(0x82, "")))
			return "close 1003 messages must be text"
		},
		"the end": func(p *place, c *rawPeer) string {
			p.server.LetGo()
			return restart
		},
	} {
		for size, hears := range map[int]bool{1 << 20: true, 2 * lingerBytes: false} {
			t.Run(fmt.Sprint(name, size), func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					p := newPlace(t, Options{})
					c := p.raw()
					want := end(p, c)
					synctest.Wait()
					_, err := c.conn.Write(make([]byte, size))
					if hears != (err == nil) {
						t.Errorf("after so much: %v", err)
					}
					if hears {
						c.want(want)
					}
					c.want("lost")
				})
			})
		}
	}
}

// FuzzConnection has a peer say anything, in two writes, and go.
func FuzzConnection(f *testing.F) {
	for _, said := range []string{
		text(asks("publish", 1, 1)) + text(asks("serve", nil, 2)) + text(`{"jsonrpc":"2.0","result":1,"id":"s-1"}`),
		frame(0x01, `{"method":`) + frame(0x89, "x") + frame(0x80, `"ask","id":1}`), frame(0x88, "\x03\xe8"), frame(0x82, "x"), "\x81\xfe\xff\xff",
	} {
		f.Add([]byte(said), 7)
	}
	f.Fuzz(func(t *testing.T, said []byte, cut int) {
		inBubble(t, func(t *testing.T) {
			p := newPlace(t, Options{Waits: []string{"ask"}, MaxUnread: 1 << 10, MaxWaiting: 2, Logger: slog.New(slog.DiscardHandler)})
			c := p.raw()
			done := p.call("event", "x")
			go func() {
				defer c.conn.Close()
				cut = min(max(cut, 0), len(said))
				c.conn.Write(said[:cut])
				p.call("event", "y")
				c.conn.Write(said[cut:])
			}()
			io.Copy(io.Discard, c.in)
			<-done
			synctest.Wait()
			if s := p.server.Stats(); s.Conns != 0 || s.Serving != 0 {
				t.Errorf("the stats are %+v", s)
			}
		})
	})
}

// What is done for a peer that has gone is waited for, too.
func TestCloseWaitsForWhatNobodyWaitsFor(t *testing.T) {
	for _, method := range []string{"ask", "publish"} {
		inBubble(t, func(t *testing.T) {
			p := newPlace(t, Options{Waits: []string{"ask"}})
			release := p.hold("slow")
			c := p.dial()
			c.say(asks(method, "slow", 1))
			synctest.Wait()
			c.ws.CloseNow()
			synctest.Wait()
			done := p.closing(time.Minute)
			synctest.Wait()
			select {
			case err := <-done:
				t.Errorf("%s was not waited for: %v", method, err)
			default:
			}
			release()
			p.must(<-done)
		})
	}
}

// A peer that hears the end and does not go is closed a little later.
func TestWhoDoesNotGo(t *testing.T) {
	s, addr := listen(t)
	c := connect(t, addr)
	io.WriteString(c.conn, frame(0x82, ""))
	c.want("close 1003 messages must be text", "lost")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
}
