// Package wsframe speaks RFC 6455 for the server's side of a WebSocket: the
// handshake, and frames out of and into bytes. It owns no connection and never
// waits. Whoever has a connection feeds what comes to a [Reader], in pieces of
// any size, and writes what the Append functions make:
//
//	for len(p) > 0 {
//		n, f, err := reader.Feed(p)
//		if err != nil {
//			… // say so by AppendClose(dst, CodeOf(err), err.Error()), and end
//		}
//		p = p[n:]
//		switch f.Op {
//		case wsframe.Text: … // f.Data is a whole message
//		case wsframe.Ping: … // AppendPong(dst, f.Data)
//		}
//	}
//
// Everything is bounded by [Limits], and nothing is held between two messages.
package wsframe

import "errors"

// An Op says what a frame is.
type Op uint8

// The kinds of frames. None is no frame at all.
const (
	None   Op = 0
	Text   Op = 1
	Binary Op = 2
	Close  Op = 8
	Ping   Op = 9
	Pong   Op = 10
)

func (op Op) control() bool { return op >= Close }

// The codes of close frames, as far as they are needed here.
const (
	CodeNormal      = 1000
	CodeGoingAway   = 1001
	CodeProtocol    = 1002 // against the rules of RFC 6455
	CodeUnsupported = 1003 // a kind of data that is not taken
	CodeNone        = 1005 // never sent: stands for a close frame without a code
	CodeInvalid     = 1007 // not what it says it is: text that is no UTF-8, for example
	CodePolicy      = 1008
	CodeTooLarge    = 1009
	CodeInternal    = 1011
	CodeRestart     = 1012
)

// An Error is why no more can be read from a peer: it has broken a rule, or a
// limit.
type Error struct {
	Code uint16 // for the close frame
	Text string // for people; fits into a close frame
}

func (e *Error) Error() string { return e.Text }

// CodeOf returns the code a connection that fails by err is closed with.
func CodeOf(err error) uint16 {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}

// receivable reports whether a peer may send code in a close frame: what
// RFC 6455 and its registry define for the wire, and what is left to libraries
// and applications.
func receivable(code uint16) bool {
	return 1000 <= code && code <= 1003 || 1007 <= code && code <= 1014 || 3000 <= code && code <= 4999
}
