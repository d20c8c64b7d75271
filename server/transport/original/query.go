package original

import (
	"fmt"
	"net/url"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport"
)

// A query is what a page asks for.
type query struct {
	callback    string
	credentials []hub.Credentials
	marked      bool // the page understands errors
	jsonp       bool // the page is a script element, which sees no status
}

// parseQuery reads the query string of a poll. Of several callbacks the first
// counts; parameters it does not know are passed over.
func parseQuery(raw string, maxClients int) (query, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return query{}, fmt.Errorf("the query string cannot be read")
	}
	q := query{
		callback: values.Get("callback"),
		marked:   values.Get("v") == "2",
		jsonp:    values.Get("jsonp") == "1",
	}
	if !transport.ValidCallback(q.callback) {
		return query{}, fmt.Errorf("callback: must be the name of a function")
	}
	tokens := values["client_id"]
	if len(tokens) == 0 || len(tokens) > maxClients {
		return query{}, fmt.Errorf("client_id: must be given 1 to %d times", maxClients)
	}
	for _, t := range tokens {
		c, ok := transport.ParseToken(t)
		if !ok {
			return query{}, fmt.Errorf("client_id: must be an id, %q and a key", hub.Delimiter)
		}
		q.credentials = append(q.credentials, c)
	}
	return q, nil
}

// appendCall appends the beginning of a call of the page's callback. The
// comment in front keeps the page's name for it from being the first bytes of
// the answer, which other programs might read as something else than a script.
func (q *query) appendCall(b []byte) []byte {
	b = append(b, "/**/"...)
	b = append(b, q.callback...)
	return append(b, '(')
}

// appendAnswer appends the answer that tells the messages, by channel, in the
// order of the log.
func (q *query) appendAnswer(b []byte, messages []*hub.Message) []byte {
	b = q.appendCall(b)
	b = append(b, '{')
	for i, of := range byChannel(messages) {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = transport.AppendString(b, of[0].Channel())
		b = append(b, ": ["...)
		for j, m := range of {
			if j > 0 {
				b = append(b, ", "...)
			}
			b = append(b, transport.Legacy(m)...)
		}
		b = append(b, ']')
	}
	return append(b, "});"...)
}

// byChannel splits messages by channel, in the order of each channel's first.
func byChannel(messages []*hub.Message) [][]*hub.Message {
	var all [][]*hub.Message
	index := make(map[string]int)
	for _, m := range messages {
		i, ok := index[m.Channel()]
		if !ok {
			i = len(all)
			index[m.Channel()] = i
			all = append(all, nil)
		}
		all[i] = append(all[i], m)
	}
	return all
}
