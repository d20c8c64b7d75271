package socketio

import (
	"reflect"
	"sync"
)

// unheard counts the bytes of what handlers have not been told yet. One handler
// that is hung must not leave no room for the others, so each has a half at most.
type unheard struct {
	mu  sync.Mutex // guards all below; no other lock is taken under it
	all int
	of  map[any]int // those of one teller
}

// teller is what namespaces with the same handler have in common. Those of a kind
// that cannot be compared count by their names.
func (n *Namespace) teller() any {
	if n.Handler == nil || reflect.ValueOf(n.Handler).Comparable() {
		return n.Handler
	}
	return n.Name
}

func (u *unheard) add(n *Namespace, bytes int) {
	one := n.teller()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.of == nil {
		u.of = make(map[any]int)
	}
	u.all += bytes
	if u.of[one] += bytes; u.of[one] == 0 {
		delete(u.of, one) // the handler may be gone for good
	}
}

// full reports whether there is no room for more.
func (u *unheard) full(n *Namespace, most int) bool {
	one := n.teller()
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.all > most || u.of[one] > most/2
}
