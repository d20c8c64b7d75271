package zeromq_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/shaveet/shaveet/tests/live"
)

// A reader reads channels by a WebSocket, and remembers the numbers it hears.
type reader struct {
	mu      sync.Mutex // guards all below
	numbers []int
	raw     []string // the data of messages
	fault   error
	ended   bool
}

// read has a client read channels from now on.
func (s *server) read(id string, channels ...string) *reader {
	s.t.Helper()
	var key string
	s.call(&key, "create_client", []any{id})
	for _, channel := range channels {
		s.call(nil, "subscribe", []any{id, channel})
	}
	hello, err := json.Marshal(map[string]any{"clients": []any{map[string]string{"id": id, "key": key}}})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	conn, _, err := websocket.Dial(ctx, strings.Replace(s.Main, "http:", "ws:", 1)+"/websocket", nil)
	if err != nil {
		cancel()
		s.t.Fatal(err)
	}
	conn.SetReadLimit(16 << 20)
	if err := conn.Write(ctx, websocket.MessageText, hello); err != nil {
		s.t.Error(err)
	}
	r := &reader{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.follow(ctx, conn)
	}()
	s.t.Cleanup(func() { cancel(); conn.CloseNow(); <-done })
	return r
}

func (r *reader) follow(ctx context.Context, conn *websocket.Conn) {
	for {
		_, text, err := conn.Read(ctx)
		r.mu.Lock()
		if err != nil {
			r.ended = true
			r.mu.Unlock()
			return
		}
		r.hearLocked(text)
		r.mu.Unlock()
	}
}

func (r *reader) hearLocked(text []byte) {
	var b struct {
		Signals  []struct{ Type string }
		Messages []struct {
			ID   int
			Data json.RawMessage
		}
	}
	if err := json.Unmarshal(text, &b); err != nil {
		r.fault = fmt.Errorf("%.200q: %w", text, err)
	}
	for _, signal := range b.Signals {
		if signal.Type == "gap" || signal.Type == "reset" {
			r.fault = fmt.Errorf("it is told of a %s", signal.Type)
		}
	}
	for _, m := range b.Messages {
		var data struct{ N int }
		if json.Unmarshal(m.Data, &data) == nil {
			r.numbers = append(r.numbers, data.N)
		}
		r.raw = append(r.raw, string(m.Data))
	}
}

// heard returns the numbers heard so far.
func (r *reader) heard(t testing.TB) []int {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fault != nil {
		t.Fatal(r.fault)
	}
	return append([]int(nil), r.numbers...)
}

// count is how many messages it has heard.
func (r *reader) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.raw)
}

// until wants n messages to be heard.
func (r *reader) until(t *testing.T, n int) {
	t.Helper()
	last, at := -1, time.Now()
	live.Until(t, fmt.Sprintf("%d messages are heard", n), 5*patience, func() bool {
		got := r.count()
		if got > last {
			last, at = got, time.Now()
		}
		if time.Since(at) > patience {
			t.Fatalf("%d messages are heard, and no more", got)
		}
		return got >= n
	})
}

// texts returns the data of the messages heard.
func (r *reader) texts() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.raw...)
}

// rising wants numbers to rise.
func rising(t *testing.T, numbers []int) {
	t.Helper()
	for i := 1; i < len(numbers); i++ {
		if numbers[i] <= numbers[i-1] {
			t.Fatalf("number %d after %d", numbers[i], numbers[i-1])
		}
	}
}
