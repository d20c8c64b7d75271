package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/shaveet/shaveet/server/handler"
)

const served = `{"jsonrpc":"2.0","result":true,"id":0}`

// serving returns a peer that is called.
func (p *place) serving() *peer {
	p.t.Helper()
	c := p.dial()
	c.say(asks("serve", nil, 0))
	c.want(served)
	return c
}

// An outcome is how a call ended.
type outcome struct {
	result json.RawMessage
	err    error
}

func (o outcome) String() string {
	if o.err == nil {
		return string(o.result)
	}
	if e, ok := errors.AsType[*handler.NotSent](o.err); ok {
		return "not sent: " + e.Error()
	}
	if e, ok := errors.AsType[*handler.Lost](o.err); ok {
		return "lost: " + e.Error()
	}
	if e, ok := errors.AsType[*handler.Answered](o.err); ok {
		return fmt.Sprintf("answered: %d %s %s", e.Code, e.Message, e.Data)
	}
	return "error: " + o.err.Error()
}

// callTime is shorter than the time between two pings.
const callTime = 15 * time.Second

// call begins a call.
func (p *place) call(method, socket string) <-chan outcome {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	done := make(chan outcome, 1)
	go func() {
		defer cancel()
		result, err := p.server.Call(ctx, &handler.Call{Method: method, Socket: socket, Params: []byte(`{"sid":"` + socket + `"}`)})
		done <- outcome{result, err}
	}()
	return done
}

func (p *place) wantOutcome(done <-chan outcome, want string) {
	p.t.Helper()
	if got := (<-done).String(); got != want {
		p.t.Errorf("the call ended with %s, want %s", got, want)
	}
}

// called is how a peer hears of a call.
func called(method, socket string, n int) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":%q,"params":{"sid":%q},"id":"s-%d"}`, method, socket, n)
}

func TestServe(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPlace(t, Options{})
		c := p.dial()
		p.wantOutcome(p.call("event", "x"), "not sent: no connection of the backend serves")
		for _, tt := range []struct{ params, want string }{
			{`,"params":{"handler":"other"}`, `handler: must be \"rpc\"`},
			{`,"params":{"handler":1}`, `params: must be an object with the members handler, a string, and stop, true or false; both may be left out`},
			{`,"params":{"x":1}`, `params: must be an object with the members handler, a string, and stop, true or false; both may be left out`},
			{`,"params":["rpc","rpc"]`, `params: must be an object, or an array of the handler's name`},
			{`,"params":7`, `params: must be an object with the members handler, a string, and stop, true or false; both may be left out`},
			{``, ""}, {`,"params":null`, ""}, {`,"params":{}`, ""}, {`,"params":[]`, ""}, {`,"params":["rpc"]`, ""},
			{`,"params":{"handler":"rpc","stop":false}`, ""}, {`,"params":{"handler":null}`, ""}, {`,"params":[null]`, ""},
		} {
			want := `{"jsonrpc":"2.0","result":true,"id":"i"}`
			if tt.want != "" {
				want = `{"jsonrpc":"2.0","error":{"code":-32602,"message":"` + tt.want + `","data":{"type":"invalid_params"}},"id":"i"}`
			}
			c.say(`{"jsonrpc":"2.0","method":"serve","id":"i"` + tt.params + `}`)
			c.want(want)
		}
		synctest.Wait()
		if s := p.server.Stats(); s.Serving != 1 || s.Conns != 1 {
			t.Errorf("who has asked several times serves %d times", s.Serving)
		}
		done := p.call("event", "x")
		c.want(called("event", "x", 1))
		c.say(asks("serve", map[string]bool{"stop": true}, 9))
		c.want(`{"jsonrpc":"2.0","result":true,"id":9}`)
		p.wantOutcome(p.call("event", "x"), "not sent: no connection of the backend serves")
		c.say(`{"jsonrpc":"2.0","result":1,"id":"s-1"}`) // what was under way goes on
		p.wantOutcome(done, "1")
		c.say(`{"jsonrpc":"2.0","method":"serve"}`)
		synctest.Wait()
		done = p.call("event", "x")
		c.want(called("event", "x", 2))
		c.say(`{"jsonrpc":"2.0","result":2,"id":"s-2"}`)
		p.wantOutcome(done, "2")
		if len(p.heard()) > 0 {
			t.Errorf("somebody else heard %q", p.heard())
		}
		for _, line := range []string{"backend serves", "backend serves no more"} {
			if !strings.Contains(p.logged(), line) {
				t.Errorf("the log does not say %q", line)
			}
		}
	})
}

