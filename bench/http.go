package bench

import (
	"bytes"
	"fmt"
	"strconv"
)

// A head is what matters of the head of an answer.
type head struct {
	status  int
	length  int // of the body; -1: it ends when the connection does
	chunked bool
	close   bool
	text    []byte // all of it; valid as long as the bytes it was read from
}

const maxHead = 16 << 10

// readHead reads the head of an answer from the beginning of p, and returns how
// long it is; 0 means that it is not whole.
func readHead(p []byte) (n int, h head, err error) {
	end := bytes.Index(p, []byte("\r\n\r\n"))
	if end < 0 {
		if len(p) > maxHead || len(p) >= 5 && string(p[:5]) != "HTTP/" {
			return 0, h, errNotHTTP
		}
		return 0, h, nil
	}
	h.text = p[:end+2]
	line, lines, _ := bytes.Cut(h.text, []byte("\r\n"))
	if len(line) < 12 || string(line[:7]) != "HTTP/1." {
		return 0, h, errNotHTTP
	}
	if h.status, err = strconv.Atoi(string(line[9:12])); err != nil || h.status < 100 {
		return 0, h, errNotHTTP
	}
	h.length = -1
	for len(lines) > 0 {
		line, lines, _ = bytes.Cut(lines, []byte("\r\n"))
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case equalFold(name, "content-length"):
			if h.length, err = strconv.Atoi(string(value)); err != nil || h.length < 0 {
				return 0, h, errNotHTTP
			}
		case equalFold(name, "transfer-encoding"):
			h.chunked = equalFold(value, "chunked")
		case equalFold(name, "connection"):
			h.close = equalFold(value, "close")
		}
	}
	if h.status == 204 || h.status == 304 || h.status < 200 {
		h.length, h.chunked = 0, false
	}
	return end + 4, h, nil
}

// field is the value of a header, nil if there is none.
func (h head) field(name string) []byte {
	for lines := h.text; len(lines) > 0; {
		var line []byte
		line, lines, _ = bytes.Cut(lines, []byte("\r\n"))
		if key, value, ok := bytes.Cut(line, []byte(":")); ok && equalFold(key, name) {
			return bytes.TrimSpace(value)
		}
	}
	return nil
}

// equalFold compares with a lower-case name.
func equalFold(b []byte, name string) bool {
	if len(b) != len(name) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != name[i] {
			return false
		}
	}
	return true
}

// readAnswer reads an answer with a body of known length from the beginning of
// p, and returns how long both are; 0 means that it is not whole.
func readAnswer(p []byte) (n int, h head, body []byte, err error) {
	n, h, err = readHead(p)
	if n == 0 || err != nil {
		return 0, h, nil, err
	}
	if h.chunked {
		size, body, err := wholeChunks(p[n:])
		if size == 0 || err != nil {
			return 0, h, nil, err
		}
		return n + size, h, body, nil
	}
	switch {
	case h.length < 0:
		return 0, h, nil, fmt.Errorf("an answer (%d) does not say how long it is", h.status)
	case h.length > maxUnit:
		return 0, h, nil, errTooLong
	case len(p) < n+h.length:
		return 0, h, nil, nil
	}
	return n + h.length, h, p[n : n+h.length], nil
}

// wholeChunks joins the chunks of a body, if all have come.
func wholeChunks(p []byte) (n int, body []byte, err error) {
	var c chunks
	for n < len(p) && !c.over {
		took, piece, err := c.next(p[n:])
		if took == 0 || err != nil {
			return 0, nil, err
		}
		n += took
		body = append(body, piece...)
	}
	if !c.over {
		return 0, nil, nil
	}
	return n, body, nil
}

// A chunks reads a chunked body in pieces.
type chunks struct {
	left int  // of the chunk under way, its CR LF included
	over bool // the last chunk has come
}

// next takes the head of a chunk from the beginning of p, or a part of its
// data, which it returns. 0 means that nothing is whole.
func (c *chunks) next(p []byte) (n int, piece []byte, err error) {
	if c.left > 0 {
		n = min(c.left, len(p))
		data := min(n, max(0, c.left-2))
		c.left -= n
		return n, p[:data], nil
	}
	end := bytes.IndexByte(p[:min(len(p), 64)], '\n')
	if end < 0 {
		if len(p) >= 64 {
			return 0, nil, errNotHTTP
		}
		return 0, nil, nil
	}
	line := bytes.TrimSuffix(p[:end], []byte("\r"))
	digits, _, _ := bytes.Cut(line, []byte(";"))
	size, ok := parseChunkSize(digits)
	if !ok {
		return 0, nil, errNotHTTP
	}
	if size > 0 {
		c.left = size + 2
		return end + 1, nil, nil
	}
	if len(p) < end+3 { // and the empty line behind the last; there are no trailers
		return 0, nil, nil
	}
	if string(p[end+1:end+3]) != "\r\n" {
		return 0, nil, errNotHTTP
	}
	c.over = true
	return end + 3, nil, nil
}

func parseChunkSize(digits []byte) (n int, ok bool) {
	if len(digits) == 0 || len(digits) > 7 {
		return 0, false
	}
	v, ok := parseHex(bytes.ToLower(digits))
	return int(v), ok
}

// A lines makes lines of pieces.
type lines struct{ kept []byte }

// next returns the first line that is whole by p, without its LF, and what of
// p is behind it. The line is valid until the next call. If there is none, p is
// kept.
func (l *lines) next(p []byte) (line, more []byte, ok bool, err error) {
	i := bytes.IndexByte(p, '\n')
	if i < 0 {
		if len(l.kept)+len(p) > maxUnit {
			return nil, nil, false, errTooLong
		}
		l.kept = append(l.kept, p...)
		return nil, nil, false, nil
	}
	line = p[:i]
	if len(l.kept) > 0 {
		line = append(l.kept, line...)
		l.kept = line[:0]
	}
	return line, p[i+1:], true, nil
}
