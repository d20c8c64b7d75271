package longpoll

import "bytes"

// appendCall appends a call of the page's callback with a JSON text. The comment
// in front keeps the page's name for it from being the first bytes of the
// answer, which other programs might read as something else than a script. Two
// characters that JSON may have in its strings were line breaks in those of
// older JavaScript, and are escaped.
func appendCall(dst []byte, callback string, text []byte) []byte {
	dst = append(dst, "/**/"...)
	dst = append(dst, callback...)
	dst = append(dst, '(')
	if bytes.Contains(text, []byte("\u2028")) || bytes.Contains(text, []byte("\u2029")) {
		text = bytes.ReplaceAll(text, []byte("\u2028"), []byte(`\u2028`))
		text = bytes.ReplaceAll(text, []byte("\u2029"), []byte(`\u2029`))
	}
	dst = append(dst, text...)
	return append(dst, ");"...)
}