func TestReplies(t *testing.T) {
	const around = len(`{"jsonrpc":"2.0","result":"","id":"s-1"}`)
	for name, tt := range map[string]struct{ reply, want string }{
		"result":         {`{"jsonrpc":"2.0","result":{"ack":[1]},"id":"s-1"}`, `{"ack":[1]}`},
		"null":           {`{"id":"s-1","result":null,"jsonrpc":"2.0"}`, `null`},
		"both":           {`{"jsonrpc":"2.0","result":7,"error":null,"id":"s-1"}`, `7`},
		"error":          {`{"jsonrpc":"2.0","error":{"code":7,"message":"no","data":[1]},"id":"s-1"}`, `answered: 7 no [1]`},
		"error, null":    {`{"jsonrpc":"2.0","result":null,"error":{"code":-32601,"message":"no"},"id":"s-1"}`, `answered: -32601 no `},
		"escaped":        {`{"jsonrpc":"2.0","result":7,"id":"\u0073-1"}`, `7`},
		"not JSON":       {`{"jsonrpc":"2.0","result":nonsense,"id":"s-1"}`, `error: the answer: it is not JSON`},
		"no error":       {`{"jsonrpc":"2.0","error":"no","id":"s-1"}`, `error: the answer's error: must be an object`},
		"no version":     {`{"result":7,"id":"s-1"}`, `error: the answer: its "jsonrpc" is not "2.0"`},
		"twice":          {`{"jsonrpc":"2.0","result":7,"result":8,"id":"s-1"}`, `error: the answer: has the member "result" twice`},
		"as long as may": {`{"jsonrpc":"2.0","result":"` + strings.Repeat("x", 1000-around) + `","id":"s-1"}`, `"` + strings.Repeat("x", 1000-around) + `"`},
		"too long":       {`{"jsonrpc":"2.0","result":"` + strings.Repeat("x", 1001-around) + `","id":"s-1"}`, `error: the answer is over handler_max_answer_bytes = 1000`},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				p := newPlace(t, Options{MaxAnswer: func() int { return 1000 }})
				c := p.serving()
				done := p.call("event", "x")
				c.want(called("event", "x", 1))
				c.say(tt.reply)
				p.wantOutcome(done, tt.want)
				done = p.call("event", "x")
				c.want(called("event", "x", 2)) // it has harmed nobody else
				c.say(`{"jsonrpc":"2.0","result":2,"id":"s-2"}`)
				p.wantOutcome(done, "2")
			})
		})
	}
}

func TestRepliesInAnyOrder(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPlace(t, Options{})
		c := p.serving()
		var all []<-chan outcome
		for i := range 5 {
			all = append(all, p.call("event", "x"))
			c.want(called("event", "x", i+1))
		}
		for _, i := range []int{3, 1, 5, 4} {
			c.say(fmt.Sprintf(`{"jsonrpc":"2.0","result":%d,"id":"s-%d"}`, i, i))
		}
		// To nothing that was asked, or not any more.
		c.say(`{"jsonrpc":"2.0","result":0,"id":"s-3"}`, `{"jsonrpc":"2.0","result":0,"id":"s-6"}`, `{"jsonrpc":"2.0","result":0,"id":2}`,
			`{"jsonrpc":"2.0","error":{"code":-32700,"message":"what?"},"id":null}`, `{"result":1}`)
		// No JSON is for whoever says so.
		c.say(`{"result":1,}`, `{"result":nonsense,"id":"s-3"}`)
		c.want(`"nonsense"`, `"nonsense"`)
		for _, i := range []int{0, 2, 3, 4} {
			p.wantOutcome(all[i], fmt.Sprint(i+1))
		}
		p.wantOutcome(all[1], "error: "+context.DeadlineExceeded.Error())
		c.say(`{"jsonrpc":"2.0","result":2,"id":"s-2"}`) // too late
		c.say(asks("publish", 1, 1))
		c.want(echoed(1, 1))
		if s := p.server.Stats(); s.Ignored != 6 || s.Replies != 4 || s.Calls != 5 || s.Requests != 4 {
			t.Errorf("the stats are %+v", s)
		}
	})
}

// What may have been heard is told apart from what certainly was not.
func TestCallsOfALostConnection(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(c *rawPeer)
		want string
	}{
		"hung up":  {func(c *rawPeer) { c.conn.Close() }, "lost: the backend's connection has ended"},
		"closed":   {func(c *rawPeer) { c.conn.Write([]byte(frame(0x88, "\x03\xe8"))) }, "lost: the backend's connection has ended"},
		"nonsense": {func(c *rawPeer) { c.conn.Write([]byte("\xff")) }, "lost: the backend's connection has ended"},
		"silence":  {func(c *rawPeer) {}, "lost: the backend's connection has ended"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				p := newPlace(t, Options{Heartbeat: func() time.Duration { return 5 * time.Second }})
				c := p.raw(text(asks("serve", nil, 0)))
				c.want(served)
				synctest.Wait()
				done := p.call("event", "x")
				c.want(called("event", "x", 1))
				go func() { // the rest is read
					for c.next() != "lost" {
					}
				}()
				began := time.Now()
				tt.end(c)
				p.wantOutcome(done, tt.want)
				if took := time.Since(began); name != "silence" && took > time.Second {
					t.Errorf("it took %v to notice", took)
				}
				synctest.Wait()
				p.wantOutcome(p.call("event", "x"), "not sent: no connection of the backend serves")
			})
		})
	}
}

