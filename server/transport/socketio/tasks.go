package socketio

import (
	"context"
	"sync"
)

// tasks counts what has to end before the server can: connections, and goroutines
// of theirs. Unlike those of a [sync.WaitGroup] they may begin while somebody
// waits.
type tasks struct {
	mu   sync.Mutex // guards all below
	n    int
	idle chan struct{} // closed when there are none; nil: nobody waits
}

func (t *tasks) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n++
}

func (t *tasks) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n--; t.n == 0 && t.idle != nil {
		close(t.idle)
		t.idle = nil
	}
}

// run runs f on a goroutine of its own.
func (t *tasks) run(f func()) {
	t.begin()
	go func() {
		defer t.end()
		f()
	}()
}

// wait waits until there are none, or ctx ends.
func (t *tasks) wait(ctx context.Context) error {
	t.mu.Lock()
	if t.n == 0 {
		t.mu.Unlock()
		return nil
	}
	if t.idle == nil {
		t.idle = make(chan struct{})
	}
	idle := t.idle
	t.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
