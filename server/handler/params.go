package handler

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/shaveet/shaveet/server/transport/socketio"
)

// params are the parameters of a call, a JSON object that is being written.
type params []byte

// begin begins the parameters with what all calls have; node is "" where there is
// but one.
func begin(size int, node string, serial, epoch uint64, at time.Time) *params {
	p := params(make([]byte, 0, size+256))
	p = append(p, `{"serial":`...)
	p = strconv.AppendUint(p, serial, 10)
	if node != "" {
		p.value("node", node)
	}
	p = fmt.Appendf(p, `,"epoch":"%016x"`, epoch)
	p = at.UTC().AppendFormat(append(p, `,"time":"`...), "2006-01-02T15:04:05.000Z")
	p = append(p, '"')
	return &p
}

// raw adds a member that is JSON; nil is null.
func (p *params) raw(name string, value json.RawMessage) {
	if value == nil {
		value = json.RawMessage("null")
	}
	*p = append(*p, `,"`...)
	*p = append(*p, name...)
	*p = append(*p, `":`...)
	*p = append(*p, value...)
}

// value adds a member that can be marshalled.
func (p *params) value(name string, v any) {
	quoted, _ := json.Marshal(v) // strings, numbers and booleans can be
	p.raw(name, quoted)
}

// name adds a member that is a string, or null for none.
func (p *params) name(name, s string) {
	if s == "" {
		p.raw(name, nil)
	} else {
		p.value(name, s)
	}
}

func (p *params) end() []byte { return append(*p, '}') }

// socket adds who it is about.
func (p *params) socket(id, namespace, client string) {
	p.value("sid", id)
	p.value("namespace", namespace)
	p.name("client_id", client)
}

// shown are the headers that a backend is told of.
var shown = []string{
	"User-Agent", "Origin", "Referer", "Cookie", "Accept-Language",
	"X-Forwarded-For", "X-Real-Ip", "Forwarded",
}

// handshake adds what is known of a client that wants to join.
func (p *params) handshake(h *socketio.Handshake) {
	p.raw("auth", h.Auth)
	p.value("recovered", h.Recovered)
	p.value("address", h.Address)
	headers := make(map[string]string)
	for _, name := range shown {
		separator := ", "
		if name == "Cookie" {
			separator = "; "
		}
		if values := h.Header.Values(name); len(values) > 0 {
			headers[strings.ToLower(name)] = strings.Join(values, separator)
		}
	}
	p.value("headers", headers)
	p.value("protocol", h.Protocol)
}

// event adds what a client has said.
func (p *params) event(e *socketio.Event, data json.RawMessage) {
	p.value("event", e.Name)
	p.raw("args", e.Args)
	p.value("ack", e.Ack != nil)
	p.raw("data", data)
}
