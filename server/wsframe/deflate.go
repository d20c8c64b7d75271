package wsframe

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"sync"
)

// flushed is what a message's sender leaves away at the end of its data
// (RFC 7692, 7.2.1); ending makes a stream of it that has an end.
const (
	flushed = "\x00\x00\xff\xff"
	ending  = flushed + "\x01\x00\x00\xff\xff"
)

// maxStreams is how many streams one message may be a sequence of. Nobody has
// a reason for more than one, but the RFC allows it.
const maxStreams = 4

// window is how far back deflated data may refer.
const window = 32 << 10

var inflaters = sync.Pool{New: func() any { return &inflater{flate: flate.NewReader(nil)} }}

// An inflater reads deflated data with the ending behind it.
type inflater struct {
	flate io.ReadCloser
	data  bytes.Reader
	tail  bytes.Reader
}

// Read and ReadByte make it the source of its own flate reader, which takes no
// byte too many where it can have single ones.
func (i *inflater) Read(p []byte) (int, error) {
	if i.data.Len() > 0 {
		return i.data.Read(p)
	}
	return i.tail.Read(p)
}

func (i *inflater) ReadByte() (byte, error) {
	if i.data.Len() > 0 {
		return i.data.ReadByte()
	}
	return i.tail.ReadByte()
}

// inflate returns what data is the deflated form of, if it is not more than
// max bytes. What it returns grows with what comes out.
func inflate(data []byte, max int) ([]byte, error) {
	if len(data) == 0 {
		return nil, nil // some leave away even the one byte of an empty message
	}
	i := inflaters.Get().(*inflater)
	defer func() {
		i.data.Reset(nil) // a reader that waits holds nobody's data
		inflaters.Put(i)
	}()
	i.data.Reset(data)
	i.tail.Reset([]byte(ending))
	out := make([]byte, 0, min(3*len(data)+64, max+1))
	for range maxStreams {
		back := out[len(out)-min(len(out), window):]
		if err := i.flate.(flate.Resetter).Reset(i, back); err != nil {
			return nil, errDeflate
		}
		var err error
		if out, err = i.readTo(out, max); err != nil {
			return nil, err
		}
		if i.data.Len() == 0 && (i.tail.Len() == 0 || i.tail.Len() == len(ending)) {
			return out, nil
		}
	}
	return nil, errDeflate
}

// readTo appends one stream to out.
func (i *inflater) readTo(out []byte, max int) ([]byte, error) {
	for {
		if len(out) == cap(out) {
			out = append(out, 0)[:len(out)]
		}
		n, err := i.flate.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		switch {
		case len(out) > max:
			return nil, errMessageSize
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, errDeflate
		}
	}
}

var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, flate.DefaultCompression)
	if err != nil {
		panic(err) // the level is a constant
	}
	return &deflater{flate: w}
}}

// A deflater is large, more than half a megabyte, and so shared.
type deflater struct {
	flate *flate.Writer
	out   bytes.Buffer
}

// AppendDeflated appends a whole message as one frame, for peers with which
// permessage-deflate has been agreed on. No frame depends on another, so one
// can be made once and sent to many. A message that would not become smaller is
// sent as it is, which the same peers understand.
func AppendDeflated(dst []byte, op Op, payload []byte) []byte {
	d := deflaters.Get().(*deflater)
	defer deflaters.Put(d)
	d.out.Reset()
	d.flate.Reset(&d.out)
	d.flate.Write(payload) // neither fails: a buffer takes everything
	d.flate.Flush()
	small := bytes.TrimSuffix(d.out.Bytes(), []byte(flushed))
	if len(small) < len(payload) {
		dst = append(appendHead(dst, byte(op)|0x40, len(small)), small...)
	} else {
		dst = append(appendHead(dst, byte(op), len(payload)), payload...)
	}
	if d.out.Cap() > 1<<20 {
		d.out = bytes.Buffer{} // one large message is no reason to keep so much
	}
	return dst
}
