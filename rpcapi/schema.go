package rpcapi

import (
	"cmp"
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// schema is as much of JSON Schema (draft 7) as parameters and results need.
type schema struct {
	Title       string          `json:"title,omitempty"`
	Description string          `json:"description,omitempty"`
	Ref         string          `json:"$ref,omitempty"`
	Type        string          `json:"type,omitempty"`
	Const       json.RawMessage `json:"const,omitempty"`
	Enum        []string        `json:"enum,omitempty"`
	Default     json.RawMessage `json:"default,omitempty"`

	Minimum   *int64 `json:"minimum,omitempty"`
	Maximum   *int64 `json:"maximum,omitempty"`
	MinLength *int64 `json:"minLength,omitempty"`
	MaxLength *int64 `json:"maxLength,omitempty"`
	Pattern   string `json:"pattern,omitempty"`

	Items                *schema    `json:"items,omitempty"`
	Properties           properties `json:"properties,omitempty"`
	Required             []string   `json:"required,omitempty"`
	AdditionalProperties any        `json:"additionalProperties,omitempty"` // *schema or false
	OneOf                []*schema  `json:"oneOf,omitempty"`
}

// properties are an object's, in order.
type properties []property

type property struct {
	name   string
	schema *schema
}

// MarshalJSON is part of [json.Marshaler].
func (p properties) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i := range p {
		text, err := json.Marshal(p[i].schema)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(appendString(b, p[i].name), ':'), text...)
	}
	return append(b, '}'), nil
}

// add adds a property.
func (s *schema) add(name string, required bool, p *schema) {
	s.Properties = append(s.Properties, property{name, p})
	if required {
		s.Required = append(s.Required, name)
	}
}

// object returns the schema of an object without properties. It has no others
// than those that are added.
func object(title string) *schema {
	return &schema{Title: title, Type: "object", AdditionalProperties: false}
}

// schemer is a type whose schema is not what its Go form says.
type schemer interface{ schema() *schema }

// schemaOf returns what encoding/json, or the type itself, makes of t, which
// is inside of all of outer. Of a type that is inside of itself it says nothing
// the second time: there would be no end to it.
func schemaOf(t reflect.Type, outer ...reflect.Type) *schema {
	switch v := reflect.New(t).Interface().(type) {
	case schemer:
		return v.schema()
	case *time.Time:
		return &schema{Type: "string"}
	case json.Marshaler:
		return &schema{}
	case encoding.TextMarshaler:
		return &schema{Type: "string"}
	}
	if slices.Contains(outer, t) {
		return &schema{}
	}
	outer = append(slices.Clip(outer), t)
	switch t.Kind() {
	case reflect.String:
		return &schema{Type: "string"}
	case reflect.Bool:
		return &schema{Type: "boolean"}
	case reflect.Float32, reflect.Float64:
		return &schema{Type: "number"}
	case reflect.Pointer:
		return schemaOf(t.Elem(), outer...)
	case reflect.Slice, reflect.Array:
		if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
			return &schema{Type: "string"} // in Base64
		}
		return &schema{Type: "array", Items: schemaOf(t.Elem(), outer...)}
	case reflect.Map:
		return &schema{Type: "object", AdditionalProperties: schemaOf(t.Elem(), outer...)}
	case reflect.Struct:
		return structSchema(t, outer)
	case reflect.Interface:
		return &schema{}
	}
	s := &schema{Type: "integer"}
	if strings.HasPrefix(t.Kind().String(), "uint") {
		s.Minimum = new(int64)
	}
	return s
}

// structSchema is about a reply: its fields may have json and help tags. Titles
// are what generated clients call their types.
func structSchema(t reflect.Type, outer []reflect.Type) *schema {
	s := object(upperFirst(t.Name()))
	for _, field := range reflect.VisibleFields(t) {
		name, options := memberOf(t, field)
		if name == "" {
			continue
		}
		p := schemaOf(field.Type, outer...)
		if slices.Contains(options, "string") {
			p = &schema{Type: "string"}
		}
		p.Description = helpOf(t, field)
		if values := field.Tag.Get("enum"); values != "" {
			p.Enum = strings.Fields(values)
		}
		s.add(name, !slices.Contains(options, "omitempty") && !slices.Contains(options, "omitzero"), p)
	}
	return s
}

// memberOf is what encoding/json makes of a field of t or of a struct that is
// embedded in t: a member of this name, or none.
func memberOf(t reflect.Type, field reflect.StructField) (name string, options []string) {
	for n := 1; n < len(field.Index); n++ {
		if !dissolves(t.FieldByIndex(field.Index[:n])) {
			return "", nil // it is a member of a member
		}
	}
	tag := field.Tag.Get("json")
	if tag == "-" || !field.IsExported() || dissolves(field) {
		return "", nil
	}
	name, rest, _ := strings.Cut(tag, ",")
	return cmp.Or(name, field.Name), strings.Split(rest, ",")
}

// dissolves reports whether a field is an embedded struct without a name of its
// own: its fields are members of the object around it.
func dissolves(field reflect.StructField) bool {
	t := field.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	return field.Anonymous && t.Kind() == reflect.Struct && name == ""
}

