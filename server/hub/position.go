package hub

import (
	"fmt"
	"strconv"
)

// A Position is a place in the log: everything up to and including Seq of the
// life called Epoch. Positions of one epoch are ordered by Seq; positions of
// different epochs cannot be compared. The zero Position is no position.
type Position struct {
	Epoch uint64 // random, one per life of the log; never 0
	Seq   uint64 // number of the last entry that is covered
}

// IsZero reports whether p is no position at all.
func (p Position) IsZero() bool { return p == Position{} }

// Append appends p's wire form, `<epoch: 16 hex digits>.<seq: decimal>`, to b.
func (p Position) Append(b []byte) []byte {
	const hex = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, hex[p.Epoch>>shift&15])
	}
	return strconv.AppendUint(append(b, '.'), p.Seq, 10)
}

// String returns p's wire form, see [Position.Append].
func (p Position) String() string { return string(p.Append(make([]byte, 0, 37))) }

// ParsePosition reads the wire form of a position. It accepts exactly what
// [Position.Append] writes: sixteen lower-case hex digits of a non-zero epoch,
// a dot, and a decimal number without leading zeros.
func ParsePosition(s string) (Position, error) {
	const digits = 16
	if len(s) < digits+2 || len(s) > digits+21 || s[digits] != '.' {
		return Position{}, errPosition
	}
	var p Position
	for i := range digits {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			p.Epoch = p.Epoch<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			p.Epoch = p.Epoch<<4 | uint64(c-'a'+10)
		default:
			return Position{}, errPosition
		}
	}
	seq := s[digits+1:]
	n, err := strconv.ParseUint(seq, 10, 64)
	if err != nil || (len(seq) > 1 && seq[0] == '0') || seq[0] == '+' || p.Epoch == 0 {
		return Position{}, errPosition
	}
	p.Seq = n
	return p, nil
}

var errPosition error = &Error{
	Kind: Invalid,
	Text: fmt.Sprintf("a position is 16 hex digits, a dot and a decimal number, as in %q", Position{Epoch: 0x1f, Seq: 42}),
}
