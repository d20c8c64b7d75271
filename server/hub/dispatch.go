package hub

import (
	"context"
	"sync"
)

// A dispatcher tells readers that something waits for them, on a goroutine of
// its own: whoever publishes only says which channels have news. Channels that
// get more news before their turn has come are told once, so the busier the
// hub, the fewer the wake-ups per message.
type dispatcher struct {
	wake chan struct{} // holds a token when there is work

	mu       sync.Mutex // guards all below; no other lock is taken under it
	channels []*channel
	clients  []*client
}

// add has the readers of the channels and clients woken, and empties the lists.
func (d *dispatcher) add(channels *[]*channel, clients *[]*client) {
	if len(*channels) == 0 && len(*clients) == 0 {
		return
	}
	d.mu.Lock()
	d.channels = append(d.channels, *channels...)
	d.clients = append(d.clients, *clients...)
	d.mu.Unlock()
	clear(*channels)
	clear(*clients)
	*channels, *clients = (*channels)[:0], (*clients)[:0]
	d.signal()
}

func (d *dispatcher) signal() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// run wakes readers until ctx ends.
func (d *dispatcher) run(ctx context.Context) {
	var channels []*channel
	var clients []*client
	var readers []*reader
	tell := func(c *client) {
		readers = c.readers(readers[:0])
		for _, r := range readers {
			r.wake()
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
		}
		d.mu.Lock()
		channels, d.channels = d.channels, channels[:0]
		clients, d.clients = d.clients, clients[:0]
		d.mu.Unlock()
		for _, c := range clients {
			tell(c)
		}
		for _, ch := range channels {
			ch.waiting.Store(false) // before the walk: later news is a later walk's
			if ch.readers.Load() == 0 {
				continue
			}
			ch.walk(func(part []*member) {
				for _, m := range part {
					tell(m.client)
				}
			})
		}
		clear(channels)
		clear(clients)
		clear(readers)
	}
}
