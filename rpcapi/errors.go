package rpcapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/shaveet/shaveet/server/hub"
)

// The codes of errors: those of JSON-RPC 2.0, and ours from -32000 down.
const (
	CodeParseError     = -32700 // the body is not one JSON text
	CodeInvalidRequest = -32600 // the JSON is not a request
	CodeMethodNotFound = -32601
	CodeInvalidParams  = -32602
	CodeInternalError  = -32603 // a method panicked

	CodeInternal          = -32000 // a failure the caller can do nothing about
	CodeUnknownClient     = -32001
	CodeUnknownChannel    = -32002
	CodeLimitReached      = -32003
	CodePublishIDConflict = -32004
	CodeUnavailable       = -32005 // try again
	CodeTooLarge          = -32006
	CodeSwitchedOff       = -32007 // by the configuration
)

// types are the short names that go with the codes. Both are stable.
var types = map[int]string{
	CodeParseError:     "parse_error",
	CodeInvalidRequest: "invalid_request",
	CodeMethodNotFound: "method_not_found",
	CodeInvalidParams:  "invalid_params",
	CodeInternalError:  "internal_error",

	CodeInternal:          "internal",
	CodeUnknownClient:     "unknown_client",
	CodeUnknownChannel:    "unknown_channel",
	CodeLimitReached:      "limit_reached",
	CodePublishIDConflict: "publish_id_conflict",
	CodeUnavailable:       "unavailable",
	CodeTooLarge:          "too_large",
	CodeSwitchedOff:       "switched_off",
}

// Error is a failure as the caller sees it. Methods of a [Service] may return
// one; any other error is shown as far as errors of [hub] are, or not at all.
type Error struct {
	Code    int    // one of the Code constants, or a code of the service's own
	Type    string // short and stable; empty: the one that goes with Code
	Message string // one sentence without internals
}

// answerTooLarge is the error of calls that were not made.
func answerTooLarge(limit int) *Error {
	return &Error{
		Code:    CodeLimitReached,
		Message: fmt.Sprintf("limit reached: max_answer_bytes = %d; this call of the batch was not made", limit),
	}
}

func (e *Error) Error() string { return e.Message }

// append appends e's code, message and type as members of a JSON object.
func (e *Error) append(b []byte) []byte {
	b = append(b, `{"code":`...)
	b = strconv.AppendInt(b, int64(e.Code), 10)
	b = append(b, `,"message":`...)
	b = appendString(b, e.Message)
	b = append(b, `,"type":`...)
	b = appendString(b, e.typeName())
	return append(b, '}')
}

func (e *Error) typeName() string {
	if e.Type != "" {
		return e.Type
	}
	if t, ok := types[e.Code]; ok {
		return t
	}
	return "error"
}

// errorFrom is the one place where failures get their codes. shown is false
// when the caller is told nothing about err, so that somebody else must be.
func errorFrom(err error) (e *Error, shown bool) {
	if errors.As(err, &e) {
		return e, true
	}
	var he *hub.Error
	if errors.As(err, &he) {
		if code, ok := hubCode(he.Kind); ok {
			return &Error{Code: code, Message: he.Text}, true
		}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return &Error{Code: CodeUnavailable, Message: hub.ErrUnavailable.Text}, true
	}
	return &Error{Code: CodeInternal, Message: "internal error"}, false
}

// tell returns what callers are told of err; the log hears what they are not.
func tell(ctx context.Context, log *slog.Logger, method string, err error) *Error {
	e, shown := errorFrom(err)
	if !shown {
		log.ErrorContext(ctx, "an admin method failed", "method", clip(method), "error", err)
	}
	return e
}

func hubCode(k hub.Kind) (code int, ok bool) {
	switch k {
	case hub.Invalid:
		return CodeInvalidParams, true
	case hub.UnknownClient, hub.BadCredentials:
		return CodeUnknownClient, true
	case hub.UnknownChannel:
		return CodeUnknownChannel, true
	case hub.LimitReached:
		return CodeLimitReached, true
	case hub.TooLarge:
		return CodeTooLarge, true
	case hub.Unavailable:
		return CodeUnavailable, true
	case hub.Conflict:
		return CodePublishIDConflict, true
	}
	return 0, false
}

func parseError(format string, args ...any) *Error {
	return &Error{Code: CodeParseError, Message: "Parse error: " + fmt.Sprintf(format, args...)}
}

func invalidRequest(format string, args ...any) *Error {
	return &Error{Code: CodeInvalidRequest, Message: "Invalid Request: " + fmt.Sprintf(format, args...)}
}

func methodNotFound(name string) *Error {
	return &Error{Code: CodeMethodNotFound, Message: "Method not found: " + clip(name)}
}

func invalidParams(format string, args ...any) *Error {
	return &Error{Code: CodeInvalidParams, Message: fmt.Sprintf(format, args...)}
}

var errPanicked = &Error{Code: CodeInternalError, Message: "Internal error"}

// clip makes a name from a request fit for a message: not longer than a line,
// and without control characters, since messages end up in terminals and logs.
func clip(name string) string {
	const most = 80
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return utf8.RuneError
		}
		return r
	}, name)
	if len(name) <= most {
		return name
	}
	cut := most
	for !utf8.RuneStart(name[cut]) {
		cut--
	}
	return name[:cut] + "…"
}
