package server

import (
	"net"
	"net/http"
	"sync"

	"github.com/shaveet/shaveet/server/park"
)

// newcomers are the connections on which nothing has been asked yet. Browsers
// open some in advance; at the end nobody should wait for them, as
// http.Server.Shutdown would, for five seconds.
type newcomers struct {
	mu    sync.Mutex // guards conns
	conns map[net.Conn]struct{}
}

// follow is an http.Server's ConnState.
func (n *newcomers) follow(c net.Conn, state http.ConnState) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if state == http.StateNew && !park.CameBack(c) {
		if n.conns == nil {
			n.conns = make(map[net.Conn]struct{})
		}
		n.conns[c] = struct{}{}
		return
	}
	delete(n.conns, c)
}

// dismiss closes them. Once its doors are shut, net/http answers nothing that
// has not been asked by then.
func (n *newcomers) dismiss() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		c.Close()
	}
}
