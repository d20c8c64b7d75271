package redis

import "github.com/shaveet/shaveet/server/peer"

// Peers returns the nodes that are alive as package peer wants them.
func (b *Broker) Peers() []peer.Node {
	nodes := b.Nodes()
	all := make([]peer.Node, len(nodes))
	for i, n := range nodes {
		all[i] = peer.Node{ID: n.ID, Name: n.Name, Addr: n.Addr}
	}
	return all
}

var _ peer.Directory = (*Broker)(nil)
