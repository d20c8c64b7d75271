package rpcapi

import (
	"context"
	"net/http"
	"time"

	"github.com/gorilla/rpc/v2"
)

// codec is how gorilla/rpc reads and answers a call. A call is parsed before
// gorilla sees it and answered after, so a codecRequest only finds the method,
// fills its parameters and keeps the outcome. Nothing is written to a
// connection in between.
type codec struct{ api *API }

// carriage takes the calls of one body through gorilla, one after another. It
// is both the request that gorilla gets, of which a method gets the context
// alone, and the ResponseWriter.
type carriage struct {
	request *http.Request
	header  http.Header
	call    *call
	waited  time.Duration // by the calls so far, for what others have to say
}

// carriageKey is where a request's context has its carriage.
type carriageKey struct{}

func newCarriage(ctx context.Context) *carriage {
	c := &carriage{header: make(http.Header)}
	r := &http.Request{Method: http.MethodPost}
	c.request = r.WithContext(context.WithValue(ctx, carriageKey{}, c))
	return c
}

// Header is part of http.ResponseWriter: gorilla sets one.
func (c *carriage) Header() http.Header { return c.header }

func (c *carriage) Write(b []byte) (int, error) { return len(b), nil }

// WriteHeader is part of http.ResponseWriter.
func (c *carriage) WriteHeader(int) {}

// NewRequest is part of [rpc.Codec].
func (c codec) NewRequest(r *http.Request) rpc.CodecRequest {
	return codecRequest{api: c.api, ctx: r.Context(), call: r.Context().Value(carriageKey{}).(*carriage).call}
}

type codecRequest struct {
	api  *API
	ctx  context.Context // of the call, for the log
	call *call
}

// Method returns the Go name of the method, as in "Admin.CreateClient". What
// gorilla would say to an unknown name is not for callers, so it never gets one.
func (r codecRequest) Method() (string, error) {
	m := r.call.target
	if m == nil {
		return "", methodNotFound(r.call.method)
	}
	return m.goName, nil
}

// ReadRequest fills args, a pointer to the method's parameter struct.
func (r codecRequest) ReadRequest(args any) error {
	if err := r.call.target.bind(args, &r.call.params, r.api.admin.bounds()); err != nil {
		return err
	}
	return nil
}

// WriteResponse keeps the result.
func (r codecRequest) WriteResponse(_ http.ResponseWriter, reply any) {
	c := r.call
	if c.target.Void {
		c.result = voidResult(c)
		return
	}
	result, err := encodeReply(reply)
	if err != nil {
		r.WriteError(nil, 0, err)
		return
	}
	c.result = result
}

// voidResult is what a method without a value answers: the original's RPC layer
// said 200, and its clients may have come to look at it.
func voidResult(c *call) []byte {
	if c.v2 {
		return []byte("null")
	}
	return []byte("200")
}

// WriteError keeps the error.
func (r codecRequest) WriteError(_ http.ResponseWriter, _ int, err error) {
	r.call.err = tell(r.ctx, r.api.log, r.call.method, err)
}
