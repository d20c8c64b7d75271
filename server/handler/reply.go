package handler

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/socketio"
)

// A reply is what the result of a call asks for.
type reply struct {
	refusal     *socketio.Refusal // nil: the socket is let in
	leave, join []string
	data        json.RawMessage // nil: stays as it is
	emit        []hub.Emission
	ack         json.RawMessage // an array
	disconnect  bool
}

// defaultRefusal is what a page hears that was refused without a word.
const defaultRefusal = "refused"

// parseConnect reads the result of connect for a socket of this namespace.
func parseConnect(result json.RawMessage, namespace string) (*reply, error) {
	if err := sound(result, maxDepth); err != nil {
		return nil, fmt.Errorf("the result: %w", err)
	}
	r := &reply{}
	switch kindOf(result) {
	case 'n', 't':
		return r, nil
	case 'f':
		r.refusal = &socketio.Refusal{Message: defaultRefusal}
		return r, nil
	case '{':
		return r, eachMember("the result", result, func(name string, value json.RawMessage) (err error) {
			if name == "refuse" {
				r.refusal, err = parseRefusal(value)
				return err
			}
			return r.member(name, value, namespace)
		})
	}
	return nil, errors.New("the result: must be an object, null, true or false")
}

// parseEvent reads the result of event.
func parseEvent(result json.RawMessage, namespace string) (*reply, error) {
	if err := sound(result, maxDepth); err != nil {
		return nil, fmt.Errorf("the result: %w", err)
	}
	r := &reply{ack: json.RawMessage("[]")}
	switch kindOf(result) {
	case 'n':
		return r, nil
	case '[':
		r.ack = result
		return r, nil
	case '{':
		return r, eachMember("the result", result, func(name string, value json.RawMessage) (err error) {
			switch name {
			case "ack":
				if r.ack = value; kindOf(value) != '[' {
					return errors.New("ack: must be an array")
				}
				return nil
			case "disconnect":
				r.disconnect, err = boolean(name, value)
				return err
			}
			return r.member(name, value, namespace)
		})
	}
	r.ack = append(append(json.RawMessage{'['}, trim(result)...), ']')
	return r, nil
}

// member reads a member that both results may have. Null is none, but for data:
// there it is the value.
func (r *reply) member(name string, value json.RawMessage, namespace string) (err error) {
	switch name {
	case "leave":
		r.leave, err = texts(name, value)
	case "join":
		r.join, err = texts(name, value)
	case "data":
		r.data = value
	case "emit":
		r.emit, err = parseEmissions(value, namespace)
	default:
		err = unknown("the result", name)
	}
	return err
}

// parseRefusal reads what a page is told that is not let in.
func parseRefusal(raw json.RawMessage) (*socketio.Refusal, error) {
	if kindOf(raw) == 'n' {
		return nil, nil
	}
	r := &socketio.Refusal{Message: defaultRefusal}
	return r, eachMember("refuse", raw, func(name string, value json.RawMessage) (err error) {
		switch name {
		case "message":
			r.Message, err = text("message", value)
		case "data":
			r.Data = value
		default:
			err = unknown("refuse", name)
		}
		return err
	})
}

// parseEmissions reads one event to be emitted, or an array of them.
func parseEmissions(raw json.RawMessage, namespace string) ([]hub.Emission, error) {
	list := []json.RawMessage{raw}
	switch kindOf(raw) {
	case 'n':
		return nil, nil
	case '[':
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, err
		}
	}
	all := make([]hub.Emission, len(list))
	for i := range list {
		all[i] = hub.Emission{Namespace: namespace, Args: json.RawMessage("[]"), Sender: json.RawMessage("null")}
		if err := parseEmission(list[i], &all[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func parseEmission(raw json.RawMessage, e *hub.Emission) error {
	err := eachMember("emit", raw, func(name string, value json.RawMessage) (err error) {
		switch name {
		case "event":
			e.Event, err = text("event", value)
		case "args":
			if e.Args = value; kindOf(value) != '[' {
				err = errors.New("emit: args: must be an array")
			}
		case "to":
			if e.Rooms, err = texts("to", value); err == nil && e.Rooms != nil && len(e.Rooms) == 0 {
				err = errors.New("emit: to: must not be an empty array: leave it out for everybody in the namespace")
			}
		case "except":
			e.Except, err = texts("except", value)
		case "namespace":
			if kindOf(value) != 'n' {
				e.Namespace, err = text("namespace", value)
			}
		case "volatile":
			e.Volatile, err = boolean("volatile", value)
		case "sender":
			e.Sender = value
		default:
			err = unknown("emit", name)
		}
		return err
	})
	if err == nil && e.Event == "" {
		err = errors.New("emit: event: must be given")
	}
	return err
}
