package faultproxy

import (
	"net"
	"sync"
	"time"
)

// A Side is one direction of all connections.
type Side uint8

// The sides.
const (
	Requests Side = iota // from who has connected to the server
	Answers              // from the server
	sides
)

// A mood is how one side is treated now, whatever its plan says. It holds for
// the connections that there are and for those that come.
type mood struct {
	mu    sync.Mutex // guards all below
	delay time.Duration
	held  chan struct{} // nil, or nothing is handed on until it is closed
	drop  bool
	left  int64 // bytes that are handed on before the connection is cut; < 0: no end
}

// Delay has everything on a side handed on so much later, the same for each
// piece: a line that is long. 0 ends it.
func (p *Proxy) Delay(s Side, d time.Duration) {
	m := &p.moods[s]
	m.mu.Lock()
	defer m.mu.Unlock()
	m.delay = d
}

// Hold has a side hang: nothing is handed on, and nobody is told, until Release.
// Connections that come are accepted and hang too.
func (p *Proxy) Hold(s Side) {
	m := &p.moods[s]
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held == nil {
		m.held = make(chan struct{})
	}
}

// Release ends what Hold has begun. What has come meanwhile is handed on.
func (p *Proxy) Release(s Side) {
	m := &p.moods[s]
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held != nil {
		close(m.held)
		m.held = nil
	}
}

// Drop has all that comes on a side thrown away, while the other side goes on:
// a server does what it is asked, and nobody hears of it. Connections that have
// lost something are of no use afterwards, so Drop(s, false) resets all.
func (p *Proxy) Drop(s Side, on bool) {
	m := &p.moods[s]
	m.mu.Lock()
	m.drop = on
	m.mu.Unlock()
	if !on {
		p.Sever()
	}
}

// CutAfter resets the connection which has the byte number n, counted over all
// connections from now on, handed on on a side. It does so once.
func (p *Proxy) CutAfter(s Side, n int64) {
	m := &p.moods[s]
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left = n
}

// Refuse has nobody listen at the proxy's address, and resets who is there;
// Accept has it listen there again.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	p.listener.Close()
	p.mu.Unlock()
	p.Sever()
}

// Accept ends what Refuse has begun.
func (p *Proxy) Accept() error {
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener = l
	if p.ctx.Err() != nil {
		return l.Close()
	}
	p.work.Go(func() { p.accept(l) })
	return nil
}

// treat has a piece of a side wait as long as the mood wants, and returns how
// much of it is handed on, and whether the connection ends with it.
func (l *link) treat(s Side, part []byte) (pass []byte, cut bool) {
	m := &l.proxy.moods[s]
	m.mu.Lock()
	delay := m.delay
	m.mu.Unlock()
	if delay > 0 {
		l.pause(delay)
	}
	m.mu.Lock()
	held := m.held
	m.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-l.done:
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.drop {
		return nil, false
	}
	if m.left >= 0 && int64(len(part)) >= m.left {
		part, cut = part[:m.left], true
		m.left = -1
	} else if m.left >= 0 {
		m.left -= int64(len(part))
	}
	return part, cut
}
