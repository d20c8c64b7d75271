package rpcapi

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/api.md")

// The page is made from the OpenRPC document, so it cannot say anything else.
func TestAPIDoc(t *testing.T) {
	const path = "../docs/api.md"
	d := parseDocument(t, onStage(t).OpenRPC())
	page := d.page(t)
	if *update {
		if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(written) != page {
		t.Errorf("%s is not what the methods say; run go test ./rpcapi -run APIDoc -update", path)
	}
}

const apiPreface = `# Admin API

<!-- Made from the methods' tables by go test ./rpcapi -run APIDoc -update. Do not edit. -->

What a backend can ask of Shaveet: every method with its parameters, its result and its errors. How calls are carried,
by whom they may be made, and how the dialect of 2010 is answered is in [protocol.md](protocol.md#the-admin-api).

A call is JSON-RPC, by ` + "`POST /`" + ` or ` + "`/rpc`" + `:

` + "```sh" + `
curl http://127.0.0.1:8082/ -d '{"jsonrpc": "2.0", "method": "publish", "params": {"channel": "room", "data": "hello"}, "id": 1}'
` + "```" + `

- **Parameters** are named, as here, or an array in the order of the tables. An optional one may be left out, or be
  ` + "`null`" + `. One that does not exist is an error.
- **A batch** is an array of calls: one request, one answer. They run in order, each by itself.
- **A position** is a place in the log, such as ` + "`6f1c2b9a04d7e358.42`" + `; it is a reader's cursor too. What a call has
  done, every reader beyond the position that it answers has seen.
- **Times** are Unix time in milliseconds.
- **Lists** come in pages: ` + "`next`" + ` is there when more follow, and is the ` + "`after`" + ` of the next page.
- ` + "`rpc.discover`" + ` answers all that is on this page as an OpenRPC document, from which clients can be generated.

In the examples, ` + "`alice` and `bob`" + ` are on the channel ` + "`room`" + `, and alice reads. Long answers are broken into lines here.
`

// page makes docs/api.md.
func (d parsed) page(t *testing.T) string {
	var b strings.Builder
	b.WriteString(apiPreface)
	for _, tag := range tags {
		fmt.Fprintf(&b, "\n| %s | |\n| --- | --- |\n", d.tag(tag.Name))
		for _, m := range d.tagged(tag.Name) {
			fmt.Fprintf(&b, "| [`%s`](#%s) | %s |\n", m.Name, anchor(m.Name), cell(m.Summary))
		}
	}
	b.WriteString("\n" + d.errorTable())
	for _, tag := range tags {
		fmt.Fprintf(&b, "\n## %s\n", strings.TrimSuffix(d.tag(tag.Name), "."))
		for _, m := range d.tagged(tag.Name) {
			m.write(t, &b)
		}
	}
	return b.String()
}

func (d parsed) tag(name Tag) string { return d.Components.Tags[string(name)].Description }

func (d parsed) tagged(name Tag) []parsedMethod {
	return slices.DeleteFunc(slices.Clone(d.Methods), func(m parsedMethod) bool {
		return len(m.Tags) == 0 || m.Tags[0].Ref != "#/components/tags/"+string(name)
	})
}

func (d parsed) errorTable() string {
	var names []string
	for name := range d.Components.Errors {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return d.Components.Errors[b].Code - d.Components.Errors[a].Code })
	var b strings.Builder
	b.WriteString("## Errors\n\nAn error has a `code`, a `message` and, as `data.type`, a short name that goes with the code. " +
		"Each method says which ones it answers beside `internal` and `internal_error`, which none should. Those of JSON-RPC itself are in [protocol.md](protocol.md#errors).\n\n| Type | Code | Meaning |\n| --- | --- | --- |\n")
	for _, name := range names {
		fmt.Fprintf(&b, "| `%s` | %d | %s |\n", name, d.Components.Errors[name].Code, d.Components.Errors[name].Message)
	}
	return b.String()
}

