package namespace

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// Binary is bytes inside of other values: pages have them as an ArrayBuffer, in
// Node as a Buffer. An argument by itself can as well be a []byte; in structs,
// slices and maps a []byte is a text in base64, as it is in JSON.
//
// Of one event, or one answer, ten values may be binary.
type Binary []byte

// binary is what JSON has in the place of bytes.
type binary struct {
	Binary *string `json:"$binary"`
}

// MarshalJSON returns {"$binary":"<base64>"}, and null for nil.
func (b Binary) MarshalJSON() ([]byte, error) {
	if b == nil {
		return []byte("null"), nil
	}
	text := base64.StdEncoding.EncodeToString(b)
	return json.Marshal(binary{&text})
}

// UnmarshalJSON takes {"$binary":"<base64>"}, and null for nil.
func (b *Binary) UnmarshalJSON(text []byte) error {
	if isNull(text) {
		*b = nil
		return nil
	}
	var it binary
	if err := json.Unmarshal(text, &it); err != nil || it.Binary == nil {
		return errNotBinary
	}
	data, err := base64.StdEncoding.DecodeString(*it.Binary)
	if err != nil {
		return errNotBinary
	}
	*b = data
	return nil
}

var errNotBinary = errors.New("must be binary")

// Args are the arguments of an event, or of an answer, as JSON: a thousand at
// most. What was binary is an object {"$binary":"<base64>"}.
type Args []json.RawMessage

// maxArgs is how many arguments there may be. Each takes many times the memory of
// the two bytes that it is.
const maxArgs = 1000

// parseArgs returns the elements of a JSON array.
func parseArgs(array json.RawMessage) (all Args, err error) {
	if commas(array, maxArgs) >= maxArgs {
		return nil, &Error{Type: "bad_arguments", Message: fmt.Sprintf("there are more than %d arguments", maxArgs)}
	}
	err = json.Unmarshal(array, &all)
	return all, err
}

// commas counts those between the elements of a JSON array, up to most.
func commas(array []byte, most int) (n int) {
	level, quoted, escaped := 0, false, false
	for _, c := range array {
		switch {
		case escaped:
			escaped = false
		case quoted:
			escaped, quoted = c == '\\', c != '"'
		case c == '"':
			quoted = true
		case c == '[' || c == '{':
			level++
		case c == ']' || c == '}':
			level--
		case c == ',' && level == 1:
			if n++; n == most {
				return n
			}
		}
	}
	return n
}

// Scan stores the arguments in the values that into points to, as
// [json.Unmarshal] would. A []byte takes what is binary. There may be more
// arguments than wanted. One that is missing, or null where there is a text, a
// number, a bool or a struct to be filled, is an error, unless into points to a
// pointer, which then is nil. A nil in into passes over an argument.
//
// The error is an [*Error] of type bad_arguments. So a handler may return it.
func (a Args) Scan(into ...any) error {
	for i, to := range into {
		if to == nil {
			continue
		}
		v := reflect.ValueOf(to)
		if v.Kind() != reflect.Pointer || v.IsNil() {
			panic(fmt.Sprintf("namespace: Scan into a %T: it must be a pointer", to))
		}
		if err := a.decode(i, v.Elem()); err != nil {
			return err
		}
	}
	return nil
}

// decode stores the argument in v, which can be set.
func (a Args) decode(i int, v reflect.Value) error {
	var text json.RawMessage
	if i < len(a) {
		text = a[i]
	}
	var err error
	switch {
	case v.Kind() == reflect.Pointer && (text == nil || isNull(text)):
		v.SetZero()
	case text == nil || isNull(text) && !takesNull(v.Type()):
		err = errMissing
	default:
		err = decode(text, v)
	}
	if err != nil {
		return badArgument(i, err)
	}
	return nil
}

// decode stores the value in v. Text, here, is valid JSON.
func decode(text json.RawMessage, v reflect.Value) error {
	switch {
	case v.Type() == bytesType:
		return (*Binary)(v.Addr().Interface().(*[]byte)).UnmarshalJSON(text)
	case v.Kind() == reflect.Pointer && v.Type().Elem() == bytesType:
		v.Set(reflect.New(bytesType))
		return decode(text, v.Elem())
	}
	return json.Unmarshal(text, v.Addr().Interface())
}

var (
	bytesType       = reflect.TypeFor[[]byte]()
	unmarshalerType = reflect.TypeFor[json.Unmarshaler]()
)

// takesNull reports whether null is a value of the type, and not the want of
// one: what is undefined in a page arrives as null.
func takesNull(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
		return true
	}
	return reflect.PointerTo(t).Implements(unmarshalerType)
}

func isNull(text []byte) bool { return string(bytes.TrimSpace(text)) == "null" }

var errMissing = errors.New("is missing")

// badArgument says what is wrong with an argument, in words for the page.
func badArgument(i int, err error) *Error {
	what := "is not as it must be"
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.Is(err, errMissing), errors.Is(err, errNotBinary):
		what = err.Error()
	case errors.As(err, &wrong) && wrong.Field != "":
		what = fmt.Sprintf("cannot have %s as %s", a(wrong.Value), wrong.Field)
	case errors.As(err, &wrong):
		what = "cannot be " + a(wrong.Value)
	}
	return &Error{Type: "bad_arguments", Message: fmt.Sprintf("argument %d %s", i+1, what)}
}

// a returns the name of a kind of JSON value with its article.
func a(kind string) string {
	if kind == "object" || kind == "array" {
		return "an " + kind
	}
	return "a " + kind
}

// encode returns values as a JSON array.
func encode(values []any) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // it goes into no page's text
	b.WriteByte('[')
	for i, v := range values {
		if i > 0 {
			b.WriteByte(',')
		}
		if raw, ok := v.([]byte); ok {
			v = Binary(raw)
		}
		if err := enc.Encode(v); err != nil {
			return nil, fmt.Errorf("namespace: argument %d: %w", i+1, err)
		}
		b.Truncate(b.Len() - 1) // the line's end
	}
	b.WriteByte(']')
	return b.Bytes(), nil
}
