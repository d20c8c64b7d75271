package namespace_test

import (
	"context"
	"testing"
	"time"

	"github.com/shaveet/shaveet/namespace"
)

// A function that is told who has left, and waits for as long as it may, shuts
// nobody out: its context ends, too.
func TestReturnsAfterSlowDisconnect(t *testing.T) {
	n := namespace.New("/open", namespace.Options{Open: true, Timeout: 100 * time.Millisecond})
	n.OnDisconnect(func(ctx context.Context, s *namespace.Socket, _ string) { <-ctx.Done() })
	w := newWorld(t, time.Minute, n)
	p := w.open("/open", "")
	p.conn.CloseNow()
	q := w.open("/open", `{"pid":"`+p.pid+`"}`)
	if q.sid != p.sid {
		t.Errorf("it is %s, and was %s", q.sid, p.sid)
	}
}
