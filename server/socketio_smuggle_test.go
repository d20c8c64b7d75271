package server

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// A request with a body that nobody reads gets one answer, and its connection
// ends: behind a proxy, what is in the body would be somebody else's request.
func TestSocketIOUnreadBodies(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.SocketioPingInterval = 200 * time.Millisecond })
	hidden := "GET /socket.io/?hidden HTTP/1.1\r\nHost: x\r\n\r\n"
	for door, addr := range map[string]string{"main": r.main, "public": r.pub} {
		for _, tt := range []struct {
			name string
			head func(c *eio) string
		}{
			{"a poll with something to hear", func(c *eio) string {
				c.say("40/nobody,") // which is refused
				return "GET " + c.path() + " HTTP/1.1\r\n"
			}},
			{"a poll that would be held", func(c *eio) string { return "GET " + c.path() + " HTTP/1.1\r\n" }},
			{"another method", func(c *eio) string { return "PUT " + c.path() + " HTTP/1.1\r\n" }},
			{"a handshake", func(*eio) string { return "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n" }},
			{"a WebSocket", func(c *eio) string {
				return "GET " + strings.Replace(c.path(), "=polling", "=websocket", 1) + " HTTP/1.1\r\nConnection: Upgrade\r\n" +
					"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
			}},
		} {
			for _, body := range []string{
				fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(hidden), hidden),
				fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden),
			} {
				for _, together := range []bool{true, false} {
					got, err := r.oneAnswer(addr, tt.head(connect(t, addr, ""))+"Host: x\r\n", body, together)
					if err != nil || strings.Count(got, "HTTP/1.1 ") != 1 || !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, "\r\nConnection: close\r\n") {
						t.Errorf("%s, %s, %.20s, together: %v: %q, %v", door, tt.name, body, together, got, err)
					}
				}
			}
		}
	}
}

// path is where the connection's requests go.
func (c *eio) path() string { return c.url[strings.Index(c.url, "/socket.io/"):] }

// oneAnswer sends a request, its body at once or behind it, and returns all that
// comes until the connection ends.
func (r *running) oneAnswer(addr, head, body string, together bool) (string, error) {
	r.t.Helper()
	conn := dial(r.t, addr)
	conn.SetDeadline(time.Now().Add(2 * time.Second))
	if together {
		io.WriteString(conn, head+body)
	} else {
		end := strings.Index(body, "\r\n\r\n") + 4
		io.WriteString(conn, head+body[:end])
		time.AfterFunc(20*time.Millisecond, func() { io.WriteString(conn, body[end:]) })
	}
	got, err := io.ReadAll(conn)
	return string(got), err
}
