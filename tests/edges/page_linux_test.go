package edges_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A page polls by hand: what it says is said as it stands.
type page struct {
	t    testing.TB
	conn *net.TCPConn
	in   *bufio.Reader
	*reader
}

// open opens a page for a reader.
func (s *server) open(r *reader) *page {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.door)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	return &page{s.t, conn.(*net.TCPConn), bufio.NewReader(conn), r}
}

func (p *page) say(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.conn, text); err != nil {
		p.t.Fatal(err)
	}
}

// answer reads the answer to a poll, of which the page knows then.
func (p *page) answer() (body string) {
	p.t.Helper()
	p.conn.SetReadDeadline(time.Now().Add(patience))
	resp, err := http.ReadResponse(p.in, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		p.t.Fatalf("a poll is answered %d %q: %v", resp.StatusCode, text, err)
	}
	return string(text)
}

// hearAnswer takes the next answer as the reader does who waits for it.
func (p *page) hearAnswer() {
	p.t.Helper()
	p.batch([]byte(p.answer()))
	if len(p.faults) > 0 {
		p.t.Fatal(strings.Join(p.faults, "\n"))
	}
}

// atEnd waits for the end of the connection, which may be said to be the page's
// fault.
func (p *page) atEnd() {
	p.t.Helper()
	p.conn.SetReadDeadline(time.Now().Add(patience))
	rest, err := io.ReadAll(p.in)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		p.t.Fatalf("the connection does not end")
	}
	if len(rest) > 0 && !strings.HasPrefix(string(rest), "HTTP/1.1 4") {
		p.t.Fatalf("the connection ends with %.200q", rest)
	}
}

// parkedPages are pages, one for each reader of c, whose second poll has been held
// and answered: their connections wait for the next request.
func parkedPages(c *crowd, p *speaker) (all []*page) {
	c.t.Helper()
	for _, r := range c.readers {
		pg := c.s.open(&r.reader)
		pg.say(string(pg.poll()))
		pg.hearAnswer()
		pg.say(string(pg.poll()))
		all = append(all, pg)
	}
	c.s.awaitSessions(len(all))
	for channel := range p.said {
		p.say(channel, 1)
	}
	for _, pg := range all {
		pg.hearAnswer()
	}
	c.s.awaitSessions(0)
	return all
}
