package engine

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"sync"

	"github.com/shaveet/shaveet/server/transport/socketio/engineio"
)

// bodies are lent for as long as it takes to read what has come.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxKept is how large one may have become to be used again.
const maxKept = 64 << 10

var errTooLarge = errors.New("the body is too large")

// post takes what a client has to say. Until that is whole, the session goes on.
func (c *call) post(s *Session) *fault {
	octets := false
	if kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err == nil {
		octets = kind == "application/octet-stream"
	}
	if f := s.beginPost(octets); f != nil {
		return f
	}
	b := bodies.Get().(*bytes.Buffer)
	defer func() {
		if b.Cap() <= maxKept {
			b.Reset()
			bodies.Put(b)
		}
	}()
	f := s.endPost(c.parse(b, read(b, c.r, s.config.MaxPayload), s, octets))
	if f != nil {
		return f
	}
	c.w.Header().Set("Content-Type", "text/html")
	c.w.Header().Set("Cache-Control", "no-store")
	c.write(http.StatusOK, []byte("ok"))
	return nil
}

// read reads the body of r, of at most so many bytes.
func read(b *bytes.Buffer, r *http.Request, most int) error {
	if r.ContentLength > int64(most) {
		return errTooLarge
	}
	_, err := b.ReadFrom(io.LimitReader(r.Body, int64(most)+1))
	if err == nil && b.Len() > most {
		return errTooLarge
	}
	return err
}

// parse returns the payload that has been read into b.
func (c *call) parse(b *bytes.Buffer, err error, s *Session, octets bool) (engineio.Payload, error) {
	body := b.Bytes()
	if err == nil && c.form.script {
		body, err = engineio.DecodeForm(body)
	}
	if s.three {
		return engineio.NewPayload3(body, octets, &s.config.payload), err
	}
	return engineio.NewPayload(body, &s.config.payload), err
}

// beginPost begins to take a request.
func (s *Session) beginPost(octets bool) *fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.alive():
		return &unknownSession
	case s.webSocket:
		return &badRequest
	case s.posting:
		s.finish(Overlap)
		return &badRequest
	case octets && !s.three:
		s.finish(ParseError)
		return &badRequest
	}
	s.posting = true
	return nil
}

// endPost takes a payload, unless err says that there is none. A body that is too
// large harms nobody but itself.
func (s *Session) endPost(p engineio.Payload, err error) *fault {
	fine := false
	s.mu.Lock()
	defer s.unlock(&fine)
	s.posting = false
	f := s.judge(err)
	if f == nil {
		s.takeAll(&p)
	}
	fine = true
	if f == nil && s.state == over && (s.why == ParseError || s.why == TooMuch) {
		return &badRequest
	}
	return f
}

// judge says what is wrong with a request whose body was read with this error.
func (s *Session) judge(err error) *fault {
	switch {
	case err == errTooLarge:
		return &tooLarge
	case !s.alive():
		return &unknownSession
	case s.webSocket:
		return &badRequest
	case errors.Is(err, engineio.ErrForm):
		s.finish(ParseError)
		return &badRequest
	case err != nil:
		s.finish(Gone)
		return &badRequest
	}
	return nil
}

// takeAll takes the packets of a payload, as long as the session is open.
func (s *Session) takeAll(payload *engineio.Payload) {
	for s.state == open {
		p, err := payload.Next()
		switch {
		case err == io.EOF:
			return
		case errors.Is(err, engineio.ErrTooMany):
			s.finish(TooMuch)
		case err != nil:
			s.finish(ParseError)
		case s.quotaLeft():
			s.take(p)
		}
	}
}
