package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// beatTime is how often a stream under examination is to say that it stands. No
// server does so more often.
const beatTime = time.Second

// hello is what the patient says to a stream, which is to be silent for this
// time at most; 0: for as long as the server likes.
func (d *doctor) hello(silence time.Duration) hello {
	return hello{
		Clients: []credential{{d.patient.id, d.patient.key}},
		Session: randomName(), Cursor: d.patient.cursor, Wait: silence.Milliseconds(),
	}
}

// hear reads on until it has what is wanted. If that takes too long the error
// is errSilent, and nothing more comes.
func hear(ctx context.Context, s *stream, within time.Duration, wanted func(*batch) bool) (*batch, error) {
	bounded, cancel := context.WithTimeoutCause(ctx, within, errSilent)
	defer cancel()
	for {
		b, err := s.next(bounded)
		switch {
		case err == nil && wanted(b):
			return b, nil
		case err != nil && bounded.Err() != nil:
			return nil, context.Cause(bounded)
		case err != nil:
			return nil, plainError(err)
		}
	}
}

func anything(*batch) bool { return true }

// isBeat reports whether b says no more than that the stream stands.
func isBeat(b *batch) bool { return len(b.Messages) == 0 && len(b.Signals) == 0 }

// tells is for a batch with the message of this text.
func tells(word string) func(*batch) bool {
	return func(b *batch) bool {
		for _, m := range b.Messages {
			if bytes.Contains(m, []byte(word)) {
				return true
			}
		}
		return false
	}
}

// events: do Server-Sent Events come through at once?
func (d *doctor) events(ctx context.Context) finding { return d.tried(ctx, "sse") }

// lines: does a stream of lines?
func (d *doctor) lines(ctx context.Context) finding { return d.tried(ctx, "stream") }

// webSocket: does the upgrade pass, and do frames, both ways?
func (d *doctor) webSocket(ctx context.Context) finding { return d.tried(ctx, "websocket") }

// A trial is what came of a transport.
type trial struct {
	finding finding
	works   bool
}

// tried tells of one transport. All are tried at the same time, as each takes a
// while.
func (d *doctor) tried(ctx context.Context, name string) finding {
	if d.trials == nil {
		d.trials = make(map[string]chan trial)
		for name, try := range map[string]func(context.Context) trial{
			"sse":       func(ctx context.Context) trial { return d.tryHTTP(ctx, "/sse", connectEvents) },
			"stream":    func(ctx context.Context) trial { return d.tryHTTP(ctx, "/stream", connectLines) },
			"websocket": d.trySocket,
		} {
			done := make(chan trial, 1)
			d.trials[name] = done
			d.running.Go(func() { done <- try(ctx) })
		}
	}
	t := <-d.trials[name]
	if t.works {
		d.streams = append(d.streams, name)
	}
	return t.finding
}

func (d *doctor) tryHTTP(ctx context.Context, path string, begin connect) trial {
	// As a browser says. Who does not compress because we cannot read it would
	// be found in order.
	header := http.Header{"Accept-Encoding": {"gzip"}}
	s := newStream(d.site, d.hello(beatTime), header, begin)
	defer s.close()
	text, bad := d.observe(ctx, path, s)
	if bad != nil {
		return trial{*bad, false}
	}
	if coding := s.in.header.Get("Content-Encoding"); coding != "" {
		return trial{warn(adviceStream, "%s; but it is compressed (%s), which may delay messages", text, coding), true}
	}
	return trial{good("%s", text), true}
}

// observe looks whether a stream begins, brings a message at once, and says
// that it stands. bad is what is wrong.
func (d *doctor) observe(ctx context.Context, path string, s *stream) (text string, bad *finding) {
	begun := time.Now()
	first, err := hear(ctx, s, d.times.answer, anything)
	opened := time.Since(begun)
	if err != nil {
		f := d.unopened(path, s, err)
		return "", &f
	}
	if first.ends() {
		f := fail(adviceOther, "%s sends its reader away (%s)", path, first.Signals[0].Type)
		return "", &f
	}
	delivered, bad := d.deliver(ctx, path, s, randomName())
	if bad != nil {
		return "", bad
	}
	if f, ok := d.alive(ctx, path, s); !ok {
		return "", &f
	}
	return fmt.Sprintf("%s begins within %s, and brings a message within %s of a publish",
		path, milliseconds(opened), milliseconds(delivered)), nil
}

