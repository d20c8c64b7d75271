package zeromq

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/zmtp"
)

// A place is a bound socket that runs, on a port: connections in memory cannot
// be closed by halves.
type place struct {
	*testing.T
	hub  *hub.Hub
	s    *Sockets
	conn net.Conn
	peer *zmtp.Conn
	end  func() // of the sockets
}

// placeOf runs a socket of this type, which a peer has connected to.
func placeOf(t *testing.T, kind string, peer zmtp.SocketType, ask func(context.Context, string, []byte) []byte) *place {
	t.Helper()
	p := &place{T: t, hub: newHub(t, hub.Limits{})}
	c := socketOf(kind, func(c *Config) { c.Bind, c.MaxSubscriptions = "tcp://127.0.0.1:0", 2 })
	p.s = New(p.hub, []Config{c}, Options{Ask: ask, MaxAsk: 1000, Logger: newLogger(new(logBuffer)),
		Encode: func(b []byte, m *hub.Message) []byte { return append(b, m.Data...) }})
	p.must(p.s.Listen())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); p.s.Run(ctx) }()
	p.end = func() { cancel(); <-ended }
	t.Cleanup(p.end)
	var err error
	p.conn, err = net.Dial("tcp", p.s.all[0].listener.Addr().String())
	p.must(err)
	p.peer, err = zmtp.NewConn(p.conn, zmtp.Options{Type: peer})
	p.must(err)
	t.Cleanup(func() { p.peer.Close() })
	return p
}

func (p *place) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

func (p *place) say(n int) {
	p.Helper()
	_, err := p.hub.Publish(p.Context(), hub.Publication{Channel: "a", Sender: json.RawMessage("1"), Data: json.RawMessage(`"` + strings.Repeat("x", n) + `"`)})
	p.must(err)
}

// until waits for what must come.
func (p *place) until(what string, ok func() bool) {
	p.Helper()
	for began := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(began) > patience {
			p.Fatalf("not in time: %s", what)
		}
	}
}

// What is on its way comes also behind a PING that can have no answer any more.
func TestPingAtTheEnd(t *testing.T) {
	p := placeOf(t, "pull", zmtp.PUSH, nil)
	p.must(p.peer.Send([]byte("1")))
	p.until("the first", func() bool { return p.s.Stats()[0].Received == 1 })
	stopped := make(chan struct{})
	go func() { defer close(stopped); p.s.StopIntake(p.Context()) }()
	io.Copy(io.Discard, struct{ io.Reader }{p.conn}) // it has said that it goes
	all := append(zmtp.AppendMessage(nil, []byte("2")), "\x04\x07\x04PING\x00\x00"...)
	for range 100 {
		all = zmtp.AppendMessage(all, []byte("3"))
	}
	_, err := p.conn.Write(all)
	p.must(err)
	p.conn.(*net.TCPConn).CloseWrite()
	<-stopped
	if got := p.s.Stats()[0].Received; got != 102 {
		t.Errorf("%d of 102 messages were taken", got)
	}
}

// A call that is under way at the end is answered.
func TestAnswerAtTheEnd(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	p := placeOf(t, "rep", zmtp.REQ, func(context.Context, string, []byte) []byte {
		close(asked)
		<-answer
		return []byte("done")
	})
	p.must(p.peer.Send(nil, []byte("publish")))
	<-asked
	ended := make(chan struct{})
	go func() { defer close(ended); p.end() }()
	p.until("it listens no more", func() bool {
		c, err := net.Dial("tcp", p.s.all[0].listener.Addr().String())
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	close(answer)
	frames, err := p.peer.Receive()
	if err != nil || len(frames) != 2 || string(frames[1]) != "done" {
		t.Errorf("answered with %q, %v", frames, err)
	}
	<-ended
}

// A subscriber gets all that was said before the end.
func TestSubscriberAtTheEnd(t *testing.T) {
	const n = 500
	p := placeOf(t, "pub", zmtp.SUB, nil)
	p.must(p.peer.Subscribe([]byte("a")))
	p.until("it has subscribed", func() bool { p.say(1); return p.s.Stats()[0].Sent > 0 })
	heard := make(chan int)
	go func() {
		n := 0
		for {
			frames, err := p.peer.Receive()
			if err != nil {
				heard <- n
				return
			}
			if len(frames[1]) > 100 {
				n++
			}
		}
	}()
	for range n {
		p.say(1000)
	}
	p.end()
	if got := <-heard; got != n {
		t.Errorf("%d of %d came", got, n)
	}
}

// A peer that has broken a rule is let go, also while it is behind.
func TestWhoIsBehindIsLetGo(t *testing.T) {
	p := placeOf(t, "pub", zmtp.SUB, nil)
	p.must(p.peer.Subscribe([]byte("a")))
	p.until("it has subscribed", func() bool { p.say(1); return p.s.Stats()[0].Sent > 0 })
	for range 2000 { // more than kernels hold
		p.say(10_000)
	}
	for _, prefix := range []string{"b", "c"} {
		p.must(p.peer.Subscribe([]byte(prefix)))
	}
	p.until("it is let go", func() bool { return p.s.Stats()[0].Peers == 0 })
}

// Senders are kept with their messages, and count.
func TestBacklogCountsSenders(t *testing.T) {
	p := placeOf(t, "pub", zmtp.SUB, nil)
	k := p.s.all[0]
	k.BacklogBytes = 100_000
	o := newOutlet(k)
	defer o.close()
	sender := json.RawMessage(`"` + strings.Repeat("x", 20_000) + `"`)
	for range 40 { // as many as the channel keeps
		_, err := p.hub.Publish(p.Context(), hub.Publication{Channel: "a", Sender: sender, Data: json.RawMessage("1")})
		p.must(err)
	}
	p.until("all are there", func() bool { return o.top() == 40 })
	if n := 40 - int(o.first); n > 5 {
		t.Errorf("%d messages of 20 KB are kept", n)
	}
}
