package wire

import (
	"bytes"
	"slices"
)

// secretFields prove who somebody is, here or to other sites of the same host,
// and are not for the page.
var secretFields = []string{"authorization", "cookie", "proxy-authorization", "set-cookie"}

// hider writes asterisks over the values of such fields. It looks at bytes alone
// and goes on where it was, so neither a head that comes in pieces, nor one that
// is cut off, nor one that is too long to be read tells them.
type hider struct {
	name   [24]byte // what the line begins with, in small letters
	length int      // of name; more than it has: it is none of ours
	inside bool     // the line: something of it has come
	value  bool     // that is secret, with the lines that continue it
}

// over hides in p, in place, and returns it.
func (h *hider) over(p []byte) []byte {
	for i, b := range p {
		if !h.inside && b != ' ' && b != '\t' { // a line that begins otherwise continues the last
			h.value, h.length = false, 0
		}
		h.inside = b != '\n'
		switch {
		case h.value:
			if b != ' ' && b != '\t' && b != '\r' && b != '\n' {
				p[i] = '*'
			}
		case h.length > len(h.name):
		case b == ':':
			h.value = slices.Contains(secretFields, string(bytes.TrimSpace(h.name[:h.length])))
			h.length = len(h.name) + 1
		case h.length == len(h.name):
			h.length++
		default:
			if 'A' <= b && b <= 'Z' {
				b += 'a' - 'A'
			}
			h.name[h.length] = b
			h.length++
		}
	}
	return p
}
