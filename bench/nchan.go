package bench

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// An nchan is nginx with Nchan, configured so:
//
//	location = /pub { nchan_publisher; nchan_channel_id $arg_id; }
//	location = /sub { nchan_subscriber; nchan_channel_id $arg_id; nchan_subscriber_first_message newest; }
//
// Which of its ways a reader takes, the request's headers say. Whoever reads
// hears one channel.
type nchan struct {
	publish, public string // URLs without the paths
	plan            *Plan
	stem            string
}

func (n *nchan) prepare(_ context.Context, p *Plan) error {
	n.plan, n.stem = p, stem()
	if p.Publish != ByCall {
		return errOnlyCalls
	}
	if p.Each != 1 {
		return fmt.Errorf("readers of Nchan hear one channel here, not %d", p.Each)
	}
	switch p.Transport {
	case "websocket", "sse", "longpoll":
		return nil
	}
	return fmt.Errorf("the transport %s is none of Nchan's: there are websocket, sse and longpoll", p.Transport)
}

func (n *nchan) tidy(context.Context) {}

func (n *nchan) readersAt() string {
	u, err := url.Parse(n.public)
	if err != nil {
		return n.public
	}
	return hostPort(u)
}

func (n *nchan) dialect(r int) dialect {
	id := n.stem + strconv.Itoa(n.plan.spread().channel(r, 0))
	request := "GET /sub?id=" + id + " HTTP/1.1\r\nHost: " + n.readersAt() + "\r\n"
	switch n.plan.Transport {
	case "sse":
		return &lineReader{request: request + "Accept: text/event-stream\r\n\r\n", ready: eventBegun}
	case "longpoll":
		return &taggedPoller{request: request}
	}
	return &socketReader{request: request + upgradeFields + "\r\n"}
}

func (n *nchan) says() (call, error) {
	path := "/pub?id=" + n.stem
	return call{url: strings.TrimSuffix(n.publish, "/"), batch: 1, answer: goodStatus, request: func(dst, body []byte, notes []note) (_, _ []byte) {
		return strconv.AppendInt(append(dst, path...), int64(notes[0].channel), 10), appendMessage(body, notes[0], n.plan.Size)
	}}, nil
}

// A taggedPoller reads by long polls whose position is in the headers
// Last-Modified and Etag. The first is not answered before there is a message,
// so nothing tells that the reader stands.
type taggedPoller struct {
	request string
}

func (r *taggedPoller) mute() {}

func (r *taggedPoller) begin(dst []byte) []byte { return append(append(dst, r.request...), "\r\n"...) }

func (r *taggedPoller) hear(p []byte, e *ear) (n int, err error) {
	for n < len(p) {
		size, h, body, err := readAnswer(p[n:])
		if size == 0 || err != nil {
			return n, err
		}
		n += size
		if h.status != 200 || h.close {
			return n, &closedError{fmt.Sprintf("the server answered a poll with %d: %s", h.status, excerpt(body))}
		}
		e.reply = fmt.Appendf(append(e.reply, r.request...), "If-Modified-Since: %s\r\nIf-None-Match: %s\r\n\r\n", h.field("last-modified"), h.field("etag"))
		e.heard(body)
	}
	return n, nil
}
