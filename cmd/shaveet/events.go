package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
)

// errTooLong ends a stream whose server says more at once than is read of any.
var errTooLong = fmt.Errorf("the server sent more than %d bytes at once", maxAnswer)

// connectLines reads by /stream: a batch on each line.
func connectLines(ctx context.Context, s *site, header http.Header, h hello) (*incoming, error) {
	return connectHTTP(ctx, s, "/stream", "application/x-ndjson", header, h, func(r *bufio.Reader) (*batch, error) {
		line, err := readLine(r, maxAnswer)
		if err != nil {
			return nil, err
		}
		return spoken(parseBatch(line))
	})
}

// connectEvents reads by /sse.
func connectEvents(ctx context.Context, s *site, header http.Header, h hello) (*incoming, error) {
	return connectHTTP(ctx, s, "/sse", "text/event-stream", header, h, readEvent)
}

// connectHTTP begins a stream that is the answer to a POST.
func connectHTTP(ctx context.Context, s *site, path, mediaType string, header http.Header, h hello,
	read func(*bufio.Reader) (*batch, error)) (*incoming, error) {
	resp, err := s.post(ctx, path, header, h)
	if err != nil {
		return nil, err
	}
	in := &incoming{status: resp.Status, header: resp.Header, Closer: resp.Body}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode == http.StatusOK && kind == mediaType {
		body := bufio.NewReader(plain(resp))
		in.read = func() (*batch, error) { return read(body) }
		return in, nil
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return nil, errOther(path)
	}
	b, err := readBatch(resp, path)
	if err != nil {
		return nil, err
	}
	in.read = once(b)
	return in, nil
}

// once tells one batch.
func once(b *batch) func() (*batch, error) {
	return func() (*batch, error) {
		last := b
		if b = nil; last == nil {
			return nil, io.EOF
		}
		return last, nil
	}
}

// spoken makes one error of what may be wrong with a batch in a stream.
func spoken(b *batch, said *refusal, err error) (*batch, error) {
	if said != nil {
		return nil, said.failure(said.Code, fmt.Sprintf("error %d", said.Code))
	}
	return b, err
}

// plain returns the body of resp, inflated if somebody has compressed it.
func plain(resp *http.Response) io.Reader {
	if resp.Header.Get("Content-Encoding") != "gzip" {
		return resp.Body
	}
	return &inflated{from: resp.Body}
}

// inflated waits for the first bytes only when they are wanted.
type inflated struct {
	from io.Reader
	z    *gzip.Reader
}

func (i *inflated) Read(p []byte) (n int, err error) {
	if i.z == nil {
		if i.z, err = gzip.NewReader(i.from); err != nil {
			return 0, err
		}
	}
	return i.z.Read(p)
}

// readLine reads a line of at most so many bytes, and returns it without its
// end. What has no end is no line.
func readLine(r *bufio.Reader, most int) (line []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > most:
			return nil, errTooLong
		case err == nil:
			return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// readEvent reads an event, which is a batch of its own: a message has the
// cursor with it, and a signal has none.
func readEvent(r *bufio.Reader) (*batch, error) {
	var e event
	for left := maxAnswer; ; {
		line, err := readLine(r, left)
		if err != nil {
			return nil, err
		}
		left -= len(line)
		if len(line) > 0 {
			e.field(line)
			continue
		}
		if e.told {
			return e.batch()
		}
		e = event{}
	}
}

// An event is one of Server-Sent Events.
type event struct {
	kind, id string
	data     []byte
	told     bool // there are data, if only an empty line
}

// field takes one line of the event.
func (e *event) field(line []byte) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "event":
		e.kind = string(value)
	case "id":
		e.id = string(value)
	case "data":
		if e.told {
			e.data = append(e.data, '\n')
		}
		e.data, e.told = append(e.data, value...), true
	}
}

func (e *event) batch() (*batch, error) {
	b := &batch{Cursor: e.id}
	switch e.kind {
	case "tick":
	case "", "message":
		if !json.Valid(e.data) {
			return nil, errNoBatch
		}
		b.Messages = []json.RawMessage{e.data}
	default:
		var s wireSignal
		if json.Unmarshal(e.data, &s) != nil {
			return nil, errNoBatch
		}
		b.Signals = []wireSignal{s}
	}
	return b, nil
}
