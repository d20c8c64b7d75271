// Package faultproxy is a TCP proxy on loopback that treats connections badly:
// it cuts them at a random byte, resets or half-closes them, hands them on in
// tiny pieces or with pauses, or lets them hang. It knows nothing of what goes
// through it.
//
//	p := faultproxy.Start(t, target, seed, faultproxy.Faults{Cut: 300, Pieces: 200})
//	http.Get("http://" + p.Addr() + "/…")
//
// What befalls a connection follows from the seed and from the connection's
// number, so the same seed has the same faults again, as far as the same
// connections come in the same order.
package faultproxy

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// A Proxy hands connections on to a target. Its methods may be called by many
// goroutines at once.
type Proxy struct {
	addr   string
	seed   uint64
	faults Faults
	moods  [sides]mood

	ctx  context.Context // ends with the proxy
	stop context.CancelFunc
	work sync.WaitGroup // everything that runs

	mu       sync.Mutex // guards all below
	listener net.Listener
	target   string
	links    map[*link]struct{}
	count    uint64      // connections so far
	ends     map[End]int // early ends so far
}

// Start returns a proxy before the address target that ends with the test.
func Start(t testing.TB, target string, seed uint64, f Faults) *Proxy {
	t.Helper()
	p, err := New(target, seed, f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// New returns a proxy before the address target, on a port of its own. The
// caller must Close it.
func New(target string, seed uint64, f Faults) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, addr: l.Addr().String(), seed: seed, faults: f.withDefaults(), target: target,
		links: make(map[*link]struct{}), ends: make(map[End]int)}
	p.ctx, p.stop = context.WithCancel(context.Background())
	for i := range p.moods {
		p.moods[i].left = -1
	}
	p.work.Go(func() { p.accept(l) })
	return p, nil
}

// Addr is the proxy's own address.
func (p *Proxy) Addr() string { return p.addr }

// Close ends all connections and returns when nothing runs any more.
func (p *Proxy) Close() {
	p.stop()
	p.mu.Lock()
	p.listener.Close()
	p.mu.Unlock()
	p.Sever()
	p.work.Wait()
}

// Retarget has connections that come from now on handed on to another address:
// what stands behind the proxy has moved, and those before it see the same
// address. "" is nowhere: who comes is turned away.
func (p *Proxy) Retarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Sever resets all connections that there are, as a machine does that loses
// its power and comes back.
func (p *Proxy) Sever() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.reset()
	}
}

// Connections is how many have come so far.
func (p *Proxy) Connections() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

// Ended is how many connections have been brought to this end so far.
func (p *Proxy) Ended(e End) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ends[e]
}

func (p *Proxy) accept(listener net.Listener) {
	for {
		c, err := listener.Accept()
		if err != nil {
			if p.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			continue // the peer has given up in between
		}
		p.mu.Lock()
		n, target := p.count, p.target
		p.count++
		p.mu.Unlock()
		p.work.Go(func() { p.serve(c.(*net.TCPConn), n, target) })
	}
}

// serve hands the connection number n on, by its plan.
func (p *Proxy) serve(client *net.TCPConn, n uint64, target string) {
	defer client.Close()
	if target == "" {
		return
	}
	var d net.Dialer
	c, err := d.DialContext(p.ctx, "tcp", target)
	if err != nil {
		return
	}
	l := &link{proxy: p, client: client, server: c.(*net.TCPConn), done: make(chan struct{})}
	p.add(l)
	defer p.remove(l)
	plan := PlanFor(p.seed, n, p.faults)
	var ways sync.WaitGroup
	ways.Go(func() { l.carry(Requests, l.server, l.client, plan.Request) })
	ways.Go(func() { l.carry(Answers, l.client, l.server, plan.Answer) })
	ways.Wait()
	l.close()
}

func (p *Proxy) add(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.links[l] = struct{}{}
	if p.ctx.Err() != nil { // Close has severed the others already
		l.reset()
	}
}

func (p *Proxy) remove(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

func (p *Proxy) ended(e End) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ends[e]++
}

// A link is one connection through the proxy.
type link struct {
	proxy          *Proxy
	client, server *net.TCPConn
	once           sync.Once
	done           chan struct{} // closed when both sides are
}

// close closes both sides.
func (l *link) close() {
	l.once.Do(func() {
		l.client.Close()
		l.server.Close()
		close(l.done)
	})
}

// reset closes both sides without a farewell.
func (l *link) reset() {
	l.once.Do(func() {
		l.client.SetLinger(0)
		l.server.SetLinger(0)
		l.client.Close()
		l.server.Close()
		close(l.done)
	})
}

// carry hands on what comes from src to dst, in the way that is planned.
func (l *link) carry(s Side, dst, src *net.TCPConn, w Way) {
	left := w.After
	buf := make([]byte, 32<<10)
	for pieces := 0; ; {
		n, err := src.Read(buf)
		part, cut := l.treat(s, buf[:n])
		if w.End != EndNone && int64(len(part)) >= left {
			part = part[:left]
		}
		left -= int64(len(part))
		for len(part) > 0 {
			piece := part
			if w.Piece > 0 && pieces < mostPieces {
				piece = part[:min(w.Piece, len(part))]
			}
			if pieces++; w.Every > 0 && pieces%w.Every == 0 && pieces <= mostPauses*w.Every {
				l.pause(w.Pause)
			}
			if _, err := dst.Write(piece); err != nil {
				l.reset() // the sender is to see that nobody is there
				return
			}
			part = part[len(piece):]
		}
		if cut {
			l.proxy.ended(EndReset)
			l.reset()
			return
		}
		if w.End != EndNone && left == 0 {
			l.end(dst, src, w.End)
			return
		}
		if err == io.EOF {
			dst.CloseWrite()
			return
		}
		if err != nil {
			l.reset()
			return
		}
	}
}

// end brings the direction from src to dst to its end.
func (l *link) end(dst, src *net.TCPConn, e End) {
	l.proxy.ended(e)
	switch e {
	case EndCut:
		l.close()
	case EndReset:
		l.reset()
	case EndHalf:
		dst.CloseWrite()
		io.Copy(io.Discard, src)
	case EndStall:
		l.pause(l.proxy.faults.StallTime)
		l.reset()
	}
}

// pause waits for d, or until the connection is over.
func (l *link) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.done:
	}
}