func (m parsedMethod) write(t *testing.T, b *strings.Builder) {
	fmt.Fprintf(b, "\n### %s\n\n%s", m.Name, m.Summary)
	if m.Description != "" {
		b.WriteString(" " + m.Description)
	}
	b.WriteString("\n")
	if len(m.Params) > 0 {
		b.WriteString("\n| Parameter | Type | | Meaning |\n| --- | --- | --- | --- |\n")
	}
	for _, p := range m.Params {
		s := parseSchema(t, p.Schema)
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", p.Name, s.kind(), s.need(p.Required), cell(p.Description))
	}
	m.writeResult(b, parseSchema(t, m.Result.Schema))
	m.writeErrors(b)
	for _, e := range m.Examples {
		m.writeExample(b, e)
	}
}

func (m parsedMethod) writeResult(b *strings.Builder, s shape) {
	fmt.Fprintf(b, "\n**Result:** %s", s.kind())
	if m.Result.Description != "" {
		fmt.Fprintf(b, ": %s", m.Result.Description)
	}
	b.WriteString(".\n")
	rows := s.rows("")
	if len(rows) > 0 {
		b.WriteString("\n| Member | Type | Meaning |\n| --- | --- | --- |\n" + strings.Join(rows, ""))
	}
}

func (m parsedMethod) writeErrors(b *strings.Builder) {
	var names []string
	for _, e := range m.Errors {
		if name := e.Ref[strings.LastIndexByte(e.Ref, '/')+1:]; name != types[CodeInternal] {
			names = append(names, "`"+name+"`")
		}
	}
	if len(names) > 0 {
		fmt.Fprintf(b, "\n**Errors:** %s.\n", strings.Join(names, ", "))
	}
}

func (m parsedMethod) writeExample(b *strings.Builder, e parsedExample) {
	params := ""
	if len(e.Params) > 0 {
		params = fmt.Sprintf(`"params": %s, `, named(e))
	}
	body := spaced(fmt.Sprintf(`{"jsonrpc": "2.0", "method": %q, %s"id": 1}`, m.Name, params))
	answer := `{"jsonrpc":"2.0","result":` + string(e.Result.Value) + `,"id":1}`
	if text := folded([]byte(answer), ""); strings.Contains(text, "\n") {
		answer = clipped(text)
	}
	fmt.Fprintf(b, "\n*Example, %s:*\n\n```sh\ncurl http://127.0.0.1:8082/ -d '%s'\n```\n\n```json\n%s\n```\n", e.Name, body, answer)
}

// folded writes JSON for people: a value that fits into a line is one line, of
// any other each member is.
func folded(text []byte, indent string) string {
	line := spaced(string(text))
	if len(indent)+len(line) <= 110 || (text[0] != '{' && text[0] != '[') {
		return line
	}
	var parts []string
	inner := indent + "  "
	s := again(text)
	if text[0] == '[' {
		_ = s.array(func() *Error {
			element, err := s.value()
			parts = append(parts, inner+folded(element, inner))
			return err
		})
	} else {
		_ = s.object(func(name []byte) *Error {
			value, err := s.value()
			parts = append(parts, inner+string(name)+": "+folded(value, inner))
			return err
		})
	}
	return string(text[:1]) + "\n" + strings.Join(parts, ",\n") + "\n" + indent + string(text[len(text)-1:])
}

// clipped breaks off what is very long.
func clipped(text string) string {
	const most = 50
	lines := strings.Split(text, "\n")
	if len(lines) > most {
		lines = append(lines[:most], "      …")
	}
	return strings.Join(lines, "\n")
}

// spaced puts a space after each comma and colon outside of strings, where
// there is none.
func spaced(text string) string {
	var b strings.Builder
	inString := false
	for i, c := range text {
		b.WriteRune(c)
		switch {
		case c == '"' && text[max(i-1, 0)] != '\\':
			inString = !inString
		case !inString && (c == ',' || c == ':') && text[i+1] != ' ':
			b.WriteByte(' ')
		}
	}
	return b.String()
}

func anchor(name string) string { return strings.ReplaceAll(name, ".", "") }

