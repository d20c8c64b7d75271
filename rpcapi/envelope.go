package rpcapi

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// No request needs more members or parameters than this. With a small cap,
// finding duplicates by comparing all with all is cheap, and a body full of
// tiny values cannot be blown up into a list of slices.
const (
	maxMembers = 16
	maxParams  = 32
)

// call is one request and, later, its outcome. Its slices are part of the body.
type call struct {
	v2     bool   // it said "jsonrpc": "2.0"
	id     []byte // nil: there was none; `null` is an id of four bytes
	method string
	params params
	fault  *Error // why it is not a request at all

	target *method // what method names; nil: there is no such method
	result []byte  // JSON; when err is nil
	err    *Error
}

// params are the parameters of a call, not looked into yet.
type params struct {
	named bool
	count int
	list  []param // the first maxParams of them
	fault *Error
}

type param struct {
	name []byte // when named
	raw  []byte
}

// notification reports whether nobody wants to hear how the call went. Only a
// request can be one: what is not a request is always answered.
func (c *call) notification() bool { return c.v2 && c.id == nil && c.fault == nil }

// parser reads a body: one request, or a batch of them.
type parser struct {
	scanner
	maxBatch int
	methods  map[string]*method // those that exist

	calls []call // what has been read; behind its end there are empty ones
}

// next returns room for one more call.
func (p *parser) next() *call {
	n := len(p.calls)
	if n == cap(p.calls) {
		p.calls = append(p.calls, call{})
		return &p.calls[n]
	}
	p.calls = p.calls[:n+1]
	return &p.calls[n]
}

// parse checks the whole body and returns its calls. An error means that no
// call may run, and is the answer to the whole body.
func (p *parser) parse() (calls []call, batch bool, err *Error) {
	if bytes.HasPrefix(p.text, []byte("\xef\xbb\xbf")) {
		return nil, false, parseError("begins with a byte order mark")
	}
	if !utf8.Valid(p.text) {
		return nil, false, parseError("not valid UTF-8")
	}
	if batch = p.peek() == '['; batch {
		err = p.batch()
	} else {
		err = p.call(p.next(), false)
	}
	calls = p.calls
	if err != nil {
		return nil, false, err
	}
	if p.peek(); p.at < len(p.text) {
		return nil, false, parseError("unexpected data after the end at byte %d", p.at)
	}
	if batch && len(calls) == 0 {
		return nil, false, invalidRequest("an empty batch")
	}
	return calls, batch, nil
}

func (p *parser) batch() *Error {
	return p.array(func() *Error {
		if len(p.calls) == p.maxBatch {
			return invalidRequest("more than %d calls in a batch (max_batch_calls)", p.maxBatch)
		}
		return p.call(p.next(), true)
	})
}

// call reads one request. What is wrong with it alone goes to c.fault; the
// error is about the JSON.
func (p *parser) call(c *call, inBatch bool) *Error {
	if p.peek() != '{' {
		c.v2 = true // the dialect in which there is something to say without a request
		c.fault = invalidRequest("must be an object")
		_, err := p.value()
		return err
	}
	e := envelope{parser: p, call: c}
	if err := p.object(e.member); err != nil {
		return err
	}
	e.finish(inBatch)
	return nil
}

// envelope is a request while its members are read.
type envelope struct {
	*parser
	call *call

	keys            [maxMembers][]byte
	count           int
	version, method []byte // raw
}

// member reads the member whose quoted key was just passed.
func (e *envelope) member(quoted []byte) *Error {
	key := e.key(quoted)
	if string(key) == "params" {
		return e.readParams()
	}
	raw, err := e.value()
	if err != nil {
		return err
	}
	switch string(key) {
	case "jsonrpc":
		e.version = raw
	case "method":
		e.method = raw
	case "id":
		e.call.id = raw
	}
	return nil
}

// key returns the text of a key, or nil if the member must not be used; then
// it says why.
func (e *envelope) key(quoted []byte) []byte {
	key, ok := unquote(quoted)
	if !ok {
		e.blame("a member name holds half of a surrogate pair")
		return nil
	}
	if e.count == maxMembers {
		e.blame("more than %d members", maxMembers)
		return nil
	}
	for _, other := range e.keys[:e.count] {
		if bytes.Equal(other, key) {
			e.blame("duplicate member: %s", clip(string(key)))
			if string(key) == "id" {
				e.call.id = []byte("null") // which of them is meant?
			}
			return nil
		}
	}
	e.keys[e.count] = key
	e.count++
	switch string(key) {
	case "jsonrpc", "method", "params", "id":
		return key
	}
	for _, known := range [...]string{"jsonrpc", "method", "params", "id"} {
		if strings.EqualFold(string(key), known) {
			e.blame("member %s must be written %s", clip(string(key)), known)
		}
	}
	return key
}

// blame records the first thing that is wrong with the request.
func (e *envelope) blame(format string, args ...any) {
	if e.call.fault == nil {
		e.call.fault = invalidRequest(format, args...)
	}
}

// readParams reads the value of params, and each parameter with it.
func (e *envelope) readParams() *Error {
	p := &e.call.params
	switch e.peek() {
	case '[':
		return e.array(func() *Error { return e.param(nil) })
	case '{':
		p.named = true
		return e.object(e.param)
	}
	raw, err := e.value()
	if err == nil && string(raw) != "null" {
		p.fault = invalidParams("params: must be an array or an object")
	}
	return err
}

// param reads one parameter. quoted is its name, nil when positional.
func (e *envelope) param(quoted []byte) *Error {
	return e.call.params.add(&e.scanner, quoted)
}

// add reads one more parameter with s, which stands before its value. quoted
// is its name, nil when positional.
func (p *params) add(s *scanner, quoted []byte) *Error {
	raw, err := s.value()
	if err != nil {
		return err
	}
	p.count++
	if p.count > maxParams {
		return nil
	}
	if p.list == nil {
		p.list = make([]param, 0, 4)
	}
	if quoted == nil {
		p.list = append(p.list, param{raw: raw})
		return nil
	}
	name, ok := unquote(quoted)
	if !ok {
		p.fault = invalidParams("a parameter name holds half of a surrogate pair")
		return nil
	}
	for i := range p.list {
		if bytes.Equal(p.list[i].name, name) {
			p.fault = invalidParams("duplicate parameter: %s", clip(string(name)))
		}
	}
	p.list = append(p.list, param{name: name, raw: raw})
	return nil
}

// finish decides the dialect and checks what depends on it.
func (e *envelope) finish(inBatch bool) {
	c := e.call
	version, _ := textOf(e.version)
	c.v2 = string(version) == "2.0"
	switch name, ok := textOf(e.method); {
	case e.method == nil:
		// Batches came with 2.0, so what is no request of either dialect is
		// answered by its rules there.
		c.v2 = c.v2 || inBatch
		e.blame("missing member: method")
	case !ok:
		e.blame("method: must be a string")
	default:
		if c.target = e.methods[string(name)]; c.target != nil {
			c.method = c.target.Name // which is there already
		} else {
			c.method = string(name)
		}
	}
	if c.v2 && !isID(c.id) {
		c.id = nil
		e.blame("id: must be a string, a number or null")
	}
}

// isID reports whether raw is what JSON-RPC 2.0 takes for an id, or none.
func isID(raw []byte) bool {
	if raw == nil {
		return true
	}
	c := raw[0]
	return c == '"' || c == '-' || c == 'n' || isDigit(c)
}

// textOf returns the text of a raw value if it is a string.
func textOf(raw []byte) (text []byte, ok bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return nil, false
	}
	return unquote(raw)
}
