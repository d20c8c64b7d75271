package rpcapi

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
)

// A Tag says where a method belongs.
type Tag string

// The tags, in the order in which the manual has them.
const (
	TagPublish  Tag = "publish"
	TagSockets  Tag = "sockets"
	TagClients  Tag = "clients"
	TagChannels Tag = "channels"
	TagOriginal Tag = "original"
	TagServer   Tag = "server"
)

// tags are the tags with what they stand for.
var tags = []tagObject{
	{TagPublish, "Say things."},
	{TagSockets, "Sockets of Socket.IO."},
	{TagClients, "Who may read."},
	{TagChannels, "What is on the channels, and who."},
	{TagOriginal, "The ten methods of the first Shaveet, with its names and its answers."},
	{TagServer, "The server itself."},
}

// openRPCVersion is the version of the OpenRPC specification that is kept to.
const openRPCVersion = "1.3.2"

// The parts of an OpenRPC document, see https://spec.open-rpc.org.
type (
	document struct {
		OpenRPC    string         `json:"openrpc"`
		Info       infoObject     `json:"info"`
		Servers    []serverObject `json:"servers"`
		Methods    []methodObject `json:"methods"`
		Components components     `json:"components"`
	}
	infoObject struct {
		Title       string     `json:"title"`
		Description string     `json:"description"`
		Version     string     `json:"version"`
		License     nameAndURL `json:"license"`
	}
	nameAndURL struct {
		Name string `json:"name"`
		URL  string `json:"url"`
	}
	serverObject struct {
		Name string `json:"name"`
		URL  string `json:"url"`
	}
	methodObject struct {
		Name           string              `json:"name"`
		Tags           []ref               `json:"tags"`
		Summary        string              `json:"summary,omitempty"`
		Description    string              `json:"description,omitempty"`
		ParamStructure string              `json:"paramStructure"`
		Params         []contentDescriptor `json:"params"`
		Result         contentDescriptor   `json:"result"`
		Errors         []ref               `json:"errors,omitempty"`
		Examples       []examplePairing    `json:"examples,omitempty"`
	}
	contentDescriptor struct {
		Name        string  `json:"name"`
		Description string  `json:"description,omitempty"`
		Required    bool    `json:"required,omitempty"`
		Schema      *schema `json:"schema"`
	}
	examplePairing struct {
		Name   string         `json:"name"`
		Params []exampleValue `json:"params"`
		Result exampleValue   `json:"result"`
	}
	exampleValue struct {
		Name  string          `json:"name"`
		Value json.RawMessage `json:"value"`
	}
	ref struct {
		Ref string `json:"$ref"`
	}
	components struct {
		Errors map[string]errorObject `json:"errors"`
		Tags   map[Tag]tagObject      `json:"tags"`
	}
	errorObject struct {
		Code    int       `json:"code"`
		Message string    `json:"message"`
		Data    errorData `json:"data"`
	}
	errorData struct {
		Type string `json:"type"`
	}
	tagObject struct {
		Name        Tag    `json:"name"`
		Description string `json:"description"`
	}
)

// meanings are the errors that methods answer.
var meanings = map[int]string{
	CodeInvalidParams:     "A parameter is missing, unknown, given twice, of the wrong type or out of its bounds, or a name breaks its rules.",
	CodeInternalError:     "The method failed without having an answer for it; the server's log says more.",
	CodeInternal:          "A failure the caller can do nothing about; the server's log says more.",
	CodeUnknownClient:     "No client, or socket, of this id lives.",
	CodeUnknownChannel:    "There is no channel of this name.",
	CodeLimitReached:      "A limit would be passed; the message names it.",
	CodePublishIDConflict: "The publish id has been used for another message.",
	CodeUnavailable:       "The log takes no commands now; try again.",
	CodeSwitchedOff:       "What the method is about is switched off by the configuration.",
	CodeTooLarge:          "A value is larger than its limit; the message names it.",
}

// OpenRPC returns the description of all methods as an OpenRPC document, in
// JSON. It is the same at every call, and must not be written to.
func (a *API) OpenRPC() []byte { return a.openRPC() }

