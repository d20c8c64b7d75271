package rpcapi

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// maxWaiting is how long the calls of one body may wait together for what
// others have to say: it keeps a batch from waiting for hours.
const maxWaiting = time.Minute

// waiting begins a wait of at most so long. ctx is of the call, and so is the
// one returned, which ends then. Call done at the end.
func waiting(ctx context.Context, most time.Duration) (_ context.Context, done func(), err error) {
	by := ctx.Value(carriageKey{}).(*carriage)
	if by.waited+most > maxWaiting {
		return nil, nil, &Error{
			Code:    CodeLimitReached,
			Message: fmt.Sprintf("limit reached: the calls of one request may wait %d ms together; this one was not made", maxWaiting.Milliseconds()),
		}
	}
	if late, ok := ctx.Value(latenessKey{}).(*lateness); ok {
		late.expect(most)
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	began := time.Now()
	return ctx, func() { cancel(); by.waited += min(time.Since(began), most) }, nil
}

// latenessKey is where the context of an HTTP request has its lateness.
type latenessKey struct{}

// lateness puts off the moment at which an answer must be written, which the
// HTTP server has fixed when the request began.
type lateness struct {
	to     http.ResponseWriter
	writes time.Duration // how long writing may take
	is     bool
}

// expect: the answer comes later by this.
func (l *lateness) expect(by time.Duration) {
	l.is = true
	l.put(by)
}

// over: the answer is there, and written from now on.
func (l *lateness) over() {
	if l.is {
		l.put(0)
	}
}

func (l *lateness) put(off time.Duration) {
	_ = http.NewResponseController(l.to).SetWriteDeadline(time.Now().Add(off + l.writes)) // where there is none, none has to be put off
}
