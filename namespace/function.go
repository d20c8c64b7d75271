package namespace

import (
	"context"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
)

// A function is one that answers an event, looked at once.
type function struct {
	call     reflect.Value
	context  bool           // it takes one, first
	socket   bool           // and then its socket
	params   []reflect.Type // for the event's arguments
	variadic bool           // the last of them is for all that come
	fails    bool           // its last result is an error
}

var (
	contextType         = reflect.TypeFor[context.Context]()
	socketType          = reflect.TypeFor[*Socket]()
	errorType           = reflect.TypeFor[error]()
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// newFunction panics if fn is not fit to answer events.
func newFunction(event string, fn any) *function {
	bad := func(format string, args ...any) {
		panic(fmt.Sprintf("namespace: the function for %q, a %T, ", event, fn) + fmt.Sprintf(format, args...))
	}
	f := &function{call: reflect.ValueOf(fn)}
	if f.call.Kind() != reflect.Func || f.call.IsNil() {
		bad("is no function")
	}
	t := f.call.Type()
	next := 0
	f.context = next < t.NumIn() && t.In(next) == contextType
	if f.context {
		next++
	}
	f.socket = next < t.NumIn() && t.In(next) == socketType
	if f.socket {
		next++
	}
	f.variadic = t.IsVariadic()
	for ; next < t.NumIn(); next++ {
		p := t.In(next)
		if p == contextType || p == socketType {
			bad("has a %v where an argument should be: first come the context and the socket, then the arguments", p)
		}
		one := p
		if f.variadic && next == t.NumIn()-1 {
			one = p.Elem()
		}
		if odd := unfit(one, true); odd != nil {
			bad("has a parameter that no argument fits: %v", odd)
		}
		f.params = append(f.params, p)
	}
	for i := range t.NumOut() {
		r := t.Out(i)
		if r.Implements(errorType) {
			if r != errorType || i != t.NumOut()-1 {
				bad("has a result of the type %v: an error must be the last one, and an error", r)
			}
			f.fails = true
		} else if odd := unfit(r, false); odd != nil {
			bad("returns what cannot be an argument: %v", odd)
		}
	}
	return f
}

// unfit returns what of the type JSON cannot have, nil if there is nothing. What
// structs have is not looked at: a field may be left out.
func unfit(t reflect.Type, in bool) reflect.Type {
	if in && (reflect.PointerTo(t).Implements(unmarshalerType) || reflect.PointerTo(t).Implements(textUnmarshalerType)) {
		return nil
	}
	if !in && (t.Implements(reflect.TypeFor[json.Marshaler]()) || t.Implements(reflect.TypeFor[encoding.TextMarshaler]())) {
		return nil
	}
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer, reflect.Uintptr:
		return t
	case reflect.Interface:
		if in && t.NumMethod() > 0 {
			return t
		}
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		if t == socketType {
			return t
		}
		return unfit(t.Elem(), in)
	}
	return nil
}

// invoke calls the function with an event's arguments, and returns what it has
// returned.
func (f *function) invoke(ctx context.Context, s *Socket, args Args) (results []any, err error) {
	in := make([]reflect.Value, 0, 2+len(f.params))
	if f.context {
		in = append(in, reflect.ValueOf(&ctx).Elem())
	}
	if f.socket {
		in = append(in, reflect.ValueOf(s))
	}
	for i, t := range f.params {
		if f.variadic && i == len(f.params)-1 {
			if in, err = f.rest(in, args, i); err != nil {
				return nil, err
			}
			break
		}
		v := reflect.New(t).Elem()
		if err := args.decode(i, v); err != nil {
			return nil, err
		}
		in = append(in, v)
	}
	out := f.call.Call(in)
	if f.fails {
		err, _ = out[len(out)-1].Interface().(error)
		out = out[:len(out)-1]
	}
	for _, v := range out {
		results = append(results, v.Interface())
	}
	return results, err
}

// rest has the last parameter take all arguments from i on.
func (f *function) rest(in []reflect.Value, args Args, i int) ([]reflect.Value, error) {
	one := f.params[i].Elem()
	for ; i < len(args); i++ {
		v := reflect.New(one).Elem()
		if err := args.decode(i, v); err != nil {
			return nil, err
		}
		in = append(in, v)
	}
	return in, nil
}
