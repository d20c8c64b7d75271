package engine_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/transport/socketio/engine"
	"github.com/shaveet/shaveet/server/transport/socketio/engineio"
)

// A request with a body that nobody reads is refused, and the last one on its
// connection: the body is not taken for the next request.
func TestUnreadBodies(t *testing.T) {
	const hidden = "GET /?hidden HTTP/1.1\r\nHost: x\r\n\r\n"
	whole := fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(hidden), hidden)
	chunked := fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden)
	poll := func(p *place) string { return "GET /?" + p.begin("") + " HTTP/1.1\r\nHost: x\r\n" }
	for _, test := range []struct {
		name    string
		request func(p *place) string
	}{
		{"a poll with something to hear", func(p *place) string {
			defer func() { p.last().say("x") }()
			return poll(p)
		}},
		{"a poll that would be held", func(p *place) string {
			defer func() { p.last().session.DueIn(time.Second) }()
			return poll(p)
		}},
		{"a poll that is told of the end", func(p *place) string {
			defer func() { p.last().session.Close(engine.Forced) }()
			return poll(p)
		}},
		{"another method", func(p *place) string { return strings.Replace(poll(p), "GET", "PUT", 1) }},
		{"a handshake", func(*place) string { return "GET /?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n" }},
		{"a WebSocket", func(*place) string { return strings.TrimSuffix(shake("EIO=4&transport=websocket"), "\r\n") }},
		{"one to go over to", func(p *place) string {
			return strings.TrimSuffix(shake(strings.Replace(p.begin(""), "polling", "websocket", 1)), "\r\n")
		}},
		{"one by another method", func(p *place) string {
			return strings.Replace(strings.TrimSuffix(shake("EIO=4&transport=websocket"), "\r\n"), "GET", "POST", 1)
		}},
		{"an unknown session", func(*place) string {
			return "GET /?EIO=4&transport=polling&sid=x HTTP/1.1\r\nHost: x\r\n"
		}},
	} {
		for _, body := range []string{whole, chunked} {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t, engine.Options{})
				p.shape = func(a *app) {
					a.on = func(event string) {
						if event == "due" {
							a.queue = append(a.queue, engineio.Packet{Type: engineio.Message, Data: []byte("late")})
							a.session.Wake()
						}
					}
				}
				request := test.request(p) + body
				if got, err := exchange(p.pipes.dial(), request); err != nil || strings.Count(got, "HTTP/1.1 ") != 1 ||
					!strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, "\r\nConnection: close\r\n") {
					t.Errorf("%s: to %q the answer is %q, %v", test.name, request, got, err)
				}
				time.Sleep(time.Minute) // for what would still be told of its end
			})
		}
	}
}

// exchange sends a request, and returns all that comes until the end.
func exchange(c net.Conn, request string) (string, error) {
	go io.WriteString(c, request)
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	got, err := io.ReadAll(c)
	return string(got), err
}

// A poll that is refused for its body harms only itself.
func TestAfterAnUnreadBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		query := p.begin("")
		poll := p.held(query)
		p.is(p.do("GET", query, "x"), bad)
		p.last().say("still there")
		p.answered(poll, "200 4still there")
		if n := p.server.Stats().BadRequests; n != 1 {
			t.Errorf("%d bad requests are counted", n)
		}
	})
}
