package rpcapi

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/shaveet/shaveet/server/hub"
)

// ClientID is a parameter that must be a well-formed client id.
type ClientID string

// ChannelName is a parameter that must be a well-formed channel name.
type ChannelName string

// memberships is the parameter of subscribe_many and unsubscribe_many, an
// object {channel: [client, …], …}, flattened in the order given.
type memberships []hub.Pair

// bind fills args, a pointer to m's parameter struct.
func (m *method) bind(args any, p *params, limits hub.Limits) *Error {
	if p.fault != nil {
		return p.fault
	}
	if p.named {
		if err := m.checkNames(p); err != nil {
			return err
		}
	} else if p.count > len(m.params) {
		return m.tooMany()
	}
	fields := reflect.ValueOf(args).Elem()
	for i := range m.params {
		spec := &m.params[i]
		raw := p.find(i, spec.name)
		if spec.optional && (raw == nil || string(raw) == "null") {
			continue
		}
		if raw == nil {
			return invalidParams("missing parameter: %s", spec.name)
		}
		if fault := decode(fields.Field(i).Addr().Interface(), raw, limits); fault != "" {
			return invalidParams("%s: %s", spec.name, fault)
		}
	}
	return nil
}

// find returns the i-th parameter, or the one of that name, or nil.
func (p *params) find(i int, name string) []byte {
	if !p.named {
		if i < len(p.list) {
			return p.list[i].raw
		}
		return nil
	}
	for j := range p.list {
		if string(p.list[j].name) == name {
			return p.list[j].raw
		}
	}
	return nil
}

func (m *method) checkNames(p *params) *Error {
	for i := range p.list {
		if !m.takes(p.list[i].name) {
			return invalidParams("unknown parameter: %s", clip(string(p.list[i].name)))
		}
	}
	if p.count > len(p.list) {
		return m.tooMany()
	}
	return nil
}

func (m *method) takes(name []byte) bool {
	for i := range m.params {
		if m.params[i].name == string(name) {
			return true
		}
	}
	return false
}

func (m *method) tooMany() *Error {
	if len(m.params) == 0 {
		return invalidParams("too many parameters: takes none")
	}
	return invalidParams("too many parameters: takes %d (%s)", len(m.params), m.list)
}

// decode reads one parameter into *target by its type, or says what is wrong
// with it.
func decode(target any, raw []byte, limits hub.Limits) (fault string) {
	switch t := target.(type) {
	case *ClientID:
		return decodeName((*string)(t), raw, hub.CheckClientID, limits.NameBytes)
	case *ChannelName:
		return decodeName((*string)(t), raw, hub.CheckChannelName, limits.NameBytes)
	case *string:
		return decodeString(t, raw)
	case *bool:
		*t = string(raw) == "true"
		if !*t && string(raw) != "false" {
			return "must be true or false"
		}
		return ""
	case *json.RawMessage:
		*t = raw
		return ""
	case *[]string:
		return decodeStrings(t, raw)
	case *memberships:
		return t.decode(raw, limits)
	}
	if json.Unmarshal(raw, target) != nil {
		return "has the wrong type" // encoding/json's own words name Go types
	}
	return ""
}

func decodeString(target *string, raw []byte) (fault string) {
	if raw[0] != '"' {
		return "must be a string"
	}
	text, ok := unquote(raw)
	if !ok {
		return "must not hold half of a surrogate pair"
	}
	*target = string(text)
	return ""
}

func decodeName(target *string, raw []byte, check func(string, int) error, limit int) (fault string) {
	if fault := decodeString(target, raw); fault != "" {
		return fault
	}
	if err := check(*target, limit); err != nil {
		return err.Error()
	}
	return ""
}

func decodeStrings(target *[]string, raw []byte) (fault string) {
	if raw[0] != '[' {
		return "must be an array of strings"
	}
	s := again(raw)
	*target = []string{}
	_ = s.array(func() *Error {
		element, _ := s.value()
		var text string
		if f := decodeString(&text, element); f != "" && fault == "" {
			fault = "each element " + f
		}
		*target = append(*target, text)
		return nil
	})
	return fault
}

func (t *memberships) decode(raw []byte, limits hub.Limits) (fault string) {
	const shape = "must be an object of arrays of client ids, one for each channel"
	if raw[0] != '{' {
		return shape
	}
	s := again(raw)
	seen := make(map[string]bool)
	_ = s.object(func(quoted []byte) *Error {
		clients, _ := s.value()
		var channel string
		switch f := decodeName(&channel, quoted, hub.CheckChannelName, limits.NameBytes); {
		case fault != "": // the first fault is told
		case f != "":
			fault = about("a channel name", f)
		case seen[channel]:
			fault = "duplicate channel: " + clip(channel)
		case clients[0] != '[':
			fault = shape
		default:
			fault = t.decodeClients(channel, clients, limits)
		}
		seen[channel] = true
		return nil
	})
	return fault
}

func (t *memberships) decodeClients(channel string, raw []byte, limits hub.Limits) (fault string) {
	s := again(raw)
	_ = s.array(func() *Error {
		element, _ := s.value()
		var client string
		if f := decodeName(&client, element, hub.CheckClientID, limits.NameBytes); f != "" && fault == "" {
			fault = "in channel " + clip(channel) + ": " + about("a client id", f)
		}
		*t = append(*t, hub.Pair{Client: client, Channel: channel})
		return nil
	})
	return fault
}

// about makes sure that a fault says what it is about: the hub's faults do, and
// where those of a whole parameter do not need to, those inside of one do.
func about(what, fault string) string {
	if strings.HasPrefix(fault, what) {
		return fault
	}
	return what + " " + fault
}

// again returns a scanner for a value that has been checked already; it does
// not fail.
func again(raw []byte) *scanner {
	return &scanner{text: raw, maxDepth: len(raw)}
}
