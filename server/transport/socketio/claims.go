package socketio

import (
	"context"
	"sync"
)

// claims are sockets, by their ids, that somebody has something to do with, whom
// others have to wait for: who comes back must not overtake its former self.
type claims struct {
	mu   sync.Mutex // guards held; no other lock is taken under it
	held map[string]chan struct{}
}

// take waits until nobody holds the socket, or ctx ends, and holds it.
func (c *claims) take(ctx context.Context, id string) error {
	for {
		c.mu.Lock()
		other := c.held[id]
		if other == nil {
			c.holdLocked(id)
			c.mu.Unlock()
			return nil
		}
		c.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// wait waits until nobody holds the socket, or ctx ends.
func (c *claims) wait(ctx context.Context, id string) error {
	c.mu.Lock()
	other := c.held[id]
	c.mu.Unlock()
	if other == nil {
		return nil
	}
	select {
	case <-other:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hold holds a socket that nobody holds.
func (c *claims) hold(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holdLocked(id)
}

func (c *claims) holdLocked(id string) {
	if c.held == nil {
		c.held = make(map[string]chan struct{})
	}
	c.held[id] = make(chan struct{})
}

func (c *claims) release(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if held := c.held[id]; held != nil {
		close(held)
		delete(c.held, id)
	}
}

// is reports whether somebody holds the socket.
func (c *claims) is(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held[id] != nil
}
