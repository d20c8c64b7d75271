package handler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// A Call is a call of JSON-RPC to a backend.
type Call struct {
	Method string
	// ID is a UUID. It is the same for all tries of one call, so that who hears it
	// twice can know that.
	ID string
	// Socket is the id of the socket it is about, "" if it is about none. A Caller
	// with several backends asks the same one for the same socket if it can.
	Socket string
	Params []byte // a JSON object
}

// A Caller makes calls. Its method is called by many goroutines at once, and
// returns soon after ctx has ended.
type Caller interface {
	// Call returns the result of the answer, a JSON value. The error is
	//
	//   - an [*Answered] if the answer is an error of JSON-RPC,
	//   - a [*NotSent] if the call has certainly not been heard,
	//   - a [*Lost] if whoever should answer cannot be reached, or not any more,
	//   - that of ctx if there was no answer in time,
	//   - anything else if there was one that makes no sense.
	Call(ctx context.Context, c *Call) (result json.RawMessage, err error)
}

// Answered is an error of JSON-RPC: the backend has heard the call and says that
// it went wrong.
type Answered struct {
	Code    int
	Message string
	Data    json.RawMessage // nil: none
}

func (a *Answered) Error() string {
	return fmt.Sprintf("the backend's answer is the error %d, %.200q", a.Code, a.Message)
}

// maxOwnCode is the highest code of errors that are the backend's own, to be
// shown to pages; they begin with 1.
const maxOwnCode = 99999

// own reports whether the error is one for the page.
func (a *Answered) own() bool { return a.Code >= 1 && a.Code <= maxOwnCode }

// NotSent is the error of a call of which the backend has certainly not heard, so
// that it may be made again.
type NotSent struct{ Err error }

func (e *NotSent) Error() string { return e.Err.Error() }
func (e *NotSent) Unwrap() error { return e.Err }

// Lost is the error of a call that the backend may have heard, although it could
// not be reached for an answer.
type Lost struct{ Err error }

func (e *Lost) Error() string { return e.Err.Error() }
func (e *Lost) Unwrap() error { return e.Err }

// The kinds of failure, as pages hear them.
const (
	Unavailable = "handler_unavailable" // nobody can be reached
	Timeout     = "handler_timeout"     // no answer in time
	Failed      = "handler_failed"      // an error, or an answer that makes no sense
	Busy        = "handler_busy"        // too many calls wait already
)

// messages go with the kinds. Details are for the log.
var messages = map[string]string{
	Unavailable: "whoever answers this cannot be reached",
	Timeout:     "whoever answers this has not done so in time",
	Failed:      "whoever answers this has failed",
	Busy:        "too much is waiting for whoever answers this",
}

// A Failure is why a socket was not let in, if it was not refused.
type Failure struct {
	kind string
	err  error
}

func (f *Failure) Error() string { return f.kind + ": " + f.err.Error() }
func (f *Failure) Unwrap() error { return f.err }

// Kind returns one of the kinds above.
func (f *Failure) Kind() string { return f.kind }

var errBusy = errors.New("too many bytes of calls wait already")

// failureOf says what sort of failure err is.
func failureOf(err error) *Failure {
	if f := (*Failure)(nil); errors.As(err, &f) {
		return f
	}
	kind := Failed
	switch {
	case errors.Is(err, errBusy):
		kind = Busy
	case unreached(err), errors.Is(err, context.Canceled):
		kind = Unavailable
	case errors.Is(err, context.DeadlineExceeded):
		kind = Timeout
	}
	return &Failure{kind, err}
}

// unsent reports whether a call has certainly not been heard.
func unsent(err error) bool {
	e := (*NotSent)(nil)
	return errors.As(err, &e)
}

// unreached reports whether there was nobody to answer a call.
func unreached(err error) bool {
	e := (*Lost)(nil)
	return unsent(err) || errors.As(err, &e)
}

// answered reports whether err, which may be nil, came with an answer of
// JSON-RPC.
func answered(err error) bool {
	e := (*Answered)(nil)
	return err == nil || errors.As(err, &e)
}
