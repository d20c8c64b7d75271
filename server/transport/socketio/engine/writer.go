package engine

import (
	"bytes"
	"sync"

	"github.com/shaveet/shaveet/server/transport/socketio/engineio"
	"github.com/shaveet/shaveet/server/wsframe"
)

// A Form is what a transport wants messages to be.
type Form uint8

// The forms.
const (
	Other   Form = iota // anything else
	Frames              // a WebSocket of protocol 4 that takes binary messages
	Packets             // polling in protocol 4
)

// A Writer is where one [App.Next] puts its messages. It is valid only during the
// call, and keeps nothing that it is given.
type Writer struct {
	wire    wire
	dst     []byte
	start   int // where in dst the payload begins, if it is one
	app     int // where in dst the app's part begins
	packets int // put
	put     int // bytes of messages that are in list
	list    []engineio.Packet
}

// A wire is how packets are written.
type wire uint8

const (
	frames      wire = iota // protocol 4
	textFrames              // the same without binary
	frames3                 // protocol 3
	textFrames3             // the same without binary
	payload                 // protocol 4
	payload3                // protocol 3
	binary3                 // protocol 3, for a body that is not text
	listed                  // not yet: they are put into a list
)

var writers = sync.Pool{New: func() any { return new(Writer) }}

// newWriter lends a writer that appends to dst.
func newWriter(wire wire, dst []byte) *Writer {
	w := writers.Get().(*Writer)
	*w = Writer{wire: wire, dst: dst, start: len(dst), app: len(dst)}
	return w
}

// release ends the loan, and returns what dst has become.
func (w *Writer) release() []byte {
	dst := w.dst
	*w = Writer{}
	writers.Put(w)
	return dst
}

// Form returns what the transport wants.
func (w *Writer) Form() Form {
	switch w.wire {
	case frames:
		return Frames
	case payload:
		return Packets
	}
	return Other
}

// Raw puts what has been made before, perhaps for many: with [Frames], whole
// frames of a WebSocket; with [Packets], one or several packets of a payload with
// the separator between them. With [Other] it panics.
func (w *Writer) Raw(p []byte) {
	if len(p) == 0 {
		return
	}
	switch w.wire {
	case frames:
		w.dst = append(w.dst, p...)
	case payload:
		w.separate()
		w.dst = append(w.dst, p...)
	default:
		panic("engine: raw bytes for a transport that wants another form")
	}
	w.packets++
}

// Text puts a message of text, which must be UTF-8.
func (w *Writer) Text(data []byte) {
	w.packet(engineio.Packet{Type: engineio.Message, Data: data})
}

// Binary puts a binary message.
func (w *Writer) Binary(data []byte) {
	w.packet(engineio.Packet{Type: engineio.Message, Binary: true, Data: data})
}

// Len returns how many bytes have been put so far.
func (w *Writer) Len() int { return len(w.dst) - w.app + w.put }

func (w *Writer) packet(p engineio.Packet) {
	w.packets++
	switch w.wire {
	case frames, textFrames, frames3, textFrames3:
		w.frame(p)
	case payload:
		w.separate()
		w.dst = engineio.AppendPacket(w.dst, p)
	case payload3:
		w.dst = engineio.AppendPayload3(w.dst, p)
	case binary3:
		w.dst = engineio.AppendBinaryPayload3(w.dst, p)
	case listed:
		w.put += len(p.Data)
		p.Data = bytes.Clone(p.Data)
		w.list = append(w.list, p)
	}
}

// frame puts p as one frame.
func (w *Writer) frame(p engineio.Packet) {
	if p.Binary && w.wire == frames {
		w.dst = wsframe.AppendBinary(w.dst, p.Data)
		return
	}
	start, op := len(w.dst), wsframe.Text
	w.dst = wsframe.Begin(w.dst)
	switch {
	case p.Binary && w.wire == frames3:
		op = wsframe.Binary
		w.dst = engineio.AppendBinary3(w.dst, p.Data)
	case w.wire == frames3 || w.wire == textFrames3:
		w.dst = engineio.AppendText3(w.dst, p)
	default:
		w.dst = engineio.AppendPacket(w.dst, p)
	}
	w.dst = wsframe.End(w.dst, start, op)
}

// separate begins another packet of a payload.
func (w *Writer) separate() {
	if len(w.dst) > w.start {
		w.dst = append(w.dst, separator)
	}
}

// separator is between two packets of a payload.
const separator = 0x1e
