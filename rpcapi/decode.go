package rpcapi

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// decode reads a parameter into *target by its type, or says what is wrong
// with it.
func (p *paramSpec) decode(target any, raw []byte, b bounds) (fault string) {
	switch t := target.(type) {
	case *json.RawMessage:
		*t = raw
		return ""
	case reader:
		return t.read(raw, b)
	case *string:
		return p.decodeText(t, raw)
	case *bool:
		*t = string(raw) == "true"
		if !*t && string(raw) != "false" {
			return "must be true or false"
		}
		return ""
	case *[]string:
		return decodeStrings(t, raw)
	}
	if v := reflect.ValueOf(target).Elem(); v.CanInt() && p.max != 0 {
		return p.decodeInt(v, raw)
	}
	if json.Unmarshal(raw, target) != nil {
		return "has the wrong type" // encoding/json's own words name Go types
	}
	return ""
}

// decodeInt reads a whole number between p's bounds, also if it is written
// with a fraction of zero, as some languages do it.
func (p *paramSpec) decodeInt(target reflect.Value, raw []byte) (fault string) {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		f, err := strconv.ParseFloat(string(raw), 64)
		if err != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<53 {
			return p.rangeText()
		}
		n = int64(f)
	}
	if n < p.min || n > p.max || target.OverflowInt(n) {
		return p.rangeText()
	}
	target.SetInt(n)
	return ""
}

// rangeText says which numbers p may be.
func (p *paramSpec) rangeText() string {
	return fmt.Sprintf("must be a whole number from %d to %d", p.min, p.max)
}

func (p *paramSpec) decodeText(target *string, raw []byte) (fault string) {
	if fault := decodeString(target, raw); fault != "" {
		return fault
	}
	if n := int64(len(*target)); p.max != 0 && (n < p.min || n > p.max) {
		return fmt.Sprintf("must have %d to %d bytes", p.min, p.max)
	}
	return ""
}

func decodeString(target *string, raw []byte) (fault string) {
	if raw[0] != '"' {
		return "must be a string"
	}
	text, ok := unquote(raw)
	if !ok {
		return "must not hold half of a surrogate pair"
	}
	*target = string(text)
	return ""
}

func decodeName(target *string, raw []byte, check func(string, int) error, limit int) (fault string) {
	if fault := decodeString(target, raw); fault != "" {
		return fault
	}
	if err := check(*target, limit); err != nil {
		return err.Error()
	}
	return ""
}

func decodeStrings(target *[]string, raw []byte) (fault string) {
	return decodeEach(target, raw, func(text *string, element []byte) (fault string) {
		if fault = decodeString(text, element); fault != "" {
			fault = "each element " + fault
		}
		return fault
	})
}

// decodeEach reads an array of strings, by decode, up to the first fault.
func decodeEach(target *[]string, raw []byte, decode func(*string, []byte) string) (fault string) {
	if raw[0] != '[' {
		return "must be an array of strings"
	}
	s := again(raw)
	*target = []string{}
	_ = s.array(func() *Error {
		element, _ := s.value()
		var text string
		if fault == "" {
			fault = decode(&text, element)
		}
		if fault == "" {
			*target = append(*target, text)
		}
		return nil
	})
	return fault
}

// about makes sure that a fault, if there is one, says what it is about: the
// hub's do, and where those of a whole parameter do not need to, those inside
// of one do.
func about(what, fault string) string {
	if fault == "" || strings.HasPrefix(fault, what) {
		return fault
	}
	return what + " " + fault
}

// again returns a scanner for a value that has been checked already; it does
// not fail.
func again(raw []byte) *scanner {
	return &scanner{text: raw, maxDepth: len(raw)}
}
