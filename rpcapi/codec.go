package rpcapi

import (
	"context"
	"net/http"

	"github.com/gorilla/rpc/v2"
)

// codec is how gorilla/rpc reads and answers a call. A call is parsed before
// gorilla sees it and answered after, so a codecRequest only finds the method,
// fills its parameters and keeps the outcome. Nothing is written to a
// connection in between.
type codec struct{ api *API }

// callKey is where a request's context carries its call.
type callKey struct{}

// NewRequest is part of [rpc.Codec].
func (c codec) NewRequest(r *http.Request) rpc.CodecRequest {
	return codecRequest{api: c.api, call: r.Context().Value(callKey{}).(*call)}
}

type codecRequest struct {
	api  *API
	call *call
}

// Method returns the Go name of the method, as in "Admin.CreateClient". What
// gorilla would say to an unknown name is not for callers, so it never gets one.
func (r codecRequest) Method() (string, error) {
	m := r.api.methods[r.call.method]
	if m == nil {
		return "", methodNotFound(r.call.method)
	}
	r.call.target = m
	return m.goName, nil
}

// ReadRequest fills args, a pointer to the method's parameter struct.
func (r codecRequest) ReadRequest(args any) error {
	if err := r.call.target.bind(args, &r.call.params, r.api.limits); err != nil {
		return err
	}
	return nil
}

// WriteResponse keeps the result.
func (r codecRequest) WriteResponse(_ http.ResponseWriter, reply any) {
	c := r.call
	if c.target.void {
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
	e, shown := errorFrom(err)
	if !shown {
		r.api.log.Error("an admin method failed", "method", clip(r.call.method), "error", err)
	}
	r.call.err = e
}

// request wraps c for gorilla. Of HTTP, a method gets the context alone.
func request(ctx context.Context, c *call) *http.Request {
	r := &http.Request{Method: http.MethodPost}
	return r.WithContext(context.WithValue(ctx, callKey{}, c))
}

// sink is the ResponseWriter gorilla gets: it sets a header there.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header {
	if s.header == nil {
		s.header = make(http.Header)
	}
	return s.header
}

func (s *sink) Write(b []byte) (int, error) { return len(b), nil }

func (s *sink) WriteHeader(int) {}
