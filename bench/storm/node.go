package storm

// A ticket is a place in a line: a reader, and which of its attempts it was.
type ticket struct {
	who int32
	try uint16
}

// A node is one line, and what is at its end: the processors of a node, or the
// page's backend.
type node struct {
	line     []ticket // first come, first served; those before head have been
	head     int
	busy     bool // the first of the line is being served
	attached int

	seen   int // who has come in the step under way
	tokens float64
	filled int64 // when tokens were
}

func (n *node) waiting() int { return len(n.line) - n.head }

func (n *node) join(t ticket) { n.line = append(n.line, t) }

// leave takes the first out of the line. What lies before it is given back now
// and then.
func (n *node) leave() ticket {
	t := n.line[n.head]
	n.head++
	if n.head > 4096 && n.head > len(n.line)/2 {
		n.line = n.line[:copy(n.line, n.line[n.head:])]
		n.head = 0
	}
	return t
}

// full reports whether the SYN of one more is dropped.
func (n *node) full(s *Scenario) bool {
	room := s.Inside
	if s.MaxConnections > 0 {
		left := max(s.MaxConnections-n.attached, 0)
		if room == 0 || left < room {
			room = left
		}
	} else if room == 0 {
		return false
	}
	return n.waiting() >= room+s.Backlog
}

// shut reports whether its door has no room for another connection.
func (n *node) shut(s *Scenario) bool {
	return s.MaxConnections > 0 && n.attached >= s.MaxConnections
}

// admits is a bucket of as many handshakes as one address may make in a second.
func (n *node) admits(perSecond int, now int64) bool {
	if perSecond == 0 {
		return true
	}
	most := float64(perSecond)
	if n.filled == 0 {
		n.tokens = most
	}
	n.tokens = min(most, n.tokens+float64(now-n.filled)*most/1e9)
	n.filled = now
	if n.tokens < 1 {
		return false
	}
	n.tokens--
	return true
}
