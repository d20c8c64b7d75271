package transport

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Why a held request is answered before there is anything to say.
var (
	ErrTimeout = errors.New("the time of the request is up")
	ErrDrain   = errors.New("the server is going away")
)

// Hold returns a context for waiting with the answer to a request. It ends with
// the request's own, when wait is over ([ErrTimeout]), or with drain
// ([ErrDrain]); its cause says which came first. end must be called.
func Hold(request context.Context, wait time.Duration, drain context.Context) (ctx context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(request)
	stop := context.AfterFunc(drain, func() { cancel(ErrDrain) })
	timer := time.AfterFunc(wait, func() { cancel(ErrTimeout) })
	return ctx, func() {
		timer.Stop()
		stop()
		cancel(nil)
	}
}

// Whole has write answer, and returns when the kernel has all of it: the error
// says that this has not happened within the timeout, or not at all.
func Whole(w http.ResponseWriter, timeout time.Duration, write func()) error {
	rc := http.NewResponseController(w)
	// Not every writer has deadlines; net/http's connections do.
	if err := rc.SetWriteDeadline(time.Now().Add(timeout)); err == nil {
		defer rc.SetWriteDeadline(time.Time{})
	}
	write()
	return rc.Flush()
}
