package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/shaveet/shaveet/tests/live"
)

// chromium is a real one, driven by driver.mjs: a line of JSON is an order or
// its answer. Its methods may be called by many goroutines at once.
type chromium struct {
	orders io.Writer
	gone   chan struct{} // closed when the driver is

	mu      sync.Mutex // guards all below, and writing
	next    int
	waiting map[int]chan answer
}

type answer struct {
	ID    int             `json:"id"`
	Value json.RawMessage `json:"value"`
	Error string          `json:"error"`
}

func startChromium(t *testing.T) *chromium {
	t.Helper()
	live.Track(t, "driver.mjs")
	return startDriver(t, "driver.mjs")
}

func startDriver(t *testing.T, args ...string) *chromium {
	t.Helper()
	cmd := exec.Command(live.Tool(t, "node"), args...)
	orders, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	answers, output, err := os.Pipe() // which ends when the driver does
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	cmd.Stdout = output
	c := &chromium{orders: orders, gone: make(chan struct{}), waiting: make(map[int]chan answer)}
	go c.read(answers)
	t.Cleanup(func() { <-c.gone; answers.Close() })
	live.Run(t, cmd)
	t.Cleanup(func() { orders.Close() })
	return c
}

func (c *chromium) read(answers io.Reader) {
	defer close(c.gone)
	lines := bufio.NewReaderSize(answers, 1<<16)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var a answer
		if json.Unmarshal(line, &a) != nil {
			continue
		}
		c.mu.Lock()
		ch := c.waiting[a.ID]
		delete(c.waiting, a.ID)
		c.mu.Unlock()
		if ch != nil {
			ch <- a
		}
	}
}

// do gives an order and waits for what comes of it.
func (c *chromium) do(ctx context.Context, order string, params map[string]any, into any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("no answer"))
	defer cancel()
	answered := make(chan answer, 1)
	c.mu.Lock()
	c.next++
	all := map[string]any{"id": c.next, "do": order}
	for name, value := range params {
		all[name] = value
	}
	text, err := json.Marshal(all)
	if err == nil {
		c.waiting[c.next] = answered
		_, _ = c.orders.Write(append(text, '\n')) // it can be written unless the driver is gone
	}
	c.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%s: %w", order, err)
	}
	select {
	case a := <-answered:
		if a.Error != "" {
			return fmt.Errorf("%s: %s", order, a.Error)
		}
		if into == nil {
			return nil
		}
		return json.Unmarshal(a.Value, into)
	case <-c.gone:
		return fmt.Errorf("%s: driver.mjs has ended; the test shows below what it has said", order)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", order, context.Cause(ctx))
	}
}

// TestADriverThatEnds fails what is asked of it at once: a module is missing,
// say. Nobody waits for an answer then.
func TestADriverThatEnds(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	c := startDriver(t, "--eval", "process.exit(1)")
	for range 2 { // it may be there still, and then not any more
		if err := c.do(t.Context(), "open", nil, nil); err == nil || !strings.Contains(err.Error(), "has ended") {
			t.Errorf("got %v, want that it has ended", err)
		}
	}
}
