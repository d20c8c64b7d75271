package rpcapi

import (
	"encoding/json"
	"net/http"
	"reflect"
)

// systemMethods tell callers what there is to call.
var systemMethods = []Method{
	{Name: "system.list_methods", Summary: "Returns the names of all methods."},
	{Name: "system.describe", Summary: "Describes all methods and their parameters."},
}

// system answers systemMethods.
type system struct{ api *API }

type (
	methodName struct {
		Name string `json:"name"`
	}

	// serviceDescription is the description of the JSON-RPC 1.1 draft.
	serviceDescription = struct {
		Version string     `json:"sdversion"`
		Name    string     `json:"name"`
		Summary string     `json:"summary"`
		Procs   []procSpec `json:"procs"`
	}
	procSpec struct {
		Name    string       `json:"name"`
		Summary string       `json:"summary"`
		Params  []paramEntry `json:"params"`
		Return  typeEntry    `json:"return"`
	}
	paramEntry struct {
		Name     string `json:"name"`
		Type     string `json:"type"`
		Optional bool   `json:"optional,omitempty"`
	}
	typeEntry struct {
		Type string `json:"type"`
	}
)

// SystemListMethods is system.list_methods().
func (s *system) SystemListMethods(_ *http.Request, _ *noParams, reply *[]methodName) error {
	*reply = []methodName{}
	for _, m := range s.api.sorted() {
		*reply = append(*reply, methodName{m.name})
	}
	return nil
}

// SystemDescribe is system.describe().
func (s *system) SystemDescribe(_ *http.Request, _ *noParams, reply *serviceDescription) error {
	reply.Version = "1.0"
	reply.Name = "shaveet"
	reply.Summary = "Clients, channels and messages of a Shaveet server."
	for _, m := range s.api.sorted() {
		reply.Procs = append(reply.Procs, m.describe())
	}
	return nil
}

func (m *method) describe() procSpec {
	d := procSpec{
		Name:    m.name,
		Summary: m.summary,
		Params:  make([]paramEntry, len(m.params)),
		Return:  typeEntry{draftType(m.reply)},
	}
	if m.void {
		d.Return.Type = "nil"
	}
	for i, p := range m.params {
		d.Params[i] = paramEntry{Name: p.name, Type: draftType(p.typ), Optional: p.optional}
	}
	return d
}

// draftType names a type as the JSON-RPC 1.1 draft does.
func draftType(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[json.RawMessage]():
		return "any"
	case reflect.TypeFor[memberships]():
		return "obj"
	}
	switch t.Kind() {
	case reflect.String:
		return "str"
	case reflect.Bool:
		return "bit"
	case reflect.Slice, reflect.Array:
		return "arr"
	case reflect.Struct, reflect.Map:
		return "obj"
	case reflect.Pointer:
		return draftType(t.Elem())
	case reflect.Interface:
		return "any"
	}
	return "num"
}
