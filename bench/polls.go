package bench

import (
	"bytes"
	"fmt"
)

// A poller reads by long polls: one request after the other on one connection.
type poller struct {
	before, after string // of the request, around the position
	first         string // what stands behind the first one, in place of after
	position      []byte
	ready         bool
}

// cursorField stands before the position in an answer, at its very beginning.
const cursorField = `{"cursor":"`

func (r *poller) begin(dst []byte) []byte { return r.ask(dst, r.first) }

func (r *poller) ask(dst []byte, after string) []byte {
	dst = append(append(dst, r.before...), r.position...)
	return append(dst, after...)
}

func (r *poller) hear(p []byte, e *ear) (n int, err error) {
	for n < len(p) {
		size, h, body, err := readAnswer(p[n:])
		if size == 0 || err != nil {
			return n, err
		}
		n += size
		if h.status != 200 || h.close {
			return n, &closedError{fmt.Sprintf("the server answered a poll with %d: %s", h.status, excerpt(body))}
		}
		rest, ok := bytes.CutPrefix(body, []byte(cursorField))
		end := bytes.IndexByte(rest, '"')
		if !ok || end < 0 {
			return n, &closedError{"an answer has no cursor: " + excerpt(body)}
		}
		r.position = append(r.position[:0], rest[:end]...)
		e.reply = r.ask(e.reply, r.after)
		if !r.ready {
			r.ready, e.ready = true, true
		}
		e.heard(rest[end:])
	}
	return n, nil
}

// An enginePoller reads by the polls of Engine.IO: one request after the other
// on one connection, GETs and POSTs.
type enginePoller struct {
	path    string // with its query
	fields  string // headers
	connect string // the packet that joins the namespace
	session string
	posting bool // the request under way says something, and asks nothing
	stands  bool
}

func (r *enginePoller) begin(dst []byte) []byte { return r.get(dst) }

func (r *enginePoller) get(dst []byte) []byte {
	dst = append(append(append(dst, "GET "...), r.path...), r.session...)
	return append(append(append(dst, " HTTP/1.1\r\n"...), r.fields...), "\r\n"...)
}

func (r *enginePoller) post(dst []byte, packet string) []byte {
	r.posting = true
	dst = append(append(append(dst, "POST "...), r.path...), r.session...)
	dst = append(append(dst, " HTTP/1.1\r\n"...), r.fields...)
	return fmt.Appendf(dst, "Content-Type: text/plain;charset=UTF-8\r\nContent-Length: %d\r\n\r\n%s", len(packet), packet)
}

func (r *enginePoller) hear(p []byte, e *ear) (n int, err error) {
	for n < len(p) {
		size, h, body, err := readAnswer(p[n:])
		if size == 0 || err != nil {
			return n, err
		}
		n += size
		if h.status != 200 || h.close {
			return n, &closedError{fmt.Sprintf("the server answered %d: %s", h.status, excerpt(body))}
		}
		if r.posting {
			r.posting = false
			e.reply = r.get(e.reply)
			continue
		}
		if err := r.packets(body, e); err != nil {
			return n, err
		}
	}
	return n, nil
}

// packets works off what a poll has brought, and asks on.
func (r *enginePoller) packets(body []byte, e *ear) error {
	say := ""
	for len(body) > 0 {
		var packet []byte
		packet, body, _ = bytes.Cut(body, []byte{0x1e})
		switch {
		case bytes.HasPrefix(packet, []byte("0{")):
			id, ok := stringField(packet, `"sid":"`)
			if !ok || r.session != "" {
				return &closedError{"a handshake makes no sense: " + excerpt(packet)}
			}
			r.session = "&sid=" + id
			say = r.connect
		case string(packet) == "2":
			say = "3"
		case bytes.HasPrefix(packet, []byte("40")) && !r.stands:
			r.stands, e.ready = true, true
		case bytes.HasPrefix(packet, []byte("44")), bytes.HasPrefix(packet, []byte("41")), string(packet) == "1":
			return &closedError{"the server refused or ended the connection: " + excerpt(packet)}
		default:
			e.heard(packet)
		}
	}
	if say != "" {
		e.reply = r.post(e.reply, say)
	} else {
		e.reply = r.get(e.reply)
	}
	return nil
}

// stringField finds a string without escapes behind a key.
func stringField(text []byte, key string) (value string, ok bool) {
	_, rest, ok := bytes.Cut(text, []byte(key))
	end := bytes.IndexByte(rest, '"')
	if !ok || end < 0 {
		return "", false
	}
	return string(rest[:end]), true
}

// engineAnswer answers what Engine.IO asks on a WebSocket: the handshake by
// joining the namespace, pings by pongs.
func engineAnswer(connect string) func(text, reply []byte) []byte {
	return func(text, reply []byte) []byte {
		switch {
		case bytes.HasPrefix(text, []byte("0{")):
			return appendFrame(reply, opText, []byte(connect))
		case string(text) == "2":
			return appendFrame(reply, opText, []byte("3"))
		}
		return reply
	}
}

func namespaceJoined(text []byte) bool { return bytes.HasPrefix(text, []byte("40")) }
