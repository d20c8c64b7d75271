package transport

import (
	"encoding/json"
	"unicode/utf8"

	"github.com/shaveet/shaveet/server/hub"
)

// readJSON reads what a body says. Members that are null count as not there.
func (s *saying) readJSON(body []byte, l HelloLimits) error {
	if !utf8.Valid(body) {
		return invalid("the body is not valid UTF-8")
	}
	members, ok := object(body)
	if !ok {
		return invalid("the body must be one JSON object")
	}
	if raw, ok := members["clients"]; ok {
		if err := s.readClients(raw, l); err != nil {
			return err
		}
	}
	for name, field := range map[string]**string{"cursor": &s.cursor, "session": &s.session} {
		raw, ok := members[name]
		if !ok {
			continue
		}
		text, ok := str(raw)
		if !ok {
			return invalid("%s: must be a string", name)
		}
		*field = &text
	}
	if raw, ok := members["wait"]; ok {
		number := string(raw)
		s.wait = &number
	}
	return nil
}

func (s *saying) readClients(raw json.RawMessage, l HelloLimits) error {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return invalid("clients: must be an array")
	}
	if len(list) > l.Clients || len(list) == 0 {
		return tooManyClients(l)
	}
	s.clients = make([]hub.Credentials, len(list))
	for i, raw := range list {
		members, isObject := object(raw)
		id, hasID := str(members["id"])
		key, hasKey := str(members["key"])
		if !isObject || !hasID || !hasKey {
			return invalid("clients: each must be an object with the strings id and key")
		}
		s.clients[i] = hub.Credentials{ID: id, Key: key}
	}
	return nil
}

// object reads the members of a JSON object that are not null. Unlike a struct
// of encoding/json, it does not take a name in another case for the same.
func object(raw []byte) (map[string]json.RawMessage, bool) {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil || members == nil {
		return nil, false
	}
	for name, value := range members {
		if string(value) == "null" {
			delete(members, name)
		}
	}
	return members, true
}

// str reads a JSON string.
func str(raw json.RawMessage) (s string, ok bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	return s, json.Unmarshal(raw, &s) == nil
}