// helpOf is what a field's help tag says. The hub has the words for its limits.
func helpOf(t reflect.Type, field reflect.StructField) string {
	help := field.Tag.Get("help")
	if t == reflect.TypeFor[infoLimits]() && help == "" {
		limit, _ := reflect.TypeFor[hub.Limits]().FieldByName(field.Name)
		help = limit.Tag.Get("help")
	}
	return help
}

// schema is what p takes.
func (p *paramSpec) schema() *schema {
	s := schemaOf(p.typ)
	s.Default = p.def
	if p.max == 0 {
		return s
	}
	if s.Type == "string" {
		s.MinLength, s.MaxLength = &p.min, &p.max // of characters: no more than there are bytes
	} else {
		s.Minimum, s.Maximum = &p.min, &p.max
	}
	return s
}

// objectSchema is about parameters that are given as an object.
func (s *signature) objectSchema(title string) *schema {
	o := object(title)
	for i := range s.params {
		p := &s.params[i]
		of := p.schema()
		of.Description = p.help
		o.add(p.name, !p.optional, of)
	}
	return o
}

// What the types that write or read themselves look like.

func (*ClientID) schema() *schema    { return nameSchema("ClientId") }
func (*ChannelName) schema() *schema { return nameSchema("ChannelName") }
func (*cursor) schema() *schema      { return positionSchema() }

func (*clientIDs) schema() *schema {
	return &schema{Type: "array", Items: nameSchema("ClientId")}
}

func (*channelNames) schema() *schema {
	return &schema{Type: "array", Items: nameSchema("ChannelName")}
}

func (*memberships) schema() *schema {
	return &schema{
		Title: "ClientsByChannel", Type: "object",
		AdditionalProperties: &schema{Type: "array", Items: nameSchema("ClientId")},
	}
}

func (*publications) schema() *schema {
	return &schema{Type: "array", Items: publishSignature.objectSchema("Publication")}
}

func (*keyAt) schema() *schema {
	both := object("KeyAndPosition")
	both.add("key", true, keySchema())
	both.add("position", true, positionSchema())
	return &schema{OneOf: []*schema{keySchema(), both}}
}

func (*doneAt) schema() *schema {
	at := object("AtPosition")
	at.add("position", true, positionSchema())
	return &schema{OneOf: []*schema{{Title: "Done", Type: "integer", Const: json.RawMessage("1")}, at}}
}

func (*published) schema() *schema {
	s := object("Published")
	addPublished(s)
	return s
}

func (*places) schema() *schema {
	s := object("PublishedOn")
	s.add("channel", true, describedAs("where it was said", nameSchema("ChannelName")))
	addPublished(s)
	return &schema{Type: "array", Items: s}
}

func (*outcomes) schema() *schema {
	e := object("FailedPublication")
	e.add("code", true, &schema{Type: "integer", Description: "as in an error of its own"})
	e.add("message", true, &schema{Type: "string", Description: "what is wrong"})
	e.add("type", true, &schema{Type: "string", Description: "the short name of the code"})
	failed := object("Failed")
	failed.add("error", true, describedAs("why it was not said", e))
	return &schema{Type: "array", Items: &schema{OneOf: []*schema{(*published)(nil).schema(), failed}}}
}

func addPublished(s *schema) {
	s.add("position", true, describedAs("where it is in the log", positionSchema()))
	s.add("id", true, describedAs("its number on the channel", countSchema(1)))
	s.add("repeated", false, &schema{Type: "boolean", Const: json.RawMessage("true"), Description: "it was there already, under the same publish id"})
}

// schema of a message: what a service puts into it beside this is its own.
func (*shown) schema() *schema {
	s := &schema{Title: "Message", Type: "object"}
	s.add("channel", true, describedAs("where it was said", nameSchema("ChannelName")))
	s.add("id", true, describedAs("its number on the channel", countSchema(1)))
	s.add("pos", true, describedAs("where it is in the log", positionSchema()))
	s.add("sender", true, &schema{Description: "who said it: any value"})
	s.add("data", true, &schema{Description: "what was said: any value; null if it is an event"})
	s.add("event", false, &schema{Type: "string", Description: "what the event is called, if it is one"})
	s.add("args", false, &schema{Type: "array", Items: &schema{}, Description: "its arguments"})
	s.add("time", true, &schema{Type: "integer", Description: "Unix ms: when"})
	s.add("system", false, &schema{Type: "boolean", Const: json.RawMessage("true"), Description: "it was said in the system's name"})
	return s
}

func describedAs(text string, s *schema) *schema {
	s.Description = text
	return s
}

func countSchema(from int64) *schema { return &schema{Type: "integer", Minimum: &from} }

// nameSchema is about ids and names. How long they may be is a matter of
// configuration.
func nameSchema(title string) *schema {
	one := int64(1)
	return &schema{Title: title, Type: "string", MinLength: &one}
}

func keySchema() *schema { return &schema{Title: "Key", Type: "string"} }

func positionSchema() *schema {
	return &schema{Title: "Position", Type: "string", Pattern: `^[0-9a-f]{16}\.(0|[1-9][0-9]*)$`}
}
