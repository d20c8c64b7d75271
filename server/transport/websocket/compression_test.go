package websocket_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/websocket"
)

// Compression is agreed on only if both want it. What is the same for all is
// deflated once; what is one reader's own is not.
func TestCompression(t *testing.T) {
	const offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
	long := strings.Repeat("long ", 100)
	for _, test := range []struct {
		name   string
		on     bool
		header string
		agreed string
		kind   string
	}{
		{"agreed", true, offer, "permessage-deflate; server_no_context_takeover; client_no_context_takeover", "deflated"},
		{"not offered", true, "X: y", "", "text"},
		{"switched off", false, offer, "", "text"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t, websocket.Options{Compression: test.on}, hub.Limits{})
				p.client("a", "ch")
				c := p.dial(request(p.query("a"), test.header))
				if got := c.answer.Header.Get("Sec-WebSocket-Extensions"); got != test.agreed {
					t.Errorf("agreed on %q", got)
				}
				c.hears(p.empty())
				p.say("ch", long)
				c.hears(p.short(fmt.Sprintf(`%s {"cursor":"%v","signals":[],"messages":[{"channel":"ch",…`, test.kind, p.hub.Position())))
				p.client("b", "ch")
				c.hears(`text {"cursor":"E.7","signals":[{"type":"presence","channel":"ch","joined":"b"…`)
				p.gone(c)
			})
		})
	}
}

// A deflated hello is taken where that has been agreed on.
func TestDeflatedHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, websocket.Options{Compression: true}, hub.Limits{})
		p.client("a", "ch")
		c := p.dial(request("", "Sec-WebSocket-Extensions: permessage-deflate"), deflatedText(p.hello("a")))
		c.hears(p.empty())
		p.gone(c)
		c = p.dial(request(""), deflatedText(p.hello("a")))
		c.hears("close 1002 reserved bits are set")
		p.gone(c)
		c = p.dial(request("", "Sec-WebSocket-Extensions: permessage-deflate"), deflatedText(strings.Repeat(" ", 1<<20)))
		c.hears("close 1009 the message is too large")
		p.gone(c)
	})
}
