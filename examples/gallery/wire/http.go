package wire

import (
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// httpConn is a connection that speaks HTTP/1.1.
type httpConn struct {
	*Conn
	rpc     bool
	waiting []*request // without an answer yet, in their order
	now     *message   // the answer that is on its way
}

// request is what is remembered until its answer has come.
type request struct {
	method, line string
	at           time.Time // of its last byte so far
	calls        []asked   // the first of them
	total        int       // all
	batch        bool
	upgrade      bool
}

// message is a request or an answer on its way.
type message struct {
	head   textproto.MIMEHeader
	of     *request
	status int    // of an answer
	body   []byte // its beginning
	size   int    // of all of it
}

// NewHTTP returns a reader of a connection that speaks HTTP. With rpc it is one
// to the admin API: what is asked and answered there are calls.
func NewHTTP(rpc bool, emit func(Event)) *Conn {
	h := &httpConn{Conn: newConn(emit), rpc: rpc}
	h.over = h.end
	h.up.hide, h.down.hide = new(hider), new(hider)
	h.expectRequest()
	h.expectAnswer()
	return h.Conn
}

func (h *httpConn) expectRequest() { h.up.gather(endOfHead, h.request) }
func (h *httpConn) expectAnswer()  { h.down.gather(endOfHead, h.answer) }

func endOfHead(held []byte) int {
	if i := bytes.Index(held, []byte("\r\n\r\n")); i >= 0 {
		return i + 4
	}
	return 0
}

func (h *httpConn) request(head []byte) {
	first, fields := cutHead(head)
	method, rest, ok := strings.Cut(first, " ")
	target, version, found := strings.Cut(rest, " ")
	if !ok || !found || !strings.HasPrefix(version, "HTTP/1.") || len(h.waiting) >= maxWaiting {
		h.up.giveUp()
		return
	}
	h.tellHead(&h.up, head, line([]byte(method+" "+target)))
	r := &request{method: method, line: line([]byte(method + " " + target)), at: h.at, upgrade: strings.EqualFold(fields.Get("Upgrade"), "websocket")}
	h.waiting = append(h.waiting, r)
	m := &message{head: fields, of: r}
	h.body(&h.up, m, lengthOf(fields), func() {
		r.at = h.at
		if h.rpc && method == http.MethodPost {
			r.calls, r.total, r.batch = parseCalls(m.body, m.size)
		}
		if r.upgrade {
			h.up.gather(func([]byte) int { return 0 }, nil) // until we know whether it is one
			return
		}
		h.expectRequest()
	})
}

func (h *httpConn) answer(head []byte) {
	first, fields := cutHead(head)
	version, rest, ok := strings.Cut(first, " ")
	status, err := strconv.Atoi(strings.TrimSpace(rest[:min(len(rest), 4)]))
	if !ok || err != nil || !strings.HasPrefix(version, "HTTP/1.") || len(h.waiting) == 0 {
		h.down.giveUp()
		return
	}
	r := h.waiting[0]
	took := float64(h.at.Sub(r.at).Microseconds()) / 1000
	h.tellHead(&h.down, head, fmt.Sprintf("%s after %s ms, to %s", line([]byte(rest)), strconv.FormatFloat(took, 'f', 1, 64), r.line))
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		h.expectAnswer()
		return
	}
	h.waiting = h.waiting[1:]
	if r.upgrade {
		h.afterUpgrade(status, fields)
		if status == http.StatusSwitchingProtocols {
			return
		}
	}
	length := lengthOf(fields)
	if r.method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified {
		length = noBody
	} else if length == noBody && fields.Get("Content-Length") == "" {
		length = untilEnd
	}
	h.now = &message{head: fields, of: r, status: status}
	h.body(&h.down, h.now, length, func() {
		h.answered()
		h.expectAnswer()
	})
}

