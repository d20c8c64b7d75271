package handler

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// ParseAnswer reads a response of JSON-RPC 2.0 to the call with this id, and
// returns its result. The error is an [*Answered] if it says that the call went
// wrong; any other means that the response makes no sense.
func ParseAnswer(body []byte, id string) (result json.RawMessage, err error) {
	if err := sound(body, maxDepth+1); err != nil {
		return nil, fmt.Errorf("the answer: %w", err)
	}
	var version, gotID string
	var fault json.RawMessage
	err = eachMember("the answer", body, func(name string, value json.RawMessage) (err error) {
		switch name {
		case "jsonrpc":
			version, err = text(name, value)
		case "id":
			gotID, err = text(name, value)
		case "result":
			result = value
		case "error":
			fault = value
		}
		return err // other members are not forbidden
	})
	hasError := fault != nil && kindOf(fault) != 'n'
	switch {
	case err != nil:
		return nil, err
	case version != "2.0":
		return nil, errors.New(`the answer: its "jsonrpc" is not "2.0"`)
	case gotID != id:
		return nil, errors.New("the answer: its id is not the call's")
	case hasError && result != nil && kindOf(result) != 'n':
		return nil, errors.New("the answer: has both a result and an error")
	case hasError:
		return nil, parseFault(fault)
	case result == nil:
		return nil, errors.New("the answer: has neither a result nor an error")
	}
	return result, nil
}

// parseFault reads the error of a response.
func parseFault(raw json.RawMessage) error {
	a := new(Answered)
	coded, said := false, false
	err := eachMember("the answer's error", raw, func(name string, value json.RawMessage) (err error) {
		switch name {
		case "code":
			coded = true
			if a.Code, err = strconv.Atoi(string(trim(value))); err != nil {
				err = errors.New("the answer's error: its code is no whole number")
			}
		case "message":
			said = true
			a.Message, err = text(name, value)
		case "data":
			a.Data = value
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case !coded || !said:
		return errors.New("the answer's error: must have a code and a message")
	}
	return a
}
