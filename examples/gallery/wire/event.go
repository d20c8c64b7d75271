// Package wire makes what passes on connections readable: HTTP and what is in
// it (JSON-RPC calls, WebSocket frames, pieces of streams), and ZMTP. It is fed
// with bytes as they come, in pieces of any size. It is made for showing: what
// it does not understand it shows as bytes, and of what is long it keeps the
// beginning, so memory is bounded whatever is sent.
package wire

import (
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of what is kept.
const (
	maxHead     = 32 << 10 // of an HTTP head; with a longer one we give up reading
	maxBody     = 64 << 10 // of what must be whole to be understood: JSON-RPC, compressed frames
	maxText     = 4 << 10  // of what is shown of one event
	maxRaw      = 2 << 10  // and of its bytes
	maxParams   = 2 << 10
	maxWaiting  = 100 // requests on a connection without an answer yet
	maxCalls    = 20  // of a batch
	maxFrames   = 16  // of a ZMTP message
	maxReadable = 400 // bytes of a title
)

// Kinds of events.
const (
	KindOpen  = "open"
	KindClose = "close"
	KindHead  = "head"  // of an HTTP request or answer
	KindBody  = "body"  // all of one
	KindChunk = "chunk" // a piece of one
	KindFrame = "frame" // of a WebSocket
	KindZMTP  = "zmtp"
	KindRaw   = "raw" // bytes that were not understood
	KindCall  = "call"
)

// An Event is one thing that has passed. Every byte of a connection is in just
// one event that is not a call; what a call was is told when it is over.
type Event struct {
	At    time.Time `json:"-"`
	Up    bool      `json:"up"` // to the server
	Kind  string    `json:"kind"`
	Title string    `json:"title"`          // a line
	Text  string    `json:"text,omitempty"` // all of it, made readable
	Cut   bool      `json:"cut,omitempty"`  // Text is only the beginning
	Bytes int       `json:"bytes"`          // on the wire
	Raw   []byte    `json:"raw,omitempty"`  // the first of them
	Call  *Call     `json:"call,omitempty"`
}

// A Call is a JSON-RPC call and its answer.
type Call struct {
	Method string  `json:"method"`
	Params string  `json:"params,omitempty"` // JSON, as it was written
	Result string  `json:"result,omitempty"` // likewise
	Error  string  `json:"error,omitempty"`
	MS     float64 `json:"ms"`               // from the question's last byte to the answer's
	Number int     `json:"number,omitempty"` // in a batch, from 1
	Of     int     `json:"of,omitempty"`     // calls that the batch has
	Rest   int     `json:"rest,omitempty"`   // this stands for so many calls of the batch, its last
	Cut    bool    `json:"cut,omitempty"`    // params or result were too long to be shown
}

// readable returns what can be shown of p as text, and whether that is not all.
func readable(p []byte, limit int) (text string, cut bool) {
	if len(p) > limit {
		p, cut = p[:limit], true
		for i := 1; i < utf8.UTFMax && i <= limit; i++ {
			if end := p[limit-i:]; utf8.RuneStart(end[0]) {
				if !utf8.FullRune(end) {
					p = p[:limit-i] // a character that was cut in two
				}
				break
			}
		}
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' && r != '\r' || r == 0x7f {
			return '·'
		}
		return r
	}, strings.ToValidUTF8(string(p), "·")), cut
}

// line is a text's beginning, for a title.
func line(p []byte) string {
	text, cut := readable(p, maxReadable)
	text = strings.Join(strings.Fields(text), " ")
	if cut {
		text += " …"
	}
	return text
}

// seen counts bytes that have passed and keeps the first of them, until an
// event takes them.
type seen struct {
	count int
	first []byte
}

func (s *seen) add(p []byte) {
	s.count += len(p)
	s.first = append(s.first, p[:min(len(p), maxRaw-len(s.first))]...)
}

func (s *seen) take() (count int, first []byte) {
	count, first = s.count, s.first
	*s = seen{}
	return count, first
}

// beginning keeps up to limit bytes.
func beginning(kept, p []byte, limit int) []byte {
	return append(kept, p[:min(len(p), max(0, limit-len(kept)))]...)
}
