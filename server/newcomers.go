package server

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// newcomers are the connections on which nothing has been asked yet. Browsers
// open some in advance; at the end nobody should wait for them, as
// http.Server.Shutdown would, for five seconds.
type newcomers struct {
	mu    sync.Mutex // guards conns
	conns map[net.Conn]struct{}
}

// lastMoment is how long a newcomer may still begin to ask at the end: its
// request may be on its way.
const lastMoment = 200 * time.Millisecond

// follow is an http.Server's ConnState.
func (n *newcomers) follow(c net.Conn, state http.ConnState) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if state == http.StateNew {
		if n.conns == nil {
			n.conns = make(map[net.Conn]struct{})
		}
		n.conns[c] = struct{}{}
		return
	}
	delete(n.conns, c)
}

// dismiss has those go who do not ask at once.
func (n *newcomers) dismiss() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		c.SetReadDeadline(time.Now().Add(lastMoment)) // one that fails is gone already
	}
}
