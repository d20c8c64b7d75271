package wsframe

import (
	"encoding/binary"
	"unicode/utf8"
)

// Limits bound what a peer may send. Zero fields mean the defaults.
type Limits struct {
	Frame     int // bytes of one frame; default as Message
	Message   int // bytes of one message, also when it is inflated; default 64 KiB
	Fragments int // frames of one message; default 1024
}

// WithDefaults returns l with the defaults in place of zeros.
func (l Limits) WithDefaults() Limits {
	if l.Message == 0 {
		l.Message = 64 << 10
	}
	if l.Frame == 0 {
		l.Frame = l.Message
	}
	if l.Fragments == 0 {
		l.Fragments = 1024
	}
	return l
}

// A Frame is a message, which may have come in several frames, or a control
// frame.
type Frame struct {
	Op   Op     // [None]: nothing is whole yet
	Code uint16 // of a Close: why; [CodeNone] if it does not say
	// Data is the payload; of a Close the reason. It is part of the bytes that
	// were fed, or memory of its own.
	Data []byte
}

// A Reader makes messages of the bytes a client sends. It grows with what has
// come, not with what is announced, and is small while nothing is half read.
// Its methods are called by one goroutine at a time.
type Reader struct {
	limits *Limits
	half   *half  // what has come of a payload that is not whole; nil if nothing has
	left   uint64 // bytes of the frame's payload that have not come
	mask   uint32 // for the next byte of the payload, least significant byte first
	frames int32  // of the message under way
	head   [14]byte
	heads  uint8 // bytes of head that have come
	body   bool  // the head is whole, the payload is not

	op       Op   // of the message under way; None if there is none
	deflated bool // the message under way is
	inflate  bool // such messages have been agreed on
	text     utf8Check
}

// half is what has come of a message, and of a control frame between two of
// its frames.
type half struct{ message, control []byte }

// NewReader returns a reader within the limits, which must have no zeros and
// which readers can share. inflate says that permessage-deflate has been agreed
// on.
func NewReader(limits *Limits, inflate bool) Reader {
	return Reader{limits: limits, inflate: inflate}
}

// SetLimits replaces the limits, for the messages that begin from now on. With
// zeros no message is taken at all.
func (r *Reader) SetLimits(limits *Limits) { r.limits = limits }

// What a peer can do wrong.
var (
	errReserved     = &Error{CodeProtocol, "reserved bits are set"}
	errOpcode       = &Error{CodeProtocol, "the opcode is reserved"}
	errUnmasked     = &Error{CodeProtocol, "the frame is not masked"}
	errLongControl  = &Error{CodeProtocol, "a control frame has more than 125 bytes"}
	errSplitControl = &Error{CodeProtocol, "a control frame is fragmented"}
	errInterrupted  = &Error{CodeProtocol, "a message begins inside another one"}
	errNothingToGo  = &Error{CodeProtocol, "a continuation of no message"}
	errLength       = &Error{CodeProtocol, "the length has its highest bit set"}
	errCloseFrame   = &Error{CodeProtocol, "the close frame is invalid"}
	errUTF8         = &Error{CodeInvalid, "the text is not valid UTF-8"}
	errDeflate      = &Error{CodeInvalid, "the compressed data is invalid"}
	errFrameSize    = &Error{CodeTooLarge, "the frame is too large"}
	errMessageSize  = &Error{CodeTooLarge, "the message is too large"}
	errFragments    = &Error{CodePolicy, "the message has too many fragments"}
)

// Feed takes bytes from p, up to the end of the first message or control frame
// in it, and returns how many; if nothing is whole yet, it takes all of them.
// It unmasks in place, so p is overwritten. The error is an [*Error], after
// which the reader is of no use any more. So it is after a Close: whatever
// follows one does not count.
func (r *Reader) Feed(p []byte) (n int, f Frame, err error) {
	for n < len(p) {
		if !r.body {
			took, err := r.readHead(p[n:])
			n += took
			if err != nil {
				return n, Frame{}, err
			}
			if !r.body {
				continue // p is at its end
			}
		}
		size := int(min(uint64(len(p)-n), r.left))
		chunk := p[n : n+size]
		n += size
		if f, err = r.readPayload(chunk); f.Op != None || err != nil {
			return n, f, err
		}
	}
	return n, Frame{}, nil
}

