package transporttest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Events dials readers of a text/event-stream.
func Events(address string, ask Way) func(*http.Client, Start) Reader {
	return func(client *http.Client, start Start) Reader {
		return Streaming(start, func(ctx context.Context, s Start) (Stream, News, error) {
			return openEvents(client, ask(address, s).WithContext(ctx))
		})
	}
}

// AsEventSource asks as a browser's EventSource does: always at the same
// address, and after the first time with the id of the last event.
func AsEventSource() Way {
	first := true
	var at string
	return func(address string, s Start) *http.Request {
		last := s.Cursor
		if first {
			first, at, last = false, s.Cursor, ""
		}
		s.Cursor = at
		r := ByQuery(address, s)
		if last != "" && last != at {
			r.Header.Set("Last-Event-ID", last)
		}
		return r
	}
}

func openEvents(client *http.Client, r *http.Request) (Stream, News, error) {
	var none News
	resp, err := client.Do(r)
	if err != nil {
		return nil, none, err
	}
	if resp.StatusCode == http.StatusOK {
		return &events{body: resp.Body}, none, nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return nil, none, err
	case resp.StatusCode == http.StatusNoContent:
		return nil, none, ErrGone
	}
	news, err := Refused(resp.StatusCode, body)
	return nil, news, err
}

// events is a stream of events, read by the rules of the HTML standard, section
// 9.2.6.
type events struct {
	body    io.ReadCloser
	partial string // of an event whose end has not come
}

// Next returns the events that have come in one piece.
func (e *events) Next() (news News, err error) {
	piece := make([]byte, 1<<20)
	n, err := e.body.Read(piece)
	text := e.partial + string(piece[:n])
	for {
		event, rest, whole := strings.Cut(text, "\n\n")
		if !whole {
			e.partial = text
			return news, err
		}
		text = rest
		if err := dispatch(event, &news); err != nil {
			return news, err
		}
	}
}

// dispatch adds an event to the news.
func dispatch(event string, news *News) error {
	kind, data := "message", ""
	for line := range strings.SplitSeq(event, "\n") {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			kind = value
		case "data":
			data += value + "\n"
		case "id":
			news.Cursor = value
		case "retry", "":
		default:
			return fmt.Errorf("a strange line: %q", line)
		}
	}
	data = strings.TrimSuffix(data, "\n")
	switch {
	case data == "" && (kind == "tick" || kind == "message"):
		return nil
	case kind == "message":
		m, err := ParseMessage([]byte(data))
		if err == nil && m.Position != news.Cursor {
			err = fmt.Errorf("the event's id is %s: %s", news.Cursor, data)
		}
		news.Messages = append(news.Messages, m)
		return err
	}
	var s Signal
	if err := json.Unmarshal([]byte(data), &s); err != nil {
		return err
	}
	if s.Type != kind {
		return fmt.Errorf("an event %q: %s", kind, data)
	}
	news.Signals = append(news.Signals, s)
	return nil
}

func (e *events) Close() { e.body.Close() }
