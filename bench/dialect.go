package bench

import (
	"errors"
	"fmt"
)

// A dialect is one reader's side of a conversation. It knows no socket: it is
// given what has come and says what to answer. Its methods are called by one
// goroutine at a time.
type dialect interface {
	// begin appends what is said first.
	begin(dst []byte) []byte

	// hear takes bytes from p and returns how many of them it has done with.
	// The others come again, with more behind them.
	hear(p []byte, e *ear) (n int, err error)
}

// An ear is what dialects have in common while they are given bytes.
type ear struct {
	reply []byte            // to be sent
	ready bool              // the reader hears all that is said from now on
	heard func(text []byte) // is given texts that messages may be in
}

// A mute dialect is told nothing until there is a message: it is taken to be
// ready when it has asked.
type mute interface{ mute() }

// maxUnit is how long a line, a frame or an answer may be.
const maxUnit = 4 << 20

var errTooLong = fmt.Errorf("more than %d bytes belong together", maxUnit)

// A closedError is why a server has ended a connection, in its own words.
type closedError struct{ text string }

func (e *closedError) Error() string { return e.text }

// excerpt is the beginning of a text, for an error.
func excerpt(text []byte) string { return fmt.Sprintf("%.200q", text) }

var errNotHTTP = errors.New("what answers does not speak HTTP")
