package edges_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// The opcodes of WebSockets.
const opText, opClose, opPing, opPong = 1, 8, 9, 10

// field is a string without escapes behind a key.
func field(text []byte, key string) string {
	_, rest, _ := bytes.Cut(text, []byte(key))
	value, _, _ := bytes.Cut(rest, []byte{'"'})
	return string(value)
}

// frame is a frame as clients send it, masked with zeros, and short.
func frame(op byte, data []byte) []byte {
	p := []byte{0x80 | op, 0x80 | byte(len(data))}
	if len(data) > 125 {
		p = binary.BigEndian.AppendUint16([]byte{0x80 | op, 0x80 | 126}, uint16(len(data)))
	}
	return append(append(p, 0, 0, 0, 0), data...)
}

// A head is what of an answer matters here.
type head struct {
	status int
	length int
	last   bool // of its connection
	body   []byte
}

// readHead reads the head of an answer, and returns how long it is; 0 is one that
// is not whole.
func readHead(p []byte) (n int, h head) {
	end := bytes.Index(p, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, h
	}
	for line := range strings.SplitSeq(string(p[:end]), "\r\n") {
		switch name, value, _ := strings.Cut(strings.ToLower(line), ": "); name {
		case "content-length":
			h.length, _ = strconv.Atoi(value)
		case "connection":
			h.last = value == "close"
		}
	}
	if end > 12 {
		h.status, _ = strconv.Atoi(string(p[9:12]))
	}
	return end + 4, h
}

// readAnswer reads an answer with its body.
func readAnswer(p []byte) (n int, h head, err error) {
	n, h = readHead(p)
	if n > 0 && !bytes.HasPrefix(p, []byte("HTTP/1.1 ")) {
		return n, h, fmt.Errorf("this is no answer: %.100q", p)
	}
	if n == 0 || len(p) < n+h.length {
		return 0, h, nil
	}
	h.body = p[n : n+h.length]
	return n + h.length, h, nil
}

// readChunk reads a chunk of an answer's body; 0 bytes are one that is not whole.
func readChunk(p []byte) (n int, piece []byte, last bool) {
	line, _, ok := bytes.Cut(p, []byte("\r\n"))
	size, err := strconv.ParseUint(string(line), 16, 31)
	from := len(line) + 2
	if !ok || err != nil || len(p) < from+int(size)+2 {
		return 0, nil, false
	}
	return from + int(size) + 2, p[from : from+int(size)], size == 0
}
