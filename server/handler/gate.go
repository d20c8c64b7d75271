package handler

import (
	"container/list"
	"context"
	"sync"
)

// A gate lets a number of calls be under way. The others wait, and go in the
// order in which they came: since a socket has one at a time, all sockets have
// their turn.
type gate struct {
	mu       sync.Mutex // guards all below; no other lock is taken under it
	room     int        // calls that may be under way
	maxBytes int        // that may wait; one call may be larger
	inside   int
	waiting  list.List // of *ticket
	bytes    int       // of those that wait
}

// A ticket is a call that waits.
type ticket struct {
	bytes int
	turn  chan struct{} // closed when it is its turn
}

func (g *gate) configure(room, maxBytes int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.room, g.maxBytes = room, maxBytes
	g.admit()
}

// enter waits for the call's turn. Without a turn the error is errBusy or that of
// ctx; who has entered leaves. What has no bytes always finds room to wait.
func (g *gate) enter(ctx context.Context, bytes int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g.mu.Lock()
	if g.inside < g.room { // then nobody waits
		g.inside++
		g.mu.Unlock()
		return nil
	}
	if bytes > 0 && g.bytes > 0 && g.bytes+bytes > g.maxBytes {
		g.mu.Unlock()
		return errBusy
	}
	t := &ticket{bytes, make(chan struct{})}
	place := g.waiting.PushBack(t)
	g.bytes += bytes
	g.mu.Unlock()
	select {
	case <-t.turn:
		if ctx.Err() == nil {
			return nil
		}
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-t.turn: // too late
		g.inside--
		g.admit()
	default:
		g.waiting.Remove(place)
		g.bytes -= bytes
	}
	return ctx.Err()
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	g.admit()
}

// admit has as many enter as there is room for. g.mu is held.
func (g *gate) admit() {
	for g.inside < g.room && g.waiting.Len() > 0 {
		t := g.waiting.Remove(g.waiting.Front()).(*ticket)
		g.bytes -= t.bytes
		g.inside++
		close(t.turn)
	}
}

func (g *gate) stats() (waiting, bytes, inside int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting.Len(), g.bytes, g.inside
}
