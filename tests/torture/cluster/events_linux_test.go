package cluster

import (
	"encoding/json"
	"fmt"
	"strings"
)

// events take a stream of them. What comes between two ticks is one batch if it has
// signals; else each message is one.
type events struct {
	*reader
	signals []signal // of the batch under way
}

func (e *events) take(unit []byte) error {
	var kind, id, data string
	for line := range strings.SplitSeq(string(unit), "\n") {
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "event":
			kind = value
		case "id":
			id = value
		case "data":
			data = value
		}
	}
	if e.checker == nil {
		if id != "" {
			e.cursor = id
		}
		e.figures.light.Add(1)
		if kind == "gone" {
			e.client.lost(e.world, e.key)
		}
		if kind == "gone" || kind == "drain" || kind == "superseded" {
			return errOver
		}
		return nil
	}
	e.told = unit
	switch kind {
	case "":
		if data == "" {
			return nil // retry
		}
		return e.message(id, data)
	case "tick":
		return e.tick(id)
	}
	var s signal
	if err := json.Unmarshal([]byte(data), &s); err != nil {
		return broken{fmt.Errorf("%w: %.200q", err, unit)}
	}
	if len(e.signals) == 0 {
		e.loose = e.at.none()
	}
	e.signals = append(e.signals, s)
	e.signal(&s, position{})
	e.cursor = e.at.String()
	return e.obey([]signal{s})
}

func (e *events) message(id, data string) error {
	var m message
	if err := json.Unmarshal([]byte(data), &m); err != nil || m.Pos.String() != id {
		return broken{fmt.Errorf("id %s: %v: %.200q", id, err, data)}
	}
	if e.checker.message(&m) {
		e.journal.note("repeat dropped")
		return nil
	}
	e.move(m.Pos)
	e.cursor = id
	return nil
}

func (e *events) tick(id string) error {
	e.signals, e.loose = nil, false
	if id == "" {
		return nil
	}
	var at position
	if err := at.UnmarshalJSON([]byte(id)); err != nil {
		return broken{err}
	}
	e.move(at)
	e.cursor = id
	return nil
}
