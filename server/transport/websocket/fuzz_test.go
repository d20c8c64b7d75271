package websocket_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/websocket"
)

// FuzzPeer has a peer send anything, before its hello and after it: it is
// answered by frames only, the last of which is a close, and leaves nothing
// behind.
func FuzzPeer(f *testing.F) {
	for _, seed := range []string{
		text("{}"), frame(ws.OpPing, "x"), closing(1000, "bye"), closing(1005, ""), cutFrame(ws.OpText, false, "{"), deflatedText("{}"),
		frame(ws.OpPing, "") + text(`{"clients":[{"id":"a","key":"k"}]}`), text(`{"clients":[{"id":"a","key":"00000000000000000000000000000000"}]}`), "GET / HTTP/1.1\r\n\r\n",
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, sent []byte, greets bool) {
		synctest.Test(t, func(t *testing.T) {
			p := newPlace(t, websocket.Options{Compression: true}, hub.Limits{})
			p.client("a", "ch")
			query := ""
			if greets {
				query = p.query("a")
			}
			c := p.dial(request(query, "Sec-WebSocket-Extensions: permessage-deflate"))
			c.send(string(sent))
			time.Sleep(time.Minute)
			lines := c.heard()
			if len(lines) == 0 || lines[len(lines)-1] != "end" {
				t.Fatalf("it is never given up: %q", lines)
			}
			for i, line := range lines[:len(lines)-1] {
				if last := i == len(lines)-2; strings.HasPrefix(line, "close") != last {
					t.Fatalf("it hears %q", lines)
				}
			}
			p.gone(c)
		})
	})
}