// alive looks whether a stream says that it stands; and, if it is a WebSocket,
// whether it answers a ping.
func (d *doctor) alive(ctx context.Context, path string, s *stream) (bad finding, ok bool) {
	socket := s.in.socket
	if socket != nil {
		socket.ping()
	}
	beats := 0
	_, err := hear(ctx, s, beatTime+d.times.answer, func(b *batch) bool {
		if isBeat(b) {
			beats++
		}
		return beats > 0 && (socket == nil || socket.pongs > 0)
	})
	switch {
	case err == nil:
		return bad, true
	case beats > 0:
		return fail(adviceSocket, "a ping to %s is not answered: something swallows it", path), false
	}
	return fail(adviceStreamIdle, "%s brings a message, but then does not say that it stands: %v", path, err), false
}

// deliver publishes a word and looks when it comes. took is counted from before
// the publish: longer than what the stream is to blame for.
func (d *doctor) deliver(ctx context.Context, path string, s *stream, word string) (took time.Duration, bad *finding) {
	said := time.Now()
	if err := d.publish(ctx, word); err != nil {
		f := fail(adviceAdminURL, "%v", plainError(err))
		return 0, &f
	}
	known := time.Now()
	_, err := hear(ctx, s, d.times.answer, tells(word))
	came := time.Now()
	var f finding
	switch delay := came.Sub(known); {
	case errors.Is(err, errSilent):
		f = fail(s.advice(), "%s begins, but a message that is published does not come: something holds it back or swallows it", path)
	case err != nil:
		f = fail(s.advice(), "%s begins, but is cut before it brings a message: %v", path, err)
	case delay > d.times.tooSlow:
		f = fail(s.advice(), "%s brings a message %s or more after it was published", path, milliseconds(delay))
	case delay > d.times.slow:
		f = warn(s.advice(), "%s brings a message %s or more after it was published", path, milliseconds(delay))
	default:
		return came.Sub(said), nil
	}
	return 0, &f
}

// advice is what helps against a stream that is held back.
func (s *stream) advice() []string {
	if s.in != nil && s.in.socket != nil {
		return adviceSocket
	}
	return adviceStream
}

// unopened is for a stream that has brought nothing. Pages go on by another
// transport where one is not there; but one that is there and keeps silent
// costs each of them some seconds.
func (d *doctor) unopened(path string, s *stream, err error) finding {
	var status *statusError
	begun := s.in != nil
	switch {
	case errors.As(err, &status):
		return notThere(path, status)
	case errors.Is(err, errSilent) && begun:
		return fail(s.advice(), "%s begins (%s), but nothing follows within %s: something holds it back or swallows it",
			path, s.in.status, seconds(d.times.answer))
	case errors.Is(err, errSilent):
		return fail(adviceStream, "%s is not answered within %s: something holds it back", path, seconds(d.times.answer))
	case begun:
		return fail(s.advice(), "%s begins (%s), but nothing follows before it ends: %v", path, s.in.status, err)
	case isNetwork(err):
		return fail(adviceReach, "%s: %v", path, err)
	}
	return warn(adviceStreamPath, "what answers for %s is not Shaveet; pages have to do without", path)
}

// notThere is for an answer that is no stream.
func notThere(path string, e *statusError) finding {
	name := fmt.Sprintf("%d %s", e.status, http.StatusText(e.status))
	switch {
	case e.said:
		return fail(nil, "%s is refused: %v", path, e)
	case e.status/100 == 3:
		return fail(nil, "%s is redirected (%s): pages must use, and doctor be given, the address at the end", path, name)
	case isGateway(e.status):
		return fail(adviceReach, "%s is answered %s: a proxy does not reach what is behind it", path, name)
	}
	return warn(adviceStreamPath, "%s is not passed on (%s); pages have to do without", path, name)
}
