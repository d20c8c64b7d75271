package rpcapi

import (
	"context"
	"runtime/debug"
	"time"
)

// Handle answers one body, a request or a batch, without HTTP. It returns nil
// when nothing is to be answered: every call in it was a notification. Calls of
// a batch run in order, one after another; all have run when Handle returns,
// but for those that an answer too large has left no room for: they are
// answered with an error.
// body is not changed and not kept.
func (a *API) Handle(ctx context.Context, body []byte) []byte {
	if int64(len(body)) > a.opts.MaxBody {
		return answerAll(&Error{Code: CodeTooLarge, Message: tooLargeText(a.opts.MaxBody)})
	}
	p := parser{
		scanner:  scanner{text: body, maxDepth: a.opts.MaxDepth},
		maxBatch: a.opts.MaxBatch,
	}
	calls, batch, err := p.parse()
	if err != nil {
		return answerAll(err)
	}
	by := newCarriage(ctx)
	var out []byte
	for i := range calls {
		c := &calls[i]
		began := time.Now()
		if len(out) <= a.opts.MaxAnswer {
			a.run(by, c)
		} else {
			c.err = answerTooLarge(a.opts.MaxAnswer)
		}
		a.report(ctx, c, time.Since(began))
		if c.notification() {
			continue
		}
		switch {
		case out != nil:
			out = append(out, ',')
		case batch:
			out = append(make([]byte, 0, 64*len(calls)), '[')
		default:
			out = make([]byte, 0, 128)
		}
		out = appendAnswer(out, c)
		c.result = nil // written; do not keep both for the rest of the batch
	}
	if out == nil {
		return nil
	}
	if batch {
		out = append(out, ']')
	}
	return append(out, '\n')
}

// report tells whoever wants to know that c was made.
func (a *API) report(ctx context.Context, c *call, took time.Duration) {
	if a.opts.Called == nil {
		return
	}
	name, code := "", 0
	if m := a.methods[c.method]; m != nil {
		name = m.Name
	}
	if c.err != nil {
		code = c.err.Code
	}
	a.opts.Called(ctx, name, code, took)
}

// answerAll answers a whole body that holds no calls.
func answerAll(e *Error) []byte {
	return append(appendAnswer2(nil, &call{err: e}), '\n')
}

// run runs one call. A method that panics is that call's error and nobody
// else's.
func (a *API) run(by *carriage, c *call) {
	if c.fault != nil {
		c.err = c.fault
		return
	}
	defer func() {
		if v := recover(); v != nil {
			a.log.ErrorContext(by.request.Context(), "an admin method panicked", "method", clip(c.method), "panic", v, "stack", string(debug.Stack()))
			c.result, c.err = nil, errPanicked
		}
	}()
	by.call = c
	a.rpc.ServeHTTP(by, by.request)
}
