package brokertest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// A Log is one that several nodes share, in memory, for tests of what hubs do
// with such a log. Its nodes can be made to lag behind.
type Log struct {
	mu      sync.Mutex // guards all; a command is checked, numbered and applied under it
	epoch   uint64
	seq     uint64
	entries []hub.Entry
	by      []*Node // who has asked for each
	nodes   []*Node
	holds   map[*Node]map[string]hub.Holding // clients that a node looks after
}

// NewLog returns an empty log of this epoch.
func NewLog(epoch uint64) *Log {
	return &Log{epoch: epoch, holds: make(map[*Node]map[string]hub.Holding)}
}

// A Node is a broker that follows a [Log].
type Node struct {
	log   *Log
	lazy  bool
	state hub.State // nil while Run is not running
	next  int       // of the log's entries, the first it has not applied
}

var _ hub.Shared = (*Node)(nil)

// Node returns another node. A lazy one applies what others have asked for when
// it is told to by [Node.Step], or has to know it, and not before.
func (l *Log) Node(lazy bool) *Node {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := &Node{log: l, lazy: lazy}
	l.nodes = append(l.nodes, n)
	l.holds[n] = make(map[string]hub.Holding)
	return n
}

// Append implements [hub.Broker].
func (n *Node) Append(ctx context.Context, cmd hub.Command) (hub.Result, error) {
	if err := ctx.Err(); err != nil {
		return hub.Result{}, err
	}
	l := n.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if n.state == nil {
		return hub.Result{}, hub.ErrUnavailable
	}
	n.catchUp()
	if r, ok := n.state.(hub.Replica); ok {
		switch cmd.Op {
		case hub.OpLetGo:
			r.Release(l.heldElsewhere(n, cmd.Clients))
		case hub.OpForgetSocket:
			if l.isAttached(cmd.Client) {
				return hub.Result{Position: hub.Position{Epoch: l.epoch, Seq: l.seq}}, nil
			}
		}
	}
	result, err := n.state.Check(&cmd)
	if err != nil {
		return hub.Result{}, err
	}
	count := cmd.Numbers()
	if count == 0 {
		return result, nil
	}
	l.entries = append(l.entries, hub.Entry{Epoch: l.epoch, First: l.seq + 1, Last: l.seq + count, Time: time.Now(), Command: cmd})
	l.by = append(l.by, n)
	l.hold(&l.entries[len(l.entries)-1], n)
	l.seq += count
	result.ID, result.Messages = n.apply()
	result.Position = hub.Position{Epoch: l.epoch, Seq: l.seq}
	for _, other := range l.nodes {
		if other.state != nil && !other.lazy {
			other.catchUp()
		}
	}
	return result, nil
}

// heldElsewhere returns those of the clients that another node looks after, which
// n does not any more. The log's lock is held.
func (l *Log) heldElsewhere(n *Node, clients []string) (ids []string) {
	l.takeHeld()
	for _, id := range clients {
		if slices.ContainsFunc(l.nodes, func(other *Node) bool { return other != n && l.holds[other][id].Held }) {
			ids = append(ids, id)
			delete(l.holds[n], id)
		}
	}
	return ids
}

// takeHeld asks all nodes whom they look after. The log's lock is held.
func (l *Log) takeHeld() {
	for _, n := range l.nodes {
		if r, ok := n.state.(hub.Replica); ok {
			for _, h := range r.TakeHeld() {
				l.holds[n][h.Client] = h
			}
		}
	}
}

// isAttached reports whether a socket is read for. The log's lock is held.
func (l *Log) isAttached(id string) bool {
	l.takeHeld()
	return slices.ContainsFunc(l.nodes, func(n *Node) bool { return l.holds[n][id].Attached })
}

// hold notes who looks after a client that has begun with e, or ended.
func (l *Log) hold(e *hub.Entry, n *Node) {
	switch e.Op {
	case hub.OpCreate, hub.OpSocket, hub.OpRevive:
		l.holds[n][e.Client] = hub.Holding{Client: e.Client, Held: true}
	case hub.OpKill, hub.OpForgetSocket:
		for _, held := range l.holds {
			delete(held, e.Client)
		}
	case hub.OpLetGo:
		for _, id := range e.Clients {
			delete(l.holds[n], id)
		}
	}
}

// catchUp applies all that there is. The log's lock is held.
func (n *Node) catchUp() {
	for n.next < len(n.log.entries) {
		n.apply()
	}
}

// apply applies the next entry, of which each node has messages of its own. The
// log's lock is held.
func (n *Node) apply() (id uint64, messages []*hub.Message) {
	e := n.log.entries[n.next]
	e.Foreign = n.log.by[n.next] != n
	n.next++
	e.Message, e.Messages = ownMessages(e.Message, e.Messages)
	return n.state.Apply(e), e.Messages
}

func ownMessages(one *hub.Message, all []*hub.Message) (*hub.Message, []*hub.Message) {
	if one != nil {
		one = ownMessage(one)
	}
	own := make([]*hub.Message, len(all))
	for i, m := range all {
		own[i] = ownMessage(m)
		if t := all[0].Terms; t != nil && t.Union != nil {
			own[i].Terms = own[0].Terms // one event: where it begins is said once
		}
	}
	if all == nil {
		own = nil
	}
	return one, own
}

func ownMessage(m *hub.Message) *hub.Message {
	own := hub.MessageOn(m.Channel())
	own.Sender, own.Data, own.Event, own.System, own.Volatile = m.Sender, m.Data, m.Event, m.System, m.Volatile
	if t := m.Terms; t != nil {
		terms := *t
		if t.Union != nil {
			terms.Union = &hub.Union{Channels: t.Union.Channels}
		}
		own.Terms = &terms
	}
	return own
}

// Run implements [hub.Broker].
func (n *Node) Run(ctx context.Context, s hub.State) error {
	n.begin(s)
	<-ctx.Done()
	n.log.mu.Lock()
	defer n.log.mu.Unlock()
	n.state = nil
	return context.Cause(ctx)
}

func (n *Node) begin(s hub.State) {
	n.log.mu.Lock()
	defer n.log.mu.Unlock()
	n.state = s
	s.Apply(hub.Entry{Epoch: n.log.epoch})
	n.catchUp()
}

// Step applies so many entries at most that the node has not applied yet.
func (n *Node) Step(most int) {
	n.log.mu.Lock()
	defer n.log.mu.Unlock()
	for ; most > 0 && n.next < len(n.log.entries) && n.state != nil; most-- {
		n.apply()
	}
}

// Sync implements [hub.Shared].
func (n *Node) Sync(ctx context.Context) error {
	n.log.mu.Lock()
	defer n.log.mu.Unlock()
	if n.state == nil {
		return hub.ErrUnavailable
	}
	n.catchUp()
	return nil
}

// InTouch implements [hub.Shared].
func (n *Node) InTouch(time.Duration) bool { return true }

// Stale implements [hub.Shared].
func (n *Node) Stale() bool { return false }

// Keeper implements [hub.Shared]: it is the first of the nodes.
func (n *Node) Keeper() bool {
	n.log.mu.Lock()
	defer n.log.mu.Unlock()
	return n.log.nodes[0] == n
}
