package socketio

import (
	"container/list"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// leavers are the sockets that have lost their connections. They are forgotten
// when their time to come back is over.
type leavers struct {
	wake chan struct{}
	most atomic.Int64 // may wait at once

	mu      sync.Mutex               // guards all below; no other lock is taken under it
	gone    []hub.Credentials        // those that are not to come back
	waiting list.List                // of leaver: the others, the first to be forgotten in front
	places  map[string]*list.Element // of waiting, by id
}

type leaver struct {
	hub.Credentials
	at time.Time // when it is to be forgotten
}

func newLeavers() *leavers {
	return &leavers{wake: make(chan struct{}, 1), places: make(map[string]*list.Element)}
}

// add has the socket be forgotten in d.
func (l *leavers) add(cr hub.Credentials, d time.Duration) {
	l.mu.Lock()
	l.dropLocked(cr.ID)
	first := d == 0
	if first {
		l.gone = append(l.gone, cr)
	} else {
		// All have the same time but for a while after it has been changed: then
		// some wait for one that is to be forgotten later.
		l.places[cr.ID] = l.waiting.PushBack(leaver{cr, time.Now().Add(d)})
		first = l.waiting.Len() == 1 || l.waiting.Len() > int(l.most.Load())
	}
	l.mu.Unlock()
	if first {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// Expect has a socket that another node has left behind be forgotten when its
// time to come back is over; it may come back to any.
func (sv *Server) Expect(cr hub.Credentials) {
	sv.leavers.add(cr, max(sv.settings.Load().RecoveryTime, time.Second))
}

// keep has the socket, which has come back, not be forgotten.
func (l *leavers) keep(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropLocked(id)
}

func (l *leavers) dropLocked(id string) {
	if e := l.places[id]; e != nil {
		l.waiting.Remove(e)
		delete(l.places, id)
	}
}

func (l *leavers) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting.Len()
}

// due takes those whose time is over, and returns when the next one's is; zero:
// nobody waits.
func (l *leavers) due(now time.Time) (over []hub.Credentials, next time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	over, l.gone = l.gone, nil
	for e := l.waiting.Front(); e != nil; e = l.waiting.Front() {
		one := e.Value.(leaver)
		if one.at.After(now) && l.waiting.Len() <= int(l.most.Load()) {
			return over, one.at
		}
		over = append(over, one.Credentials)
		l.dropLocked(one.ID)
	}
	return over, next
}

// run forgets sockets until ctx ends.
func (l *leavers) run(ctx context.Context, h *hub.Hub, log *slog.Logger) {
	for {
		over, next := l.due(time.Now())
		for _, cr := range over {
			if err := h.ForgetSocket(ctx, cr); err != nil && ctx.Err() == nil {
				// The sweeper will, by and by.
				log.Warn("a socket could not be forgotten", "error", err)
			}
		}
		var timer *time.Timer
		var due <-chan time.Time // never, if nobody waits
		if !next.IsZero() {
			timer = time.NewTimer(time.Until(next))
			due = timer.C
		}
		select {
		case <-ctx.Done():
		case <-due:
		case <-l.wake:
		}
		if timer != nil {
			timer.Stop()
		}
		if ctx.Err() != nil {
			return
		}
	}
}
