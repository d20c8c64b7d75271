package rpcapi

import (
	"bytes"
	"encoding/base64"
	"fmt"
)

// eventArgs are the arguments of an event: a JSON array, in which binary values
// are as Socket.IO can send them.
type eventArgs []byte

// MarshalJSON is part of json.Marshaler.
func (a eventArgs) MarshalJSON() ([]byte, error) { return a, nil }

func (*eventArgs) schema() *schema { return &schema{Type: "array", Items: &schema{}} }

const (
	binaryMember      = "$binary"
	placeholderMember = "_placeholder"

	// maxBinaries is how many binary values clients of Socket.IO take in one
	// event. They leave when there are more.
	maxBinaries = 10
)

func (a *eventArgs) read(raw []byte, _ bounds) (fault string) {
	if raw[0] != '[' {
		return "must be an array"
	}
	*a = raw
	if !bytes.Contains(raw, []byte(binaryMember)) && !bytes.Contains(raw, []byte(`\u`)) { // by which it may be spelt
		return ""
	}
	var b binaries
	s := again(raw)
	_ = s.array(func() *Error {
		b.argument++
		return b.look(s)
	})
	return b.verdict()
}

// binaries is what is found in the arguments of an event.
type binaries struct {
	argument    int // the one that is looked through, counted from 1
	count       int
	broken      int // the first argument with one that is none; 0: there is none
	placeholder bool
}

// verdict says what Socket.IO could not send.
func (b *binaries) verdict() (fault string) {
	switch {
	case b.broken > 0:
		return fmt.Sprintf("in argument %d: the value of %q must be canonical base64, padded and without line breaks", b.broken, binaryMember)
	case b.count > maxBinaries:
		return fmt.Sprintf("must not have more than %d binary values", maxBinaries)
	case b.count > 0 && b.placeholder:
		// It looks like what stands for a binary value on the wire.
		return fmt.Sprintf("an object with %q: true must not stand beside binary values", placeholderMember)
	}
	return ""
}

// look looks through the value that s stands before.
func (b *binaries) look(s *scanner) *Error {
	switch s.peek() {
	case '[':
		return s.array(func() *Error { return b.look(s) })
	case '{':
		return b.object(s)
	}
	_, err := s.value()
	return err
}

// object looks through an object. Of members of one name the last counts, as in
// browsers.
func (b *binaries) object(s *scanner) *Error {
	var members int
	var binary []byte
	var placeholder bool
	err := s.object(func(quoted []byte) *Error {
		members++
		s.peek()
		start := s.at
		if err := b.look(s); err != nil {
			return err
		}
		value := s.text[start:s.at]
		switch name, _ := unquote(quoted); string(name) {
		case binaryMember:
			binary = value
		case placeholderMember:
			placeholder = string(value) == "true"
		}
		return nil
	})
	b.placeholder = b.placeholder || placeholder
	if members != 1 || binary == nil {
		return err
	}
	b.count++
	if !isBase64(binary) && b.broken == 0 {
		b.broken = b.argument
	}
	return err
}

// isBase64 reports whether the JSON is a string of base64 that is the same again
// when it is made of what it says.
func isBase64(raw []byte) bool {
	if raw[0] != '"' {
		return false
	}
	text, ok := unquote(raw)
	if !ok {
		return false
	}
	data, err := base64.StdEncoding.Strict().AppendDecode(nil, text)
	// The decoder passes over line breaks.
	return err == nil && base64.StdEncoding.EncodedLen(len(data)) == len(text)
}
