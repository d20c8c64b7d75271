package server

import (
	"net"
	"sync/atomic"
)

// notConnections is how many file descriptors are kept for all that is no connection.
const notConnections = 128

// leastOwn is how many connections are a door's own at least, if there are so many.
const leastOwn = 64

// A room is what descriptors leave for connections, at all doors together. Each door
// has a few that are its own, so that one that is full leaves others open; the rest
// is for whichever needs it. The zero room has no end.
type room struct {
	each   int           // how many are each door's own
	nodes  int           // and of the door for other nodes; as many may go to those
	shared chan struct{} // has a token for each that is of nobody's own; nil: there is no end
}

// newRoom is that of a process that may have n descriptors, 0 if there is no end of
// them, and so many doors, without the one for other nodes. atDoor is how many may
// come by each at once, 0 for as many as there is room for; nodes how many by that
// one, and as many may go to other nodes.
func newRoom(n, doors, atDoor, nodes int) *room {
	if n == 0 {
		return &room{}
	}
	left := n - 2*nodes
	all := max(left-notConnections, left/2, 1)
	r := &room{nodes: nodes, each: max(min(max(leastOwn, all/16), all/(4*max(doors, 1))), 1)}
	if atDoor > 0 {
		r.each = min(r.each, atDoor)
	}
	r.shared = make(chan struct{}, max(all-doors*r.each, 0))
	return r
}

// roomForNodes is how many of n descriptors may be connections of other nodes to
// this one, and as many again of this one to others. Where requests are handed on,
// each that is held at the door may need another connection; else nodes do no more
// than ask each other.
func roomForNodes(n int, handOn bool) int {
	if handOn {
		return max(n/4, 1)
	}
	return max(n/16, 1)
}

// part returns a door's part of the room. most is how many may come by it at once, 0
// for as many as there is room for.
func (r *room) part(most int) *part { return newPart(r.each, r.shared, most) }

// partOfNodes is that of the door for other nodes, which has what is its own, and no
// more: those who hand on to it count on that.
func (r *room) partOfNodes() *part {
	if r.shared == nil {
		return newPart(0, nil, 0)
	}
	return newPart(r.nodes, make(chan struct{}), 0)
}

// A part is a door's part of a room. Its methods may be called by several goroutines.
type part struct {
	own    chan struct{} // has a token for each connection; nil: there is no end
	shared chan struct{} // the room's
	lent   atomic.Int64  // how many of those are of connections of this door
	most   chan struct{} // has a token for each connection; nil: there is no such limit
	limit  int
}

func newPart(own int, shared chan struct{}, most int) *part {
	p := &part{limit: most}
	if shared != nil {
		p.own, p.shared = make(chan struct{}, own), shared
		if all := own + cap(shared); most == 0 || most > all {
			p.limit = all
		}
	}
	if most > 0 && most == p.limit {
		p.most = make(chan struct{}, most)
	}
	return p
}

// now is how many there can be at this moment, with what others leave; 0: there is
// no limit.
func (p *part) now() int {
	if p.shared == nil {
		return p.limit
	}
	return min(p.limit, cap(p.own)+cap(p.shared)-len(p.shared)+int(p.lent.Load()))
}

// take takes room for a connection. Where there is none it calls full and waits. The
// error, [net.ErrClosed], is that closed is.
func (p *part) take(closed <-chan struct{}, full func()) error {
	if p.most != nil {
		select {
		case p.most <- struct{}{}:
		default:
			full()
			select {
			case p.most <- struct{}{}:
			case <-closed:
				return net.ErrClosed
			}
		}
	}
	if p.shared == nil {
		return nil
	}
	select {
	case p.own <- struct{}{}:
		return nil
	default:
	}
	select {
	case p.shared <- struct{}{}:
		p.lent.Add(1)
		return nil
	default:
	}
	full()
	select {
	case p.own <- struct{}{}:
		return nil
	case p.shared <- struct{}{}:
		p.lent.Add(1)
		return nil
	case <-closed:
		if p.most != nil {
			<-p.most
		}
		return net.ErrClosed
	}
}

// give gives back the room of one: what is shared first, which others may wait for.
func (p *part) give() {
	if p.most != nil {
		<-p.most
	}
	if p.shared == nil {
		return
	}
	for {
		switch lent := p.lent.Load(); {
		case lent == 0:
			<-p.own
			return
		case p.lent.CompareAndSwap(lent, lent-1):
			<-p.shared
			return
		}
	}
}
