package packet_test

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/shaveet/shaveet/server/transport/socketio/packet"
)

// A node is a value of JSON. Of an object names are what it has, which may be
// there twice.
type node struct {
	token json.Token // of neither an array nor an object, or the delimiter
	names []string
	nodes []*node
}

// tree reads JSON by the standard library. It is nil for what is none.
func tree(text string) *node {
	if !json.Valid([]byte(text)) {
		return nil
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	return readNode(dec)
}

func readNode(dec *json.Decoder) *node {
	token, err := dec.Token()
	if err != nil {
		panic(err)
	}
	n := &node{token: token}
	if delim, ok := token.(json.Delim); ok {
		for dec.More() {
			if delim == '{' {
				name, _ := dec.Token()
				n.names = append(n.names, name.(string))
			}
			n.nodes = append(n.nodes, readNode(dec))
		}
		dec.Token()
	}
	return n
}

func (n *node) depth() (d int) {
	for _, inner := range n.nodes {
		d = max(d, inner.depth())
	}
	if _, ok := n.token.(json.Delim); ok {
		d++
	}
	return d
}

// last returns the last member of that name.
func (n *node) last(name string) *node {
	for i, other := range slices.Backward(n.names) {
		if other == name {
			return n.nodes[i]
		}
	}
	return &node{token: json.Delim('x')}
}

func (n *node) String() string {
	if n.token == json.Delim('{') || n.token == json.Delim('[') {
		all := []string{n.token.(json.Delim).String()}
		for i, inner := range n.nodes {
			if n.names != nil {
				all = append(all, strconv.Quote(n.names[i]))
			}
			all = append(all, inner.String())
		}
		return strings.Join(append(all, "end"), " ")
	}
	text, _ := json.Marshal(n.token)
	return string(text)
}

// placeholders returns those of n, outermost first.
func (n *node) placeholders() (all []*node) {
	if n.last("_placeholder").token == true {
		return []*node{n}
	}
	for _, inner := range n.nodes {
		all = append(all, inner.placeholders()...)
	}
	return all
}

// nested reports whether a placeholder has one inside.
func (n *node) nested() bool {
	for _, p := range n.placeholders() {
		for _, inner := range p.nodes {
			if len(inner.placeholders()) > 0 {
				return true
			}
		}
	}
	return false
}

// become makes n the object of one member.
func (n *node) become(name string, value json.Token) {
	*n = node{token: json.Delim('{'), names: []string{name}, nodes: []*node{{token: value}}}
}

// binaries returns the objects of n that are binary.
func (n *node) binaries() (all []*node) {
	if len(n.names) == 1 && n.names[0] == "$binary" {
		text, ok := n.nodes[0].token.(string)
		if data, err := base64.StdEncoding.DecodeString(text); ok && err == nil && base64.StdEncoding.EncodeToString(data) == text {
			return []*node{n}
		}
	}
	for _, inner := range n.nodes {
		all = append(all, inner.binaries()...)
	}
	return all
}

var header = regexp.MustCompile(`(?s)^([0-4]|[56]0*([1-9]\d?)-)(?:(/[^,]*)(?:,|$))?(\d*)(.*)$`)

// parseByOther says line of what text is, and "" if it is no packet.
func parseByOther(text string) string {
	m := header.FindStringSubmatch(text)
	if m == nil || !utf8.ValidString(text) || len(m[3]) > packet.DefaultNamespace {
		return ""
	}
	p := packet.Packet{Type: packet.Type(m[1][0] - '0'), Namespace: m[3]}
	if p.Namespace == "" {
		p.Namespace = "/"
	}
	if p.Attachments, _ = strconv.Atoi(m[2]); p.Attachments > packet.DefaultAttachments {
		return ""
	}
	if p.HasID = m[4] != ""; p.HasID {
		if p.ID, _ = strconv.ParseUint(m[4], 10, 64); p.ID >= 1<<53 {
			return ""
		}
	}
	if m[5] == "" {
		if p.Type.Plain() == packet.Event {
			return ""
		}
		return line(&p)
	}
	p.JSON = []byte(strings.TrimRight(m[5], " \t\r\n"))
	top := tree(m[5])
	if top == nil || top.depth() > packet.DefaultDepth || strings.ContainsAny(m[5][:1], " \t\r\n") || !payloadByOther(&p, top) {
		return ""
	}
	if p.Type.Binary() {
		used := map[int]bool{}
		for _, found := range top.placeholders() {
			number, _ := found.last("num").token.(json.Number)
			f, err := strconv.ParseFloat(string(number), 64)
			if n := int(f); err != nil || f != float64(n) || n < 0 || n >= p.Attachments || used[n] {
				return ""
			}
			used[int(f)] = true
		}
	}
	return line(&p)
}

// payloadByOther reports whether top may be the JSON of p, and names p.
func payloadByOther(p *packet.Packet, top *node) bool {
	isObject, isArray := top.token == json.Delim('{'), top.token == json.Delim('[')
	_, isText := top.token.(string)
	switch p.Type.Plain() {
	case packet.Connect:
		return isObject
	case packet.ConnectError:
		return isObject || isText
	case packet.Ack:
		return isArray
	case packet.Event:
		if !isArray || len(top.nodes) == 0 {
			return false
		}
		switch name := top.nodes[0].token.(type) {
		case string:
			p.Name = []byte(name)
			return !slices.Contains([]string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}, name)
		case json.Number:
			p.Name = []byte(name)
			return true
		}
	}
	return false
}
