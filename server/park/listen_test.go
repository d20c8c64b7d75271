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

// overTLS returns a connection to what is served by a lot, behind the head of the
// answer. early is said with the request.
func overTLS(t *testing.T, early string, hold func(*park.Lot, http.ResponseWriter, *http.Request)) (lot *park.Lot, c *tls.Conn, under *gatherer, in *bufio.Reader) {
	t.Helper()
	lot = park.New(park.Options{})
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { hold(lot, w, r) }))
	t.Cleanup(srv.Close)
	raw, err := net.Dial("tcp", srv.Listener.Addr().String())
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
