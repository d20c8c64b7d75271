package cluster

import (
	"bytes"
	"fmt"
	"io"
	"time"
)

// stream reads by one connection until it ends.
func (r *reader) stream(l *line) error {
	if r.way == byFrames {
		if err := l.upgrade("/websocket"); err != nil {
			return err
		}
		if _, err := l.Write(frame(opText, []byte(r.hello()))); err != nil {
			return err
		}
		return r.units(l, l.text)
	}
	path := "/sse?"
	if r.way == byLines {
		path = "/stream?"
	}
	if err := l.request("GET", path+r.query(), "Accept: text/event-stream\r\n", ""); err != nil {
		return err
	}
	l.patient(patience)
	h, err := readHead(l.in)
	if err != nil {
		r.late = time.Now().Add(2 * wait)
		return err
	}
	switch {
	case h.status == 204:
		r.client.lost(r.world, r.key)
		if r.checker != nil {
			r.gone = true
		}
		return io.EOF
	case h.status != 200:
		text := make([]byte, max(h.length, 0))
		if _, err := io.ReadFull(l.in, text); err != nil || h.status != 404 {
			return r.refused(h, text)
		}
		return r.hear(text)
	case h.length >= 0: // not now
		return fmt.Errorf("refused: %.300q", h.text)
	case !h.chunked:
		return broken{fmt.Errorf("a stream that is not chunked: %.300q", h.text)}
	}
	return r.units(l, r.pieces(l))
}

// pieces returns what reads the next line, or event, of a body.
func (r *reader) pieces(l *line) func() ([]byte, error) {
	var rest []byte
	end := []byte("\n")
	if r.way == byEvents {
		end = []byte("\n\n")
	}
	return func() ([]byte, error) {
		for {
			if unit, more, whole := bytes.Cut(rest, end); whole {
				rest = more
				return unit, nil
			}
			piece, err := l.chunk()
			if err != nil {
				return nil, err
			}
			rest = append(bytes.Clone(rest), piece...)
		}
	}
}

// units takes what comes until nothing does any more.
func (r *reader) units(l *line, next func() ([]byte, error)) error {
	e := &events{reader: r}
	for {
		l.patient(wait + patience)
		unit, err := next()
		if err != nil {
			r.late = time.Now().Add(2 * wait)
			return err
		}
		if r.way == byEvents {
			err = e.take(unit)
		} else {
			err = r.hear(unit)
		}
		if err != nil {
			return err
		}
		if d := r.stalls.Swap(0); d > 0 {
			time.Sleep(time.Duration(d))
		}
	}
}
