package packet

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// plain are the bytes that stand for themselves in strings.
var plain = func() (all [256]bool) {
	for c := range all {
		all[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return all
}()

// text reads a string.
func (s *scanner) text() bool {
	if s.peek() != '"' {
		return s.fail(ErrJSON)
	}
	p, at := s.p, s.at+1
	for {
		for at < len(p) && plain[p[at]] {
			at++
		}
		if at == len(p) || p[at] < ' ' {
			return s.fail(ErrJSON)
		}
		if p[at] == '"' {
			s.at = at + 1
			return true
		}
		n := escape(p[at:])
		if n == 0 {
			return s.fail(ErrJSON)
		}
		at += n
	}
}

// escape returns how long the escape at the beginning of p is, and 0 if it is
// none.
func escape(p []byte) int {
	if len(p) < 2 {
		return 0
	}
	switch p[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(p) >= 6 && hexDigits(p[2:6]) {
			return 6
		}
	}
	return 0
}

func hexDigits(p []byte) bool {
	for _, c := range p {
		if !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f') {
			return false
		}
	}
	return true
}

// number reads a number, which is what every value is that is nothing else.
func (s *scanner) number() bool {
	if s.peek() == '-' {
		s.at++
	}
	if s.peek() == '0' {
		s.at++
	} else if !s.digits() {
		return false
	}
	if s.peek() == '.' {
		s.at++
		if !s.digits() {
			return false
		}
	}
	if s.peek()|0x20 != 'e' {
		return true
	}
	s.at++
	if c := s.peek(); c == '+' || c == '-' {
		s.at++
	}
	return s.digits()
}

func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.p) && s.p[s.at]-'0' <= 9 {
		s.at++
	}
	return s.at > start || s.fail(ErrJSON)
}

// appendUnescaped appends what the inside of a string says.
func appendUnescaped(dst, raw []byte) []byte {
	for len(raw) > 0 {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:i]...)
		raw = raw[i:]
		n := 2
		switch c := raw[1]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			var r rune
			r, n = unit(raw), 6
			if utf16.IsSurrogate(r) {
				if r = utf16.DecodeRune(r, unit(raw[6:])); r != utf8.RuneError {
					n = 12
				}
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, c)
		}
		raw = raw[n:]
	}
	return dst
}

// unit returns the code unit of the escape \u at the beginning of p, and -1 if
// there is none.
func unit(p []byte) rune {
	if len(p) < 6 || p[0] != '\\' || p[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(p[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}

// is reports whether the inside of a string says text, which is ASCII.
func is(raw []byte, text string) bool {
	if len(raw) <= len(text) || len(raw) > 6*len(text) || bytes.IndexByte(raw, '\\') < 0 {
		return string(raw) == text
	}
	return string(appendUnescaped(make([]byte, 0, 6*len("_placeholder")), raw)) == text
}

// canonical is the only base64 that is the same again when it is made of what it
// says.
var canonical = base64.StdEncoding.Strict()

// appendBinary appends what the inside of a string says in base64.
func appendBinary(dst, raw []byte) ([]byte, bool) {
	if bytes.IndexByte(raw, '\\') >= 0 { // some encoders write \/
		raw = appendUnescaped(make([]byte, 0, len(raw)), raw)
		if bytes.IndexByte(raw, '\n') >= 0 || bytes.IndexByte(raw, '\r') >= 0 { // which the decoder would skip
			return dst, false
		}
	}
	store, err := canonical.AppendDecode(dst, raw)
	if err != nil {
		return dst, false
	}
	return store, true
}
