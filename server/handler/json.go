package handler

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how many levels of JSON an answer may have, without those around
// its result.
const maxDepth = 64

// sound says what is wrong with data that should be one JSON value, of so many
// levels at most.
func sound(data []byte, levels int) error {
	switch {
	case depth(data) > levels: // first: to check it takes a stack as deep
		return fmt.Errorf("it is nested deeper than %d levels", levels)
	case !utf8.Valid(data) || !json.Valid(data):
		return errors.New("it is not JSON")
	}
	return nil
}

// depth returns how many levels of JSON there are in data, if it is any.
func depth(data []byte) (most int) {
	level, quoted, escaped := 0, false, false
	for _, c := range data {
		switch {
		case escaped:
			escaped = false
		case quoted:
			escaped, quoted = c == '\\', c != '"'
		case c == '"':
			quoted = true
		case c == '[' || c == '{':
			level++
			most = max(most, level)
		case c == ']' || c == '}':
			level--
		}
	}
	return most
}

// eachMember calls member for every member of a JSON object, up to the first
// error. Unlike encoding/json it takes no name twice, and none that only sounds
// like another.
func eachMember(what string, raw json.RawMessage, member func(name string, value json.RawMessage) error) error {
	if kindOf(raw) != '{' {
		return fmt.Errorf("%s: must be an object", what)
	}
	seen := make(map[string]bool)
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.Token() // {
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		name, _ := t.(string)
		if seen[name] {
			return fmt.Errorf("%s: has the member %.100q twice", what, name)
		}
		seen[name] = true
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		if err := member(name, value); err != nil {
			return err
		}
	}
	return nil
}

// unknown is the error for a member that there should not be: rather none is
// performed than one that was meant otherwise.
func unknown(what, name string) error {
	return fmt.Errorf("%s: has an unknown member %.100q", what, name)
}

// kindOf returns the first byte of a JSON value: n is null, t and f are booleans.
func kindOf(raw json.RawMessage) byte {
	if raw = trim(raw); len(raw) > 0 {
		return raw[0]
	}
	return 'n'
}

func trim(raw json.RawMessage) json.RawMessage { return bytes.Trim(raw, " \t\r\n") }

// text reads a string. Half of a surrogate pair is none: two names that differ
// only there would be the same.
func text(what string, raw json.RawMessage) (s string, err error) {
	if kindOf(raw) != '"' || json.Unmarshal(raw, &s) != nil {
		return "", fmt.Errorf("%s: must be a string", what)
	}
	if half(raw) {
		return "", fmt.Errorf("%s: must not hold half of a surrogate pair", what)
	}
	return s, nil
}

// half reports whether a JSON string escapes half of a surrogate pair without the
// other half.
func half(raw []byte) bool {
	for {
		at := bytes.IndexByte(raw, '\\')
		if at < 0 {
			return false
		}
		unit, rest := escape(raw[at:])
		if utf16.IsSurrogate(unit) {
			var next rune
			next, rest = escape(rest)
			if utf16.DecodeRune(unit, next) == utf8.RuneError {
				return true
			}
		}
		raw = rest
	}
}

// escape returns the unit of UTF-16 that text begins with, 0 if it does not begin
// with the number of one, and what comes behind it.
func escape(text []byte) (unit rune, rest []byte) {
	if len(text) < 2 || text[0] != '\\' {
		return 0, text
	}
	if text[1] != 'u' || len(text) < 6 {
		return 0, text[2:]
	}
	n, _ := strconv.ParseUint(string(text[2:6]), 16, 16) // it is JSON
	return rune(n), text[6:]
}

// texts reads a string or an array of them; null is none.
func texts(what string, raw json.RawMessage) ([]string, error) {
	switch kindOf(raw) {
	case 'n':
		return nil, nil
	case '"':
		s, err := text(what, raw)
		return []string{s}, err
	}
	var list []json.RawMessage
	if kindOf(raw) != '[' || json.Unmarshal(raw, &list) != nil {
		return nil, fmt.Errorf("%s: must be a string or an array of strings", what)
	}
	all := make([]string, len(list))
	for i := range list {
		var err error
		if all[i], err = text(what, list[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// boolean reads true or false; null is false.
func boolean(what string, raw json.RawMessage) (bool, error) {
	switch kindOf(raw) {
	case 't':
		return true, nil
	case 'f', 'n':
		return false, nil
	}
	return false, fmt.Errorf("%s: must be true or false", what)
}
