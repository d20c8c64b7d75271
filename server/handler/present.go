package handler

import (
	"context"
	"sync"
)

// present are the sockets that were let in, until it is noted that they have
// left. One may come back by another connection before that: what it has said by
// the first one may still wait for its answer.
type present struct {
	mu   sync.Mutex // guards here; no other lock is taken under it
	here map[string]chan struct{}
}

func (p *present) enter(socket string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.here == nil {
		p.here = make(map[string]chan struct{})
	}
	p.here[socket] = nil // made when somebody waits for it
}

func (p *present) leave(socket string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if gone := p.here[socket]; gone != nil {
		close(gone)
	}
	delete(p.here, socket)
}

// wait waits until the socket has left.
func (p *present) wait(ctx context.Context, socket string) error {
	p.mu.Lock()
	gone, is := p.here[socket]
	if is && gone == nil {
		gone = make(chan struct{})
		p.here[socket] = gone
	}
	p.mu.Unlock()
	if !is {
		return nil
	}
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