func (a *API) writeOpenRPC() []byte {
	version := a.opts.Version
	if version == "" {
		version = "dev"
	}
	d := document{
		OpenRPC: openRPCVersion,
		Info: infoObject{
			Title:       "Shaveet admin API",
			Description: "Clients, channels and messages of a Shaveet server, for the backend of a web site.",
			Version:     version,
			License:     nameAndURL{"MIT", "https://opensource.org/license/mit"},
		},
		Servers:    []serverObject{{"the main door, as configured without any configuration", "http://127.0.0.1:8082/"}},
		Components: components{Errors: make(map[string]errorObject), Tags: make(map[Tag]tagObject)},
	}
	for code, meaning := range meanings {
		d.Components.Errors[types[code]] = errorObject{code, meaning, errorData{types[code]}}
	}
	for _, t := range tags {
		d.Components.Tags[t.Name] = t
	}
	for _, m := range a.table {
		d.Methods = append(d.Methods, a.object(m))
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(d) // what is raw in it was checked
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

func (a *API) object(m *method) methodObject {
	o := methodObject{
		Name:           m.Name,
		Tags:           []ref{{"#/components/tags/" + string(m.Tag)}},
		Summary:        m.Summary,
		Description:    m.Description,
		ParamStructure: "either",
		Params:         []contentDescriptor{},
		Result:         m.resultDescriptor(),
	}
	for i := range m.params {
		p := &m.params[i]
		o.Params = append(o.Params, contentDescriptor{p.name, p.help, !p.optional, p.schema()})
	}
	for _, code := range m.codes() {
		o.Errors = append(o.Errors, ref{"#/components/errors/" + types[code]})
	}
	for _, e := range m.Examples {
		if p, ok := a.pairing(m, e); ok {
			o.Examples = append(o.Examples, p)
		}
	}
	return o
}

func (m *method) resultDescriptor() contentDescriptor {
	r := contentDescriptor{Name: "result", Description: m.Result, Schema: schemaOf(m.reply)}
	if r.Schema.Type == "object" && r.Schema.Title == "" {
		r.Schema.Title = camel(m.Name) + "Result"
	}
	if m.Void {
		r.Schema = &schema{Type: "null"}
	}
	if m.Name == discoverMethod {
		r.Schema = &schema{Ref: "https://raw.githubusercontent.com/open-rpc/meta-schema/master/schema.json"}
	}
	return r
}

// codes are the errors of m, those of every method among them.
func (m *method) codes() []int {
	codes := slices.Clone(m.Errors)
	if len(m.params) > 0 {
		codes = append([]int{CodeInvalidParams}, codes...)
	}
	return append(codes, CodeInternal)
}

// pairing puts e's parameters in their order. It is not ok without a result.
func (a *API) pairing(m *method, e Example) (p examplePairing, ok bool) {
	result, ok := a.exampleResult(m, e)
	if !ok {
		return p, false
	}
	var given map[string]json.RawMessage
	_ = json.Unmarshal([]byte(e.Params), &given) // it was checked
	p = examplePairing{Name: e.Name, Params: []exampleValue{}, Result: exampleValue{"result", result}}
	for i := range m.params {
		if value, ok := given[m.params[i].name]; ok {
			p.Params = append(p.Params, exampleValue{m.params[i].name, value})
		}
	}
	return p, true
}

// exampleResult is what e says, or else what the method answers now, if it does.
func (a *API) exampleResult(m *method, e Example) (result json.RawMessage, ok bool) {
	switch {
	case m.Void:
		return json.RawMessage("null"), true
	case e.Result != "":
		return json.RawMessage(e.Result), true
	}
	c := call{v2: true, method: m.Name, target: m, params: params{named: true}}
	s := again([]byte(e.Params))
	s.peek()
	_ = s.object(func(quoted []byte) *Error { return c.params.add(s, quoted) })
	a.run(&desk{ctx: context.Background()}, &c)
	if c.err != nil {
		a.log.Error("the document is written without an example that fails", "method", m.Name, "example", e.Name, "error", c.err)
		return nil, false
	}
	return c.result, true
}

// discoverMethod is the name that the OpenRPC specification has for asking for
// the document. It also says what its result is.
const discoverMethod = "rpc.discover"
