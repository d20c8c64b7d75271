package park_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/park"
)

// An echo says what it is told.
type echo struct{ *speaker }

func (e echo) Received(p []byte) { e.say(string(p)) }

// A gatherer writes nothing before it is told to.
type gatherer struct {
	net.Conn
	hold bool
	kept bytes.Buffer
}

func (g *gatherer) Write(p []byte) (int, error) {
	if g.hold {
		return g.kept.Write(p)
	}
	return g.Conn.Write(p)
}

func (g *gatherer) flush() {
	g.hold = false
	g.Conn.Write(g.kept.Bytes())
	g.kept.Reset()
}

// dialTLS returns a connection that has shaken hands, and what it writes to.
func dialTLS(t *testing.T, address net.Addr) (c *tls.Conn, under *gatherer) {
	t.Helper()
	raw, err := net.Dial("tcp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	raw.SetDeadline(time.Now().Add(20 * time.Second))
	under = &gatherer{Conn: raw}
	c = tls.Client(under, &tls.Config{InsecureSkipVerify: true})
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	return c, under
}

// overTLS returns a connection to what is served by a lot, behind the head of the
// answer. early is said with the request.
func overTLS(t *testing.T, early string, hold func(*park.Lot, http.ResponseWriter, *http.Request)) (lot *park.Lot, c *tls.Conn, under *gatherer, in *bufio.Reader) {
	t.Helper()
	lot = park.New(park.Options{})
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { hold(lot, w, r) }))
	t.Cleanup(srv.Close)
	c, under = dialTLS(t, srv.Listener.Addr())
	under.hold = true
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if early != "" {
		io.WriteString(c, early) // in a record of its own
	}
	under.flush()
	in = bufio.NewReader(c)
	if _, err := http.ReadResponse(in, nil); err != nil {
		t.Fatal(err)
	}
	return lot, c, under, in
}

// wantEnd waits for the end of a tenant.
func wantEnd(t *testing.T, sp *speaker, want error) {
	t.Helper()
	select {
	case err := <-sp.closed:
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("it ended with %v, want %v", err, want)
		}
	case <-time.After(10 * time.Second):
		t.Error("it has not ended")
	}
}

// longPause is longer than anybody waits for more of what has begun to come.
const longPause = 130 * time.Millisecond

