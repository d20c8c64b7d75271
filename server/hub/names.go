package hub

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Delimiter stands between a client's id and its key in a token. It cannot be
// part of an id.
const Delimiter = "_!!_"

// CheckClientID says what is wrong with id as the name of a client: it must be
// 1 to limit bytes of valid UTF-8 without control characters and without
// [Delimiter]. The error is an [*Error] of kind Invalid.
func CheckClientID(id string, limit int) error {
	if strings.Contains(id, Delimiter) {
		return &Error{Kind: Invalid, Name: id, Text: fmt.Sprintf("a client id must not contain %q", Delimiter)}
	}
	return checkName("a client id", id, limit)
}

// CheckChannelName says what is wrong with name as the name of a channel: it
// must be 1 to limit bytes of valid UTF-8 without control characters.
func CheckChannelName(name string, limit int) error {
	return checkName("a channel name", name, limit)
}

func checkName(what, s string, limit int) error {
	var fault string
	switch {
	case s == "":
		fault = "must not be empty"
	case len(s) > limit:
		return &Error{Kind: Invalid, Text: fmt.Sprintf("%s must not be longer than %d bytes (name_bytes)", what, limit)}
	case !utf8.ValidString(s):
		fault = "must be valid UTF-8"
	case strings.ContainsFunc(s, unicode.IsControl):
		fault = "must not contain control characters"
	default:
		return nil
	}
	return &Error{Kind: Invalid, Name: s, Text: what + " " + fault}
}
