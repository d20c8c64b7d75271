package torture

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A stream is a connection by which batches come until it ends.
type stream interface {
	// next returns the next batch, and how many bytes it had. It fails when
	// the stream has ended.
	next() (batch, int, error)
	// part is what had come of a batch when the stream ended in its middle.
	part() []byte
	// misend says what is wrong about a stream that has ended with err, "" if
	// nothing is. last is the signal that has announced it, "" if none has.
	misend(err error, last string) string
	close()
}

// A malformed error is not of the connection but of what came by it.
type malformed struct{ error }

var (
	errSilent  = errors.New("nothing has come for too long")
	errThrough = errors.New("everything has come")
)

// The heartbeat that readers ask for, and how long they hear nothing before
// they give a connection up.
const (
	heartbeat = time.Second
	patience  = heartbeat + 5*time.Second
	haste     = heartbeat + time.Second/2 // where much hangs
)

// stream reads by one connection until it ends, or until the reader has enough
// of it: one without faults would last for ever.
func (r *reader) stream(ctx context.Context) error {
	wait := patience
	if r.world.plan.hangs {
		wait = haste
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(wait, func() { cancel(errSilent) })
	defer silence.Stop()
	defer context.AfterFunc(r.world.said, func() {
		if r.world.through(r.world.standing(r.name)) {
			cancel(errThrough)
		}
	})()
	asked := r.world.truth.tick()
	s, err := r.open(ctx, asked)
	if err != nil {
		return err
	}
	defer s.close()
	gone := make(map[string]bool)
	enough := r.appetite << (6 + r.rand.IntN(11))
	for begun := false; ; begun = true {
		b, size, err := s.next()
		if err != nil {
			return r.ended(ctx, s, asked, begun, err)
		}
		silence.Reset(wait)
		if b.Error != nil {
			return r.refused(b.Error)
		}
		if begun && len(b.Signals)+len(b.Messages) == 0 {
			r.count["heartbeats"]++
		}
		r.take(asked, b)
		if last := r.lastSignal(b, gone); last != "" {
			r.mustEnd(ctx, s, last)
		}
		if err := r.obey(ctx, b); err != nil {
			return err
		}
		if enough -= size; enough < 0 || r.world.through(r.cursor) {
			return nil
		}
	}
}

// lastSignal is the signal of b that ends a stream. gone has who of the reader's
// clients is gone.
func (r *reader) lastSignal(b batch, gone map[string]bool) (last string) {
	for _, s := range b.Signals {
		switch s.Type {
		case "drain", "superseded":
			last = s.Type
		case "gone":
			if gone[s.Client] = true; len(gone) == len(r.clients) {
				last = s.Type
			}
		}
	}
	return last
}

// mustEnd waits for the end that was announced.
func (r *reader) mustEnd(ctx context.Context, s stream, last string) {
	r.count["ends told"]++
	b, _, err := s.next()
	switch {
	case err == nil:
		r.ledger.fault("after %s there comes %+v", last, b)
	case context.Cause(ctx) == errSilent && !r.world.plan.hangs:
		r.ledger.fault("after %s the stream does not end", last)
	case ctx.Err() == nil:
		r.checkEnd(s, err, last)
	}
}

func (r *reader) checkEnd(s stream, err error, last string) {
	if bad, ok := errors.AsType[malformed](err); ok {
		r.ledger.fault("%v: %v", r.way, bad)
	} else if what := s.misend(err, last); what != "" {
		r.ledger.fault("%v: %s", r.way, what)
	}
}

// ended looks at how a stream has ended that did not say that it would.
func (r *reader) ended(ctx context.Context, s stream, asked int64, begun bool, err error) error {
	switch cause := context.Cause(ctx); {
	case cause == errThrough:
		return nil
	case cause == errSilent:
		r.count["silences"]++
		if begun && !r.world.plan.hangs {
			r.ledger.fault("%v: %v", r.way, cause)
		}
	case ctx.Err() != nil:
	default:
		if !begun {
			r.late = 4
		}
		r.checkEnd(s, err, "")
	}
	r.count["broken streams"]++
	if part := s.part(); len(part) > 0 {
		r.count["half batches"]++
		r.cut(asked, part)
	}
	return errAgain
}

// open opens a stream. The error says that there is none.
func (r *reader) open(ctx context.Context, asked int64) (stream, error) {
	switch r.way {
	case byFrames:
		return r.openFrames(ctx)
	case byEvents:
		body, err := r.openBody(ctx, asked, "/sse", "text/event-stream")
		if err != nil {
			return nil, err
		}
		return &events{tail: tail{body: body, in: bufio.NewReader(body)}}, nil
	}
	body, err := r.openBody(ctx, asked, "/stream", "application/x-ndjson")
	if err != nil {
		return nil, err
	}
	return &lines{tail{body: body, in: bufio.NewReader(body)}}, nil
}

// openBody asks for an answer that does not end.
func (r *reader) openBody(ctx context.Context, asked int64, path, mediaType string) (io.ReadCloser, error) {
	place, lastEventID := pick(r.rand, inQuery, inHeader, inBody), ""
	cursor := r.cursor.String()
	if r.way == byEvents && !r.cursor.none() && r.rand.IntN(2) == 0 { // as browsers come back
		lastEventID = cursor
		cursor = pick(r.rand, cursor, "now", position{}.String())
	}
	req := r.request(ctx, path, r.words(ctx, cursor, int(heartbeat.Milliseconds())), place)
	if lastEventID != "" {
		req.Header.Set("Last-Event-ID", lastEventID)
	}
	resp, err := r.streams.Do(req)
	if err != nil {
		r.unanswered(ctx)
		return nil, errAgain
	}
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNoContent:
		resp.Body.Close()
		if r.way != byEvents || place != inQuery {
			r.ledger.fault("%s is answered 204", path)
			return nil, errAgain
		}
		r.world.keys.anyAfter(ctx, r.clients, r.keys)
		return nil, errAgain
	default:
		if err := r.whole(ctx, asked, resp, false); err != nil {
			return nil, err
		}
		return nil, errAgain
	}
	if got := resp.Header.Get("Content-Type"); !strings.HasPrefix(got, mediaType) {
		r.ledger.fault("%s: Content-Type: %q", path, got)
	}
	if !slices.Equal(resp.TransferEncoding, []string{"chunked"}) {
		r.ledger.fault("%s: Transfer-Encoding: %q: nobody can tell its end from a cut", path, resp.TransferEncoding)
	}
	return resp.Body, nil
}

// A tail is an answer that does not end, and what has come of a part of it.
type tail struct {
	body io.ReadCloser
	in   *bufio.Reader
	rest []byte
}

func (t *tail) part() []byte { return t.rest }
func (t *tail) close()       { t.body.Close() }

func (t *tail) misend(err error, last string) string {
	if err != io.EOF {
		return "" // it was cut
	}
	if len(t.rest) > 0 {
		return fmt.Sprintf("it ends in the middle of a batch: %.200q", t.rest)
	}
	if last == "" {
		return "it ends without a word"
	}
	return ""
}

// lines are a stream with one batch on each line.
type lines struct{ tail }

func (l *lines) next() (batch, int, error) {
	line, err := l.in.ReadBytes('\n')
	if err != nil {
		l.rest = line
		return batch{}, 0, err
	}
	b, err := parseBatch(line[:len(line)-1])
	if err == nil && b.Error != nil {
		err = fmt.Errorf("in the middle: %+v", *b.Error)
	}
	if err != nil {
		err = malformed{err}
	}
	return b, len(line), err
}
