package hub

import (
	"container/list"
	"sync"
)

// A letGoList holds the clients that wait to be revived, the longest waiting
// first.
type letGoList struct {
	mu sync.Mutex // guards l and client.waiting; no other lock is taken under it
	l  list.List  // of letGoEntry
}

type letGoEntry struct {
	client *client
	at     int64 // when it was let go; ns since the hub began
}

func (g *letGoList) add(c *client, at int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c.waiting = g.l.PushBack(letGoEntry{c, at})
}

func (g *letGoList) remove(c *client) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.waiting != nil {
		g.l.Remove(c.waiting)
		c.waiting = nil
	}
}

// surplus returns the ids of clients that must be forgotten, at most max:
// those over the limit, and those let go before the given time.
func (g *letGoList) surplus(limit int, before int64, max int) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var ids []string
	over := g.l.Len() - limit
	for e := g.l.Front(); e != nil && len(ids) < max; e = e.Next() {
		entry := e.Value.(letGoEntry)
		if over <= 0 && entry.at >= before {
			break
		}
		over--
		ids = append(ids, entry.client.id)
	}
	return ids
}

func (g *letGoList) len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.l.Len()
}
