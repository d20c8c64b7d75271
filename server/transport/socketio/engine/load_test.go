package engine_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"

	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/transport/socketio/engine"
)

// Clients that go over to a WebSocket while they say and hear things lose none of
// them, and hear them in order.
func TestUpgradesUnderLoad(t *testing.T) {
	const clients, messages = 200, 60
	address := serve(t)
	transport := &http.Transport{MaxIdleConnsPerHost: 2 * clients}
	defer transport.CloseIdleConnections()
	var all sync.WaitGroup
	limit := make(chan struct{}, 40)
	for i := range clients {
		all.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			c := &mover{http: &http.Client{Transport: transport}, address: address, after: 3 * (i % 10), total: messages, t: t}
			if err := c.run(); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	all.Wait()
}

// serve serves echoes on this machine and returns where.
func serve(t *testing.T) (address string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, drain := context.WithCancel(context.Background())
	lot := park.New(park.Options{Drain: ctx})
	sv := engine.New(engine.Options{Lot: lot, Drain: ctx, MaxPackets: 10_000, Open: func(s *engine.Session, _ *http.Request, _ url.Values) engine.App {
		return &app{t: t, session: s, echo: true}
	}})
	srv := &http.Server{Handler: sv}
	served := make(chan struct{})
	go func() { defer close(served); lot.Serve(srv, ln) }()
	t.Cleanup(func() {
		srv.Shutdown(context.Background())
		drain()
		sv.Close()
		lot.Wait(context.Background())
		<-served
		if s := sv.Stats(); s.UpgradesDone != s.UpgradesBegun || s.WebSocket != 0 {
			t.Errorf("the numbers are %+v", s)
		}
	})
	return ln.Addr().String()
}

// A mover is a client that goes over to a WebSocket after so many messages.
type mover struct {
	t            *testing.T
	http         *http.Client
	address      string
	query        string
	after, total int

	mu    sync.Mutex // guards heard
	heard []string
}

func (c *mover) do(method, body string) (string, error) {
	r, err := http.NewRequest(method, "http://"+c.address+"/?"+c.query, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != 200 {
		err = fmt.Errorf("%s is answered %d %s", method, answer.StatusCode, got)
	}
	return string(got), err
}

func (c *mover) hear(packets string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p := range strings.SplitSeq(packets, "\x1e") {
		if p != "6" {
			c.heard = append(c.heard, p)
		}
	}
}

func (c *mover) run() error {
	c.query = "EIO=4&transport=polling"
	answer, err := c.do("GET", "")
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(answer, `"sid":"`)
	c.query += "&sid=" + rest[:20]

	var paused atomic.Bool
	polls := make(chan error, 1)
	go func() { polls <- c.poll(&paused) }()
	said := 0
	say := func() string { said++; return fmt.Sprintf("4%d", said-1) }
	for said < c.after {
		if _, err := c.do("POST", say()+"\x1e"+say()+"\x1e"+say()); err != nil {
			return err
		}
	}
	conn, in, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	io.WriteString(conn, text("2probe"))
	for probed := false; !probed; { // polling goes on meanwhile
		if _, err := c.do("POST", say()); err != nil {
			return err
		}
		f, err := readFrame(in)
		if err != nil {
			return err
		}
		probed = string(f.Payload) == "3probe"
	}
	paused.Store(true)
	if err := <-polls; err != nil {
		return err
	}
	io.WriteString(conn, text("5"))
	for said < c.total {
		io.WriteString(conn, text(say()))
	}
	return c.listen(in)
}

func (c *mover) poll(paused *atomic.Bool) error {
	for !paused.Load() {
		answer, err := c.do("GET", "")
		if err != nil {
			return err
		}
		c.hear(answer)
	}
	return nil
}

func (c *mover) dial() (net.Conn, io.Reader, error) {
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		return nil, nil, err
	}
	io.WriteString(conn, shake(strings.Replace(c.query, "polling", "websocket", 1)))
	in := bufio.NewReader(conn)
	answer, err := http.ReadResponse(in, nil)
	if err == nil && answer.StatusCode != http.StatusSwitchingProtocols {
		err = fmt.Errorf("a WebSocket is answered %d", answer.StatusCode)
	}
	return conn, in, err
}

// listen hears the rest and compares.
func (c *mover) listen(in io.Reader) error {
	want := make([]string, c.total)
	for i := range want {
		want[i] = fmt.Sprintf("4%d", i)
	}
	for len(c.heard) < c.total {
		f, err := readFrame(in)
		if err != nil || f.Header.OpCode != ws.OpText {
			return fmt.Errorf("after %q: %+v, %v", c.heard, f, err)
		}
		c.hear(string(f.Payload))
	}
	if !slices.Equal(c.heard, want) {
		return fmt.Errorf("heard %q", c.heard)
	}
	return nil
}