// What comes over TLS is heard in whatever pieces it comes, and how many of them
// at once; at once, too, after a while without any.
func TestHearingOverTLS(t *testing.T) {
	sp := newSpeaker()
	lot, c, under, in := overTLS(t, "early", func(lot *park.Lot, w http.ResponseWriter, r *http.Request) {
		lot.Upgrade(&sp.Conn, w, r, echo{sp}, 0)
	})
	said := 0
	say := func(size int) string {
		said++
		text := strings.Repeat(fmt.Sprint(said%10), size)
		io.WriteString(c, text)
		return text
	}
	hear := func(text string) {
		t.Helper()
		got := make([]byte, len(text))
		if _, err := io.ReadFull(in, got); err != nil || string(got) != text {
			t.Fatalf("%d bytes are not what was said: %v", len(text), err)
		}
	}
	hear("early")
	for _, size := range []int{1, 11, 12, 4096, 4097, 16 << 10, 100_000} {
		hear(say(size))
		if size < 100 || size == 4096 {
			time.Sleep(longPause)
		}
		hear(say(size))
	}
	for range 3 { // several records in one piece
		under.hold = true
		text := say(7) + say(11) + say(5000) + say(1)
		under.flush()
		hear(text)
		time.Sleep(longPause)
	}
	c.NetConn().(*gatherer).Conn.(*net.TCPConn).CloseWrite()
	wantEnd(t, sp, park.ErrGone)
	if err := lot.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// A peer of a stream over TLS has nothing to say, however slowly it says that.
func TestNoiseOverTLS(t *testing.T) {
	sp := newSpeaker()
	lot, c, _, _ := overTLS(t, "", func(lot *park.Lot, w http.ResponseWriter, r *http.Request) { streams(lot, w, r, sp) })
	for range 3 {
		c.Write(make([]byte, 25<<10))
		time.Sleep(longPause)
	}
	wantEnd(t, sp, park.ErrGone)
	if err := lot.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// The end over TLS comes at once, and a peer that says nothing to it is not waited
// for.
func TestEndOverTLS(t *testing.T) {
	for name, end := range map[string]struct {
		by   func(*park.Lot, *speaker, *tls.Conn)
		want error
	}{
		"ours":       {func(_ *park.Lot, sp *speaker, _ *tls.Conn) { sp.bye() }, nil},
		"the peer's": {func(_ *park.Lot, _ *speaker, c *tls.Conn) { c.Close() }, park.ErrGone},
		"the lot's": {func(lot *park.Lot, _ *speaker, _ *tls.Conn) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			lot.Wait(ctx)
		}, park.ErrCut},
	} {
		for _, pause := range []time.Duration{0, longPause} {
			t.Run(fmt.Sprint(name, " after ", pause), func(t *testing.T) {
				t.Parallel()
				sp := newSpeaker()
				lot, c, _, in := overTLS(t, "", func(lot *park.Lot, w http.ResponseWriter, r *http.Request) { streams(lot, w, r, sp) })
				time.Sleep(pause)
				end.by(lot, sp, c)
				wantEnd(t, sp, end.want)
				io.Copy(io.Discard, in)
				if err := lot.Wait(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// Polls over TLS follow one another on a connection, whenever the next one comes and
// in whatever pieces.
func TestPollsOverTLS(t *testing.T) {
	const next = "GET /2 HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, tt := range map[string]struct {
		with   string          // what comes in the first request's record
		behind []string        // what comes in records behind it at once
		held   func(io.Writer) // what comes while it is held
		after  func(io.Writer) // what comes after its answer
	}{
		"after the answer":        {after: func(w io.Writer) { io.WriteString(w, next) }},
		"byte by byte":            {after: func(w io.Writer) { trickle(w, next) }},
		"in the same record":      {with: next},
		"in a record behind":      {behind: []string{next}},
		"in records behind":       {behind: []string{next[:5], next[5:20], next[20:]}},
		"one part before":         {with: next[:9], after: func(w io.Writer) { io.WriteString(w, next[9:]) }},
		"one part behind":         {behind: []string{next[:9]}, held: func(w io.Writer) { io.WriteString(w, next[9:]) }},
		"while it is held":        {held: func(w io.Writer) { io.WriteString(w, next) }},
		"slowly while it is held": {held: func(w io.Writer) { trickle(w, next) }},
		"behind a line break":     {behind: []string{"\r\n" + next}},
		"in a record behind one":  {behind: []string{"\r\n", next}},
		"later, behind some":      {behind: []string{"\r\n", "\r\n"}, held: func(w io.Writer) { io.WriteString(w, "\r\n"+next) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			speakers := make(chan *speaker, 3)
			c, under := pollsOverTLS(t, speakers)
			in := bufio.NewReader(c)
			under.hold = true
			io.WriteString(c, "GET /1 HTTP/1.1\r\nHost: x\r\n\r\n"+tt.with)
			for _, s := range tt.behind {
				io.WriteString(c, s)
			}
			under.flush()
			first := arrival(t, speakers)
			if tt.held != nil {
				tt.held(c)
			}
			first.say("one")
			if _, body := read(t, in); body != "one" {
				t.Fatalf("the first is answered %q", body)
			}
			wantEnd(t, first, nil)
			if tt.after != nil {
				tt.after(c)
			}
			second := arrival(t, speakers)
			second.say("two")
			if _, body := read(t, in); body != "two" {
				t.Fatalf("the second is answered %q", body)
			}
			wantEnd(t, second, nil)
			io.WriteString(c, "GET /3 HTTP/1.1\r\nHost: x\r\n\r\n")
			third := arrival(t, speakers)
			c.Close()
			wantEnd(t, third, park.ErrGone)
		})
	}
}

// arrival waits for the tenant of the next request.
func arrival(t *testing.T, speakers <-chan *speaker) *speaker {
	t.Helper()
	select {
	case s := <-speakers:
		return s
	case <-time.After(20 * time.Second):
		t.Fatal("the request is not heard")
		return nil
	}
}

// trickle writes s in pieces of one byte each.
func trickle(w io.Writer, s string) {
	for i := range len(s) {
		io.WriteString(w, s[i:i+1])
	}
}

// pollsOverTLS returns a connection to a server of polls, whose tenants it hands out.
func pollsOverTLS(t *testing.T, speakers chan<- *speaker) (c *tls.Conn, under *gatherer) {
	t.Helper()
	other := httptest.NewTLSServer(nil) // which has a certificate
	other.Close()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: other.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	lot := park.New(park.Options{})
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sp := newSpeaker()
		speakers <- sp
		lot.Answer(&sp.Conn, w, r, sp, time.Minute)
	})}
	over := make(chan error, 1)
	go func() { over <- lot.Serve(srv, ln) }()
	t.Cleanup(func() { srv.Close(); <-over })
	return dialTLS(t, ln.Addr())
}
