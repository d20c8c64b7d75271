package rpcapi

import (
	"net/http"
)

// systemMethods tell callers what there is to call.
var systemMethods = []Method{
	{
		Name: "system.list_methods", Summary: "Returns the names of all methods, in alphabetical order.",
		Examples: []Example{{"list", `{}`, ""}},
	},
	{
		Name: "system.describe", Summary: "Describes all methods and their parameters, by the draft of JSON-RPC 1.1.",
		Description: "`rpc.discover` says more.",
		Examples:    []Example{{"describe", `{}`, ""}},
	},
}

// system answers systemMethods.
type system struct{ api *API }

type (
	methodName struct {
		Name string `json:"name" help:"as callers say it"`
	}

	// serviceDescription is the description of the JSON-RPC 1.1 draft.
	serviceDescription = struct {
		Version string     `json:"sdversion" help:"of this form of description"`
		Name    string     `json:"name" help:"of the service"`
		Summary string     `json:"summary" help:"one sentence"`
		Procs   []procSpec `json:"procs" help:"the methods"`
	}
	procSpec struct {
		Name    string       `json:"name" help:"as callers say it"`
		Summary string       `json:"summary" help:"one sentence"`
		Params  []paramEntry `json:"params" help:"in positional order"`
		Return  typeEntry    `json:"return" help:"what it answers"`
	}
	paramEntry struct {
		Name     string `json:"name" help:"for named parameters"`
		Type     string `json:"type" help:"str, bit, num, arr, obj or any"`
		Optional bool   `json:"optional,omitempty" help:"whether it may be left out"`
	}
	typeEntry struct {
		Type string `json:"type" help:"as of parameters; nil: nothing"`
	}
)

// SystemListMethods is system.list_methods().
func (s *system) SystemListMethods(_ *http.Request, _ *noParams, reply *[]methodName) error {
	*reply = []methodName{}
	for _, m := range s.api.sorted() {
		*reply = append(*reply, methodName{m.Name})
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
		Name:    m.Name,
		Summary: m.Summary,
		Params:  make([]paramEntry, len(m.params)),
		Return:  typeEntry{draftType(schemaOf(m.reply))},
	}
	if m.Void {
		d.Return.Type = "nil"
	}
	for i, p := range m.params {
		d.Params[i] = paramEntry{Name: p.name, Type: draftType(schemaOf(p.typ)), Optional: p.optional}
	}
	return d
}

// draftType names a type as the JSON-RPC 1.1 draft does. Of several, the first
// counts: it is what the first Shaveet answered.
func draftType(s *schema) string {
	if len(s.OneOf) > 0 {
		return draftType(s.OneOf[0])
	}
	switch s.Type {
	case "string":
		return "str"
	case "boolean":
		return "bit"
	case "array":
		return "arr"
	case "object":
		return "obj"
	case "integer", "number":
		return "num"
	}
	return "any"
}
