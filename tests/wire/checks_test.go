package wire

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// envelope is an answer with its members still as they were written.
type envelope map[string]json.RawMessage

// check looks at one answer; complaint is what the client itself said of it.
type check func(e envelope, complaint *string) error

// success wants a result and no error member, then looks at the result.
func success(look func(result json.RawMessage) error) check {
	return func(e envelope, complaint *string) error {
		if complaint != nil {
			return fmt.Errorf("the client says: %s", *complaint)
		}
		if _, ok := e["error"]; ok {
			return fmt.Errorf("an error member")
		}
		return look(e["result"])
	}
}

func result(want string) check {
	return success(func(got json.RawMessage) error {
		if string(got) != want {
			return fmt.Errorf("result %s, want %s", got, want)
		}
		return nil
	})
}

var keyForm = regexp.MustCompile(`^"[0-9a-f]{32}"$`)

var key = success(func(got json.RawMessage) error {
	if !keyForm.Match(got) {
		return fmt.Errorf("result %s is not a key", got)
	}
	return nil
})

// names wants these strings in any order.
func names(want ...string) check {
	slices.Sort(want)
	return success(func(raw json.RawMessage) error {
		var got []string
		if err := json.Unmarshal(raw, &got); err != nil || got == nil {
			return fmt.Errorf("result %s is not an array of strings", raw)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			return fmt.Errorf("result %q, want %q", got, want)
		}
		return nil
	})
}

func mentions(word string) check {
	return success(func(got json.RawMessage) error {
		if !strings.Contains(string(got), word) {
			return fmt.Errorf("no %q in %s", word, got)
		}
		return nil
	})
}

// failure wants a null result and an error with a type, a message and a code
// that tell nothing about the inside. An empty kind takes any type.
func failure(kind string) check {
	return func(e envelope, complaint *string) error {
		if complaint == nil || *complaint != "request error" {
			return fmt.Errorf("the client did not take it for a failure")
		}
		if string(e["result"]) != "null" {
			return fmt.Errorf("result %s, want null", e["result"])
		}
		var fault struct {
			Type, Message string
			Code          *int
		}
		if err := json.Unmarshal(e["error"], &fault); err != nil {
			return err
		}
		if fault.Type == "" || fault.Message == "" || fault.Code == nil {
			return fmt.Errorf("error %s lacks type, message or code", e["error"])
		}
		if kind != "" && fault.Type != kind {
			return fmt.Errorf("error type %q, want %q", fault.Type, kind)
		}
		return nil
	}
}

func resultOf[T any](t *testing.T, a answer) (v T) {
	t.Helper()
	var e struct{ Result json.RawMessage }
	if err := json.Unmarshal([]byte(a.Body), &e); err != nil {
		t.Fatalf("%v in %s", err, a.Body)
	}
	if err := json.Unmarshal(e.Result, &v); err != nil {
		t.Fatalf("%v in %s", err, a.Body)
	}
	return v
}
