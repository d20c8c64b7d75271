package packet

import (
	"bytes"
	"math"
	"strconv"
)

// A scanner reads JSON, exactly as strict as JSON.parse of browsers. It allocates
// for what it seeks only.
type scanner struct {
	p     []byte
	at    int
	seek  seek
	most  int // how many spots there may be
	spots []spot

	store   []byte // what the spots of binaries have
	literal bool   // there is an object that clients take for a placeholder
	err     error
}

// A seek is what kind of objects a scanner looks for.
type seek uint8

const (
	nothing      seek = iota
	placeholders      // {"_placeholder":true,"num":…}, which may have more
	binaries          // {"$binary":"…"}, which may not
)

// A spot is where an object stands that was sought. Of a placeholder from is its
// number, or -1; a binary is store[from:to].
type spot struct {
	start, end int
	from, to   int
}

// document reads p as one value with nothing but space behind, and returns where
// it ends.
func (s *scanner) document(depth int) (end int, err error) {
	if !s.value(depth) {
		return 0, s.err
	}
	end = s.at
	if s.space(); s.at < len(s.p) {
		return 0, ErrJSON
	}
	return end, nil
}

func (s *scanner) fail(err error) bool {
	if s.err == nil {
		s.err = err
	}
	return false
}

// peek returns the next byte, and 0 at the end, which no JSON has.
func (s *scanner) peek() byte {
	if s.at < len(s.p) {
		return s.p[s.at]
	}
	return 0
}

func (s *scanner) space() {
	for s.at < len(s.p) {
		switch s.p[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// value reads a value that may be nested that deep.
func (s *scanner) value(depth int) bool {
	switch c := s.peek(); c {
	case '"':
		return s.text()
	case '{', '[':
		if depth == 0 {
			return s.fail(ErrDepth)
		}
		if c == '{' {
			return s.object(depth - 1)
		}
		return s.array(depth - 1)
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	}
	return s.number()
}

func (s *scanner) word(w string) bool {
	if !bytes.HasPrefix(s.p[s.at:], []byte(w)) {
		return s.fail(ErrJSON)
	}
	s.at += len(w)
	return true
}

func (s *scanner) array(depth int) bool {
	s.at++
	if s.space(); s.peek() == ']' {
		s.at++
		return true
	}
	for {
		if !s.value(depth) {
			return false
		}
		if more, ok := s.behind(']'); !more {
			return ok
		}
	}
}

// behind reads what is behind an element: a comma, with more to come, or the end.
func (s *scanner) behind(end byte) (more, ok bool) {
	s.space()
	switch s.peek() {
	case ',':
		s.at++
		s.space()
		return true, true
	case end:
		s.at++
		return false, true
	}
	return false, s.fail(ErrJSON)
}

func (s *scanner) object(depth int) bool {
	start, inside := s.at, len(s.spots)
	var m members
	s.at++
	if s.space(); s.peek() == '}' {
		s.at++
		return true
	}
	for {
		key := s.at
		if !s.text() {
			return false
		}
		name := s.p[key+1 : s.at-1]
		if s.space(); s.peek() != ':' {
			return s.fail(ErrJSON)
		}
		s.at++
		s.space()
		value := s.at
		if !s.value(depth) {
			return false
		}
		if s.seek != nothing {
			m.add(name, s.p[value:s.at])
		}
		if more, ok := s.behind('}'); !ok {
			return false
		} else if !more {
			break
		}
	}
	switch s.seek {
	case placeholders:
		return s.placeholder(&m, start, inside)
	case binaries:
		return s.binary(&m, start)
	}
	return true
}

// members is what is worth knowing of an object. Of members with the same name
// the last counts, as in browsers.
type members struct {
	count       int
	placeholder bool
	number      []byte
	binary      []byte
}

func (m *members) add(name, value []byte) {
	m.count++
	switch {
	case is(name, "_placeholder"):
		m.placeholder = string(value) == "true"
	case is(name, "num"):
		m.number = value
	case is(name, "$binary"):
		m.binary = value
	}
}

// placeholder notes an object that is one. What was noted inside of it is not
// there for a client.
func (s *scanner) placeholder(m *members, start, inside int) bool {
	if !m.placeholder {
		return true
	}
	s.spots = s.spots[:inside]
	if len(s.spots) == s.most {
		return s.fail(ErrPlaceholder)
	}
	s.spots = append(s.spots, spot{start: start, end: s.at, from: index(m.number)})
	return true
}

// index returns the number that JSON is, and -1 if it can be none of an
// attachment.
func index(json []byte) int {
	if len(json) == 0 || json[0] > '9' || json[0] == '"' {
		return -1
	}
	f, err := strconv.ParseFloat(string(json), 64)
	if err != nil || f < 0 || f > math.MaxInt32 || f != math.Trunc(f) {
		return -1
	}
	return int(f)
}

// binary notes an object that is one, and keeps what it says.
func (s *scanner) binary(m *members, start int) bool {
	s.literal = s.literal || m.placeholder
	if m.count != 1 || len(m.binary) == 0 || m.binary[0] != '"' {
		return true
	}
	from := len(s.store)
	store, ok := appendBinary(s.store, m.binary[1:len(m.binary)-1])
	if !ok {
		return true
	}
	if len(s.spots) == s.most {
		return s.fail(ErrAttachments)
	}
	s.store = store
	s.spots = append(s.spots, spot{start: start, end: s.at, from: from, to: len(store)})
	return true
}
