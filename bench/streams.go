package bench

import (
	"bytes"
	"fmt"
)

// A socketReader reads by a WebSocket. What the messages of a server are
// beside the bench's own, hear says.
type socketReader struct {
	request  string
	hello    string // a first frame, if any
	ready    func(text []byte) bool
	answer   func(text, reply []byte) []byte // nil: nothing is answered
	upgraded bool
	stands   bool
}

func (r *socketReader) begin(dst []byte) []byte { return append(dst, r.request...) }

func (r *socketReader) hear(p []byte, e *ear) (n int, err error) {
	if !r.upgraded {
		size, h, err := readHead(p)
		if size == 0 || err != nil {
			return 0, err
		}
		if err := upgraded(h); err != nil {
			return 0, err
		}
		r.upgraded = true
		if r.hello != "" {
			e.reply = appendFrame(e.reply, opText, []byte(r.hello))
		}
		if r.ready == nil {
			r.stands, e.ready = true, true
		}
		n = size
	}
	for {
		size, f, err := readFrame(p[n:])
		if size == 0 || err != nil {
			return n, err
		}
		n += size
		switch f.op {
		case opText, opBinary:
			r.text(f.data, e)
		case opPing:
			e.reply = appendFrame(e.reply, opPong, f.data)
		case opClose:
			return n, closedBy(f.data)
		}
	}
}

func (r *socketReader) text(data []byte, e *ear) {
	if !r.stands && r.ready(data) {
		r.stands, e.ready = true, true
	}
	if r.answer != nil {
		e.reply = r.answer(data, e.reply)
	}
	e.heard(data)
}

// anything is true: the first message tells that a reader stands.
func anything([]byte) bool { return true }

// A lineReader reads a body that does not end, of lines: NDJSON, or events.
type lineReader struct {
	request string
	ready   func(line []byte) bool
	begun   bool
	stands  bool
	chunked bool
	chunks  chunks
	lines   lines
}

func (r *lineReader) begin(dst []byte) []byte { return append(dst, r.request...) }

func (r *lineReader) hear(p []byte, e *ear) (n int, err error) {
	if !r.begun {
		size, h, err := readHead(p)
		if size == 0 || err != nil {
			return 0, err
		}
		if h.status != 200 {
			return 0, &closedError{fmt.Sprintf("the server answered %d: %s", h.status, excerpt(p[size:]))}
		}
		r.begun, r.chunked = true, h.chunked
		n = size
	}
	if !r.chunked {
		return len(p), r.piece(p[n:], e)
	}
	for n < len(p) {
		size, piece, err := r.chunks.next(p[n:])
		if size == 0 || err != nil {
			return n, err
		}
		n += size
		if err := r.piece(piece, e); err != nil {
			return n, err
		}
		if r.chunks.over {
			return n, &closedError{"the server ended the stream"}
		}
	}
	return n, nil
}

func (r *lineReader) piece(p []byte, e *ear) error {
	for len(p) > 0 {
		line, more, ok, err := r.lines.next(p)
		if !ok {
			return err
		}
		p = more
		if len(line) < 2 {
			continue
		}
		if !r.stands && r.ready(line) {
			r.stands, e.ready = true, true
		}
		e.heard(line)
	}
	return nil
}

// eventBegun reports whether an EventSource's line shows that it stands. What
// comes before, the time to wait, does not.
func eventBegun(line []byte) bool {
	return line[0] == ':' || bytes.HasPrefix(line, []byte("event:")) || bytes.HasPrefix(line, []byte("data:"))
}
