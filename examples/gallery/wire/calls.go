package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// asked is a call without its answer yet.
type asked struct {
	id     string
	method string
	params json.RawMessage
	cut    bool
}

// parseCalls returns the calls that a body of this size has, of which at least
// the beginning is there, and whether they are a batch.
func parseCalls(body []byte, size int) (calls []asked, batch bool) {
	if size > len(body) {
		return []asked{{method: fmt.Sprintf("(%d bytes, too long to be read here)", size)}}, false
	}
	type call struct {
		ID     json.RawMessage
		Method string
		Params json.RawMessage
	}
	var all []call
	if err := json.Unmarshal(body, &all); err != nil {
		var one call
		if json.Unmarshal(body, &one) != nil || one.Method == "" {
			return nil, false
		}
		all = []call{one}
	} else {
		batch = true
	}
	for _, c := range all[:min(len(all), maxCalls)] {
		params, cut := short(c.Params)
		calls = append(calls, asked{string(c.ID), line([]byte(c.Method)), params, cut})
	}
	return calls, batch
}

// short returns what is to be shown of a value: all, or nothing.
func short(value json.RawMessage) (kept json.RawMessage, cut bool) {
	if len(value) > maxParams {
		return nil, true
	}
	return bytes.Clone(value), false
}

// result is the answer to a call.
type result struct {
	ID     json.RawMessage
	Result json.RawMessage
	Error  *struct {
		Code    int
		Message string
	}
}

// answered tells of the calls that the answer is to which has come, or of which
// nothing more will come.
func (h *httpConn) answered() {
	m := h.now
	h.now = nil
	results := m.results()
	for i, a := range m.of.calls {
		c := Call{Method: a.method, Params: a.params, Cut: a.cut}
		r, found := a.resultIn(results, len(m.of.calls))
		switch {
		case m.size > len(m.body):
			c.Cut = true
		case !found && a.id == "" && m.status < 300: // a notification has no answer
		case !found:
			c.Error = fmt.Sprintf("no answer of JSON-RPC, but status %d", m.status)
		case r.Error != nil:
			c.Error, _ = readable(fmt.Appendf(nil, "%d: %s", r.Error.Code, r.Error.Message), maxText)
		default:
			var cut bool
			c.Result, cut = short(r.Result)
			c.Cut = c.Cut || cut
		}
		h.tellCall(m.of, i, c)
	}
}

// results are those that a message has, none if it cannot be read.
func (m *message) results() (all []result) {
	var one result
	switch {
	case len(m.of.calls) == 0 || m.size > len(m.body):
	case m.of.batch && json.Unmarshal(m.body, &all) == nil:
	case json.Unmarshal(m.body, &one) == nil: // also to a batch that was refused as a whole
		all = []result{one}
	}
	return all
}

func (a asked) resultIn(all []result, calls int) (result, bool) {
	for _, r := range all {
		if a.id != "" && string(r.ID) == a.id || len(all) == 1 && calls == 1 {
			return r, true
		}
	}
	return result{}, false
}

func (h *httpConn) tellCall(r *request, i int, c Call) {
	c.MS = float64(h.at.Sub(r.at)) / float64(time.Millisecond)
	if r.batch {
		c.Number, c.Of = i+1, len(r.calls)
	}
	h.emit(Event{At: h.at, Up: true, Kind: KindCall, Title: c.Method, Call: &c})
}

// end tells of the calls that will never be answered.
func (h *httpConn) end() {
	if h.now != nil {
		h.answered()
	}
	for _, r := range h.waiting {
		for i, a := range r.calls {
			h.tellCall(r, i, Call{Method: a.method, Params: a.params, Cut: a.cut, Error: "the connection ended without an answer"})
		}
	}
	h.waiting = nil
}
