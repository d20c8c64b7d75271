package namespace

import (
	"encoding/json"
	"errors"

	"github.com/shaveet/shaveet/server/transport/socketio"
)

// An Error is one that the page is told as it is. What else a handler returns
// is logged, and the page hears only that something has failed.
//
// As the answer to an event it is {"error":{"type":…,"message":…,"data":…}}, the
// only argument. As the refusal of a socket it is connect_error: its message is
// Message and its data Data, or {"type":…} if there is none.
type Error struct {
	Type    string `json:"type"`           // for programs: a word like not_found
	Message string `json:"message"`        // for people
	Data    any    `json:"data,omitempty"` // as arguments are; nil: none
}

func (e *Error) Error() string { return e.Type + ": " + e.Message }

// What sockets that are asked for an answer can fail with.
var (
	ErrNoAnswer = socketio.ErrNoAnswer // not in time
	ErrLeft     = socketio.ErrLeft     // it has lost its connection, or left
	ErrBusy     = socketio.ErrBusy     // too much is waiting for it already
)

// ErrNotServed is the error of what needs a server before the namespace is part
// of one.
var ErrNotServed = errors.New("namespace: it is not part of a server yet")

// told returns the error that the page is told of, nil if it is an inner one.
func told(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// answer returns the error as an answer's arguments.
func (e *Error) answer() (json.RawMessage, error) {
	return encode([]any{map[string]*Error{"error": e}})
}

// refusal returns the error as what refuses a socket.
func (e *Error) refusal() (*socketio.Refusal, error) {
	data := e.Data
	if data == nil && e.Type != "" {
		data = map[string]string{"type": e.Type}
	}
	r := &socketio.Refusal{Message: e.Message}
	var err error
	if data != nil {
		r.Data, err = json.Marshal(data)
	}
	return r, err
}
