package longpoll

import "bytes"

// appendCall appends the beginning of a call of the page's callback. The
// comment in front keeps the page's name for it from being the first bytes of
// the answer, which other programs might read as something else than a script.
func appendCall(b []byte, callback string) []byte {
	b = append(b, "/**/"...)
	b = append(b, callback...)
	return append(b, '(')
}

// closeCall ends the call. Two characters that JSON may have in its strings
// were line breaks in those of older JavaScript, and are escaped.
func closeCall(b []byte) []byte {
	if bytes.Contains(b, []byte("\u2028")) || bytes.Contains(b, []byte("\u2029")) {
		b = bytes.ReplaceAll(b, []byte("\u2028"), []byte(`\u2028`))
		b = bytes.ReplaceAll(b, []byte("\u2029"), []byte(`\u2029`))
	}
	return append(b, ");"...)
}
