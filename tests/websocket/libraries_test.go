package websocket_test

import (
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"github.com/shaveet/shaveet/tests/live"
)

// program is a library that another program uses: it is told by its argument
// what to open, and tells by its output what happens. others are files that the
// script needs.
func program(tool, script string, others ...string) library {
	return func(t *testing.T, connections []connection, compression bool) func() []event {
		t.Helper()
		live.Track(t, append(others, script)...)
		said, err := json.Marshal(map[string]any{"connections": connections, "compression": compression})
		if err != nil {
			t.Fatal(err)
		}
		output := live.Run(t, exec.Command(live.Tool(t, tool), script, string(said)))
		return func() (events []event) {
			for line := range strings.Lines(output()) {
				var e event
				if strings.HasSuffix(line, "\n") && json.Unmarshal([]byte(line), &e) == nil {
					events = append(events, e)
				}
			}
			return events
		}
	}
}

// coder is the library of that name, here and now.
func coder(t *testing.T, connections []connection, compression bool) func() []event {
	var mu sync.Mutex // guards events
	var events []event
	tell := func(e event) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, e)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	for _, c := range connections {
		running.Go(func() { follow(ctx, c, compression, tell) })
	}
	return func() []event {
		mu.Lock()
		defer mu.Unlock()
		return append([]event(nil), events...)
	}
}

func follow(ctx context.Context, c connection, compression bool, tell func(event)) {
	opts := &websocket.DialOptions{Subprotocols: c.Protocols, CompressionMode: websocket.CompressionDisabled}
	if compression {
		opts.CompressionMode = websocket.CompressionNoContextTakeover
	}
	conn, resp, err := websocket.Dial(ctx, c.URL, opts)
	if err != nil {
		tell(event{Name: c.Name, Event: "error", Data: err.Error()})
		return
	}
	defer conn.CloseNow()
	conn.SetReadLimit(1 << 20)
	tell(event{Name: c.Name, Event: "open", Protocol: conn.Subprotocol(), Extensions: resp.Header.Get("Sec-WebSocket-Extensions")})
	if c.Hello != "" {
		if err := conn.Write(ctx, websocket.MessageText, []byte(c.Hello)); err != nil {
			tell(event{Name: c.Name, Event: "error", Data: err.Error()})
		}
	}
	for {
		kind, data, err := conn.Read(ctx)
		var closed websocket.CloseError
		switch {
		case errors.As(err, &closed):
			tell(event{Name: c.Name, Event: "close", Code: int(closed.Code), Clean: true})
			return
		case err != nil:
			tell(event{Name: c.Name, Event: "error", Data: err.Error()})
			return
		}
		what := map[websocket.MessageType]string{websocket.MessageText: "message", websocket.MessageBinary: "binary"}[kind]
		tell(event{Name: c.Name, Event: what, Data: string(data)})
	}
}
