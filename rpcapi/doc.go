// Package rpcapi is the admin API: the JSON-RPC that a web backend calls to say
// who exists, who listens to what, and what is said.
//
// # Two dialects
//
// Every request object is answered in its own dialect:
//
//   - An object with "jsonrpc": "2.0" is answered by the JSON-RPC 2.0
//     specification: positional and named parameters, batches, notifications,
//     numeric codes. Methods without a value answer null. The short name of an
//     error stands in its data: {"type": "unknown_client"}.
//   - Any other object is one of the first Shaveet's, whose clients still live:
//     {"result": X, "id": I}, without an error member on success, and
//     {"result": null, "id": I, "error": {"type", "message", "code"}} on
//     failure. The id is left out when the request had none, but the request is
//     answered all the same. Methods without a value answer 200.
//
// A call that fails is HTTP 200 in both. Other statuses speak of the HTTP
// request alone: 204 when there is nothing to answer (only notifications), 400
// when the body breaks off, 405, 413 and 415.
//
// # One request
//
//	ServeHTTP            http.go      method, charset, size; reads the body
//	  Append, Handle     front.go     the same without HTTP; what it needs is lent: desk.go
//	    parse            envelope.go  one strict pass over the bytes: all calls
//	      scanner        strict.go    JSON, depth, text
//	    run, in order    front.go     one call; a panic is one error
//	      direct         direct.go    three methods that are called all the time, without
//	      gorilla/rpc    codec.go     name -> method, parameters -> struct
//	        bind         params.go    parameters by name or position, within bounds
//	          decode     decode.go    one parameter by its type; ours: types.go
//	        admin.*      publish.go, clients.go, channels.go, history.go, original.go:
//	                                  the methods themselves, one small function each
//	        sockets.*    socketcalls.go  those that somebody else answers, see [Sockets];
//	                     waiting.go      one waits for pages
//	    appendAnswer     answer.go    the envelope, in the dialect of the call
//
// Errors of every kind become codes in errors.go, and nowhere else.
//
// # One table
//
// A method is an entry in a table of [Method] and a Go function. From the two
// come what callers may send, system.describe (describe.go), the OpenRPC
// document (schema.go, openrpc.go), and from that docs/api.md. The examples in
// the table are run by the tests.
//
// # Strictness
//
// The whole body is checked before the first call runs: one JSON text of valid
// UTF-8, nested at most [Options.MaxDepth] deep, nothing behind it. Members are
// told apart byte by byte, so "METHOD" is not "method"; a member or parameter
// given twice is refused. Ids are echoed byte for byte. Messages are kept byte
// for byte as well, so whatever JSON is in them reaches the readers unchanged.
package rpcapi
