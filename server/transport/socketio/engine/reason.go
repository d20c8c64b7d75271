package engine

import (
	"errors"

	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/wsframe"
)

// A Reason is why a session has ended.
type Reason uint8

// The reasons. Those from Forced on are for [Session.Close] and [Session.Fail]:
// with them, a client without a poll hears of the end by its next one.
const (
	ClientClosed Reason = iota + 1 // the client has said so
	Gone                           // its connection has ended
	PingTimeout                    // it has not answered a ping, or sent none
	ParseError                     // what it says makes no sense
	TooMuch                        // it has sent too many packets, or one that is too large
	Overlap                        // it has asked for the same twice
	Drain                          // its connection had to go
	Shutdown                       // the server's sessions have been closed
	NotBegun                       // its connection could not be taken over
	Panicked                       // the app has panicked
	Displaced                      // it had not settled when there was no room for another one

	Forced  // the app wants it to end
	Invalid // the app makes no sense of what the client says
	Late    // the client has not said in time what the app waits for
	Behind  // the client has fallen too far behind

	reasonCount
)

// ending is how a session ends.
type ending struct {
	name  string
	code  uint16 // of a WebSocket's close frame
	noop  bool   // a held poll is told nothing but that it is over
	after after
}

// after is what happens to a polling client that holds no poll at the end.
type after uint8

const (
	forget after = iota // its next poll finds nobody
	excuse              // a poll that was on its way is answered once
	tell                // its next poll is told of the end
)

var endings = [reasonCount]ending{
	ClientClosed: {"client close", wsframe.CodeNormal, true, excuse},
	Gone:         {"transport close", wsframe.CodeNormal, true, forget},
	PingTimeout:  {"ping timeout", wsframe.CodePolicy, false, forget},
	ParseError:   {"parse error", wsframe.CodeProtocol, false, forget},
	TooMuch:      {"too much", wsframe.CodePolicy, false, forget},
	Overlap:      {"overlapping requests", wsframe.CodePolicy, false, forget},
	Drain:        {"drain", wsframe.CodeRestart, false, forget},
	Shutdown:     {"shutdown", wsframe.CodeRestart, false, forget},
	NotBegun:     {"not begun", wsframe.CodeInternal, false, forget},
	Panicked:     {"panic", wsframe.CodeInternal, false, forget},
	Displaced:    {"displaced", wsframe.CodePolicy, false, forget},
	Forced:       {"forced close", wsframe.CodeNormal, false, tell},
	Invalid:      {"invalid", wsframe.CodePolicy, false, tell},
	Late:         {"late", wsframe.CodePolicy, false, tell},
	Behind:       {"behind", wsframe.CodePolicy, false, tell},
}

func (why Reason) String() string { return endings[why].name }

// errNotBegun is why a WebSocket has ended that could not begin.
var errNotBegun = errors.New("the connection cannot be taken over")

// reasonOf says why a session ends whose connection has ended with err.
func reasonOf(err error) Reason {
	switch {
	case errors.Is(err, park.ErrCut):
		return Drain
	case err == errNotBegun:
		return NotBegun
	}
	return Gone
}

// Reasons returns all there are.
func Reasons() (all []Reason) {
	for why := ClientClosed; why < reasonCount; why++ {
		all = append(all, why)
	}
	return all
}
