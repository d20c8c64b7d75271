package rpcapi

import (
	"context"
	"sync"
)

// A desk is what one body is worked on with. It is lent for that time, so that
// what a call needs while it runs is not made anew for each.
type desk struct {
	parser
	ctx    context.Context
	result []byte    // of the call that runs
	by     *carriage // nil until a call needs gorilla

	one  publishParams
	old  messageParams
	many publications
}

var desks = sync.Pool{New: func() any { return new(desk) }}

// What may be kept for the next body: calls, parameters of each, messages of a
// publish_many and bytes of a result.
const (
	keptCalls    = 1024
	keptParams   = 8
	keptMessages = 1024
	keptBytes    = 64 << 10
)

func (a *API) lend(ctx context.Context, body []byte) *desk {
	d := desks.Get().(*desk)
	d.parser = parser{
		scanner:  scanner{text: body, maxDepth: a.opts.MaxDepth},
		maxBatch: a.opts.MaxBatch,
		methods:  a.methods,
		calls:    d.calls[:0],
	}
	d.ctx = ctx
	return d
}

// giveBack gives the desk back, with nothing of the body on it.
func (d *desk) giveBack() {
	calls := d.calls
	for i := range calls {
		list := calls[i].params.list
		clear(list)
		if cap(list) > keptParams {
			list = nil
		}
		calls[i] = call{params: params{list: list[:0]}}
	}
	if cap(calls) > keptCalls {
		calls = nil
	}
	if cap(d.result) > keptBytes {
		d.result = nil
	}
	d.many.empty()
	*d = desk{parser: parser{calls: calls[:0]}, result: d.result[:0], many: d.many}
	desks.Put(d)
}

// carriage is what takes the calls through gorilla.
func (d *desk) carriage() *carriage {
	if d.by == nil {
		d.by = newCarriage(d.ctx)
	}
	return d.by
}
