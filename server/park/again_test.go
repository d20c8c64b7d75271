package park_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/park"
)

// A counter is the tenant of a poll that says where it goes on, when it has been
// held for a moment.
type counter struct {
	park.Conn
	cursor string
	held   bool
	again  *atomic.Int64 // times that it was asked in the handler's place
	closed bool          // nobody has it
}

func (c *counter) Next(dst []byte, _ park.Event) ([]byte, bool) {
	if !c.held {
		c.held = true
		c.Wake()
		return dst, false
	}
	return append(dst, "from "+c.cursor+"!"...), false
}

func (c *counter) Sent() {}

func (c *counter) Closed(error) { c.closed = true }

func (c *counter) Moving() (name, value string) { return "cursor", c.cursor }

func (c *counter) Again(value []byte) bool {
	if !c.closed {
		panic("the last poll has not been closed")
	}
	if string(value) == "refuse" {
		return false
	}
	c.closed, c.held, c.cursor = false, false, string(value)
	c.again.Add(1)
	return true
}

// counted is a witness of all polls of a stand.
type counted struct {
	http.ResponseWriter
	begun, ended *atomic.Int64
}

func (c counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c counted) Outlive() func(int, int64, time.Duration, fmt.Stringer) {
	c.begun.Add(1)
	return c.end
}

func (c counted) Again() func() { return func() { c.begun.Add(1) } }

func (c counted) end(status int, bytes int64, _ time.Duration, peer fmt.Stringer) {
	if status != 200 || bytes == 0 || peer.String()[:10] != "127.0.0.1:" {
		panic(fmt.Sprint(status, bytes, peer))
	}
	c.ended.Add(1)
}

// Requests that differ in the moving value only are recognized, and no others.
func TestAgain(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("nobody is recognized here")
	}
	get := func(query string, lines ...string) string {
		text := "GET /poll" + query + " HTTP/1.1\r\nHost: x\r\n"
		for _, l := range lines {
			text += l + "\r\n"
		}
		return text + "\r\n"
	}
	post := func(query, body string) string {
		return fmt.Sprintf("POST /poll%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", query, len(body), body)
	}
	for name, test := range map[string]struct {
		requests []string
		again    int64 // how many are recognized
	}{
		"the same":                             {[]string{get("?cursor=a1"), get("?cursor=a2"), get("?cursor=a3")}, 2},
		"with more":                            {[]string{get("?id=1&cursor=a1&x=y"), get("?id=1&cursor=a2&x=y")}, 1},
		"another path":                         {[]string{get("?cursor=a1"), get("/?cursor=a2"), get("?cursor=a3")}, 0},
		"another parameter":                    {[]string{get("?cursor=a1"), get("?cursor=a2&x=1")}, 0},
		"another header":                       {[]string{get("?cursor=a1", "Origin: y"), get("?cursor=a2", "Origin: z"), get("?cursor=a3", "Origin: z")}, 1},
		"a longer value":                       {[]string{get("?cursor=a9"), get("?cursor=a10"), get("?cursor=a11")}, 1},
		"a value that means another":           {[]string{get("?cursor=abc"), get("?cursor=%61"), get("?cursor=a&b")}, 0},
		"two values":                           {[]string{get("?cursor=a1&cursor=b"), get("?cursor=a2&cursor=b")}, 0},
		"none, of a tenant that does not care": {[]string{get("?x=1"), get("?x=1")}, 1},
		"a tenant that does not want":          {[]string{get("?cursor=a00001"), get("?cursor=refuse"), get("?cursor=a00002")}, 1},
		"the end of a longer name":             {[]string{get("?mycursor=a1&cursor=b1"), get("?mycursor=a2&cursor=b1"), get("?mycursor=a2&cursor=b2")}, 1},
		"a body": {[]string{post("", `{"cursor":"a1"}`), post("", `{"cursor":"a2"}`), post("", `{"cursor":"a3"}`),
			post("", `{"cursor": "a3"}`), post("", `{"cursor": "a4"}`)}, 3},
		"a body that hides another":        {[]string{post("", `{"cursor":"a1","\u0063ursor":"a1"}`), post("", `{"cursor":"a2","\u0063ursor":"a1"}`)}, 0},
		"a query and a body":               {[]string{post("?cursor=a1", `{"cursor":"a1"}`), post("?cursor=a2", `{"cursor":"a1"}`)}, 0},
		"a body and a query without":       {[]string{post("?y=1", `{"cursor":"a1"}`), post("?y=1", `{"cursor":"a2"}`)}, 1},
		"a body with it twice":             {[]string{post("", `{"cursor":"a1","cursor":"a1"}`), post("", `{"cursor":"a2","cursor":"a1"}`)}, 0},
		"a body that is shorter than told": {[]string{post("", `{"cursor":"a1"}`), post("", `{"cursor":"a"}2`)}, 0},
	} {
		for by, quick := range map[string]bool{"the crew": true, "net/http": false} {
			t.Run(name+" by "+by, func(t *testing.T) {
				t.Parallel()
				testAgain(t, quick, test.requests, test.again)
			})
		}
	}
}