// readHead reads up to the end of a frame's head. Each of its bytes is judged
// as it comes.
func (r *Reader) readHead(p []byte) (n int, err error) {
	for n < len(p) {
		r.head[r.heads] = p[n]
		r.heads++
		n++
		switch size := r.headSize(); {
		case r.heads == 1:
			err = r.judgeFirst()
		case r.heads == 2:
			err = r.judgeSecond()
		case r.heads == size-4:
			err = r.judgeLength()
		case r.heads == size:
			r.mask = binary.LittleEndian.Uint32(r.head[size-4:])
			r.heads, r.body = 0, true
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// headSize is how many bytes the head has, as far as it is known.
func (r *Reader) headSize() uint8 {
	switch r.head[1] & 0x7f {
	case 126:
		return 8
	case 127:
		return 14
	}
	return 6
}

func (r *Reader) frameOp() Op { return Op(r.head[0] & 0x0f) }
func (r *Reader) final() bool { return r.head[0]&0x80 != 0 }

func (r *Reader) judgeFirst() error {
	op, reserved, deflated := r.frameOp(), r.head[0]&0x30 != 0, r.head[0]&0x40 != 0
	switch {
	case reserved:
		return errReserved
	case op == Close || op == Ping || op == Pong:
		if deflated {
			return errReserved
		}
		if !r.final() {
			return errSplitControl
		}
		return nil
	case op == Text || op == Binary:
		if deflated && !r.inflate {
			return errReserved
		}
		if r.op != None {
			return errInterrupted
		}
		r.op, r.deflated, r.frames = op, deflated, 0
	case op == 0:
		if deflated {
			return errReserved
		}
		if r.op == None {
			return errNothingToGo
		}
	default:
		return errOpcode
	}
	r.frames++
	if int(r.frames) > r.limits.Fragments {
		return errFragments
	}
	return nil
}

func (r *Reader) judgeSecond() error {
	size := r.head[1] & 0x7f
	if r.head[1]&0x80 == 0 {
		return errUnmasked
	}
	if size < 126 {
		return r.begin(uint64(size))
	}
	if r.frameOp().control() {
		return errLongControl
	}
	return nil
}

// judgeLength judges a length that stands behind the first two bytes. One that
// would have fitted into fewer bytes is taken too; nobody is harmed by it.
func (r *Reader) judgeLength() error {
	if r.heads == 4 {
		return r.begin(uint64(binary.BigEndian.Uint16(r.head[2:])))
	}
	size := binary.BigEndian.Uint64(r.head[2:])
	if size >= 1<<63 {
		return errLength
	}
	return r.begin(size)
}

// begin begins a frame of this many bytes.
func (r *Reader) begin(size uint64) error {
	r.left = size
	switch {
	case r.frameOp().control():
	case size > uint64(r.limits.Frame):
		return errFrameSize
	case size > uint64(r.limits.Message-r.gathered()):
		return errMessageSize
	}
	return nil
}

// gathered is how much has come of the message under way.
func (r *Reader) gathered() int {
	if r.half == nil {
		return 0
	}
	return len(r.half.message)
}

// readPayload takes the next part of the payload, and returns what is whole by
// it.
func (r *Reader) readPayload(chunk []byte) (Frame, error) {
	r.mask = unmask(chunk, r.mask)
	r.left -= uint64(len(chunk))
	r.body = r.left > 0
	if r.frameOp().control() {
		return r.readControl(chunk)
	}
	if r.op == Text && !r.deflated && !r.text.add(chunk) {
		return Frame{}, errUTF8
	}
	if r.body || !r.final() {
		if len(chunk) > 0 {
			r.keep().message = append(r.keep().message, chunk...)
		}
		return Frame{}, nil
	}
	if r.half != nil && r.half.message != nil {
		chunk = append(r.half.message, chunk...)
	}
	r.half = nil
	return r.message(chunk)
}

// message ends the message under way, which is data.
func (r *Reader) message(data []byte) (Frame, error) {
	f := Frame{Op: r.op, Data: data}
	r.op = None
	if r.deflated {
		var err error
		if f.Data, err = inflate(data, r.limits.Message); err != nil {
			return Frame{}, err
		}
		if f.Op == Text && !utf8.Valid(f.Data) {
			return Frame{}, errUTF8
		}
	} else if f.Op == Text && !r.text.whole() {
		return Frame{}, errUTF8
	}
	return f, nil
}

func (r *Reader) readControl(chunk []byte) (Frame, error) {
	if r.body {
		r.keep().control = append(r.keep().control, chunk...)
		return Frame{}, nil
	}
	if r.half != nil {
		chunk = append(r.half.control, chunk...)
		r.half.control = nil
		if r.half.message == nil {
			r.half = nil
		}
	}
	f := Frame{Op: r.frameOp(), Data: chunk}
	if f.Op != Close {
		return f, nil
	}
	if len(chunk) == 0 {
		f.Code = CodeNone
		return f, nil
	}
	if len(chunk) == 1 {
		return Frame{}, errCloseFrame
	}
	f.Code, f.Data = binary.BigEndian.Uint16(chunk), chunk[2:]
	if !receivable(f.Code) {
		return Frame{}, errCloseFrame
	}
	if !utf8.Valid(f.Data) {
		return Frame{}, errUTF8
	}
	return f, nil
}

func (r *Reader) keep() *half {
	if r.half == nil {
		r.half = new(half)
	}
	return r.half
}
