package rpcapi

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner walks over JSON text once, strictly by RFC 8259, and hands out the
// pieces as slices of the text. It exists because encoding/json takes what must
// not pass here: duplicate members (the last wins), members in another case,
// invalid UTF-8 (two different names become one). Text must be valid UTF-8.
type scanner struct {
	text     []byte
	at       int
	depth    int
	maxDepth int
}

// peek skips space and returns the next byte, or 0 at the end.
func (s *scanner) peek() byte {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return c
		}
	}
	return 0
}

// unexpected is the error for the byte where the scanner stands.
func (s *scanner) unexpected() *Error {
	if s.at >= len(s.text) {
		return parseError("unexpected end")
	}
	return parseError("unexpected character at byte %d", s.at)
}

// value passes one value of any sort and returns its bytes.
func (s *scanner) value() ([]byte, *Error) {
	c := s.peek()
	start := s.at
	var err *Error
	switch {
	case c == '"':
		return s.str()
	case c == '{':
		err = s.object(nil)
	case c == '[':
		err = s.array(nil)
	case c == '-' || isDigit(c):
		err = s.number()
	default:
		err = s.literal()
	}
	if err != nil {
		return nil, err
	}
	return s.text[start:s.at], nil
}

// object passes an object. For each member it calls member with the quoted key;
// member must pass the value. A nil member passes over everything.
func (s *scanner) object(member func(key []byte) *Error) *Error {
	if err := s.open(); err != nil {
		return err
	}
	if s.peek() == '}' {
		s.close()
		return nil
	}
	for {
		if s.peek() != '"' {
			return s.unexpected()
		}
		key, err := s.str()
		if err != nil {
			return err
		}
		if s.peek() != ':' {
			return s.unexpected()
		}
		s.at++
		if member == nil {
			_, err = s.value()
		} else {
			err = member(key)
		}
		if err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.at++
		case '}':
			s.close()
			return nil
		default:
			return s.unexpected()
		}
	}
}

// array passes an array. For each element it calls element, which must pass the
// value. A nil element passes over everything.
func (s *scanner) array(element func() *Error) *Error {
	if err := s.open(); err != nil {
		return err
	}
	if s.peek() == ']' {
		s.close()
		return nil
	}
	for {
		var err *Error
		if element == nil {
			_, err = s.value()
		} else {
			err = element()
		}
		if err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.at++
		case ']':
			s.close()
			return nil
		default:
			return s.unexpected()
		}
	}
}

func (s *scanner) open() *Error {
	s.depth++
	if s.depth > s.maxDepth {
		return parseError("nested deeper than %d levels (max_json_depth)", s.maxDepth)
	}
	s.at++
	return nil
}

func (s *scanner) close() {
	s.depth--
	s.at++
}

// str passes a string and returns it with its quotes.
func (s *scanner) str() ([]byte, *Error) {
	start := s.at
	s.at++
	for {
		s.at += plainBytes(s.text[s.at:])
		if s.at >= len(s.text) {
			return nil, s.unexpected()
		}
		switch s.text[s.at] {
		case '"':
			s.at++
			return s.text[start:s.at], nil
		case '\\':
			if err := s.escape(); err != nil {
				return nil, err
			}
		default:
			return nil, s.unexpected()
		}
	}
}

// plainBytes returns how many bytes of a string stand for themselves: up to a
// quote, a backslash or a control character. It looks at eight at a time, since
// most of a body is inside of strings.
func plainBytes(b []byte) (n int) {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for ; n+8 <= len(b); n += 8 {
		w := binary.LittleEndian.Uint64(b[n:])
		quote, slash := w^ones*'"', w^ones*'\\'
		// The high bit of each byte that is 0, or below a space. A borrow can
		// mark bytes wrongly, but only above one that is marked rightly.
		if found := ((quote-ones)&^quote | (slash-ones)&^slash | (w-ones*' ')&^w) & high; found != 0 {
			return n + bits.TrailingZeros64(found)/8
		}
	}
	for n < len(b) && b[n] != '"' && b[n] != '\\' && b[n] >= ' ' {
		n++
	}
	return n
}

func (s *scanner) escape() *Error {
	s.at++
	if s.at >= len(s.text) {
		return s.unexpected()
	}
	switch s.text[s.at] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.at++
		return nil
	case 'u':
		s.at++
		for range 4 {
			if s.at >= len(s.text) || !isHex(s.text[s.at]) {
				return s.unexpected()
			}
			s.at++
		}
		return nil
	}
	return s.unexpected()
}

func (s *scanner) number() *Error {
	if s.text[s.at] == '-' {
		s.at++
	}
	if s.at < len(s.text) && s.text[s.at] == '0' {
		s.at++ // nothing but a fraction or an exponent may follow a leading zero
	} else if err := s.digits(); err != nil {
		return err
	}
	if s.at < len(s.text) && s.text[s.at] == '.' {
		s.at++
		if err := s.digits(); err != nil {
			return err
		}
	}
	if s.at < len(s.text) && (s.text[s.at] == 'e' || s.text[s.at] == 'E') {
		s.at++
		if s.at < len(s.text) && (s.text[s.at] == '+' || s.text[s.at] == '-') {
			s.at++
		}
		return s.digits()
	}
	return nil
}

// digits passes one digit or more.
func (s *scanner) digits() *Error {
	start := s.at
	for s.at < len(s.text) && isDigit(s.text[s.at]) {
		s.at++
	}
	if s.at == start {
		return s.unexpected()
	}
	return nil
}

func (s *scanner) literal() *Error {
	for _, word := range [...]string{"true", "false", "null"} {
		if bytes.HasPrefix(s.text[s.at:], []byte(word)) {
			s.at += len(word)
			return nil
		}
	}
	return s.unexpected()
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

// unquote returns the text of a quoted string that a scanner has passed. It is
// a slice of quoted when nothing is escaped. ok is false when an escape is half
// of a surrogate pair, which no text can be: two names that differ only there
// would become the same name.
func unquote(quoted []byte) (text []byte, ok bool) {
	in := quoted[1 : len(quoted)-1]
	next := bytes.IndexByte(in, '\\')
	if next < 0 {
		return in, true
	}
	out := make([]byte, 0, len(in))
	for ; next >= 0; next = bytes.IndexByte(in, '\\') {
		out = append(out, in[:next]...)
		r, size := unescape(in[next:])
		if r < 0 {
			return nil, false
		}
		out = utf8.AppendRune(out, r)
		in = in[next+size:]
	}
	return append(out, in...), true
}

// unescape decodes the escape that in begins with: its rune, or -1 for half of
// a surrogate pair, and how many bytes it takes.
func unescape(in []byte) (r rune, size int) {
	switch c := in[1]; c {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r = hex4(in[2:6])
	default:
		return rune(c), 2
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(in) >= 12 && in[6] == '\\' && in[7] == 'u' {
		if r = utf16.DecodeRune(r, hex4(in[8:12])); r != utf8.RuneError {
			return r, 12
		}
	}
	return -1, 6
}

func hex4(digits []byte) (r rune) {
	for _, c := range digits {
		if isDigit(c) {
			r = r<<4 | rune(c-'0')
		} else {
			r = r<<4 | rune(c|0x20-'a'+10)
		}
	}
	return r
}
