package cluster

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A trouble is what befalls a link.
type trouble struct {
	ask, answer bool          // nothing goes this way; what has come waits
	delay       time.Duration // of each piece
	after       int           // answers are thrown away after so many bytes, and the connection is cut; 0: they are not
}

// A link is a way to a server that can be blocked, slowed down and cut.
type link struct {
	listener net.Listener
	target   atomic.Pointer[string]
	work     sync.WaitGroup

	mu      sync.Mutex // guards all below
	trouble trouble
	changed chan struct{} // closed and replaced when trouble changes
	pairs   map[*pair]bool
	over    bool
}

// A pair is a connection's two sides.
type pair struct{ near, far net.Conn }

func (p *pair) close() {
	reset(p.near)
	reset(p.far)
}

func newLink(t testing.TB, target string) *link {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &link{listener: l, changed: make(chan struct{}), pairs: make(map[*pair]bool)}
	k.target.Store(&target)
	k.work.Go(k.accept)
	return k
}

func (k *link) addr() string { return k.listener.Addr().String() }

func (k *link) accept() {
	for {
		near, err := k.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		k.work.Go(func() { k.serve(near) })
	}
}

func (k *link) serve(near net.Conn) {
	if _, ok := k.pass(true); !ok { // it would not get there
		near.Close()
		return
	}
	far, err := net.DialTimeout("tcp", *k.target.Load(), 2*time.Second)
	if err != nil {
		near.Close()
		return
	}
	p := &pair{near, far}
	k.mu.Lock()
	if k.over {
		p.close()
	}
	k.pairs[p] = true
	k.mu.Unlock()
	k.work.Go(func() { k.carry(p, far, near, true) })
	k.carry(p, near, far, false)
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.pairs, p)
}

// carry hands on what comes in one direction.
func (k *link) carry(p *pair, dst, src net.Conn, asks bool) {
	defer p.close()
	buf := make([]byte, 32<<10)
	sent := 0
	for {
		n, err := src.Read(buf)
		if n > 0 {
			t, ok := k.pass(asks)
			if !ok {
				return
			}
			sent += n
			if !asks && t.after > 0 && sent > t.after {
				return
			}
			time.Sleep(t.delay)
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits until something may go that way.
func (k *link) pass(asks bool) (trouble, bool) {
	for {
		k.mu.Lock()
		t, changed, over := k.trouble, k.changed, k.over
		k.mu.Unlock()
		if over {
			return t, false
		}
		if asks && !t.ask || !asks && !t.answer {
			return t, true
		}
		<-changed
	}
}

// set has a trouble befall the link; the zero value is none.
func (k *link) set(t trouble) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.trouble = t
	close(k.changed)
	k.changed = make(chan struct{})
}

// cut ends all connections there are.
func (k *link) cut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for p := range k.pairs {
		p.close()
	}
}

// retarget has all that comes from now on go elsewhere, and cuts what there is.
func (k *link) retarget(addr string) {
	if old := k.target.Swap(&addr); *old != addr {
		k.cut()
	}
}

func (k *link) close() {
	k.listener.Close()
	k.mu.Lock()
	k.over = true
	close(k.changed)
	k.changed = make(chan struct{})
	k.mu.Unlock()
	k.cut()
	k.work.Wait()
}
