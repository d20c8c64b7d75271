package engineio

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"unicode/utf8"
)

// AppendJSONP appends body as the script that a page without CORS asked for. The
// page has numbered its requests.
func AppendJSONP(dst []byte, number uint64, body []byte) []byte {
	dst = strconv.AppendUint(append(dst, "___eio["...), number, 10)
	dst = appendQuoted(append(dst, `](`...), body)
	return append(dst, `);`...)
}

// appendQuoted appends text as a string of JavaScript. That is JSON, but for the
// two characters that ended lines in old JavaScript.
func appendQuoted(dst, text []byte) []byte {
	dst = append(dst, '"')
	done := 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c >= ' ' && c != '"' && c != '\\' && c != 0xe2 {
			continue
		}
		if c == 0xe2 {
			if r, _ := utf8.DecodeRune(text[i:]); r != '\u2028' && r != '\u2029' {
				continue
			}
		}
		dst = append(dst, text[done:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, `\b`...)
		case '\f':
			dst = append(dst, `\f`...)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		case 0xe2:
			dst = append(dst, `\u202`...)
			dst = append(dst, '8'+text[i+2]&1)
			i += 2
		default:
			dst = hex.AppendEncode(append(dst, `\u00`...), text[i:i+1])
		}
		done = i + 1
	}
	return append(append(dst, text[done:]...), '"')
}

// DecodeForm returns the payload in the form that a page without CORS posts, in
// whichever protocol. It writes to form. Browsers change the ends of lines in
// forms, so the page writes \n for one, and \\n for \n.
func DecodeForm(form []byte) ([]byte, error) {
	var field []byte
	for pair := range bytes.SplitSeq(form, []byte{'&'}) {
		if value, ok := bytes.CutPrefix(pair, []byte("d=")); ok {
			if field != nil {
				return nil, ErrForm
			}
			field = value
		}
	}
	if field == nil {
		return nil, ErrForm
	}
	n := 0
	for i := 0; i < len(field); i++ {
		c := field[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			if i+2 >= len(field) {
				return nil, ErrForm
			}
			if _, err := hex.Decode(field[n:n+1], field[i+1:i+3]); err != nil {
				return nil, ErrForm
			}
			c = field[n]
			i += 2
		}
		field[n] = c
		n++
	}
	return unescapeLines(field[:n:n]), nil
}

// unescapeLines makes the end of a line of \n, and takes one stroke away where
// there are more.
func unescapeLines(text []byte) []byte {
	n, strokes := 0, 0
	for _, c := range text {
		if c == 'n' && strokes > 0 {
			if n--; strokes == 1 {
				c = '\n'
			}
		}
		if c == '\\' {
			strokes++
		} else {
			strokes = 0
		}
		text[n] = c
		n++
	}
	return text[:n:n]
}