// testAgain makes requests on one connection, and each of them alone on another,
// whose answers have to be the same.
func testAgain(t *testing.T, quick bool, requests []string, wanted int64) {
	var handled, again, begun, ended atomic.Int64
	s := newStand(t, park.Options{Quick: func(string, bool) bool { return quick }},
		func(lot *park.Lot, w http.ResponseWriter, r *http.Request, sp *speaker) {
			handled.Add(1)
			body, _ := io.ReadAll(r.Body)
			var said struct{ Cursor string }
			json.Unmarshal(body, &said)
			c := &counter{cursor: said.Cursor, again: &again}
			if c.cursor == "" {
				c.cursor = r.URL.Query().Get("cursor")
			}
			lot.Answer(&c.Conn, counted{w, &begun, &ended}, r, c, time.Minute)
		})
	plain, k := s.dial(), s.dial()
	for i, request := range requests {
		s.expect()
		k.send(request)
		k.hear("!")
		got := s.log[len(s.log)-1]
		s.expect()
		plain.send(request)
		plain.hear("!")
		if want := s.log[len(s.log)-1]; dates.ReplaceAllString(got, "") != dates.ReplaceAllString(want, "") {
			t.Errorf("request %d: %q, want %q", i, got, want)
		}
		plain.conn.Close()
		plain = s.dial()
	}
	if got := again.Load(); got != wanted {
		t.Errorf("%d were recognized, want %d", got, wanted)
	}
	if n := int64(2 * len(requests)); handled.Load()+again.Load() != n || begun.Load() > n {
		t.Errorf("of %d requests %d were handled, %d recognized, %d began to be held", n, handled.Load(), again.Load(), begun.Load())
	}
	s.until("all have ended", func() bool { return begun.Load() == ended.Load() })
}

// Who is to forget shows the next request to its handler.
func TestForget(t *testing.T) {
	var again atomic.Int64
	s := newStand(t, park.Options{Quick: func(string, bool) bool { return true }},
		func(lot *park.Lot, w http.ResponseWriter, r *http.Request, sp *speaker) {
			c := &counter{cursor: r.URL.Query().Get("cursor"), again: &again}
			lot.Answer(&c.Conn, w, r, c, time.Minute)
		})
	k := s.dial()
	for i, want := range []int64{0, 1, 2, 3, 3, 4} {
		if i == 4 {
			s.lot.Forget()
		}
		s.expect()
		k.ask(fmt.Sprint("/?cursor=", i))
		k.hear("!")
		if got := again.Load(); runtime.GOOS == "linux" && got != want {
			t.Fatalf("after request %d %d were recognized, want %d", i, got, want)
		}
	}
}

// A patient is the tenant of a poll that is due at once, and says nothing then.
type patient struct {
	speaker
	nexts atomic.Int64
}

func (p *patient) Next(dst []byte, why park.Event) ([]byte, bool) {
	p.nexts.Add(1)
	return p.speaker.Next(dst, why)
}

func (p *patient) Moving() (name, value string) { return "", "" }

func (p *patient) Again([]byte) bool { return true }

// Who is due at once is told so once, also when it is recognized.
func TestAgainAtOnce(t *testing.T) {
	begun := make(chan *patient, 10)
	s := newStand(t, park.Options{Quick: func(string, bool) bool { return true }},
		func(lot *park.Lot, w http.ResponseWriter, r *http.Request, _ *speaker) {
			p := &patient{speaker: speaker{closed: make(chan error, 10)}}
			lot.Answer(&p.Conn, w, r, p, 0)
			begun <- p
		})
	k := s.dial()
	var p *patient
	for i := range 4 {
		s.expect()
		if p != nil {
			p.nexts.Store(0)
		}
		k.ask("/")
		if i == 0 || runtime.GOOS != "linux" {
			p = <-begun
		}
		s.until("held", func() bool { return p.nexts.Load() > 0 })
		time.Sleep(30 * time.Millisecond) // for what must not happen
		if n := p.nexts.Load(); n > 3 {
			t.Errorf("request %d: Next was called %d times", i, n)
		}
		p.say("now")
		k.hear("now")
	}
}
