package park

import (
	"bytes"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// A buffer is lent for as long as it takes to write what is in it.
type buffer struct{ p []byte }

var buffers = sync.Pool{New: func() any { return &buffer{make([]byte, 0, 2<<10)} }}

// maxKept is how large a buffer may have become to be used again.
const maxKept = 64 << 10

// room returns the buffer with so many bytes left free at its beginning.
func (b *buffer) room(front int) []byte {
	if cap(b.p) < front {
		b.p = make([]byte, 0, 2*front)
	}
	return b.p[:front]
}

// keep notes what has become of the buffer, which may have grown.
func (b *buffer) keep(p []byte) {
	if cap(p) > cap(b.p) {
		b.p = p
	}
}

func (b *buffer) release() {
	if cap(b.p) <= maxKept {
		buffers.Put(b)
	}
}

// serialized returns the lines of h.
func serialized(h http.Header) []byte {
	var b bytes.Buffer
	h.Write(&b) // a bytes.Buffer takes everything
	return b.Bytes()
}

// headFrame is more than what stands in a head beside its headers.
const headFrame = 128

// headOf returns the head of an answer without its length.
func headOf(status int, lines []byte) []byte {
	b := make([]byte, 0, len(lines)+headFrame)
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(status)...)
	b = append(b, "\r\n"...)
	b = append(b, lines...)
	b = appendDate(b)
	return append(b, "\r\n"...)
}

// A dateLine is the line of a head that is the same for a second.
type dateLine struct {
	second int64
	line   string
}

var lastDate atomic.Pointer[dateLine]

func appendDate(b []byte) []byte {
	now := time.Now()
	d := lastDate.Load()
	if d == nil || d.second != now.Unix() {
		d = &dateLine{now.Unix(), "Date: " + now.UTC().Format(http.TimeFormat) + "\r\n"}
		lastDate.Store(d)
	}
	return append(b, d.line...)
}

// answerFrame is more than what stands before a poll's answer beside its
// headers.
const answerFrame = 160

// frameAnswer puts the head in front of an answer, which stands behind front
// free bytes.
func (c *Conn) frameAnswer(p []byte, front int) []byte {
	var small [512]byte
	head := append(small[:0], "HTTP/1.1 200 OK\r\n"...)
	head = append(head, c.held.head.Value()...)
	head = appendDate(head)
	if c.close || c.lot.opts.Drain.Err() != nil {
		c.close = true
		head = append(head, "Connection: close\r\n"...)
	}
	head = append(head, "Content-Length: "...)
	head = strconv.AppendInt(head, int64(len(p)-front), 10)
	head = append(head, "\r\n\r\n"...)
	copy(p[front-len(head):front], head)
	return p[front-len(head):]
}

// chunkFrame is what the length of a chunk may take.
const chunkFrame = 16 + 2

var lastChunk = []byte("0\r\n\r\n")

// frameChunk makes a chunk of what stands behind front free bytes, and ends the
// stream if it is the last. It returns where in p the chunk begins now.
func frameChunk(p []byte, front int, last bool) ([]byte, int) {
	var small [chunkFrame]byte
	length := strconv.AppendInt(small[:0], int64(len(p)-front), 16)
	length = append(length, "\r\n"...)
	p = append(p, "\r\n"...)
	if last {
		p = append(p, lastChunk...)
	}
	begin := front - len(length)
	copy(p[begin:], length)
	return p, begin
}
