package socketio_test

import (
	"strings"
	"testing"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/socketio"
)

// What a socket has shown stays in memory as long as it does, so it is bounded.
func TestTooLargeAuth(t *testing.T) {
	w := newWorld(t, socketio.Options{MaxAuth: 1000, Namespaces: openChat}, hub.Limits{})
	p := w.dial("")
	p.send(`40/open,{"x":"` + strings.Repeat("x", 993) + `"}`)
	p.expect(`44/open,{"message":"auth: too large","data":{"code":413,"type":"too_large"}}`)
	p.join("/open", `{"x":"`+strings.Repeat("x", 992)+`"}`)
}
