package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"testing"

	"github.com/shaveet/shaveet/tests/live"
)

// chromium is a real one, driven by driver.mjs: a line of JSON is an order or
// its answer. Its methods may be called by many goroutines at once.
type chromium struct {
	orders io.Writer

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
	cmd := exec.Command(live.Tool(t, "node"), "driver.mjs")
	orders, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	answers, output := io.Pipe()
	cmd.Stdout = output
	c := &chromium{orders: orders, waiting: make(map[int]chan answer)}
	var reading sync.WaitGroup
	reading.Go(func() { c.read(answers) })
	t.Cleanup(func() { output.Close(); reading.Wait() })
	live.Run(t, cmd)
	t.Cleanup(func() { orders.Close() })
	return c
}

func (c *chromium) read(answers io.Reader) {
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
		_, err = c.orders.Write(append(text, '\n'))
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
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", order, context.Cause(ctx))
	}
}
