package transport

// maxCallback is how long the name of a JSONP callback may be.
const maxCallback = 128

// ValidCallback reports whether name may be used as a JSONP callback: ASCII
// identifiers joined by dots, each with any number of numeric indexes, as in
// `app.handlers[3]`, and at most 128 bytes. Nothing else can be written in
// front of the parenthesis, so nothing else can be run in the page's name.
func ValidCallback(name string) bool {
	if len(name) > maxCallback {
		return false
	}
	rest := name
	for {
		n := identifier(rest)
		if n == 0 {
			return false
		}
		rest = rest[n:]
		for rest != "" && rest[0] == '[' {
			n := index(rest)
			if n == 0 {
				return false
			}
			rest = rest[n:]
		}
		if rest == "" {
			return true
		}
		if rest[0] != '.' {
			return false
		}
		rest = rest[1:]
	}
}

// identifier returns how many bytes of s are a JavaScript identifier.
func identifier(s string) int {
	n := 0
	for n < len(s) && (letter(s[n]) || n > 0 && digit(s[n])) {
		n++
	}
	return n
}

// index returns how many bytes of s are a number in brackets.
func index(s string) int {
	n := 1
	for n < len(s) && digit(s[n]) {
		n++
	}
	if n == 1 || n == len(s) || s[n] != ']' {
		return 0
	}
	return n + 1
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c == '$' }
func digit(c byte) bool  { return c >= '0' && c <= '9' }
