package hub

import "fmt"

// Kind says what sort of failure an [Error] is. Callers map it to their own
// codes: JSON-RPC codes in rpcapi, HTTP statuses in transport.
type Kind uint8

// The kinds of failure.
const (
	Invalid        Kind = iota + 1 // a name or value breaks its rules
	UnknownClient                  // no live client has this id
	UnknownChannel                 // no such channel
	BadCredentials                 // unknown client or wrong key; never says which
	LimitReached                   // a configured limit would be passed
	TooLarge                       // one value is larger than its limit
	Unavailable                    // the log does not take commands now; try again
	Conflict                       // a publish id has been used for something else
)

// String returns the kind in snake_case, as callers are told it.
func (k Kind) String() string {
	names := map[Kind]string{
		Invalid: "invalid", UnknownClient: "unknown_client", UnknownChannel: "unknown_channel", BadCredentials: "bad_credentials",
		LimitReached: "limit_reached", TooLarge: "too_large", Unavailable: "unavailable", Conflict: "conflict",
	}
	return names[k]
}

// Error is a failure the caller can do something about. Compare with
// errors.Is(err, hub.ErrUnknownClient); two Errors match when their kinds do.
type Error struct {
	Kind Kind
	Name string // the client, channel or limit it is about; may be empty
	Text string // one sentence without internals, fit for the caller's eyes
}

// Sentinels for errors.Is.
var (
	ErrInvalid        = &Error{Kind: Invalid, Text: "invalid value"}
	ErrUnknownClient  = &Error{Kind: UnknownClient, Text: "unknown client"}
	ErrUnknownChannel = &Error{Kind: UnknownChannel, Text: "unknown channel"}
	ErrBadCredentials = &Error{Kind: BadCredentials, Text: "unknown client or wrong key"}
	ErrLimitReached   = &Error{Kind: LimitReached, Text: "limit reached"}
	ErrTooLarge       = &Error{Kind: TooLarge, Text: "too large"}
	ErrUnavailable    = &Error{Kind: Unavailable, Text: "not available now, try again"}
	ErrConflict       = &Error{Kind: Conflict, Text: "the publish id has been used for something else"}
)

func (e *Error) Error() string { return e.Text }

// Is reports whether target is an *Error of the same kind.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Kind == e.Kind
}

func unknownClient(id string) error {
	return &Error{Kind: UnknownClient, Name: id, Text: fmt.Sprintf("unknown client %q", id)}
}

func unknownChannel(name string) error {
	return &Error{Kind: UnknownChannel, Name: name, Text: fmt.Sprintf("unknown channel %q", name)}
}

func limitReached(limit string, value int) error {
	return &Error{Kind: LimitReached, Name: limit, Text: fmt.Sprintf("limit reached: %s = %d", limit, value)}
}
