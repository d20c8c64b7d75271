package rpcapi

import (
	"net/http"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// clusterMethod is about who shares the log.
var clusterMethod = Method{
	Name:    "cluster",
	Summary: "Returns the nodes that share the log in Redis.",
	Description: "Each is as it has said itself, once a second. Without Redis there are none. " +
		"The keeper sees to what belongs to no node: it takes over the clients of one that has died, and drops channels that nobody needs.",
	Examples: []Example{{"cluster", `{}`, `{"shared": false, "position": "6f1c2b9a04d7e358.7", "nodes": []}`}},
}

type (
	clusterReply = struct {
		Shared   bool        `json:"shared" help:"whether the log is in Redis"`
		Position cursor      `json:"position" help:"what the node that answers has of the log"`
		Nodes    []nodeEntry `json:"nodes" help:"those that are alive, in the order of their ids"`
	}
	nodeEntry = struct {
		ID      string `json:"id" help:"8 characters, new each time it begins"`
		Name    string `json:"name" help:"for people: the name of its host"`
		Address string `json:"address" help:"where it answers other nodes"`
		Version string `json:"version" help:"of its program"`
		Began   int64  `json:"began" help:"Unix ms: when it came"`
		Cursor  cursor `json:"position" help:"what it had of the log when it was heard of last"`
		LagUS   int64  `json:"lag_us" help:"microseconds from the numbering of its last entry to its having it"`
		Readers int    `json:"readers" help:"how many are attached to it"`
		Silent  int64  `json:"silent_ms" help:"milliseconds since it was heard of"`
		Keeper  bool   `json:"keeper" help:"whether it is the keeper"`
		Self    bool   `json:"self" help:"whether it is the one that answers"`
	}
)

// Cluster is cluster().
func (s *serverInfo) Cluster(_ *http.Request, _ *noParams, reply *clusterReply) error {
	nodes, self := s.api.hub.Nodes()
	*reply = clusterReply{Shared: self != "", Position: cursor(s.api.hub.Position()), Nodes: make([]nodeEntry, len(nodes))}
	for i := range nodes {
		reply.Nodes[i] = newNodeEntry(&nodes[i], self)
	}
	return nil
}

func newNodeEntry(n *hub.Node, self string) nodeEntry {
	return nodeEntry{
		ID: n.ID, Name: n.Name, Address: n.Addr, Version: n.Version, Began: unixMilli(n.Began), Cursor: cursor(n.At),
		LagUS: int64(n.Lag / time.Microsecond), Readers: n.Readers, Silent: n.Silent.Milliseconds(), Keeper: n.Keeper, Self: n.ID == self,
	}
}