// afterUpgrade goes on with what a request for a WebSocket has led to.
func (h *httpConn) afterUpgrade(status int, fields textproto.MIMEHeader) {
	if status != http.StatusSwitchingProtocols {
		h.expectRequest()
		return
	}
	deflate := strings.Contains(fields.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
	newSocket(&h.up, deflate)
	newSocket(&h.down, deflate)
}

// How long a body is, beside a length.
const (
	noBody int64 = -iota - 1
	chunked
	untilEnd
)

func lengthOf(fields textproto.MIMEHeader) int64 {
	if strings.EqualFold(strings.TrimSpace(fields.Get("Transfer-Encoding")), "chunked") {
		return chunked
	}
	n, err := strconv.ParseInt(strings.TrimSpace(cmp.Or(fields.Get("Content-Length"), "-1")), 10, 64)
	if err != nil || n <= 0 {
		return noBody
	}
	return n
}

// body reads what is behind a head, and calls then.
func (h *httpConn) body(s *side, m *message, length int64, then func()) {
	keep := func(p []byte) { m.add(p) }
	switch length {
	case noBody:
		then()
	case chunked:
		h.chunk(s, m, then)
	case untilEnd:
		s.step = func(p []byte) int {
			s.seen.add(p)
			keep(p)
			s.tellBytes(KindChunk, p, len(p))
			return len(p)
		}
	default:
		s.pass(uint64(length), keep, func() {
			s.tellBody(m)
			then()
		})
	}
}

func (m *message) add(p []byte) {
	m.size += len(p)
	m.body = beginning(m.body, p, maxBody)
}

// chunk reads one chunk and, if it was not the last, all others.
func (h *httpConn) chunk(s *side, m *message, then func()) {
	s.gather(endOfLine, func(held []byte) {
		size, _, _ := strings.Cut(string(held), ";")
		n, err := strconv.ParseUint(strings.TrimSpace(size), 16, 62)
		if err != nil {
			s.giveUp()
			return
		}
		if n == 0 {
			h.trailer(s, then)
			return
		}
		var first []byte
		s.pass(n, func(p []byte) {
			m.add(p)
			first = beginning(first, p, maxText+1)
		}, func() {
			s.gather(endOfLine, func([]byte) {
				s.tellBytes(KindChunk, first, int(n))
				h.chunk(s, m, then)
			})
		})
	})
}

// trailer reads what is behind the last chunk: lines, and an empty one.
func (h *httpConn) trailer(s *side, then func()) {
	s.gather(endOfLine, func(held []byte) {
		if len(bytes.TrimSpace(held)) > 0 {
			h.trailer(s, then)
			return
		}
		s.tell(Event{Kind: KindChunk, Title: "end of chunks"})
		then()
	})
}

func endOfLine(held []byte) int {
	switch i := bytes.IndexByte(held, '\n'); {
	case i >= 0:
		return i + 1
	case len(held) > 1<<10:
		return -1
	}
	return 0
}

// tellBytes tells of a piece of a body, of which p is at least the beginning.
func (s *side) tellBytes(kind string, p []byte, size int) {
	text, cut := readable(p, maxText)
	s.tell(Event{Kind: kind, Title: line(p), Text: text, Cut: cut || size > len(p)})
}

func (s *side) tellBody(m *message) {
	body := m.body
	if m.head.Get("Content-Encoding") != "" {
		s.tell(Event{Kind: KindBody, Title: fmt.Sprintf("%d bytes, encoded: %s", m.size, line([]byte(m.head.Get("Content-Encoding"))))})
		return
	}
	text, cut := readable(body, maxText)
	s.tell(Event{Kind: KindBody, Title: line(body), Text: text, Cut: cut || m.size > len(body)})
}

// tellHead tells of a head, without what is secret in it.
func (h *httpConn) tellHead(s *side, head []byte, title string) {
	text, cut := readable(new(hider).over(bytes.Clone(head)), maxText)
	s.tell(Event{Kind: KindHead, Title: title, Text: strings.TrimRight(text, "\r\n"), Cut: cut})
}

// cutHead returns a head's first line and its fields. It is forgiving, for
// whoever really reads the head decides what is wrong with it.
func cutHead(head []byte) (first string, fields textproto.MIMEHeader) {
	fields = textproto.MIMEHeader{}
	for i, text := range strings.Split(string(bytes.TrimRight(head, "\r\n")), "\n") {
		text = strings.TrimRight(text, "\r")
		if i == 0 {
			first = text
			continue
		}
		if name, value, ok := strings.Cut(text, ":"); ok {
			fields.Add(strings.TrimSpace(name), strings.TrimSpace(value))
		}
	}
	return first, fields
}
