package bench

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		n          int // -1: an error
		status     int
		body       string
	}{
		{"with a length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP", 41, 200, "abc"},
		{"any case", "HTTP/1.1 404 Not Found\r\ncOnTent-lEngth:3\r\n\r\nabc", 47, 404, "abc"},
		{"empty", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 38, 200, ""},
		{"without a body", "HTTP/1.1 204 No Content\r\n\r\n", 27, 204, ""},
		{"not modified", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 48, 304, ""},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n", 79, 200, "abc0123456789"},
		{"no end of the head", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", 0, 0, ""},
		{"no end of the body", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", 0, 0, ""},
		{"no end of a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", 0, 0, ""},
		{"no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 0, 0, ""},
		{"nothing", "", 0, 0, ""},
		{"no length", "HTTP/1.1 200 OK\r\n\r\n", -1, 0, ""},
		{"a length that is none", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", -1, 0, ""},
		{"a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", -1, 0, ""},
		{"far too long", "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", -1, 0, ""},
		{"a chunk that is none", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", -1, 0, ""},
		{"a chunk without an end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("0", 70), -1, 0, ""},
		{"not HTTP", "SSH-2.0-OpenSSH\r\n", -1, 0, ""},
		{"no status", "HTTP/1.1 abc\r\n\r\n", -1, 0, ""},
		{"a head without an end", "HTTP/1.1 200 OK\r\n" + strings.Repeat("x", maxHead), -1, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n, h, body, err := readAnswer([]byte(tt.text))
			if tt.n < 0 {
				if err == nil {
					t.Errorf("%d bytes are taken, want an error", n)
				}
				return
			}
			if err != nil || n != tt.n || n > 0 && (h.status != tt.status || string(body) != tt.body) {
				t.Errorf("%d bytes, %d, %q, %v; want %d, %d, %q", n, h.status, body, err, tt.n, tt.status, tt.body)
			}
		})
	}
	_, h, err := readHead([]byte("HTTP/1.1 200 OK\r\nETag: 7\r\nConnection: close\r\nX: y:z\r\n\r\n"))
	if err != nil || !h.close || string(h.field("etag")) != "7" || string(h.field("x")) != "y:z" || h.field("nothing") != nil {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestFrames(t *testing.T) {
	for _, size := range []int{0, 1, 125, 126, 65535, 65536, 100_000} {
		data := bytes.Repeat([]byte("x"), size)
		text := append(serverFrame(data), "behind"...)
		n, f, err := readFrame(text)
		if err != nil || n != len(text)-6 || f.op != opText || !bytes.Equal(f.data, data) {
			t.Errorf("a frame of %d: %d bytes, %d, %d of data, %v", size, n, f.op, len(f.data), err)
		}
		for _, cut := range []int{0, 1, 2, 3, 5, n - 1} {
			if cut >= n {
				continue
			}
			if n, _, err := readFrame(text[:cut]); n != 0 || err != nil {
				t.Errorf("%d bytes of a frame of %d: %d, %v", cut, size, n, err)
			}
		}
	}
	for name, text := range map[string]string{
		"masked": "\x81\x81\x00\x00\x00\x00x", "a fragment": "\x01\x01x", "compressed": "\xc1\x01x", "a huge one": "\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff",
	} {
		if n, _, err := readFrame([]byte(text)); err == nil {
			t.Errorf("%s: %d bytes are taken", name, n)
		}
	}
	if got := closedBy([]byte("\x0f\xa0gone")).Error(); !strings.Contains(got, "4000 gone") {
		t.Errorf("closed by %q", got)
	}
}

// A script is what a server says to a dialect, piece by piece, and what the
// dialect makes of it.
type script struct {
	name  string
	make  func() dialect
	lines [][2]string // what the server says, and what is answered at once
	ready int         // by which line the reader stands, from 1
	heard string      // of all lines, joined
	fails bool        // by the last
}

const ok200 = "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"

func body(text string) string { return fmt.Sprintf(ok200, len(text), text) }

func chunk(text string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }

func said(op byte, text string) string {
	f := serverFrame([]byte(text))
	f[0] = 0x80 | op
	return string(f)
}

func clientFrame(op byte, text string) string { return string(appendFrame(nil, op, []byte(text))) }

const (
	socketUp    = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
	chunkedHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
)

func scripts() []script {
	lines := func(ready func([]byte) bool) func() dialect {
		return func() dialect { return &lineReader{request: "GET", ready: ready} }
	}
	polls := func() dialect {
		return &poller{before: "GET /", position: []byte("a.0"), after: " again\n", first: " first\n"}
	}
	engine := func() dialect { return &enginePoller{path: "/?t=p", fields: "Host: x\r\n", connect: "40{}"} }
	get := "GET /?t=p&sid=s1 HTTP/1.1\r\nHost: x\r\n\r\n"
	post := func(packet string) string {
		return fmt.Sprintf("POST /?t=p&sid=s1 HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: %d\r\n\r\n%s", len(packet), packet)
	}
	return []script{
		{"WebSocket", func() dialect { return &socketReader{request: "GET", ready: anything} }, [][2]string{
			{socketUp, ""}, {said(opText, "{}"), ""}, {said(opPing, "p"), clientFrame(opPong, "p")}, {said(opText, "one"), ""}, {said(opBinary, "two"), ""},
			{said(opClose, "\x03\xe8"), ""}}, 2, "{}onetwo", true},
		{"WebSocket that stands at once", func() dialect { return &socketReader{} }, [][2]string{{socketUp, ""}, {said(opText, "one"), ""}}, 1, "one", false},
		{"no WebSocket", func() dialect { return &socketReader{} }, [][2]string{{"HTTP/1.1 403 Forbidden\r\n\r\n", ""}}, 0, "", true},
		{"Socket.IO", func() dialect { return socketIO("/", "", "40{k}") }, [][2]string{
			{socketUp, ""}, {said(opText, `0{"sid":"s1"}`), clientFrame(opText, "40{k}")}, {said(opText, `40{"sid":"s2"}`), ""},
			{said(opText, "2"), clientFrame(opText, "3")}, {said(opText, "42[1]"), ""}}, 3, `0{"sid":"s1"}40{"sid":"s2"}242[1]`, false},
		{"EventSource", lines(eventBegun), [][2]string{
			{chunkedHead, ""}, {chunk("retry: 5\n\n"), ""}, {chunk("event: tick\nid: 1\n\nda") + chunk("ta: one\n\n"), ""}, {"0\r\n\r\n", ""}}, 3,
			"retry: 5event: tickid: 1data: one", true},
		{"lines without chunks", lines(anything), [][2]string{{"HTTP/1.1 200 OK\r\n\r\n", ""}, {"{\"a\":1}\nrest", ""}, {" of it\n\n", ""}}, 2, `{"a":1}rest of it`, false},
		{"a refused stream", lines(anything), [][2]string{{"HTTP/1.1 429 Too Many\r\n\r\n", ""}}, 0, "", true},
		{"long poll", polls, [][2]string{
			{body(`{"cursor":"a.1","m":[]}`), "GET /a.1 again\n"}, {body(`{"cursor":"a.22","m":["one"]}`), "GET /a.22 again\n"}, {body(`{"error":1}`), ""}}, 1,
			`","m":[]}","m":["one"]}`, true},
		{"a refused poll", polls, [][2]string{{"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}", ""}}, 0, "", true},
		{"a poll's connection that ends", polls, [][2]string{{"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 16\r\n\r\n{\"cursor\":\"a.1\"}", ""}}, 0, "", true},
		{"Engine.IO polls", engine, [][2]string{
			{body(`0{"sid":"s1"}`), post("40{}")}, {body("ok"), get}, {body(`40{"sid":"x"}`), get}, {body("42[1]\x1e42[2]\x1e2"), post("3")}, {body("ok"), get},
			{body("42[3]"), get}, {body("1"), ""}}, 3, "42[1]42[2]42[3]", true},
		{"a refused namespace", engine, [][2]string{{body(`0{"sid":"s1"}`), post("40{}")}, {body("ok"), get}, {body("44{}"), ""}}, 0, "", true},
		{"Nchan's polls", func() dialect { return &taggedPoller{request: "GET /\r\n"} }, [][2]string{
			{"HTTP/1.1 200 OK\r\nLast-Modified: then\r\nEtag: 0\r\nContent-Length: 3\r\n\r\none", "GET /\r\nIf-Modified-Since: then\r\nIf-None-Match: 0\r\n\r\n"}}, 0, "one", false},
	}
}

// listen gives a dialect text in pieces of a size, as a loop does.
func listen(d dialect, text string, size int, e *ear) error {
	var kept []byte
	for len(text) > 0 {
		n := min(size, len(text))
		kept = append(kept, text[:n]...)
		text = text[n:]
		took, err := d.hear(kept, e)
		if err != nil {
			return err
		}
		if took < 0 || took > len(kept) {
			return fmt.Errorf("impossible: %d of %d bytes taken", took, len(kept))
		}
		kept = append(kept[:0], kept[took:]...)
	}
	return nil
}

func TestDialects(t *testing.T) {
	for _, s := range scripts() {
		for _, size := range []int{1, 3, 1 << 20} {
			t.Run(fmt.Sprintf("%s by %d", s.name, size), func(t *testing.T) {
				var heard []byte
				e := &ear{heard: func(text []byte) { heard = append(heard, text...) }}
				d := s.make()
				d.begin(nil)
				for i, line := range s.lines {
					e.reply, e.ready = nil, false
					err := listen(d, line[0], size, e)
					last := i == len(s.lines)-1
					if (err != nil) != (last && s.fails) {
						t.Fatalf("after line %d: %v", i+1, err)
					}
					if closed := (*closedError)(nil); err != nil && !errors.As(err, &closed) {
						t.Errorf("the error is %v", err)
					}
					if string(e.reply) != line[1] {
						t.Errorf("line %d is answered %q, want %q", i+1, e.reply, line[1])
					}
					if e.ready != (i+1 == s.ready) {
						t.Errorf("after line %d it stands: %v", i+1, e.ready)
					}
				}
				if string(heard) != s.heard {
					t.Errorf("heard %q, want %q", heard, s.heard)
				}
			})
		}
	}
}

// However bytes come, the same is made of them, and nothing breaks.
func FuzzDialects(f *testing.F) {
	all := scripts()
	for i, s := range all {
		text := ""
		for _, line := range s.lines {
			text += line[0]
		}
		f.Add(byte(i), text)
	}
	f.Fuzz(func(t *testing.T, which byte, text string) {
		if len(text) > 1<<16 {
			return
		}
		s := all[int(which)%len(all)]
		read := func(size int) (made string) {
			e := &ear{heard: func(text []byte) { made += string(text) + "|" }}
			d := s.make()
			d.begin(nil)
			err := listen(d, text, size, e)
			if err != nil && strings.HasPrefix(err.Error(), "impossible") {
				t.Fatal(err)
			}
			return fmt.Sprint(made, e.ready, err != nil, string(e.reply))
		}
		if whole, single := read(1<<20), read(1); whole != single {
			t.Errorf("at once %q, byte by byte %q", whole, single)
		}
	})
}
