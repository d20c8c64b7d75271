package torture

import (
	"bufio"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// An event is one of a stream, by the rules of the HTML standard, section 9.2,
// and of those only what is ours.
type event struct{ kind, id, data, retry string }

// readEvent returns the text of the next event, with its blank line.
func readEvent(in *bufio.Reader) (text []byte, err error) {
	for {
		line, err := in.ReadSlice('\n')
		text = append(text, line...)
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil || len(line) == 1 && (len(text) == 1 || text[len(text)-2] == '\n') {
			return text, err
		}
	}
}

func parseEvent(text string) (event, error) {
	var e event
	for line := range strings.Lines(strings.TrimSuffix(text, "\n")) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		field := map[string]*string{"event": &e.kind, "id": &e.id, "data": &e.data, "retry": &e.retry}[name]
		if !ok || field == nil || *field != "" || strings.ContainsAny(value, "\r\x00") {
			return e, fmt.Errorf("a line %q in %.300q", line, text)
		}
		*field = value
	}
	return e, nil
}

// events are a stream of events. What comes between two ticks is one batch if
// it has signals; else each message is one.
type events struct {
	tail
	begun   bool
	count   int
	size    int   // of the batch
	pending batch // what has come of it; its cursor is that of the last id
	err     error // the stream has ended
}

func (e *events) next() (batch, int, error) {
	for e.err == nil {
		text, err := readEvent(e.in)
		e.size += len(text)
		if err != nil {
			e.err, e.rest = err, text
			if e.pending.Cursor.none() {
				break // signals alone are told again
			}
			e.pending.part = true
			return e.give()
		}
		whole, err := e.dispatch(string(text))
		if err != nil {
			e.err = malformed{err}
			break
		}
		if whole {
			return e.give()
		}
	}
	return batch{}, 0, e.err
}

func (e *events) give() (batch, int, error) {
	b, size := e.pending, e.size
	e.pending, e.size = batch{}, 0
	return b, size, nil
}

// dispatch takes an event. It reports whether the batch is whole with it.
func (e *events) dispatch(text string) (bool, error) {
	v, err := parseEvent(text)
	if err != nil {
		return false, err
	}
	if first := !e.begun; first || v.retry != "" {
		e.begun = true
		if _, err := strconv.ParseUint(v.retry, 10, 32); err != nil || !first || v != (event{retry: v.retry}) {
			return false, fmt.Errorf("the stream begins with something else than retry, or it comes later: %q", text)
		}
		return false, nil
	}
	var at position
	if v.id != "" {
		if at, err = parsePosition(v.id); err != nil {
			return false, err
		}
		e.pending.Cursor = at
	}
	switch v.kind {
	case "":
		return len(e.pending.Signals) == 0, e.message(v, at)
	case "tick":
		if v.data != "" || at.none() && len(e.pending.Messages) > 0 {
			return false, fmt.Errorf("a tick is %q", text)
		}
		return true, nil
	}
	return false, e.signal(v, at)
}

func (e *events) message(v event, at position) error {
	e.count++
	m, err := parseMessage([]byte(v.data), e.count%8 == 0)
	if err == nil && m.Pos != at {
		err = fmt.Errorf("the id is %v: %s", at, v.data)
	}
	e.pending.Messages = append(e.pending.Messages, m)
	return err
}

func (e *events) signal(v event, at position) error {
	s, err := parseSignal([]byte(v.data))
	switch {
	case err != nil:
		return err
	case s.Type != v.kind || s.Cursor != at:
		return fmt.Errorf("an event %q, id %v: %s", v.kind, at, v.data)
	case len(e.pending.Messages) > 0:
		return errors.New("a signal comes after messages, and no tick in between")
	}
	e.pending.Signals = append(e.pending.Signals, s)
	return nil
}