func TestCallsThatWereNotSent(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPlace(t, Options{MaxUnread: 100, WriteTimeout: 3 * time.Second})
		c := p.raw(text(asks("serve", nil, 0)))
		c.want(served)
		synctest.Wait()
		// The first is being written, the second waits behind it, and for the third there is no room.
		var all []<-chan outcome
		for i, socket := range []string{strings.Repeat("a", 100), strings.Repeat("b", 100), "c"} {
			if i == 2 {
				time.Sleep(time.Second)
			}
			all = append(all, p.call("event", socket))
			synctest.Wait()
		}
		p.wantOutcome(all[0], "not sent: the backend's connection has ended") // not the whole of it
		p.wantOutcome(all[1], "not sent: the backend's connection has ended")
		p.wantOutcome(all[2], "not sent: the backend's connection has ended")
		if s := p.server.Stats(); s.TooSlow != 1 || s.Serving != 0 {
			t.Errorf("the stats are %+v", s)
		}
	})
}

// No more of a call than its ctx allows for, also while there is no room.
func TestCallsInTime(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPlace(t, Options{MaxUnread: 10, WriteTimeout: 10 * time.Second})
		c := p.raw(text(asks("serve", nil, 0)))
		c.want(served)
		synctest.Wait()
		for range 2 { // one that is being written, one that waits
			p.call("event", "x")
			synctest.Wait()
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		began := time.Now()
		_, err := p.server.Call(ctx, &handler.Call{Method: "event", Params: []byte("{}")})
		if took := time.Since(began); took != 2*time.Second || (outcome{nil, err}).String() != "not sent: context deadline exceeded" {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

func TestParametersAreUTF8(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPlace(t, Options{})
		c := p.serving()
		done := p.call("event", "\xff")
		c.want(called("event", "\ufffd", 1))
		c.say(`{"jsonrpc":"2.0","result":1,"id":"s-1"}`)
		p.wantOutcome(done, "1")
	})
}

// What a peer asks while it is called itself is answered, by the connection that
// it is called by.
func TestBothDirectionsAtOnce(t *testing.T) {
	p := newPlace(t, Options{Waits: []string{"ask"}})
	const peers, calls = 3, 300
	var all sync.WaitGroup
	for range peers {
		c := p.serving()
		all.Go(func() {
			var asking []string
			for {
				m := c.next()
				var call struct {
					ID     json.RawMessage
					Method string
					Params struct{ SID string }
				}
				if json.Unmarshal([]byte(m), &call) != nil {
					return
				}
				var say string
				switch {
				case call.Method != "": // asks first, and then replies
					asking = append(asking, string(call.ID))
					say = asks([]string{"publish", "ask"}[len(asking)%2], call.Params.SID, string(call.ID))
				default:
					var id string
					json.Unmarshal(call.ID, &id)
					if !slices.Contains(asking, id) {
						t.Errorf("an answer to nothing: %s", m)
					}
					say = fmt.Sprintf(`{"jsonrpc":"2.0","result":%s,"id":%s}`, id, id)
				}
				if c.ws.Write(context.Background(), websocket.MessageText, []byte(say)) != nil {
					return
				}
			}
		})
	}
	for deadline := time.Now().Add(patience); p.server.Stats().Serving < peers && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	var calling sync.WaitGroup
	for i := range calls {
		calling.Go(func() {
			got := (<-p.call("event", fmt.Sprint("socket", i))).String()
			if !strings.HasPrefix(got, `"s-`) {
				t.Errorf("a call ended with %s", got)
			}
		})
	}
	calling.Wait()
	p.must(p.server.Close(context.Background()))
	all.Wait()
	if n := len(p.heard()); n != calls {
		t.Errorf("%d were asked, want %d", n, calls)
	}
}

func TestAppendCallReadsBack(t *testing.T) {
	b := appendCall(nil, 12, &handler.Call{Method: "event", Params: []byte(`{"a":1}`)})
	var m struct {
		JSONRPC, Method, ID string
		Params              json.RawMessage
	}
	if err := json.Unmarshal(b[2:], &m); err != nil || m.JSONRPC != "2.0" || m.Method != "event" || m.ID != "s-12" || string(m.Params) != `{"a":1}` {
		t.Errorf("%q: %+v, %v", b, m, err)
	}
	if n := number([]byte(`"` + m.ID + `"`)); n != 12 {
		t.Errorf("its reply is of call %d", n)
	}
}
