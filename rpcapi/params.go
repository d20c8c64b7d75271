package rpcapi

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// bounds are what parameters are measured by beside their own.
type bounds struct {
	nameBytes int
	calls     int // in a batch, and elements in a list that stands for one
}

// signature is what a method takes, in positional order: the fields of its
// parameter struct, those of embedded structs among them.
type signature struct {
	params []paramSpec
	list   string // the parameters as an error message lists them
}

// paramSpec is one parameter.
type paramSpec struct {
	name     string
	help     string
	optional bool
	def      []byte // what an optional one is when it is left out; may be nil
	min, max int64  // of a number, or of the bytes of a string; both 0: none
	typ      reflect.Type
	index    []int // of the field
}

// newSignature reads the tags of a parameter struct, see [Service].
func newSignature(args reflect.Type) (s signature, err error) {
	if args.Kind() != reflect.Struct {
		return s, errors.New("the parameters must be a struct")
	}
	var names []string
	for _, field := range reflect.VisibleFields(args) {
		if field.Anonymous {
			continue // its fields follow
		}
		p, err := newParamSpec(field)
		if err != nil {
			return s, err
		}
		s.params = append(s.params, p)
		names = append(names, p.name)
	}
	if len(names) > maxParams {
		return s, fmt.Errorf("there may be %d parameters at most", maxParams)
	}
	s.list = strings.Join(names, ", ")
	return s, nil
}

func newParamSpec(field reflect.StructField) (p paramSpec, err error) {
	name, option, _ := strings.Cut(field.Tag.Get("param"), ",")
	if name == "" || !field.IsExported() || (option != "" && option != "optional") {
		return p, fmt.Errorf("the parameter field %s must be exported and have a param tag", field.Name)
	}
	p = paramSpec{name: name, help: field.Tag.Get("help"), optional: option != "", typ: field.Type, index: field.Index}
	if def := field.Tag.Get("default"); def != "" {
		p.def = []byte(def)
	}
	if p.min, p.max, err = tagBounds(field.Tag); err != nil || p.max == 0 || p.bounded() {
		return p, err
	}
	return p, fmt.Errorf("the parameter %s can have no min and max", name)
}

// bounded reports whether p is of a type that bounds are heeded for.
func (p *paramSpec) bounded() bool {
	v := reflect.New(p.typ)
	_, reads := v.Interface().(reader)
	return p.typ == reflect.TypeFor[string]() || v.Elem().CanInt() && !reads
}

// tagBounds reads the tags min and max, which come together.
func tagBounds(tag reflect.StructTag) (low, high int64, err error) {
	if tag.Get("min") == "" && tag.Get("max") == "" {
		return 0, 0, nil
	}
	low, err1 := strconv.ParseInt(tag.Get("min"), 10, 64)
	high, err2 := strconv.ParseInt(tag.Get("max"), 10, 64)
	return low, high, errors.Join(err1, err2)
}

// targets are where parameters go: pointers, in positional order.
type targets interface{ target(i int) any }

// fields are those of a parameter struct.
type fields struct {
	of     reflect.Value
	params []paramSpec
}

func (f *fields) target(i int) any { return f.of.FieldByIndex(f.params[i].index).Addr().Interface() }

// bind fills args, a pointer to the parameter struct.
func (s *signature) bind(args any, p *params, b bounds) *Error {
	return s.bindTo(&fields{reflect.ValueOf(args).Elem(), s.params}, p, b)
}

func (s *signature) bindTo(to targets, p *params, b bounds) *Error {
	if p.fault != nil {
		return p.fault
	}
	if p.named {
		if err := s.checkNames(p); err != nil {
			return err
		}
	} else if p.count > len(s.params) {
		return s.tooMany()
	}
	for i := range s.params {
		spec := &s.params[i]
		raw := p.find(i, spec.name)
		if spec.optional && (raw == nil || string(raw) == "null") {
			if raw = spec.def; raw == nil {
				continue
			}
		}
		if raw == nil {
			return invalidParams("missing parameter: %s", spec.name)
		}
		if fault := spec.decode(to.target(i), raw, b); fault != "" {
			return invalidParams("%s: %s", spec.name, fault)
		}
	}
	return nil
}

// find returns the i-th parameter, or the one of that name, or nil.
func (p *params) find(i int, name string) []byte {
	if !p.named {
		if i < len(p.list) {
			return p.list[i].raw
		}
		return nil
	}
	for j := range p.list {
		if string(p.list[j].name) == name {
			return p.list[j].raw
		}
	}
	return nil
}

func (s *signature) checkNames(p *params) *Error {
	for i := range p.list {
		if !s.takes(p.list[i].name) {
			return invalidParams("unknown parameter: %s", clip(string(p.list[i].name)))
		}
	}
	if p.count > len(p.list) {
		return s.tooMany()
	}
	return nil
}

func (s *signature) takes(name []byte) bool {
	for i := range s.params {
		if s.params[i].name == string(name) {
			return true
		}
	}
	return false
}

func (s *signature) tooMany() *Error {
	if len(s.params) == 0 {
		return invalidParams("too many parameters: takes none")
	}
	return invalidParams("too many parameters: takes %d (%s)", len(s.params), s.list)
}
