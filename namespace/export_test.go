package namespace

// Kept returns how many sockets are known, also those that are not let in yet.
func (n *Namespace) Kept() int {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return len(n.sockets)
}
