package hub

import "time"

// A Cluster is a [Shared] log that knows who follows it.
type Cluster interface {
	Shared
	// NodeID returns what this process is called among the nodes.
	NodeID() string
	// Nodes returns all that are alive, this one among them, in the order of
	// their ids.
	Nodes() []Node
	// Secret returns what nodes know and nobody else; "" as long as this one
	// does not.
	Secret() string
	// Introduce says where this node answers others, and how it counts its
	// readers.
	Introduce(addr string, readers func() int)
	// Known reports whether the others have had the time to hear of this node.
	Known() bool
	// LogStats returns how the log is followed.
	LogStats() LogStats
}

// A Node is one of the processes that follow a shared log, as it has said itself
// when it was heard of last.
type Node struct {
	ID      string        // 8 characters of base64url
	Name    string        // for people
	Addr    string        // where it answers other nodes; "": nowhere
	Version string        // of its program
	Began   time.Time     // when it came
	At      Position      // what it has applied of the log
	Lag     time.Duration // from numbering to applying, of its last entry
	Readers int           // attached to it
	Silent  time.Duration // since it was heard of
	Keeper  bool          // it looks after what belongs to no node
}

// LogStats say how a shared log is followed: some of this moment, the others
// since the process began.
type LogStats struct {
	Nodes   int           // that are alive
	InTouch bool          // the log can be reached
	Lag     time.Duration // from numbering to applying, of the last entry

	Entries   uint64 // applied
	Batches   uint64 // of commands sent
	Conflicts uint64 // commands checked again, since what they rest on had changed
	Syncs     uint64 // how often it was asked how far the log is
	Errors    uint64 // calls that failed
	Restored  uint64 // how often the whole state was read
	Epochs    uint64 // of the log, begun by this node
	Burnt     uint64 // holes among the numbers that have never been entries
}

// Nodes returns who follows the log, in the order of their ids; nobody, if it is
// the hub's own. It says which of them is this one.
func (h *Hub) Nodes() (all []Node, self string) {
	if c, ok := h.shared.(Cluster); ok {
		return c.Nodes(), c.NodeID()
	}
	return nil, ""
}

// Known reports whether the others who follow the log, if there are any, have
// heard that this one does.
func (h *Hub) Known() bool {
	c, ok := h.shared.(Cluster)
	return !ok || c.Known()
}

// LogStats returns how the log is followed. It is not ok for one that is the
// hub's own.
func (h *Hub) LogStats() (s LogStats, ok bool) {
	if c, ok := h.shared.(Cluster); ok {
		return c.LogStats(), true
	}
	return s, false
}
