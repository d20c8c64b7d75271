package transport

import (
	"context"
	"net"
)

type connKey struct{}

// WithConn is an http.Server's ConnContext: it lets [PeerGone] find the
// connection a request came by.
func WithConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// PeerGone reports whether the peer of a request with this context has closed
// its connection, as far as the kernel knows at this moment. The context itself
// says so only later: net/http finds out by a goroutine of its own, which may
// have to wait for its turn. Where the kernel cannot be asked, only the context
// counts.
func PeerGone(ctx context.Context) bool {
	if ctx.Err() != nil {
		return true
	}
	c, _ := ctx.Value(connKey{}).(net.Conn)
	for {
		inner, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c != nil && atEOF(c)
		}
		c = inner.NetConn()
	}
}