// cell is text that fits into a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// shape is what the page needs of a schema.
type shape struct {
	Type, Description, Pattern, Title string
	Ref                               string `json:"$ref"`
	Const, Default                    json.RawMessage
	Enum                              []string
	Minimum, Maximum, MaxLength       *int64
	Items                             *shape
	AdditionalProperties              json.RawMessage
	Properties                        json.RawMessage
	Required                          []string
	OneOf                             []*shape

	members []member
}

type member struct {
	name string
	shape
}

func parseSchema(t *testing.T, raw []byte) (s shape) {
	t.Helper()
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	return *s.resolve()
}

// resolve reads the properties of s and all below, in their order.
func (s *shape) resolve() *shape {
	if s == nil {
		return nil
	}
	s.Items.resolve()
	for _, one := range s.OneOf {
		one.resolve()
	}
	if len(s.Properties) > 0 {
		p := again(s.Properties)
		_ = p.object(func(name []byte) *Error {
			raw, err := p.value()
			text, _ := textOf(name)
			m := member{name: string(text)}
			if json.Unmarshal(raw, &m.shape) == nil {
				m.shape.resolve()
				s.members = append(s.members, m)
			}
			return err
		})
	}
	return s
}

// kind names the type for people.
func (s *shape) kind() string {
	switch {
	case s.Ref != "":
		return "an [OpenRPC document](https://spec.open-rpc.org)"
	case len(s.OneOf) > 0:
		kinds := make([]string, len(s.OneOf))
		for i, one := range s.OneOf {
			kinds[i] = one.kind()
			if len(one.members) > 0 {
				kinds[i] += " of " + one.names()
			}
		}
		return strings.Join(kinds, " or ")
	case s.Const != nil:
		return "`" + string(s.Const) + "`"
	case s.Title == "Position":
		return "position"
	case s.Enum != nil:
		return "`\"" + strings.Join(s.Enum, "\"`, `\"") + "\"`"
	case s.Type == "array":
		return "array of " + s.Items.plural()
	case s.Type == "":
		return "any"
	case s.Type == "object" && s.Title == "ClientsByChannel":
		return "object of arrays of strings"
	case s.Type == "string" && s.MaxLength != nil:
		return fmt.Sprintf("string, %d bytes at most", *s.MaxLength)
	case s.Maximum != nil && *s.Maximum < 1<<50:
		return fmt.Sprintf("%s, %d to %d", s.Type, *s.Minimum, *s.Maximum)
	case s.Maximum != nil:
		return fmt.Sprintf("%s from %d", s.Type, *s.Minimum)
	}
	return s.Type
}

func (s *shape) plural() string {
	kind := s.kind()
	if len(s.OneOf) > 0 || kind == "any" {
		return "values: " + kind
	}
	return kind + "s"
}

func (s *shape) names() string {
	names := make([]string, len(s.members))
	for i, m := range s.members {
		names[i] = "`" + m.name + "`"
	}
	return strings.Join(names, ", ")
}

// need says whether a parameter must be given.
func (s *shape) need(required bool) string {
	switch {
	case required:
		return "required"
	case s.Default != nil:
		return "optional, `" + string(s.Default) + "`"
	}
	return "optional"
}

// rows are the lines of a table of members, with those inside of them.
func (s *shape) rows(prefix string) (rows []string) {
	switch {
	case s.Type == "array":
		return s.Items.rows(prefix + "[].")
	case len(s.OneOf) > 0 && strings.HasSuffix(prefix, "[]."):
		for _, one := range s.OneOf {
			rows = append(rows, one.rows(prefix)...)
		}
		return rows
	}
	for _, m := range s.members {
		kind := m.kind()
		if !slices.Contains(s.Required, m.name) {
			kind += ", or absent"
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |\n", prefix+m.name, kind, cell(m.Description)))
		inner := prefix + m.name + "."
		if m.Type == "array" {
			inner = prefix + m.name
		}
		rows = append(rows, m.rows(inner)...)
	}
	return rows
}
