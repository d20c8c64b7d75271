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
	answer := a.Append(ctx, nil, body)
	if len(answer) == 0 {
		return nil
	}
	return answer
}

// Append is [API.Handle] for who has room for the answer: it is appended to b.
func (a *API) Append(ctx context.Context, b, body []byte) []byte {
	b, _ = a.handle(ctx, b, body)
	return b
}

// handle reports, beside the answer, whether somebody may have kept a part of
// body. Nobody should, but the methods of others are not ours to judge.
func (a *API) handle(ctx context.Context, b, body []byte) (answer []byte, kept bool) {
	if int64(len(body)) > a.opts.MaxBody {
		return answerAll(b, &Error{Code: CodeTooLarge, Message: tooLargeText(a.opts.MaxBody)}), false
	}
	d := a.lend(ctx, body)
	defer d.giveBack()
	_, batch, err := d.parse()
	if err != nil {
		return answerAll(b, err), false
	}
	b = a.answer(b, d, batch)
	return b, d.by != nil
}

// answer runs the calls on d and appends what is to be said to them.
func (a *API) answer(b []byte, d *desk, batch bool) []byte {
	start, now := len(b), time.Now()
	for i := range d.calls {
		c := &d.calls[i]
		if len(b)-start <= a.opts.MaxAnswer {
			a.run(d, c)
		} else {
			c.err = answerTooLarge(a.opts.MaxAnswer)
		}
		now = a.report(d.ctx, c, now)
		if c.notification() {
			continue
		}
		switch {
		case len(b) > start:
			b = append(b, ',')
		case batch:
			b = append(b, '[')
		}
		b = appendAnswer(b, c)
		c.result = nil // written; do not keep both for the rest of the batch
	}
	if len(b) == start {
		return b
	}
	if batch {
		b = append(b, ']')
	}
	return append(b, '\n')
}

// report tells whoever wants to know that c was made, and returns what time it
// is.
func (a *API) report(ctx context.Context, c *call, began time.Time) (now time.Time) {
	if a.opts.Called == nil {
		return began
	}
	name, code := "", 0
	if c.target != nil {
		name = c.target.Name
	}
	if c.err != nil {
		code = c.err.Code
	}
	now = time.Now()
	a.opts.Called(ctx, name, code, now.Sub(began))
	return now
}

// answerAll answers a whole body that holds no calls.
func answerAll(b []byte, e *Error) []byte {
	return append(appendAnswer2(b, &call{err: e}), '\n')
}

// run runs one call. A method that panics is that call's error and nobody
// else's.
func (a *API) run(d *desk, c *call) {
	if c.fault != nil {
		c.err = c.fault
		return
	}
	defer func() {
		if v := recover(); v != nil {
			a.log.ErrorContext(d.ctx, "an admin method panicked", "method", clip(c.method), "panic", v, "stack", string(debug.Stack()))
			c.result, c.err = nil, errPanicked
		}
	}()
	if c.target != nil && c.target.direct != nil {
		a.runDirectly(d, c)
		return
	}
	by := d.carriage()
	by.call = c
	a.rpc.ServeHTTP(by, by.request)
}
