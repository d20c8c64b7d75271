package park

import (
	"sync"

	"github.com/shaveet/shaveet/server/park/internal/kernel"
)

// A poller notices when something comes by connections, or when there is room
// for more, with one goroutine for all of them. It is told of each connection
// once.
type poller struct {
	kernel.Poll
	told [maxTold]kernel.Event // of the goroutine

	mu      sync.Mutex // guards all below
	conns   []*Conn    // by descriptor
	n       int        // how many there are
	running bool       // the goroutine is there, as long as there are any
}

func newPoller(k kernel.Kernel) (*poller, error) {
	poll, err := k.NewPoll()
	if err != nil {
		return nil, err
	}
	return &poller{Poll: poll}, nil
}

// add has c be told what happens to its descriptor from now on, and what has
// happened already.
func (p *poller) add(c *Conn) error {
	fd := int(c.parked.fd)
	p.mu.Lock()
	if fd >= len(p.conns) {
		p.conns = append(p.conns, make([]*Conn, max(fd+1-len(p.conns), len(p.conns)/4))...)
	}
	p.conns[fd] = c
	if p.n++; p.n == 1 {
		p.Interrupt(false)
	}
	if !p.running {
		p.running = true
		go p.run()
	}
	p.mu.Unlock()
	if err := p.Add(fd); err != nil {
		p.forget(c)
		return err
	}
	return nil
}

// replace has c be told in the place of old, which has the same descriptor, and
// of what old has been told already.
func (p *poller) replace(old, c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c.parked.fd] = c
	c.state.Or(old.state.Load() & (readable | ending))
}

// wantRoom has c be told, too, whenever there is room after there was none.
func (p *poller) wantRoom(c *Conn) error { return p.WantRoom(int(c.parked.fd)) }

// remove has nobody be told any more of c's descriptor, which goes on to live
// elsewhere.
func (p *poller) remove(c *Conn) {
	p.Remove(int(c.parked.fd))
	p.forget(c)
}

// forget is for a descriptor that is about to be closed.
func (p *poller) forget(c *Conn) {
	fd := int(c.parked.fd)
	p.mu.Lock()
	defer p.mu.Unlock()
	if fd >= len(p.conns) || p.conns[fd] != c {
		return
	}
	p.conns[fd] = nil
	if p.n--; p.n == 0 {
		p.Interrupt(true) // the goroutine is to end
	}
}

func (p *poller) held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

// maxTold is how many connections are told of at once.
const maxTold = 256

// run tells connections what has happened, until there are none.
func (p *poller) run() {
	for {
		n := p.Wait(p.told[:])
		p.mu.Lock()
		if n == 0 && p.n == 0 {
			p.running = false
			p.mu.Unlock()
			return
		}
		for _, e := range p.told[:n] { // with the lock held: replace must not miss any
			if c := p.conns[e.FD]; c != nil {
				c.kick(happened(e.What))
			}
		}
		p.mu.Unlock()
	}
}

// happened says what an event means. It may be meant for an older connection of
// the same descriptor, so it is only a reason for looking.
func happened(what kernel.What) (state uint32) {
	if what&kernel.Came != 0 {
		state |= readable
	}
	if what&kernel.Room != 0 {
		state |= writable
	}
	if what&kernel.Ending != 0 {
		state |= readable | ending
	}
	return state
}
