package wire

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// asked is a call without its answer yet.
type asked struct {
	id     string
	method string
	params string
	cut    bool
}

// parseCalls returns the first calls that a body of this size has, of which at
// least the beginning is there, how many it has, and whether they are a batch.
func parseCalls(body []byte, size int) (calls []asked, total int, batch bool) {
	if size > len(body) {
		return []asked{{method: fmt.Sprintf("(%d bytes, too long to be read here)", size)}}, 1, false
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
			return nil, 0, false
		}
		all = []call{one}
	} else {
		batch = true
	}
	for _, c := range all[:min(len(all), maxCalls)] {
		params, cut := short(c.Params)
		calls = append(calls, asked{string(c.ID), line([]byte(c.Method)), params, cut})
	}
	return calls, len(all), batch
}

// short returns what is to be shown of a value: all, or nothing. It stays text:
// who parses numbers may change them.
func short(value json.RawMessage) (kept string, cut bool) {
	if len(value) > maxParams {
		return "", true
	}
	return string(value), false
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
	results, forAll := m.results()
	for i, a := range m.of.calls {
		c := Call{Method: a.method, Params: a.params, Cut: a.cut}
		r, found := result{}, false
		if forAll {
			r, found = results[0], true
		} else {
			r, found, results = a.take(results)
		}
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
	h.tellRest(m.of)
}

// results are those that a message has, none if it cannot be read. One that is
// no list is for all calls: there is but one, or the batch was refused as a whole.
func (m *message) results() (all []result, forAll bool) {
	if len(m.of.calls) == 0 || m.size > len(m.body) {
		return nil, false
	}
	if m.of.batch && json.Unmarshal(m.body, &all) == nil {
		return all, false
	}
	var one result
	if json.Unmarshal(m.body, &one) != nil || one.Result == nil && one.Error == nil {
		return nil, false
	}
	return []result{one}, true
}

// take returns the first result that is the call's, and those that are left for
// other calls: some may have the same id.
func (a asked) take(all []result) (r result, found bool, left []result) {
	i := slices.IndexFunc(all, func(r result) bool { return a.id != "" && string(r.ID) == a.id })
	if i < 0 {
		return r, false, all
	}
	r = all[i]
	return r, true, slices.Delete(all, i, i+1)
}

func (h *httpConn) tellCall(r *request, i int, c Call) {
	c.MS = float64(h.at.Sub(r.at)) / float64(time.Millisecond)
	if r.batch {
		c.Number, c.Of = i+1, r.total
	}
	h.emit(Event{At: h.at, Up: true, Kind: KindCall, Title: c.Method, Call: &c})
}

// tellRest says how many calls of a batch have not been told of one by one.
func (h *httpConn) tellRest(r *request) {
	if rest := r.total - len(r.calls); rest > 0 {
		h.tellCall(r, len(r.calls), Call{Method: fmt.Sprintf("(%d more, not shown)", rest), Rest: rest, Cut: true})
	}
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
		h.tellRest(r)
	}
	h.waiting = nil
}
