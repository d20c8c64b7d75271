package backend

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// A kind is what is done with a message.
type kind uint8

const (
	request kind = iota // handled in its turn; whatever makes no sense is one, too
	waiting             // a request that may take its time
	serving             // a request for calls
	reply               // to a call of ours
)

// A message is what has come, looked at no closer than is needed to know where
// it goes. Its slices are part of the text.
type message struct {
	kind   kind
	text   []byte
	id     []byte // JSON, nil if there is none; known of all but requests and batches
	params []byte // JSON, nil if there are none; known of serving
}

// sort says what text is. waits are the methods that may take their time.
// Whether a request makes sense is judged where it is handled, so all doubtful
// messages are requests. A reply has a result or an error, and no method; if it
// is valid JSON at all, that is certain.
func sort(text []byte, waits map[string]bool) message {
	m := message{text: text}
	w := walker{text: text}
	switch w.peek() {
	case '{':
		m.look(&w, waits)
	case '[':
		if w.array(func(e []byte) bool { return !isWaiting(e, waits) }) == stopped {
			m.kind = waiting
		}
	}
	return m
}

// look sorts what is one object.
func (m *message) look(w *walker, waits map[string]bool) {
	var method []byte
	var named, replies, twice bool
	set := func(member *[]byte, value []byte) {
		twice = twice || *member != nil
		*member = value
	}
	end := w.object(func(key, value []byte) bool {
		switch string(key) {
		case "method":
			twice = twice || named
			named, method = true, plain(value)
			return string(method) == serve || waits[string(method)] // of any other no more is needed
		case "id":
			set(&m.id, value)
		case "params":
			set(&m.params, value)
		case "result", "error":
			replies = true
		}
		return true
	})
	if end != whole || twice {
		return
	}
	switch {
	case waits[string(method)]:
		m.kind = waiting
	case string(method) == serve:
		if isID(m.id) && json.Valid(m.text) {
			m.kind = serving
		}
	case replies: // and there is no method, or the walk had stopped
		m.kind = reply
	}
}

// isWaiting reports whether an element of a batch is a request that may take
// its time.
func isWaiting(element []byte, waits map[string]bool) (yes bool) {
	w := walker{text: element}
	if w.peek() != '{' {
		return false
	}
	w.object(func(key, value []byte) bool {
		yes = yes || string(key) == "method" && waits[string(plain(value))]
		return !yes
	})
	return yes
}

// isID reports whether raw is what JSON-RPC takes for an id, or none.
func isID(raw []byte) bool {
	return raw == nil || raw[0] == '"' || raw[0] == 'n' || raw[0] == '-' || '0' <= raw[0] && raw[0] <= '9'
}

// idPrefix begins the ids of our calls: what begins so is none of the numbers
// that most callers have.
const idPrefix = "s-"

func idOf(n uint64) string { return idPrefix + strconv.FormatUint(n, 10) }

// number returns which of our calls an id is of, 0 if it is of none.
func number(id []byte) uint64 {
	digits, ok := strings.CutPrefix(string(plain(id)), idPrefix)
	if !ok || strings.HasPrefix(digits, "0") {
		return 0
	}
	n, _ := strconv.ParseUint(digits, 10, 64) // 0 if it is no number
	return n
}

// plain returns the text of a string in JSON, and nothing for other values.
func plain(raw []byte) []byte {
	switch {
	case len(raw) < 2 || raw[0] != '"':
		return nil
	case bytes.IndexByte(raw, '\\') < 0:
		return raw[1 : len(raw)-1]
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return nil
	}
	return []byte(text)
}

// A walker passes over JSON quickly. What it passes need not be valid; of what
// is, it gets everything right.
type walker struct {
	text []byte
	at   int
}

// An ending is how far a walk has gone.
type ending uint8

const (
	broken  ending = iota // this is no JSON
	stopped               // as it was told
	whole                 // to the end of the text
)

// object walks over the object that it stands before, and stops if member says
// so.
func (w *walker) object(member func(key, value []byte) (goOn bool)) ending {
	return w.list('}', func() ending {
		if w.peek() != '"' {
			return broken
		}
		quoted := w.str()
		key := plain(quoted)
		if quoted == nil || len(key) == 0 && len(quoted) > 2 || w.peek() != ':' {
			return broken
		}
		w.at++
		value := w.value()
		switch {
		case value == nil:
			return broken
		case !member(key, value):
			return stopped
		}
		return whole
	})
}

// array walks over the array that it stands before, and stops if element says
// so.
func (w *walker) array(element func(value []byte) (goOn bool)) ending {
	return w.list(']', func() ending {
		value := w.value()
		switch {
		case value == nil:
			return broken
		case !element(value):
			return stopped
		}
		return whole
	})
}

// list walks over what has elements, by each, to the end of the text.
func (w *walker) list(last byte, each func() ending) ending {
	w.at++
	if w.peek() == last {
		return w.end()
	}
	for {
		if end := each(); end != whole {
			return end
		}
		switch w.peek() {
		case ',':
			w.at++
		case last:
			return w.end()
		default:
			return broken
		}
	}
}

// end passes the last byte, behind which there must be nothing.
func (w *walker) end() ending {
	w.at++
	if w.peek(); w.at < len(w.text) {
		return broken
	}
	return whole
}

// peek passes space and returns the next byte, 0 at the end.
func (w *walker) peek() byte {
	for ; w.at < len(w.text); w.at++ {
		switch c := w.text[w.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// str passes a string and returns it with its quotes, or nil if it has no end.
func (w *walker) str() []byte {
	start := w.at
	for w.at++; w.at < len(w.text); w.at++ {
		switch w.text[w.at] {
		case '\\':
			w.at++
		case '"':
			w.at++
			return w.text[start:w.at]
		}
	}
	return nil
}

// value passes a value and returns it, or nil if there is none.
func (w *walker) value() []byte {
	c := w.peek()
	start := w.at
	switch c {
	case '"':
		return w.str()
	case '{', '[':
		return w.nest()
	}
	for ; w.at < len(w.text); w.at++ {
		switch w.text[w.at] {
		case ',', ']', '}', ':', '"', ' ', '\t', '\n', '\r':
			return w.passed(start)
		}
	}
	return w.passed(start)
}

// nest passes an array or an object, however deep it is.
func (w *walker) nest() []byte {
	start := w.at
	for depth := 0; w.at < len(w.text); {
		switch w.text[w.at] {
		case '"':
			if w.str() == nil {
				return nil
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if w.at++; depth == 0 {
			return w.text[start:w.at]
		}
	}
	return nil
}

func (w *walker) passed(start int) []byte {
	if w.at == start {
		return nil
	}
	return w.text[start:w.at]
}
