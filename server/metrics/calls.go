package metrics

import (
	"strconv"
	"strings"
	"sync"
	"time"
)

// Called notes a call of the admin API. code is that of the error it was
// answered with, 0 for none. The method "" is one that does not exist.
func (m *Metrics) Called(method string, code int, took time.Duration) {
	method = m.names.bounded(method)
	m.calls.WithLabelValues(method).Inc()
	m.callTime.Observe(took.Seconds())
	if code != 0 {
		m.faults.WithLabelValues(method, strconv.Itoa(code)).Inc()
	}
}

// unknown is the label of methods that do not exist.
const unknown = "unknown"

// maxNames is more than there are methods.
const maxNames = 100

// names are the label values of methods. They are bounded whatever callers
// ask for, and do not keep the request alive that they were read from.
type names struct {
	mu   sync.RWMutex // guards seen
	seen map[string]string
}

func (n *names) bounded(name string) string {
	if name == "" {
		return unknown
	}
	n.mu.RLock()
	kept, full := n.seen[name], len(n.seen) >= maxNames
	n.mu.RUnlock()
	if kept != "" {
		return kept
	}
	if full {
		return unknown
	}
	return n.keep(name)
}

func (n *names) keep(name string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if kept := n.seen[name]; kept != "" {
		return kept
	}
	if len(n.seen) >= maxNames {
		return unknown
	}
	if n.seen == nil {
		n.seen = make(map[string]string)
	}
	name = strings.Clone(name)
	n.seen[name] = name
	return name
}
